//! The inbox of webhooks, for whoever operates the gate: look, and try again.
//! Works on the database; a running server takes what is due within a second.

use std::collections::BTreeSet;

use super::{ServerError, maintenance::open};
use crate::{
    config::Settings,
    paddle::PROVIDER,
    store::{inbox::InboxState, queries::InboxEvent},
};

/// One at a time is enough.
const CONNECTIONS: u32 = 1;

/// What is to be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// These events, whatever became of them: to apply one again is harmless.
    Events(Vec<String>),
    /// All that are in this state.
    All(InboxState),
}

/// What is tried again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// How many events.
    pub events: u64,
    /// Of those that were named, the ones that there are not.
    pub missing: Vec<String>,
}

/// What Paddle sent last, at most `limit`, all or those in one state.
///
/// # Errors
///
/// No database, or one of another version.
pub async fn inbox_events(
    settings: &Settings,
    state: Option<InboxState>,
    limit: i64,
) -> Result<Vec<InboxEvent>, ServerError> {
    let database = open(settings, CONNECTIONS).await?;
    let events = database.inbox_events(PROVIDER, state, limit).await?;
    database.close().await;
    Ok(events)
}

/// Has events of Paddle's tried again.
///
/// # Errors
///
/// No database, or one of another version.
pub async fn replay(settings: &Settings, what: &Replay) -> Result<Replayed, ServerError> {
    let database = open(settings, CONNECTIONS).await?;
    let replayed = match what {
        Replay::All(state) => {
            let events = database.replay_state(PROVIDER, *state).await?;
            Replayed { events, missing: Vec::new() }
        }
        Replay::Events(wanted) => {
            let found = database.replay_events(PROVIDER, wanted).await?;
            let found: BTreeSet<String> = found.into_iter().collect();
            let missing: BTreeSet<&String> =
                wanted.iter().filter(|event_id| !found.contains(*event_id)).collect();
            let missing = missing.into_iter().cloned().collect();
            Replayed { events: u64::try_from(found.len()).unwrap_or(u64::MAX), missing }
        }
    };
    database.close().await;
    Ok(replayed)
}
