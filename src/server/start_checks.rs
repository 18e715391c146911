//! What a start tells loudly, and goes on all the same: an operator may have reasons,
//! and a gate that is down stops every scan.

use chrono::{TimeDelta, Utc};

use crate::store::{Database, StoreError, server_facts::ServerFacts};

/// The oldest PostgreSQL that is tested.
pub(super) const LEAST_VERSION: i32 = 150_000;
/// How much the clocks may differ: a webhook's signature is judged by this machine's.
pub(super) const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(2);

/// Looks at the database, and warns of what may cost credits or webhooks.
///
/// # Errors
///
/// The database is away.
pub(super) async fn tell(database: &Database) -> Result<(), StoreError> {
    for table in database.excessive_rights().await? {
        tracing::warn!(
            table,
            "this role may rewrite history: connect as the role that `creditgate migrate` made"
        );
    }
    for setting in database.risky_settings().await? {
        tracing::warn!(
            setting,
            "this setting of the database is off: a crash may lose credits that were acknowledged; \
             set it to on and restart the database"
        );
    }
    let facts = database.server_facts().await?;
    if facts.version_number < LEAST_VERSION {
        let version = &facts.version;
        tracing::warn!(
            version,
            "this PostgreSQL is older than 15, which nothing here is tested on"
        );
    }
    let apart = apart(&facts);
    if apart > CLOCK_TOLERANCE {
        let milliseconds = apart.num_milliseconds();
        tracing::warn!(
            milliseconds,
            "this machine's clock and the database's differ: set both by NTP, or webhooks may \
             seem too old"
        );
    }
    Ok(())
}

/// How much the database's clock and this machine's differ; what the question took
/// on its way counts too.
pub(super) fn apart(facts: &ServerFacts) -> TimeDelta {
    (facts.time - Utc::now()).abs()
}
