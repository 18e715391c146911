//! What a provider's reports left behind: completed payments, what they brought,
//! what goes back of them, and which reports have been applied.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::{Change, adjustments, expect};
use crate::{
    clock::Timestamp,
    domain::{account::AccountState, payment::Purchase},
    ids::AccountId,
    store::StoreError,
};

pub(super) async fn write(
    connection: &mut PgConnection,
    now: Timestamp,
    changes: &[Change<'_>],
) -> Result<(), StoreError> {
    transactions(connection, now, changes).await?;
    purchases(connection, changes).await?;
    adjustments::write(connection, changes).await?;
    applied_events(connection, now, changes).await
}

/// Accounts, providers, ids: the columns of what is new.
type Keys = (Vec<String>, Vec<String>, Vec<String>);

fn new_keys(
    changes: &[Change<'_>],
    of: fn(&AccountState) -> &BTreeSet<(String, String)>,
) -> Option<Keys> {
    let mut keys = Keys::default();
    for (old, new) in changes {
        for (provider, id) in of(new).difference(of(old)) {
            keys.0.push(new.account.account_id.to_string());
            keys.1.push(provider.clone());
            keys.2.push(id.clone());
        }
    }
    (!keys.0.is_empty()).then_some(keys)
}

async fn transactions(
    connection: &mut PgConnection,
    now: Timestamp,
    changes: &[Change<'_>],
) -> Result<(), StoreError> {
    let Some(keys) = new_keys(changes, |state| &state.transactions) else { return Ok(()) };
    sqlx::query!(
        r#"
        INSERT INTO transactions (account_id, provider, transaction_id, complete_time)
        SELECT u.*, $4 FROM UNNEST($1::text[], $2::text[], $3::text[]) AS u
        "#,
        &keys.0,
        &keys.1,
        &keys.2,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn applied_events(
    connection: &mut PgConnection,
    now: Timestamp,
    changes: &[Change<'_>],
) -> Result<(), StoreError> {
    let Some(keys) = new_keys(changes, |state| &state.applied_events) else { return Ok(()) };
    sqlx::query!(
        r#"
        INSERT INTO applied_events (account_id, provider, event_id, apply_time)
        SELECT u.*, $4 FROM UNNEST($1::text[], $2::text[], $3::text[]) AS u
        "#,
        &keys.0,
        &keys.1,
        &keys.2,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn purchases(
    connection: &mut PgConnection,
    changes: &[Change<'_>],
) -> Result<(), StoreError> {
    let mut updated: Vec<(&AccountId, &Purchase, &Purchase)> = Vec::new();
    let mut inserted: Vec<(&AccountId, &Purchase)> = Vec::new();
    for (old, new) in changes {
        for purchase in &new.purchases {
            match old.purchases.iter().find(|read| is_same(read, purchase)) {
                Some(read) if read == purchase => {}
                Some(read) => updated.push((&new.account.account_id, read, purchase)),
                None => inserted.push((&new.account.account_id, purchase)),
            }
        }
    }
    if !updated.is_empty() {
        reverse_purchases(connection, &updated).await?;
    }
    if !inserted.is_empty() {
        insert_purchases(connection, &inserted).await?;
    }
    Ok(())
}

fn is_same(read: &Purchase, purchase: &Purchase) -> bool {
    read.provider == purchase.provider
        && read.transaction_id == purchase.transaction_id
        && read.item_id == purchase.item_id
        && read.credit_type == purchase.credit_type
}

/// Only what was taken back so far ever changes.
async fn reverse_purchases(
    connection: &mut PgConnection,
    updated: &[(&AccountId, &Purchase, &Purchase)],
) -> Result<(), StoreError> {
    let rows = PurchaseKeys::of(updated.iter().map(|(account, _, new)| (*account, *new)));
    let read: Vec<i64> = updated.iter().map(|(_, read, _)| read.reversed_credits).collect();
    let reversed: Vec<i64> = updated.iter().map(|(_, _, new)| new.reversed_credits).collect();
    let result = sqlx::query!(
        r#"
        UPDATE purchases p
           SET reversed_credits = u.reversed_credits
          FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[],
                      $7::bigint[])
               AS u (account_id, provider, transaction_id, item_id, credit_type, reversed_credits,
                     read)
         WHERE p.account_id = u.account_id AND p.provider = u.provider
           AND p.transaction_id = u.transaction_id AND p.item_id = u.item_id
           AND p.credit_type = u.credit_type AND p.reversed_credits = u.read
        "#,
        &rows.account_ids,
        &rows.providers,
        &rows.transaction_ids,
        &rows.item_ids,
        &rows.credit_types,
        &reversed,
        &read
    )
    .execute(connection)
    .await?;
    expect(&result, updated.len(), "purchases")
}

async fn insert_purchases(
    connection: &mut PgConnection,
    inserted: &[(&AccountId, &Purchase)],
) -> Result<(), StoreError> {
    let rows = PurchaseKeys::of(inserted.iter().copied());
    let made = || inserted.iter().map(|(_, purchase)| *purchase);
    let kinds: Vec<i16> = made().map(|p| p.key.0 as i16).collect();
    let operation_ids: Vec<String> = made().map(|p| p.key.1.to_string()).collect();
    let lots: Vec<_> = made().map(|p| p.lot_id.0).collect();
    let credits: Vec<i64> = made().map(|p| p.credits).collect();
    let paid: Vec<i64> = made().map(|p| p.paid_minor).collect();
    let reversed: Vec<i64> = made().map(|p| p.reversed_credits).collect();
    sqlx::query!(
        r#"
        INSERT INTO purchases (account_id, provider, transaction_id, item_id, credit_type,
                               operation_kind, operation_id, lot_id, credits, paid_minor,
                               reversed_credits)
        SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],
                             $6::smallint[], $7::text[], $8::uuid[], $9::bigint[], $10::bigint[],
                             $11::bigint[])
        "#,
        &rows.account_ids,
        &rows.providers,
        &rows.transaction_ids,
        &rows.item_ids,
        &rows.credit_types,
        &kinds,
        &operation_ids,
        &lots,
        &credits,
        &paid,
        &reversed
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[derive(Default)]
struct PurchaseKeys {
    account_ids: Vec<String>,
    providers: Vec<String>,
    transaction_ids: Vec<String>,
    item_ids: Vec<String>,
    credit_types: Vec<String>,
}

impl PurchaseKeys {
    fn of<'p>(rows: impl Iterator<Item = (&'p AccountId, &'p Purchase)>) -> Self {
        let mut keys = Self::default();
        for (account, purchase) in rows {
            keys.account_ids.push(account.to_string());
            keys.providers.push(purchase.provider.clone());
            keys.transaction_ids.push(purchase.transaction_id.clone());
            keys.item_ids.push(purchase.item_id.clone());
            keys.credit_types.push(purchase.credit_type.to_string());
        }
        keys
    }
}
