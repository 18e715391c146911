//! What a batch writes: the difference between each account as it was read and
//! as it was decided, in a fixed number of set-based statements. Those that have
//! nothing to write are not sent.

use std::collections::BTreeSet;

use sqlx::{PgConnection, postgres::PgQueryResult};

use crate::{
    clock::Timestamp,
    domain::{
        account::{Account, AccountState},
        credit::Lot,
    },
    ids::AccountId,
    planted::{self, Bug},
    store::StoreError,
};

mod adjustments;
mod balances;
mod columns;
mod history;
mod movements;
mod payments;
mod rows;
mod subscriptions;
mod top_ups;

use super::Footing;
use movements::Assumed;

/// As it was read, and as it is now.
type Change<'s> = (&'s AccountState, &'s AccountState);

pub(super) async fn write<'s>(
    connection: &mut PgConnection,
    footing: Footing,
    now: Timestamp,
    catalog_revision: i64,
    changes: impl Iterator<Item = Change<'s>>,
) -> Result<Timestamp, StoreError> {
    let changes: Vec<Change<'s>> = changes.collect();
    subscriptions::hold_catalog(connection, catalog_revision, &changes).await?;
    account_rows(connection, &changes).await?;
    let news = history::notices(connection, &changes).await?;
    let assumed =
        (!footing.known.is_empty()).then(|| Assumed::by(&footing, &changes, catalog_revision));
    let written = movements::write(connection, &changes, news, assumed).await?;
    balances::insert(connection, &changes).await?;
    if planted::has(Bug::CommitsMidway) {
        sqlx::query("COMMIT AND CHAIN").execute(&mut *connection).await?;
    }
    insert_lots(connection, &changes).await?;
    subscriptions::write(connection, &changes).await?;
    top_ups::write(connection, &changes).await?;
    payments::write(connection, now, &changes).await?;
    history::operations(connection, &changes).await?;
    Ok(written.unwrap_or(now))
}

/// The part of [`write`] that moves credits: for accounts that are all known and of which
/// nothing else has changed.
pub(super) async fn movements<'s>(
    connection: &mut PgConnection,
    footing: Footing,
    now: Timestamp,
    catalog_revision: i64,
    changes: impl Iterator<Item = Change<'s>>,
) -> Result<Timestamp, StoreError> {
    let changes: Vec<Change<'s>> = changes.collect();
    let assumed = Assumed::by(&footing, &changes, catalog_revision);
    let written = movements::write(connection, &changes, BTreeSet::new(), Some(assumed)).await?;
    Ok(written.unwrap_or(now))
}

/// A guard that held nowhere else: somebody has changed a row under our lock.
fn expect(result: &PgQueryResult, rows: usize, what: &str) -> Result<(), StoreError> {
    let written = result.rows_affected();
    if usize::try_from(written) == Ok(rows) || planted::has(Bug::NoLockNoGuard) {
        return Ok(());
    }
    Err(StoreError::Conflict(format!("{written} of {rows} rows of {what} matched their guard")))
}

async fn account_rows(
    connection: &mut PgConnection,
    changes: &[Change<'_>],
) -> Result<(), StoreError> {
    let changed: Vec<(&Account, &Account)> = changes
        .iter()
        .map(|(old, new)| (&old.account, &new.account))
        .filter(|(old, new)| old != new)
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    let keys: Vec<String> = changed.iter().map(|(old, _)| old.account_id.to_string()).collect();
    let versions: Vec<i64> = changed.iter().map(|(old, _)| old.version).collect();
    let held: Vec<i64> = changed.iter().map(|(_, new)| new.held_scans).collect();
    let subscriptions: Vec<i64> = changed.iter().map(|(_, new)| new.subscriptions).collect();
    let lapses: Vec<_> = changed.iter().map(|(_, new)| new.lapse_time).collect();
    let suspended: Vec<bool> = changed.iter().map(|(_, new)| new.suspended).collect();
    let reasons: Vec<String> =
        changed.iter().map(|(_, new)| new.suspension_reason.clone()).collect();
    let result = sqlx::query!(
        r#"
        UPDATE accounts a
           SET version = a.version + 1, held_scans = u.held_scans,
               subscriptions = u.subscriptions, suspended = u.suspended,
               suspension_reason = u.suspension_reason, lapse_time = u.lapse_time
          FROM UNNEST($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::boolean[],
                      $6::text[], $7::timestamptz[])
               AS u (account_id, version, held_scans, subscriptions, suspended, suspension_reason,
                     lapse_time)
         WHERE a.account_id = u.account_id AND a.version = u.version
        "#,
        &keys,
        &versions,
        &held,
        &subscriptions,
        &suspended,
        &reasons,
        &lapses as &[Option<Timestamp>]
    )
    .execute(connection)
    .await?;
    expect(&result, changed.len(), "accounts")
}

/// Lots that are new.
async fn insert_lots(
    connection: &mut PgConnection,
    changes: &[Change<'_>],
) -> Result<(), StoreError> {
    let mut inserted: Vec<(&AccountId, &Lot)> = Vec::new();
    for (old, new) in changes {
        let made = new.lots.values().filter(|lot| !old.lots.contains_key(&lot.lot_id));
        inserted.extend(made.map(|lot| (&new.account.account_id, lot)));
    }
    if !inserted.is_empty() {
        let keys: Vec<String> = inserted.iter().map(|(account, _)| account.to_string()).collect();
        let ids: Vec<_> = inserted.iter().map(|(_, lot)| lot.lot_id.0).collect();
        let types: Vec<String> =
            inserted.iter().map(|(_, lot)| lot.credit_type.to_string()).collect();
        let sources: Vec<i16> = inserted.iter().map(|(_, lot)| lot.source as i16).collect();
        let credits: Vec<i64> = inserted.iter().map(|(_, lot)| lot.credits).collect();
        let remaining: Vec<i64> = inserted.iter().map(|(_, lot)| lot.remaining).collect();
        let unrecovered: Vec<i64> = inserted.iter().map(|(_, lot)| lot.unrecovered).collect();
        let expiries: Vec<_> = inserted.iter().map(|(_, lot)| lot.expire_time).collect();
        let times: Vec<_> = inserted.iter().map(|(_, lot)| lot.create_time).collect();
        let references: Vec<String> =
            inserted.iter().map(|(_, lot)| lot.reference.clone()).collect();
        let origins: Vec<_> =
            inserted.iter().map(|(_, lot)| lot.origin.map(|origin| origin.0)).collect();
        sqlx::query!(
            r#"
            INSERT INTO lots (account_id, lot_id, credit_type, source, credits, remaining,
                              unrecovered, expire_time, create_time, reference,
                              origin_lot_id, is_open)
            SELECT u.*, u.remaining > 0
              FROM UNNEST($1::text[], $2::uuid[], $3::text[], $4::smallint[], $5::bigint[],
                          $6::bigint[], $7::bigint[], $8::timestamptz[], $9::timestamptz[],
                          $10::text[], $11::uuid[])
                   AS u (account_id, lot_id, credit_type, source, credits, remaining, unrecovered,
                         expire_time, create_time, reference, origin_lot_id)
            "#,
            &keys,
            &ids,
            &types,
            &sources,
            &credits,
            &remaining,
            &unrecovered,
            &expiries as &[Option<Timestamp>],
            &times,
            &references,
            &origins as &[Option<uuid::Uuid>]
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}
