//! Top-ups that were opened or changed.

use sqlx::PgConnection;

use super::{Change, expect};
use crate::{clock::Timestamp, domain::payment::TopUp, ids::AccountId, store::StoreError};

pub(super) async fn write(
    connection: &mut PgConnection,
    changes: &[Change<'_>],
) -> Result<(), StoreError> {
    let mut updated: Vec<(&AccountId, &TopUp, &TopUp)> = Vec::new();
    let mut inserted: Vec<(&AccountId, &TopUp)> = Vec::new();
    for (old, new) in changes {
        for (top_up_id, top_up) in &new.top_ups {
            match old.top_ups.get(top_up_id) {
                Some(read) if read == top_up => {}
                Some(read) => updated.push((&new.account.account_id, read, top_up)),
                None => inserted.push((&new.account.account_id, top_up)),
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

#[derive(Default)]
struct Columns {
    account_ids: Vec<String>,
    ids: Vec<String>,
    credit_types: Vec<String>,
    credits: Vec<i64>,
    prices: Vec<i64>,
    currencies: Vec<String>,
    statuses: Vec<i16>,
    providers: Vec<String>,
    provider_references: Vec<String>,
    reasons: Vec<String>,
    expire_times: Vec<Timestamp>,
    settle_times: Vec<Option<Timestamp>>,
}

impl Columns {
    fn of<'t>(rows: impl Iterator<Item = (&'t AccountId, &'t TopUp)>) -> Self {
        let mut columns = Self::default();
        for (account, top_up) in rows {
            columns.account_ids.push(account.to_string());
            columns.ids.push(top_up.top_up_id.to_string());
            columns.credit_types.push(top_up.credit_type.to_string());
            columns.credits.push(top_up.credits);
            columns.prices.push(top_up.price_minor);
            columns.currencies.push(top_up.currency.clone());
            columns.statuses.push(top_up.status as i16);
            columns.providers.push(top_up.provider.clone());
            columns.provider_references.push(top_up.provider_reference.clone());
            columns.reasons.push(top_up.reason.clone());
            columns.expire_times.push(top_up.expire_time);
            columns.settle_times.push(top_up.settle_time);
        }
        columns
    }
}

async fn update(
    connection: &mut PgConnection,
    updated: &[(&AccountId, &TopUp, &TopUp)],
) -> Result<(), StoreError> {
    let rows = Columns::of(updated.iter().map(|(account, _, new)| (*account, *new)));
    let read_statuses: Vec<i16> = updated.iter().map(|(_, read, _)| read.status as i16).collect();
    let result = sqlx::query!(
        r#"
        UPDATE top_ups t
           SET credit_type = u.credit_type, credits = u.credits, price_minor = u.price_minor,
               currency = u.currency, status = u.status, provider = u.provider,
               provider_reference = u.provider_reference, reason = u.reason,
               expire_time = u.expire_time, settle_time = u.settle_time
          FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[],
                      $7::smallint[], $8::text[], $9::text[], $10::text[], $11::timestamptz[],
                      $12::timestamptz[], $13::smallint[])
               AS u (account_id, top_up_id, credit_type, credits, price_minor, currency, status,
                     provider, provider_reference, reason, expire_time, settle_time, read_status)
         WHERE t.account_id = u.account_id AND t.top_up_id = u.top_up_id
           AND t.status = u.read_status
        "#,
        &rows.account_ids,
        &rows.ids,
        &rows.credit_types,
        &rows.credits,
        &rows.prices,
        &rows.currencies,
        &rows.statuses,
        &rows.providers,
        &rows.provider_references,
        &rows.reasons,
        &rows.expire_times,
        &rows.settle_times as &[Option<Timestamp>],
        &read_statuses
    )
    .execute(connection)
    .await?;
    expect(&result, updated.len(), "top-ups")
}

async fn insert(
    connection: &mut PgConnection,
    inserted: &[(&AccountId, &TopUp)],
) -> Result<(), StoreError> {
    let rows = Columns::of(inserted.iter().copied());
    let create_times: Vec<_> = inserted.iter().map(|(_, top_up)| top_up.create_time).collect();
    sqlx::query!(
        r#"
        INSERT INTO top_ups (account_id, top_up_id, credit_type, credits, price_minor, currency,
                             status, provider, provider_reference, reason, expire_time,
                             settle_time, create_time)
        SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[],
                             $6::text[], $7::smallint[], $8::text[], $9::text[], $10::text[],
                             $11::timestamptz[], $12::timestamptz[], $13::timestamptz[])
        "#,
        &rows.account_ids,
        &rows.ids,
        &rows.credit_types,
        &rows.credits,
        &rows.prices,
        &rows.currencies,
        &rows.statuses,
        &rows.providers,
        &rows.provider_references,
        &rows.reasons,
        &rows.expire_times,
        &rows.settle_times as &[Option<Timestamp>],
        &create_times
    )
    .execute(connection)
    .await?;
    Ok(())
}
