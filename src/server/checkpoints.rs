//! Checkpoints and statements, made from the database.

pub use crate::checkpoint::{
    Checkpoint, CheckpointError, Heads,
    note::{PublicKey, Signer},
    statement::{Checked, CheckedLedger, Statement},
};

use super::{ServerError, maintenance::open};
use crate::{config::Settings, ids::AccountId};

/// Connections that are used: it is no hurry.
const CONNECTIONS: u32 = 2;

/// The heads of all ledgers as they are now, and the checkpoint over them.
///
/// # Errors
///
/// No database, or a row in it that is not understood.
pub async fn checkpoint(settings: &Settings) -> Result<(Checkpoint, Heads), ServerError> {
    let database = open(settings, CONNECTIONS).await?;
    let time = database.time().await?;
    let mut heads = Vec::new();
    for cell in database.cells().await? {
        heads.extend(cell.heads().await?);
        cell.close().await;
    }
    database.close().await;
    let heads = Heads::new(heads);
    Ok((Checkpoint::of(time, &heads), heads))
}

/// One account's statement by a checkpoint, given as its note and its heads; `None`
/// where there is no such account.
///
/// # Errors
///
/// No database, or a row in it that is not understood.
pub async fn statement(
    settings: &Settings,
    account_id: &AccountId,
    note: &str,
    heads: &Heads,
) -> Result<Option<Statement>, ServerError> {
    let database = open(settings, CONNECTIONS).await?;
    let time = database.time().await?;
    let mut books = None;
    for cell in database.cells().await? {
        if books.is_none() {
            books = cell.books(account_id).await?;
        }
        cell.close().await;
    }
    database.close().await;
    Ok(books
        .map(|books| Statement::new(account_id, time, note, heads, &books.lots, &books.entries)))
}
