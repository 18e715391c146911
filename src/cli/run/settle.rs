//! Tells the gate how the scan ended, or the reader that the gate could not be
//! told.

use std::{cell::Cell, time::Duration};

use prost_types::Timestamp;

use super::{Status, scan::Signals};
use crate::{
    cli::{error::describe, format, settle},
    client::{ClientError, HeldReservation, RetryPolicy},
    proto::ReleaseCause,
};

/// The most bytes of a note that the contract allows.
const MAX_NOTE: usize = 256;

/// What the gate is to be told.
#[derive(Clone, Debug)]
pub(super) enum Settlement {
    /// The scan delivered.
    Commit,
    /// It did not, for this cause, with a note for the ledger.
    Release(ReleaseCause, String),
}

impl Settlement {
    /// The command that does it by hand.
    fn command(&self) -> String {
        match self {
            Self::Commit => "commit".to_owned(),
            Self::Release(cause, _) => format!(
                "release --cause {}",
                format::short(cause.as_str_name(), "RELEASE_CAUSE_").to_lowercase()
            ),
        }
    }
}

/// Settles, under a budget.
pub(super) struct Settler<'a> {
    pub(super) addr: &'a str,
    pub(super) budget: Duration,
    pub(super) status: Status,
    pub(super) lease_ends: &'a Cell<Option<Timestamp>>,
}

impl Settler<'_> {
    /// Settles the hold. What goes wrong is said on stderr and changes nothing
    /// of how we exit. A second interrupt gives up early.
    pub(super) async fn settle(
        &self,
        hold: HeldReservation,
        settlement: Settlement,
        signals: &mut Signals,
    ) {
        let mut hold = hold.with_policy(RetryPolicy::persistent(self.budget));
        let mut interrupted = false;
        let told = {
            let told = tell(&mut hold, &settlement);
            tokio::pin!(told);
            loop {
                tokio::select! {
                    biased;
                    told = &mut told => break Some(told),
                    _ = signals.next() => {
                        if interrupted {
                            break None;
                        }
                        interrupted = true;
                        self.status.warn("still settling; interrupt again to give up");
                    }
                }
            }
        };
        match told {
            Some(Ok(line)) => self.status.say(&line),
            Some(Err(error @ ClientError::Rejected(_))) => {
                self.refused(&hold, &settlement, &error);
                hold.leave_to_lease();
            }
            Some(Err(error)) => {
                self.untold(&hold, &settlement, &describe(&error, self.addr));
                hold.leave_to_lease();
            }
            None => {
                self.untold(&hold, &settlement, "interrupted");
                hold.leave_to_lease();
            }
        }
    }

    /// The gate has answered, and will say the same if asked again.
    fn refused(&self, hold: &HeldReservation, settlement: &Settlement, error: &ClientError) {
        let what = match settlement {
            Settlement::Commit => "commit",
            Settlement::Release(..) => "release",
        };
        self.status.warn(&format!(
            "the gate refused to {what} {}: {}",
            hold.reservation_id(),
            describe(error, self.addr)
        ));
        if matches!(settlement, Settlement::Commit) && error.reason() == "RESERVATION_EXPIRED" {
            self.status.warn("its lease had ended: the scan was delivered but not paid for");
        }
    }

    /// The command line that settles it.
    fn by_hand(&self, hold: &HeldReservation, settlement: &Settlement) -> String {
        format!(
            "creditgate --addr {} {} --account {} --id {}",
            quoted(self.addr),
            settlement.command(),
            hold.account_id(),
            hold.reservation_id()
        )
    }

    fn untold(&self, hold: &HeldReservation, settlement: &Settlement, why: &str) {
        let (what, then) = match settlement {
            Settlement::Commit => {
                ("delivered", "its credits go back to the account, and the scan stays unpaid")
            }
            Settlement::Release(..) => ("did not deliver", "its credits go back to the account"),
        };
        let until = match format::time(self.lease_ends.get().as_ref()) {
            time if time.is_empty() => String::new(),
            time => format!(", {time}"),
        };
        self.status.warn(&format!(
            "could not tell the gate that the scan {what}: {why}\n  \
             reservation {} of account {} may still be held; its lease is the net: when that \
             ends{until}, {then}\n  \
             to settle it by hand:\n    {}",
            hold.reservation_id(),
            hold.account_id(),
            self.by_hand(hold, settlement),
        ));
    }
}

/// A word as a shell takes it. Ids need no quotes, an address may.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:-/@".contains(c);
    if word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

async fn tell(hold: &mut HeldReservation, settlement: &Settlement) -> Result<String, ClientError> {
    match settlement {
        Settlement::Commit => Ok(settle::committed(&hold.commit(None).await?)),
        Settlement::Release(cause, note) => {
            let answer = hold.release(*cause, clip(note)).await?;
            Ok(settle::released(&answer))
        }
    }
}

/// At most what the contract allows, cut at a character.
fn clip(note: &str) -> &str {
    &note[..note.floor_char_boundary(MAX_NOTE)]
}
