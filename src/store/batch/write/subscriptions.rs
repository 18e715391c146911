//! Subscriptions that began or changed.

use sqlx::PgConnection;

use super::{Change, expect};
use crate::{
    clock::Timestamp,
    domain::subscription::Subscription,
    ids::AccountId,
    store::{StoreError, catalogs},
};

/// A batch that gives somebody a plan must not cross with a catalog that takes the
/// plan away: whoever comes second sees what the first has done.
pub(super) async fn hold_catalog(
    connection: &mut PgConnection,
    revision: i64,
    changes: &[Change<'_>],
) -> Result<(), StoreError> {
    let gives_plan = changes.iter().any(|(old, new)| {
        new.live_subscriptions().any(|subscription| {
            let read = read_of(&old.subscriptions, subscription);
            !read.is_some_and(|read| read.is_live() && read.plan == subscription.plan)
        })
    });
    if !gives_plan {
        return Ok(());
    }
    let holds = catalogs::hold_in_cell(connection).await?;
    if holds == revision {
        return Ok(());
    }
    Err(StoreError::Conflict(format!("decided by catalog {revision}, by now {holds} holds")))
}

fn read_of<'a>(read: &'a [Subscription], subscription: &Subscription) -> Option<&'a Subscription> {
    read.iter().find(|read| read.subscription_id == subscription.subscription_id)
}

pub(super) async fn write(
    connection: &mut PgConnection,
    changes: &[Change<'_>],
) -> Result<(), StoreError> {
    let mut updated: Vec<(&AccountId, &Subscription, &Subscription)> = Vec::new();
    let mut inserted: Vec<(&AccountId, &Subscription)> = Vec::new();
    for (old, new) in changes {
        for subscription in &new.subscriptions {
            match read_of(&old.subscriptions, subscription) {
                Some(read) if read == subscription => {}
                Some(read) => updated.push((&new.account.account_id, read, subscription)),
                None => inserted.push((&new.account.account_id, subscription)),
            }
        }
    }
    if !updated.is_empty() {
        update(connection, &updated).await?;
    }
    if !inserted.is_empty() {
        insert(connection, &inserted).await?;
    }
    Ok(())
}

/// What of a subscription may change, column by column.
#[derive(Default)]
struct Columns {
    account_ids: Vec<String>,
    ids: Vec<String>,
    plans: Vec<String>,
    statuses: Vec<i16>,
    intervals: Vec<i16>,
    providers: Vec<String>,
    anchors: Vec<Timestamp>,
    starts: Vec<Timestamp>,
    ends: Vec<Timestamp>,
    cancelling: Vec<bool>,
    end_times: Vec<Option<Timestamp>>,
    sent: Vec<Option<serde_json::Value>>,
    provider_times: Vec<Option<Timestamp>>,
}

impl Columns {
    fn of<'s>(rows: impl Iterator<Item = (&'s AccountId, &'s Subscription)>) -> Self {
        let mut columns = Self::default();
        for (account, subscription) in rows {
            columns.account_ids.push(account.to_string());
            columns.ids.push(subscription.subscription_id.to_string());
            columns.plans.push(subscription.plan.to_string());
            columns.statuses.push(subscription.status as i16);
            columns.intervals.push(subscription.interval as i16);
            columns.providers.push(subscription.provider.clone());
            columns.anchors.push(subscription.anchor_time);
            columns.starts.push(subscription.period_start_time);
            columns.ends.push(subscription.period_end_time);
            columns.cancelling.push(subscription.cancel_at_period_end);
            columns.end_times.push(subscription.end_time);
            let sent = subscription.sent.as_ref();
            columns.sent.push(sent.map(|sent| serde_json::json!(sent)));
            columns.provider_times.push(subscription.provider_time);
        }
        columns
    }
}

async fn update(
    connection: &mut PgConnection,
    updated: &[(&AccountId, &Subscription, &Subscription)],
) -> Result<(), StoreError> {
    let rows = Columns::of(updated.iter().map(|(account, _, new)| (*account, *new)));
    let read = || updated.iter().map(|(_, read, _)| *read);
    let read_statuses: Vec<i16> = read().map(|s| s.status as i16).collect();
    let read_starts: Vec<_> = read().map(|s| s.period_start_time).collect();
    let read_ends: Vec<_> = read().map(|s| s.period_end_time).collect();
    let read_provider_times: Vec<_> = read().map(|s| s.provider_time).collect();
    let result = sqlx::query!(
        r#"
        UPDATE subscriptions s
           SET plan = u.plan, status = u.status, billing_interval = u.billing_interval,
               provider = u.provider, anchor_time = u.anchor_time,
               period_start_time = u.period_start_time, period_end_time = u.period_end_time,
               cancel_at_period_end = u.cancel_at_period_end, end_time = u.end_time,
               sent = u.sent, provider_time = u.provider_time
          FROM UNNEST($1::text[], $2::text[], $3::text[], $4::smallint[], $5::smallint[],
                      $6::text[], $7::timestamptz[], $8::timestamptz[], $9::timestamptz[],
                      $10::boolean[], $11::timestamptz[], $12::jsonb[], $13::timestamptz[],
                      $14::smallint[], $15::timestamptz[], $16::timestamptz[], $17::timestamptz[])
               AS u (account_id, subscription_id, plan, status, billing_interval, provider,
                     anchor_time, period_start_time, period_end_time, cancel_at_period_end,
                     end_time, sent, provider_time, read_status, read_start, read_end,
                     read_provider_time)
         WHERE s.account_id = u.account_id AND s.subscription_id = u.subscription_id
           AND s.status = u.read_status AND s.period_start_time = u.read_start
           AND s.period_end_time = u.read_end
           AND s.provider_time IS NOT DISTINCT FROM u.read_provider_time
        "#,
        &rows.account_ids,
        &rows.ids,
        &rows.plans,
        &rows.statuses,
        &rows.intervals,
        &rows.providers,
        &rows.anchors,
        &rows.starts,
        &rows.ends,
        &rows.cancelling,
        &rows.end_times as &[Option<Timestamp>],
        &rows.sent as &[Option<serde_json::Value>],
        &rows.provider_times as &[Option<Timestamp>],
        &read_statuses,
        &read_starts,
        &read_ends,
        &read_provider_times as &[Option<Timestamp>]
    )
    .execute(connection)
    .await?;
    expect(&result, updated.len(), "subscriptions")
}

async fn insert(
    connection: &mut PgConnection,
    inserted: &[(&AccountId, &Subscription)],
) -> Result<(), StoreError> {
    let rows = Columns::of(inserted.iter().copied());
    let create_times: Vec<_> = inserted.iter().map(|(_, s)| s.create_time).collect();
    sqlx::query!(
        r#"
        INSERT INTO subscriptions (account_id, subscription_id, plan, status, billing_interval,
                                   provider, anchor_time, period_start_time, period_end_time,
                                   cancel_at_period_end, end_time, sent, provider_time,
                                   create_time)
        SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::smallint[], $5::smallint[],
                             $6::text[], $7::timestamptz[], $8::timestamptz[], $9::timestamptz[],
                             $10::boolean[], $11::timestamptz[], $12::jsonb[], $13::timestamptz[],
                             $14::timestamptz[])
        "#,
        &rows.account_ids,
        &rows.ids,
        &rows.plans,
        &rows.statuses,
        &rows.intervals,
        &rows.providers,
        &rows.anchors,
        &rows.starts,
        &rows.ends,
        &rows.cancelling,
        &rows.end_times as &[Option<Timestamp>],
        &rows.sent as &[Option<serde_json::Value>],
        &rows.provider_times as &[Option<Timestamp>],
        &create_times
    )
    .execute(connection)
    .await?;
    Ok(())
}
