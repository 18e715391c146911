//! What a batch writes: the difference between each account as it was read and
//! as it was decided, in a fixed number of set-based statements. Those that have
//! nothing to write are not sent.

use sqlx::{PgConnection, postgres::PgQueryResult};

use crate::{
    clock::Timestamp,
    domain::{
        account::{Account, AccountState},
        credit::{Balance, Lot},
        reservation::Reservation,
    },
    ids::{AccountId, CreditType},
    store::StoreError,
};

mod adjustments;
mod columns;
mod history;
mod payments;
mod subscriptions;
mod top_ups;

use columns::Portions;

/// As it was read, and as it is now.
type Change<'s> = (&'s AccountState, &'s AccountState);

pub(super) async fn write<'s>(
    connection: &mut PgConnection,
    now: Timestamp,
    catalog_revision: i64,
    changes: impl Iterator<Item = Change<'s>>,
) -> Result<(), StoreError> {
    let changes: Vec<Change<'s>> = changes.collect();
    subscriptions::hold_catalog(connection, catalog_revision, &changes).await?;
    account_rows(connection, &changes).await?;
    balances(connection, &changes).await?;
    lots(connection, &changes).await?;
    reservations(connection, &changes).await?;
    subscriptions::write(connection, &changes).await?;
    top_ups::write(connection, &changes).await?;
    payments::write(connection, now, &changes).await?;
    history::entries(connection, &changes).await?;
    history::operations(connection, &changes).await?;
    history::notices(connection, &changes).await
}

/// A guard that held nowhere else: somebody has changed a row under our lock.
fn expect(result: &PgQueryResult, rows: usize, what: &str) -> Result<(), StoreError> {
    let written = usize::try_from(result.rows_affected()).unwrap_or(usize::MAX);
    if written == rows {
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

async fn balances(connection: &mut PgConnection, changes: &[Change<'_>]) -> Result<(), StoreError> {
    let mut updated = Vec::new();
    let mut inserted = Vec::new();
    for (old, new) in changes {
        for (credit_type, balance) in &new.balances {
            match old.balances.get(credit_type) {
                Some(read) if read == balance => {}
                Some(read) => {
                    updated.push((&new.account.account_id, credit_type, read.sequence, balance));
                }
                None => inserted.push((&new.account.account_id, credit_type, 0, balance)),
            }
        }
    }
    if !updated.is_empty() {
        let rows = BalanceColumns::of(&updated);
        let result = sqlx::query!(
            r#"
            UPDATE balances b
               SET available = u.available, reserved = u.reserved, spent = u.spent,
                   held_scans = u.held_scans, sequence = u.sequence,
                   last_entry_time = u.last_entry_time, last_hash = u.last_hash
              FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[],
                          $6::bigint[], $7::bigint[], $8::bigint[], $9::timestamptz[], $10::bytea[])
                   AS u (account_id, credit_type, expected, available, reserved, spent, held_scans,
                         sequence, last_entry_time, last_hash)
             WHERE b.account_id = u.account_id AND b.credit_type = u.credit_type
               AND b.sequence = u.expected
            "#,
            &rows.account_ids,
            &rows.credit_types,
            &rows.expected,
            &rows.available,
            &rows.reserved,
            &rows.spent,
            &rows.held,
            &rows.sequences,
            &rows.times,
            &rows.hashes
        )
        .execute(&mut *connection)
        .await?;
        expect(&result, updated.len(), "balances")?;
    }
    if !inserted.is_empty() {
        let rows = BalanceColumns::of(&inserted);
        sqlx::query!(
            r#"
            INSERT INTO balances (account_id, credit_type, available, reserved, spent, held_scans,
                                  sequence, last_entry_time, last_hash)
            SELECT * FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[],
                                 $6::bigint[], $7::bigint[], $8::timestamptz[], $9::bytea[])
            "#,
            &rows.account_ids,
            &rows.credit_types,
            &rows.available,
            &rows.reserved,
            &rows.spent,
            &rows.held,
            &rows.sequences,
            &rows.times,
            &rows.hashes
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

#[derive(Default)]
struct BalanceColumns {
    account_ids: Vec<String>,
    credit_types: Vec<String>,
    expected: Vec<i64>,
    available: Vec<i64>,
    reserved: Vec<i64>,
    spent: Vec<i64>,
    held: Vec<i64>,
    sequences: Vec<i64>,
    times: Vec<Timestamp>,
    hashes: Vec<Vec<u8>>,
}

impl BalanceColumns {
    fn of(rows: &[(&AccountId, &CreditType, i64, &Balance)]) -> Self {
        let mut columns = Self::default();
        for (account, credit_type, expected, balance) in rows {
            columns.account_ids.push(account.to_string());
            columns.credit_types.push(credit_type.to_string());
            columns.expected.push(*expected);
            columns.available.push(balance.available);
            columns.reserved.push(balance.reserved);
            columns.spent.push(balance.spent);
            columns.held.push(balance.held_scans);
            columns.sequences.push(balance.sequence);
            columns.times.push(balance.last_entry_time);
            columns.hashes.push(balance.last_hash.to_vec());
        }
        columns
    }
}

async fn lots(connection: &mut PgConnection, changes: &[Change<'_>]) -> Result<(), StoreError> {
    let mut updated: Vec<(&AccountId, &Lot, &Lot)> = Vec::new();
    let mut inserted: Vec<(&AccountId, &Lot)> = Vec::new();
    for (old, new) in changes {
        for (lot_id, lot) in &new.lots {
            match old.lots.get(lot_id) {
                Some(read) if read == lot => {}
                Some(read) => updated.push((&new.account.account_id, read, lot)),
                None => inserted.push((&new.account.account_id, lot)),
            }
        }
    }
    if !updated.is_empty() {
        let keys: Vec<String> = updated.iter().map(|(account, ..)| account.to_string()).collect();
        let ids: Vec<_> = updated.iter().map(|(_, _, lot)| lot.lot_id.0).collect();
        let expected: Vec<i64> = updated.iter().map(|(_, read, _)| read.remaining).collect();
        let remaining: Vec<i64> = updated.iter().map(|(_, _, lot)| lot.remaining).collect();
        let unrecovered: Vec<i64> = updated.iter().map(|(_, _, lot)| lot.unrecovered).collect();
        let result = sqlx::query!(
            r#"
            UPDATE lots l
               SET remaining = u.remaining, unrecovered = u.unrecovered, is_open = u.remaining > 0
              FROM UNNEST($1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[])
                   AS u (account_id, lot_id, expected, remaining, unrecovered)
             WHERE l.account_id = u.account_id AND l.lot_id = u.lot_id AND l.remaining = u.expected
            "#,
            &keys,
            &ids,
            &expected,
            &remaining,
            &unrecovered
        )
        .execute(&mut *connection)
        .await?;
        expect(&result, updated.len(), "lots")?;
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
        sqlx::query!(
            r#"
            INSERT INTO lots (account_id, lot_id, credit_type, source, credits, remaining,
                              unrecovered, expire_time, create_time, reference, is_open)
            SELECT u.*, u.remaining > 0
              FROM UNNEST($1::text[], $2::uuid[], $3::text[], $4::smallint[], $5::bigint[],
                          $6::bigint[], $7::bigint[], $8::timestamptz[], $9::timestamptz[],
                          $10::text[])
                   AS u (account_id, lot_id, credit_type, source, credits, remaining, unrecovered,
                         expire_time, create_time, reference)
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
            &references
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

async fn reservations(
    connection: &mut PgConnection,
    changes: &[Change<'_>],
) -> Result<(), StoreError> {
    let mut updated: Vec<(&AccountId, &Reservation, &Reservation)> = Vec::new();
    let mut inserted: Vec<(&AccountId, &Reservation)> = Vec::new();
    for (old, new) in changes {
        for (id, reservation) in &new.reservations {
            match old.reservations.get(id) {
                Some(read) if read == reservation => {}
                Some(read) => updated.push((&new.account.account_id, read, reservation)),
                None => inserted.push((&new.account.account_id, reservation)),
            }
        }
    }
    if !updated.is_empty() {
        update_reservations(connection, &updated).await?;
    }
    if !inserted.is_empty() {
        history::insert_reservations(connection, &inserted).await?;
    }
    Ok(())
}

async fn update_reservations(
    connection: &mut PgConnection,
    updated: &[(&AccountId, &Reservation, &Reservation)],
) -> Result<(), StoreError> {
    let keys: Vec<String> = updated.iter().map(|(account, ..)| account.to_string()).collect();
    let ids: Vec<String> = updated.iter().map(|(_, _, r)| r.reservation_id.to_string()).collect();
    let read_states: Vec<i16> = updated.iter().map(|(_, read, _)| read.state as i16).collect();
    let read_expiries: Vec<_> = updated.iter().map(|(_, read, _)| read.expire_time).collect();
    let states: Vec<i16> = updated.iter().map(|(_, _, r)| r.state as i16).collect();
    let causes: Vec<Option<i16>> =
        updated.iter().map(|(_, _, r)| r.release_cause.map(|cause| cause as i16)).collect();
    let late: Vec<bool> = updated.iter().map(|(_, _, r)| r.late).collect();
    let committed: Vec<i64> = updated.iter().map(|(_, _, r)| r.committed_credits).collect();
    let expiries: Vec<_> = updated.iter().map(|(_, _, r)| r.expire_time).collect();
    let settled: Vec<_> = updated.iter().map(|(_, _, r)| r.settle_time).collect();
    let lots = Portions::of(updated.iter().map(|(_, _, r)| r.portions.as_slice()));
    let entries = columns::Ragged::of(updated.iter().map(|(_, _, r)| r.entries.as_slice()));
    let result = sqlx::query!(
        r#"
        UPDATE reservations r
           SET state = u.state, release_cause = u.release_cause, late = u.late,
               committed_credits = u.committed_credits, expire_time = u.expire_time,
               settle_time = u.settle_time,
               lot_ids = ($11::uuid[])[u.lots_from:u.lots_to],
               lot_credits = ($12::bigint[])[u.lots_from:u.lots_to],
               entries = ($15::bigint[])[u.entries_from:u.entries_to]
          FROM UNNEST($1::text[], $2::text[], $3::smallint[], $4::timestamptz[], $5::smallint[],
                      $6::smallint[], $7::boolean[], $8::bigint[], $9::timestamptz[],
                      $10::timestamptz[], $13::int[], $14::int[], $16::int[], $17::int[])
               AS u (account_id, reservation_id, read_state, read_expire_time, state, release_cause,
                     late, committed_credits, expire_time, settle_time, lots_from, lots_to,
                     entries_from, entries_to)
         WHERE r.account_id = u.account_id AND r.reservation_id = u.reservation_id
           AND r.state = u.read_state AND r.expire_time = u.read_expire_time
        "#,
        &keys,
        &ids,
        &read_states,
        &read_expiries,
        &states,
        &causes as &[Option<i16>],
        &late,
        &committed,
        &expiries,
        &settled as &[Option<Timestamp>],
        &lots.ids,
        &lots.credits,
        &lots.from,
        &lots.to,
        &entries.values,
        &entries.from,
        &entries.to
    )
    .execute(connection)
    .await?;
    expect(&result, updated.len(), "reservations")
}
