//! Events told to programs and people who do not ask: webhooks and mails.
//!
//! Two steps, each of which may happen twice and counts once: a feed is handed on
//! ([`hand_on`]: what is to be sent is written down, with the place up to which it was),
//! and what was written down is sent ([`webhooks`], [`mail`]). Beside them, pure: whom an address
//! belongs to ([`address`]), signatures ([`sign`]), rests ([`schedule`]), bodies
//! ([`body`]); and [`sender`], which sends one.

pub mod address;
pub mod body;
pub mod endpoints;
pub mod hand_on;
pub mod mail;
pub mod schedule;
pub mod sender;
pub mod sign;
pub mod webhooks;

pub use endpoints::{DeliveryError, Endpoints};

/// What lists show.
pub use crate::store::{
    delivery_state::DeliveryState,
    mails::StoredMail,
    webhooks::{StoredDelivery, StoredEndpoint},
};

use std::time::Duration;

use tokio::time;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    ledger::{Ledger, WORK_LIMIT, within},
    store::{Database, StoreError},
};
use mail::Mailer;
use sender::Sender;

/// What became of deliveries and mails is kept so long, looked at so often, and forgotten
/// so many at once.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
const FORGET_PERIOD: Duration = Duration::from_secs(600);
const FORGOTTEN: i64 = 10_000;

/// Forgets what is old, until `stop`.
async fn forget(database: Database, stop: CancellationToken) {
    loop {
        let old = database.clone();
        let forget = async move {
            old.forget_deliveries(KEPT, FORGOTTEN).await?;
            old.forget_mails(KEPT, FORGOTTEN).await
        };
        if let Err(error) = within(WORK_LIMIT, forget).await {
            tracing::debug!(%error, "old deliveries are forgotten later");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = time::sleep(FORGET_PERIOD) => {}
        }
    }
}

/// Sees to it that what happens from now on is handed on, whenever that is done.
///
/// # Errors
///
/// The database is away.
pub async fn begin(ledger: &Ledger, sends_mails: bool) -> Result<(), StoreError> {
    hand_on::begin::<webhooks::ToEndpoints>(ledger).await?;
    if sends_mails {
        hand_on::begin::<mail::ToMails>(ledger).await?;
    }
    Ok(())
}

/// Hands events on and sends them, until `stop`; mails where there is a mailer.
pub fn start(
    database: Database,
    ledger: Ledger,
    sender: Sender,
    mailer: Option<Mailer>,
    stop: &CancellationToken,
) -> TaskTracker {
    let tasks = TaskTracker::new();
    let consumer = webhooks::ToEndpoints::new(database.clone());
    tasks.spawn(hand_on::run(database.clone(), ledger.clone(), consumer, stop.clone()));
    if let Some(mailer) = mailer {
        let consumer = mail::ToMails::new(database.clone());
        tasks.spawn(hand_on::run(database.clone(), ledger, consumer, stop.clone()));
        tasks.spawn(mail::run(database.clone(), mailer, stop.clone()));
    }
    tasks.spawn(forget(database.clone(), stop.clone()));
    tasks.spawn(webhooks::Worker::new(database, sender).run(stop.clone()));
    tasks.close();
    tasks
}

/// Counts how an attempt went.
fn count(channel: &'static str, outcome: &'static str) {
    metrics::counter!(
        "creditgate_deliveries_total", "channel" => channel, "outcome" => outcome
    )
    .increment(1);
}

/// The most characters of an error that are kept.
const MAX_ERROR: usize = 300;

/// An error as it is kept: parts of it are strangers' words, and the database takes no
/// zero byte.
fn shown(error: &str) -> String {
    error.chars().take(MAX_ERROR).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
