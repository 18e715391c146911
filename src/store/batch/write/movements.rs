//! Movements: balances, lots, new reservations and ledger entries, in one
//! statement. Each part alone would be as quick to carry out; but a statement is
//! a round trip, and a lone caller waits for each.

mod columns;

use sqlx::PgConnection;

use self::columns::{Entries, Lots, Reservations};
use super::{Change, balances::Balances, expect_rows};
use crate::{clock::Timestamp, store::StoreError};

pub(super) async fn write(
    connection: &mut PgConnection,
    changes: &[Change<'_>],
) -> Result<(), StoreError> {
    let balances = Balances::changed(changes);
    let lots = Lots::changed(changes);
    let reservations = Reservations::made(changes);
    let entries = Entries::made(changes);
    if balances.account_ids.is_empty()
        && lots.account_ids.is_empty()
        && reservations.account_ids.is_empty()
        && entries.account_ids.is_empty()
    {
        return Ok(());
    }
    let written = sqlx::query!(
        r#"
        WITH b AS (
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
     RETURNING 1),
        l AS (
        UPDATE lots l
           SET remaining = u.remaining, unrecovered = u.unrecovered, is_open = u.remaining > 0
          FROM UNNEST($11::text[], $12::uuid[], $13::bigint[], $14::bigint[], $15::bigint[])
               AS u (account_id, lot_id, expected, remaining, unrecovered)
         WHERE l.account_id = u.account_id AND l.lot_id = u.lot_id AND l.remaining = u.expected
     RETURNING 1),
        r AS (
        INSERT INTO reservations (
               account_id, reservation_id, project_id, scan_kind, credit_type, state,
               release_cause, late, credits, committed_credits, sent_credits, sent_lease_micros,
               create_time, expire_time, settle_time, labels, lot_ids, lot_credits, entries)
        SELECT u.account_id, u.reservation_id, u.project_id, u.scan_kind, u.credit_type, u.state,
               u.release_cause, u.late, u.credits, u.committed_credits, u.sent_credits,
               u.sent_lease_micros, u.create_time, u.expire_time, u.settle_time, u.labels,
               ($32::uuid[])[u.lots_from:u.lots_to], ($33::bigint[])[u.lots_from:u.lots_to],
               ($36::bigint[])[u.entries_from:u.entries_to]
          FROM UNNEST($16::text[], $17::text[], $18::text[], $19::text[], $20::text[],
                      $21::smallint[], $22::smallint[], $23::boolean[], $24::bigint[],
                      $25::bigint[], $26::bigint[], $27::bigint[], $28::timestamptz[],
                      $29::timestamptz[], $30::timestamptz[], $31::jsonb[], $34::int[],
                      $35::int[], $37::int[], $38::int[])
               AS u (account_id, reservation_id, project_id, scan_kind, credit_type, state,
                     release_cause, late, credits, committed_credits, sent_credits,
                     sent_lease_micros, create_time, expire_time, settle_time, labels,
                     lots_from, lots_to, entries_from, entries_to)),
        e AS (
        INSERT INTO ledger_entries (
               account_id, credit_type, sequence, kind, hash_version, credits, available_after,
               reserved_after, spent_after, create_time, reservation_id, reference, actor, hash,
               lot_ids, lot_credits)
        SELECT u.account_id, u.credit_type, u.sequence, u.kind, u.hash_version, u.credits,
               u.available_after, u.reserved_after, u.spent_after, u.create_time,
               u.reservation_id, u.reference, u.actor, u.hash,
               ($53::uuid[])[u.lots_from:u.lots_to], ($54::bigint[])[u.lots_from:u.lots_to]
          FROM UNNEST($39::text[], $40::text[], $41::bigint[], $42::smallint[], $43::smallint[],
                      $44::bigint[], $45::bigint[], $46::bigint[], $47::bigint[],
                      $48::timestamptz[], $49::text[], $50::text[], $51::text[], $52::bytea[],
                      $55::int[], $56::int[])
               AS u (account_id, credit_type, sequence, kind, hash_version, credits,
                     available_after, reserved_after, spent_after, create_time, reservation_id,
                     reference, actor, hash, lots_from, lots_to))
        SELECT (SELECT count(*) FROM b) AS "balances!", (SELECT count(*) FROM l) AS "lots!"
        "#,
        &balances.account_ids,
        &balances.credit_types,
        &balances.expected,
        &balances.available,
        &balances.reserved,
        &balances.spent,
        &balances.held,
        &balances.sequences,
        &balances.times,
        &balances.hashes,
        &lots.account_ids,
        &lots.lot_ids,
        &lots.expected,
        &lots.remaining,
        &lots.unrecovered,
        &reservations.account_ids,
        &reservations.reservation_ids,
        &reservations.projects as &[Option<String>],
        &reservations.kinds,
        &reservations.credit_types as &[Option<String>],
        &reservations.states,
        &reservations.causes as &[Option<i16>],
        &reservations.late,
        &reservations.credits,
        &reservations.committed,
        &reservations.sent_credits,
        &reservations.sent_leases as &[Option<i64>],
        &reservations.create_times,
        &reservations.expire_times,
        &reservations.settle_times as &[Option<Timestamp>],
        &reservations.labels as &[Option<serde_json::Value>],
        &reservations.lots.ids,
        &reservations.lots.credits,
        &reservations.lots.from,
        &reservations.lots.to,
        &reservations.entries.values,
        &reservations.entries.from,
        &reservations.entries.to,
        &entries.account_ids,
        &entries.credit_types,
        &entries.sequences,
        &entries.kinds,
        &entries.versions,
        &entries.credits,
        &entries.available,
        &entries.reserved,
        &entries.spent,
        &entries.times,
        &entries.reservations as &[Option<String>],
        &entries.references,
        &entries.actors,
        &entries.hashes,
        &entries.lots.ids,
        &entries.lots.credits,
        &entries.lots.from,
        &entries.lots.to
    )
    .fetch_one(connection)
    .await?;
    expect_rows(written.balances, balances.account_ids.len(), "balances")?;
    expect_rows(written.lots, lots.account_ids.len(), "lots")
}
