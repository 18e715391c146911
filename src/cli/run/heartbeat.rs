//! Keeps a running scan's lease alive.

use std::{cell::Cell, time::Duration};

use prost_types::Timestamp;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tonic::Code;

use super::Status;
use crate::{
    cli::{format, parse},
    client::{Client, ClientError, RetryPolicy},
    proto::{ExtendRequest, Reservation},
};

/// A lease by our own clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    length: Duration,
    until: Instant,
}

impl Lease {
    /// A lease that was asked for at this moment. The gate counts from when it
    /// heard the call, so the real one ends a little later.
    pub(super) fn new(length: Duration, asked: Instant) -> Self {
        Self {
            length,
            // Far beyond any scan where the sum cannot be represented.
            until: asked
                .checked_add(length)
                .unwrap_or_else(|| asked + Duration::from_secs(86_400 * 365)),
        }
    }
}

/// Why a scan has no hold any more.
pub(super) enum Lost {
    /// The gate says so.
    Gone(ClientError),
    /// The lease has ended by our clock, and the gate could not be asked.
    Over,
}

/// Extends a lease, counted from now.
pub(super) async fn extend(
    client: &Client,
    reservation: &Reservation,
    lease: Duration,
) -> Result<Reservation, ClientError> {
    client
        .extend(ExtendRequest {
            account_id: reservation.account_id.clone(),
            reservation_id: reservation.reservation_id.clone(),
            lease: Some(parse::proto_duration(lease)),
        })
        .await
}

/// Extends the lease at a third of its length, for as long as that works.
/// Returns once the scan has no hold any more.
pub(super) async fn keep(
    client: &Client,
    reservation: &Reservation,
    mut lease: Lease,
    lease_ends: &Cell<Option<Timestamp>>,
    status: Status,
) -> Lost {
    let beat = (lease.length / 3).max(Duration::from_millis(20));
    // After a failure: sooner, so that there are a good many tries in a lease.
    let pause = (lease.length / 30).clamp(Duration::from_millis(20), Duration::from_secs(10));
    let deadline = client.policy().deadline.min(beat);
    let client = client.with_policy(RetryPolicy::once(deadline));
    let mut failing = false;
    sleep(beat).await;
    loop {
        let asked = Instant::now();
        let answer = timeout_at(lease.until, extend(&client, reservation, lease.length)).await;
        match answer {
            Ok(Ok(extended)) => {
                lease = Lease::new(lease.length, asked);
                lease_ends.set(extended.expire_time);
                if failing {
                    let until = format::time(extended.expire_time.as_ref());
                    status.say(&format!("the gate answers again; the lease ends {until}"));
                }
                failing = false;
                sleep(beat).await;
                continue;
            }
            Ok(Err(error)) if is_gone(&error) => return Lost::Gone(error),
            Ok(Err(error)) if !failing => {
                failing = true;
                let left = lease.until.saturating_duration_since(Instant::now());
                status.warn(&format!(
                    "cannot extend the lease: {error}; the scan may go on for {}",
                    humantime::format_duration(Duration::from_secs(left.as_secs()))
                ));
            }
            Ok(Err(_)) | Err(_) => {}
        }
        sleep_until((Instant::now() + pause).min(lease.until)).await;
        if Instant::now() >= lease.until {
            return Lost::Over;
        }
    }
}

/// True where the gate says that the hold is no more. Any other refusal, such
/// as of a credential, says nothing of the hold: its lease decides.
fn is_gone(error: &ClientError) -> bool {
    error.rejection().is_some_and(|rejection| match rejection.code {
        Code::NotFound => true,
        Code::FailedPrecondition => {
            matches!(rejection.reason.as_str(), "RESERVATION_SETTLED" | "RESERVATION_EXPIRED")
        }
        _ => false,
    })
}
