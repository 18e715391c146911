//! Subscriptions: the live ones, which every decision looks at, and those that
//! commands name, ended or not.

use sqlx::{PgConnection, types::Json};

use super::{Named, States, of_known, state};
use crate::{
    domain::subscription::SentSubscription,
    store::{StoreError, rows::SubscriptionRow},
};

/// Only of accounts that ever had one: their row says so.
pub(super) async fn live(
    connection: &mut PgConnection,
    accounts: &mut States,
) -> Result<(), StoreError> {
    let account_ids: Vec<String> = accounts
        .iter()
        .filter(|(_, state)| state.account.subscriptions > 0)
        .map(|(account, _)| account.to_string())
        .collect();
    if account_ids.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query_as!(
        SubscriptionRow,
        r#"
        SELECT s.account_id, s.subscription_id, s.plan, s.status, s.billing_interval, s.provider,
               s.anchor_time, s.period_start_time, s.period_end_time, s.cancel_at_period_end,
               s.create_time, s.end_time, s.sent AS "sent: Json<SentSubscription>",
               s.provider_time
          FROM UNNEST($1::text[]) AS k (account_id)
         CROSS JOIN LATERAL (
               SELECT * FROM subscriptions s
                WHERE s.account_id = k.account_id AND s.end_time IS NULL
                LIMIT 1000) s
        "#,
        &account_ids
    )
    .fetch_all(connection)
    .await?;
    place(rows, accounts)
}

pub(super) async fn named(
    connection: &mut PgConnection,
    named: &Named,
    accounts: &mut States,
) -> Result<(), StoreError> {
    let (account_ids, subscription_ids): (Vec<String>, Vec<String>) =
        of_known(&named.subscriptions, accounts)
            .map(|(account, subscription)| (account.to_string(), subscription.to_string()))
            .unzip();
    if account_ids.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query_as!(
        SubscriptionRow,
        r#"
        SELECT s.account_id, s.subscription_id, s.plan, s.status, s.billing_interval, s.provider,
               s.anchor_time, s.period_start_time, s.period_end_time, s.cancel_at_period_end,
               s.create_time, s.end_time, s.sent AS "sent: Json<SentSubscription>",
               s.provider_time
          FROM UNNEST($1::text[], $2::text[]) AS k (account_id, subscription_id)
         CROSS JOIN LATERAL (
               SELECT * FROM subscriptions s
                WHERE s.account_id = k.account_id AND s.subscription_id = k.subscription_id
                LIMIT 1) s
        "#,
        &account_ids,
        &subscription_ids
    )
    .fetch_all(connection)
    .await?;
    place(rows, accounts)
}

/// By id, each once: a named one may well be live.
fn place(rows: Vec<SubscriptionRow>, accounts: &mut States) -> Result<(), StoreError> {
    for row in rows {
        let known = &mut state(accounts, &row.account_id)?.subscriptions;
        let subscription = row.decode()?;
        let place =
            known.binary_search_by(|s| s.subscription_id.cmp(&subscription.subscription_id));
        if let Err(place) = place {
            known.insert(place, subscription);
        }
    }
    Ok(())
}
