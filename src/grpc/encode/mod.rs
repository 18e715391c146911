//! Domain types -> the wire.

mod access;
mod account;
mod catalog;
mod delivery;
mod event;
mod gate;
mod ledger;
mod subscription;
mod top_up;

pub(super) use access::{key, principal};
pub(super) use account::account;
pub(super) use catalog::catalog;
pub(super) use delivery::{delivery, endpoint, mail};
pub(super) use event::event;
pub(super) use gate::{check, commit, extend, release, reservation, reserve};
pub(super) use ledger::{balance, entry, grant, lot, revoke};
pub(super) use subscription::{
    changed as subscription_changed, renew as subscription_renewed, start as subscription_started,
    subscription,
};
pub(super) use top_up::{
    begun as top_up_begun, closed as top_up_closed, confirmed as top_up_confirmed, top_up,
};

use chrono::TimeDelta;

use crate::{clock::Timestamp, domain::command::Outcome, ledger::LedgerError};

/// The ledger answered with the outcome of another kind of command: a bug.
fn unexpected(outcome: &Outcome) -> LedgerError {
    tracing::error!(?outcome, "the outcome does not belong to the command");
    LedgerError::Internal
}

fn time(time: Timestamp) -> prost_types::Timestamp {
    let nanos = i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0);
    prost_types::Timestamp { seconds: time.timestamp(), nanos }
}

fn span(span: TimeDelta) -> prost_types::Duration {
    prost_types::Duration { seconds: span.num_seconds(), nanos: span.subsec_nanos() }
}

/// An id or a name; empty where there is none.
fn text<T: ToString>(name: Option<T>) -> String {
    name.map_or_else(String::new, |name| name.to_string())
}
