//! What a provider last said of payments that go back, or are disputed.

use sqlx::PgConnection;

use super::{Change, columns::Ragged, expect};
use crate::{
    clock::Timestamp, domain::payment::KnownAdjustment, ids::AccountId, store::StoreError,
};

/// An account's adjustment, with its provider.
type Row<'a> = (&'a AccountId, &'a str, &'a KnownAdjustment);

pub(super) async fn write(
    connection: &mut PgConnection,
    changes: &[Change<'_>],
) -> Result<(), StoreError> {
    let mut updated: Vec<Row<'_>> = Vec::new();
    let mut read_times: Vec<Timestamp> = Vec::new();
    let mut inserted: Vec<Row<'_>> = Vec::new();
    for (old, new) in changes {
        for (key, known) in &new.adjustments {
            let row = (&new.account.account_id, key.0.as_str(), known);
            match old.adjustments.get(key) {
                Some(read) if read == known => {}
                Some(read) => {
                    updated.push(row);
                    read_times.push(read.occurred_at);
                }
                None => inserted.push(row),
            }
        }
    }
    if !updated.is_empty() {
        update(connection, &updated, &read_times).await?;
    }
    if !inserted.is_empty() {
        insert(connection, &inserted).await?;
    }
    Ok(())
}

struct Columns {
    account_ids: Vec<String>,
    providers: Vec<String>,
    ids: Vec<String>,
    transaction_ids: Vec<String>,
    actions: Vec<i16>,
    statuses: Vec<i16>,
    full: Vec<bool>,
    occurred_at: Vec<Timestamp>,
    /// End to end, in the slices of `totals`.
    item_ids: Vec<String>,
    totals: Ragged,
}

impl Columns {
    fn of(rows: &[Row<'_>]) -> Self {
        let said = || rows.iter().map(|(_, _, known)| &known.adjustment);
        let items = || said().flat_map(|adjustment| &adjustment.items);
        let totals: Vec<Vec<i64>> = said()
            .map(|adjustment| adjustment.items.iter().map(|item| item.total_minor).collect())
            .collect();
        Self {
            account_ids: rows.iter().map(|(account, ..)| account.to_string()).collect(),
            providers: rows.iter().map(|(_, provider, _)| (*provider).to_owned()).collect(),
            ids: said().map(|adjustment| adjustment.adjustment_id.clone()).collect(),
            transaction_ids: said().map(|adjustment| adjustment.transaction_id.clone()).collect(),
            actions: said().map(|adjustment| adjustment.action as i16).collect(),
            statuses: said().map(|adjustment| adjustment.status as i16).collect(),
            full: said().map(|adjustment| adjustment.full).collect(),
            occurred_at: rows.iter().map(|(_, _, known)| known.occurred_at).collect(),
            item_ids: items().map(|item| item.item_id.clone()).collect(),
            totals: Ragged::of(totals.iter().map(Vec::as_slice)),
        }
    }
}

async fn update(
    connection: &mut PgConnection,
    updated: &[Row<'_>],
    read_times: &[Timestamp],
) -> Result<(), StoreError> {
    let rows = Columns::of(updated);
    let result = sqlx::query!(
        r#"
        UPDATE adjustments a
           SET transaction_id = u.transaction_id, action = u.action, status = u.status,
               is_full = u.is_full, occurred_at = u.occurred_at,
               item_ids = ($10::text[])[u.items_from:u.items_to],
               item_totals = ($11::bigint[])[u.items_from:u.items_to]
          FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::smallint[],
                      $6::smallint[], $7::boolean[], $8::timestamptz[], $9::timestamptz[],
                      $12::int[], $13::int[])
               AS u (account_id, provider, adjustment_id, transaction_id, action, status, is_full,
                     occurred_at, read_time, items_from, items_to)
         WHERE a.account_id = u.account_id AND a.provider = u.provider
           AND a.adjustment_id = u.adjustment_id AND a.occurred_at = u.read_time
        "#,
        &rows.account_ids,
        &rows.providers,
        &rows.ids,
        &rows.transaction_ids,
        &rows.actions,
        &rows.statuses,
        &rows.full,
        &rows.occurred_at,
        read_times,
        &rows.item_ids,
        &rows.totals.values,
        &rows.totals.from,
        &rows.totals.to
    )
    .execute(connection)
    .await?;
    expect(&result, updated.len(), "adjustments")
}

async fn insert(connection: &mut PgConnection, inserted: &[Row<'_>]) -> Result<(), StoreError> {
    let rows = Columns::of(inserted);
    sqlx::query!(
        r#"
        INSERT INTO adjustments (account_id, provider, adjustment_id, transaction_id, action,
                                 status, is_full, occurred_at, item_ids, item_totals)
        SELECT u.account_id, u.provider, u.adjustment_id, u.transaction_id, u.action, u.status,
               u.is_full, u.occurred_at, ($9::text[])[u.items_from:u.items_to],
               ($10::bigint[])[u.items_from:u.items_to]
          FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::smallint[],
                      $6::smallint[], $7::boolean[], $8::timestamptz[], $11::int[], $12::int[])
               AS u (account_id, provider, adjustment_id, transaction_id, action, status, is_full,
                     occurred_at, items_from, items_to)
        "#,
        &rows.account_ids,
        &rows.providers,
        &rows.ids,
        &rows.transaction_ids,
        &rows.actions,
        &rows.statuses,
        &rows.full,
        &rows.occurred_at,
        &rows.item_ids,
        &rows.totals.values,
        &rows.totals.from,
        &rows.totals.to
    )
    .execute(connection)
    .await?;
    Ok(())
}
