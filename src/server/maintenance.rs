//! What is done to a database beside serving: migrate it, check its books.

use std::collections::BTreeSet;

use super::{ServerError, checkpoints::Heads};
use crate::{
    config::Settings,
    ids::AccountId,
    ledger::verify,
    store::{Database, migrate::Plan},
};

/// Connections that a check uses: it is no hurry.
const CONNECTIONS: u32 = 2;
/// Accounts that are listed at once.
const PAGE: i64 = 1_000;

/// What a check of all books found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// Accounts whose books were read.
    pub accounts: u64,
    /// Ledger entries read.
    pub entries: i64,
    /// What is wrong: the account, and what.
    pub findings: Vec<(String, String)>,
}

/// The settings' database, with a schema that fits: for whoever works on it beside
/// the servers.
pub(super) async fn open(settings: &Settings, connections: u32) -> Result<Database, ServerError> {
    let database = Database::new(settings.database_url()?.reveal(), connections)?;
    database.check_schema().await?;
    Ok(database)
}

/// Brings the schema of the settings' database up to date, as its owner.
///
/// # Errors
///
/// No database, or it refuses.
pub async fn migrate(settings: &Settings, plan: &Plan) -> Result<(), ServerError> {
    let database = Database::new(settings.database_url()?.reveal(), CONNECTIONS)?;
    database.migrate(plan).await?;
    database.close().await;
    Ok(())
}

/// Recomputes the books of one account, or of all. An account that does not
/// exist is a finding, and so is a row that is not understood. With the heads of a
/// checkpoint, each ledger must have come by its own.
///
/// # Errors
///
/// No database.
pub async fn audit(
    settings: &Settings,
    only: Option<&AccountId>,
    heads: Option<&Heads>,
) -> Result<Audit, ServerError> {
    let database = open(settings, CONNECTIONS).await?;
    let mut audit = Audit::default();
    let mut lost: BTreeSet<&AccountId> =
        heads.map_or(&[][..], Heads::all).iter().map(|head| &head.account_id).collect();
    lost.retain(|account_id| only.is_none_or(|only| only == *account_id));
    for cell in database.cells().await? {
        if only.is_none() {
            for account in cell.orphans().await? {
                let what = "has rows in the ledger and no account row".to_owned();
                audit.findings.push((account, what));
            }
        }
        let mut after = None;
        loop {
            let page = match only {
                Some(account_id) => vec![account_id.clone()],
                None => cell.account_ids(after.as_ref(), PAGE).await?,
            };
            for account_id in &page {
                let of_it = heads.map_or(&[][..], |heads| heads.of(account_id));
                let Some(report) = verify::read(&cell, account_id, of_it).await? else { continue };
                audit.accounts += 1;
                audit.entries += report.entries;
                let found = report.findings.into_iter();
                audit.findings.extend(found.map(|what| (account_id.to_string(), what)));
                lost.remove(account_id);
            }
            if only.is_some() || page.is_empty() {
                break;
            }
            after = page.last().cloned();
        }
        cell.close().await;
    }
    for account_id in lost {
        let what = "is in the checkpoint, and there is no such account".to_owned();
        audit.findings.push((account_id.to_string(), what));
    }
    if let Some(account_id) = only
        && audit.accounts == 0
    {
        audit.findings.push((account_id.to_string(), "there is no such account".to_owned()));
    }
    database.close().await;
    Ok(audit)
}
