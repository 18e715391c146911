//! Purchases: top-ups by id, and what is known of the payments and reports of a
//! provider. Only what commands name: a scan reads none of it.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::{Named, States, of_known, state};
use crate::{
    domain::command::OperationKind,
    ids::AccountId,
    store::{
        StoreError,
        rows::{AdjustmentRow, PurchaseRow, TopUpRow},
    },
};

/// Accounts, providers, ids: the columns of what is named of accounts that were
/// found.
type Keys = (Vec<String>, Vec<String>, Vec<String>);

fn keys(named: &BTreeSet<(AccountId, String, String)>, accounts: &States) -> Keys {
    let mut keys = Keys::default();
    for (account, provider, id) in named.iter().filter(|key| accounts.contains_key(&key.0)) {
        keys.0.push(account.to_string());
        keys.1.push(provider.clone());
        keys.2.push(id.clone());
    }
    keys
}

/// Which of the named reports have been applied, and what is known of the named
/// payments.
pub(super) async fn reports(
    connection: &mut PgConnection,
    named: &Named,
    accounts: &mut States,
) -> Result<(), StoreError> {
    let events = keys(&named.events, accounts);
    if !events.0.is_empty() {
        applied_events(connection, &events, accounts).await?;
    }
    let payments = keys(&named.transactions, accounts);
    if !payments.0.is_empty() {
        transactions(connection, &payments, accounts).await?;
        purchases(connection, &payments, accounts).await?;
        adjustments(connection, &payments, accounts).await?;
    }
    Ok(())
}

async fn applied_events(
    connection: &mut PgConnection,
    (account_ids, providers, event_ids): &Keys,
    accounts: &mut States,
) -> Result<(), StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT e.account_id, e.provider, e.event_id
          FROM UNNEST($1::text[], $2::text[], $3::text[]) AS k (account_id, provider, event_id)
         CROSS JOIN LATERAL (
               SELECT * FROM applied_events e
                WHERE e.account_id = k.account_id AND e.provider = k.provider
                  AND e.event_id = k.event_id
                LIMIT 1) e
        "#,
        account_ids,
        providers,
        event_ids
    )
    .fetch_all(connection)
    .await?;
    for row in rows {
        state(accounts, &row.account_id)?.applied_events.insert((row.provider, row.event_id));
    }
    Ok(())
}

async fn transactions(
    connection: &mut PgConnection,
    (account_ids, providers, transaction_ids): &Keys,
    accounts: &mut States,
) -> Result<(), StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT t.account_id, t.provider, t.transaction_id
          FROM UNNEST($1::text[], $2::text[], $3::text[])
               AS k (account_id, provider, transaction_id)
         CROSS JOIN LATERAL (
               SELECT * FROM transactions t
                WHERE t.account_id = k.account_id AND t.provider = k.provider
                  AND t.transaction_id = k.transaction_id
                LIMIT 1) t
        "#,
        account_ids,
        providers,
        transaction_ids
    )
    .fetch_all(connection)
    .await?;
    for row in rows {
        state(accounts, &row.account_id)?.transactions.insert((row.provider, row.transaction_id));
    }
    Ok(())
}

/// In the order of their key, so that the same is decided each time.
async fn purchases(
    connection: &mut PgConnection,
    (account_ids, providers, transaction_ids): &Keys,
    accounts: &mut States,
) -> Result<(), StoreError> {
    let rows = sqlx::query_as!(
        PurchaseRow,
        r#"
        SELECT p.account_id, p.provider, p.transaction_id, p.item_id, p.credit_type,
               p.operation_kind, p.operation_id, p.lot_id, p.credits, p.paid_minor,
               p.reversed_credits
          FROM UNNEST($1::text[], $2::text[], $3::text[])
               AS k (account_id, provider, transaction_id)
         CROSS JOIN LATERAL (
               SELECT * FROM purchases p
                WHERE p.account_id = k.account_id AND p.provider = k.provider
                  AND p.transaction_id = k.transaction_id
                ORDER BY p.item_id, p.credit_type
                LIMIT 10000) p
        "#,
        account_ids,
        providers,
        transaction_ids
    )
    .fetch_all(connection)
    .await?;
    for row in rows {
        let state = state(accounts, &row.account_id)?;
        state.purchases.push(row.decode()?);
    }
    Ok(())
}

async fn adjustments(
    connection: &mut PgConnection,
    (account_ids, providers, transaction_ids): &Keys,
    accounts: &mut States,
) -> Result<(), StoreError> {
    let rows = sqlx::query_as!(
        AdjustmentRow,
        r#"
        SELECT a.account_id, a.provider, a.adjustment_id, a.transaction_id, a.action, a.status,
               a.is_full, a.item_ids, a.item_totals, a.occurred_at
          FROM UNNEST($1::text[], $2::text[], $3::text[])
               AS k (account_id, provider, transaction_id)
         CROSS JOIN LATERAL (
               SELECT * FROM adjustments a
                WHERE a.account_id COLLATE "POSIX" = k.account_id
                  AND a.provider COLLATE "POSIX" = k.provider
                  AND a.transaction_id = k.transaction_id
                LIMIT 10000) a
        "#,
        account_ids,
        providers,
        transaction_ids
    )
    .fetch_all(connection)
    .await?;
    for row in rows {
        let state = state(accounts, &row.account_id)?;
        let key = (row.provider.clone(), row.adjustment_id.clone());
        state.adjustments.insert(key, row.decode()?);
    }
    Ok(())
}

/// The named ones, and those that the payments paid for.
pub(super) async fn top_ups(
    connection: &mut PgConnection,
    named: &Named,
    accounts: &mut States,
) -> Result<(), StoreError> {
    let paid_for = accounts.iter().flat_map(|(account, state)| {
        let keys = state.purchases.iter().map(|purchase| &purchase.key);
        keys.filter(|(kind, _)| *kind == OperationKind::TopUp).map(move |(_, id)| (account, id))
    });
    let wanted: BTreeSet<_> = of_known(&named.top_ups, accounts)
        .map(|(account, top_up_id)| (account, top_up_id))
        .chain(paid_for)
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let (account_ids, top_up_ids): (Vec<String>, Vec<String>) = wanted
        .into_iter()
        .map(|(account, top_up_id)| (account.to_string(), top_up_id.to_string()))
        .unzip();
    let rows = sqlx::query_as!(
        TopUpRow,
        r#"
        SELECT t.account_id, t.top_up_id, t.credit_type, t.credits, t.price_minor, t.currency,
               t.status, t.provider, t.provider_reference, t.reason, t.create_time, t.expire_time,
               t.settle_time
          FROM UNNEST($1::text[], $2::text[]) AS k (account_id, top_up_id)
         CROSS JOIN LATERAL (
               SELECT * FROM top_ups t
                WHERE t.account_id = k.account_id AND t.top_up_id = k.top_up_id
                LIMIT 1) t
        "#,
        &account_ids,
        &top_up_ids
    )
    .fetch_all(connection)
    .await?;
    for row in rows {
        let state = state(accounts, &row.account_id)?;
        let top_up = row.decode()?;
        state.top_ups.insert(top_up.top_up_id.clone(), top_up);
    }
    Ok(())
}
