//! The edge, without a ledger behind it.

mod anything;
mod billing;
mod catalog;
mod encoding;
mod enums;
mod gate;
mod lists;
mod pages;
mod refusals;
mod status;
mod subscriptions;
mod time;
mod top_ups;

use super::decode::Invalid;

/// The fields that a decoder found wrong.
fn wrong<T: std::fmt::Debug>(result: Result<T, Invalid>) -> Vec<String> {
    match result {
        Err(Invalid::Request(violations)) => {
            violations.into_iter().map(|violation| violation.field).collect()
        }
        other => panic!("expected violations, got {other:?}"),
    }
}

/// What the one violation says.
fn why<T: std::fmt::Debug>(result: Result<T, Invalid>) -> String {
    match result {
        Err(Invalid::Request(violations)) if violations.len() == 1 => {
            violations[0].description.clone()
        }
        other => panic!("expected one violation, got {other:?}"),
    }
}
