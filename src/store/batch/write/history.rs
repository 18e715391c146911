//! What is only ever inserted by a batch: new reservations, ledger entries,
//! operations, notices.

use sqlx::PgConnection;

use super::{Change, columns::Portions, columns::Ragged};
use crate::{
    domain::{
        account::{Notice, Operation},
        entry::Entry,
        reservation::Reservation,
    },
    ids::AccountId,
    store::StoreError,
};

pub(super) async fn insert_reservations(
    connection: &mut PgConnection,
    inserted: &[(&AccountId, &Reservation)],
) -> Result<(), StoreError> {
    let keys: Vec<String> = inserted.iter().map(|(account, _)| account.to_string()).collect();
    let rows = || inserted.iter().map(|(_, reservation)| *reservation);
    let ids: Vec<String> = rows().map(|r| r.reservation_id.to_string()).collect();
    let projects: Vec<Option<String>> =
        rows().map(|r| r.sent.project_id.as_ref().map(ToString::to_string)).collect();
    let kinds: Vec<String> = rows().map(|r| r.sent.scan_kind.to_string()).collect();
    let types: Vec<Option<String>> =
        rows().map(|r| r.credit_type.as_ref().map(ToString::to_string)).collect();
    let states: Vec<i16> = rows().map(|r| r.state as i16).collect();
    let causes: Vec<Option<i16>> = rows().map(|r| r.release_cause.map(|c| c as i16)).collect();
    let late: Vec<bool> = rows().map(|r| r.late).collect();
    let credits: Vec<i64> = rows().map(|r| r.credits).collect();
    let committed: Vec<i64> = rows().map(|r| r.committed_credits).collect();
    let sent_credits: Vec<i64> = rows().map(|r| r.sent.credits).collect();
    let sent_leases: Vec<Option<i64>> =
        rows().map(|r| r.sent_lease.and_then(|lease| lease.num_microseconds())).collect();
    let create_times: Vec<_> = rows().map(|r| r.create_time).collect();
    let expire_times: Vec<_> = rows().map(|r| r.expire_time).collect();
    let settle_times: Vec<_> = rows().map(|r| r.settle_time).collect();
    let labels: Vec<Option<serde_json::Value>> =
        rows().map(|r| (!r.labels.is_empty()).then(|| serde_json::json!(r.labels))).collect();
    let lots = Portions::of(rows().map(|r| r.portions.as_slice()));
    let entries = Ragged::of(rows().map(|r| r.entries.as_slice()));
    sqlx::query!(
        r#"
        INSERT INTO reservations (
               account_id, reservation_id, project_id, scan_kind, credit_type, state,
               release_cause, late, credits, committed_credits, sent_credits, sent_lease_micros,
               create_time, expire_time, settle_time, labels, lot_ids, lot_credits, entries)
        SELECT u.account_id, u.reservation_id, u.project_id, u.scan_kind, u.credit_type, u.state,
               u.release_cause, u.late, u.credits, u.committed_credits, u.sent_credits,
               u.sent_lease_micros, u.create_time, u.expire_time, u.settle_time, u.labels,
               ($17::uuid[])[u.lots_from:u.lots_to], ($18::bigint[])[u.lots_from:u.lots_to],
               ($21::bigint[])[u.entries_from:u.entries_to]
          FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::smallint[],
                      $7::smallint[], $8::boolean[], $9::bigint[], $10::bigint[], $11::bigint[],
                      $12::bigint[], $13::timestamptz[], $14::timestamptz[], $15::timestamptz[],
                      $16::jsonb[], $19::int[], $20::int[], $22::int[], $23::int[])
               AS u (account_id, reservation_id, project_id, scan_kind, credit_type, state,
                     release_cause, late, credits, committed_credits, sent_credits,
                     sent_lease_micros, create_time, expire_time, settle_time, labels,
                     lots_from, lots_to, entries_from, entries_to)
        "#,
        &keys,
        &ids,
        &projects as &[Option<String>],
        &kinds,
        &types as &[Option<String>],
        &states,
        &causes as &[Option<i16>],
        &late,
        &credits,
        &committed,
        &sent_credits,
        &sent_leases as &[Option<i64>],
        &create_times,
        &expire_times,
        &settle_times as &[Option<crate::clock::Timestamp>],
        &labels as &[Option<serde_json::Value>],
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
    Ok(())
}

pub(super) async fn entries(
    connection: &mut PgConnection,
    changes: &[Change<'_>],
) -> Result<(), StoreError> {
    let rows: Vec<(&AccountId, &Entry)> = changes
        .iter()
        .flat_map(|(_, new)| new.entries.iter().map(|entry| (&new.account.account_id, entry)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let keys: Vec<String> = rows.iter().map(|(account, _)| account.to_string()).collect();
    let entries = || rows.iter().map(|(_, entry)| *entry);
    let types: Vec<String> = entries().map(|e| e.credit_type.to_string()).collect();
    let sequences: Vec<i64> = entries().map(|e| e.sequence).collect();
    let kinds: Vec<i16> = entries().map(|e| e.kind as i16).collect();
    let versions: Vec<i16> = entries().map(|e| e.hash_version).collect();
    let credits: Vec<i64> = entries().map(|e| e.credits).collect();
    let available: Vec<i64> = entries().map(|e| e.available_after).collect();
    let reserved: Vec<i64> = entries().map(|e| e.reserved_after).collect();
    let spent: Vec<i64> = entries().map(|e| e.spent_after).collect();
    let times: Vec<_> = entries().map(|e| e.create_time).collect();
    let reservations: Vec<Option<String>> =
        entries().map(|e| e.reservation_id.as_ref().map(ToString::to_string)).collect();
    let references: Vec<String> = entries().map(|e| e.reference.clone()).collect();
    let actors: Vec<String> = entries().map(|e| e.actor.clone()).collect();
    let hashes: Vec<Vec<u8>> = entries().map(|e| e.hash.to_vec()).collect();
    let lots = Portions::of(entries().map(|e| e.portions.as_slice()));
    sqlx::query!(
        r#"
        INSERT INTO ledger_entries (
               account_id, credit_type, sequence, kind, hash_version, credits, available_after,
               reserved_after, spent_after, create_time, reservation_id, reference, actor, hash,
               lot_ids, lot_credits)
        SELECT u.account_id, u.credit_type, u.sequence, u.kind, u.hash_version, u.credits,
               u.available_after, u.reserved_after, u.spent_after, u.create_time,
               u.reservation_id, u.reference, u.actor, u.hash,
               ($15::uuid[])[u.lots_from:u.lots_to], ($16::bigint[])[u.lots_from:u.lots_to]
          FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::smallint[], $5::smallint[],
                      $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::timestamptz[],
                      $11::text[], $12::text[], $13::text[], $14::bytea[], $17::int[], $18::int[])
               AS u (account_id, credit_type, sequence, kind, hash_version, credits,
                     available_after, reserved_after, spent_after, create_time, reservation_id,
                     reference, actor, hash, lots_from, lots_to)
        "#,
        &keys,
        &types,
        &sequences,
        &kinds,
        &versions,
        &credits,
        &available,
        &reserved,
        &spent,
        &times,
        &reservations as &[Option<String>],
        &references,
        &actors,
        &hashes,
        &lots.ids,
        &lots.credits,
        &lots.from,
        &lots.to
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn operations(
    connection: &mut PgConnection,
    changes: &[Change<'_>],
) -> Result<(), StoreError> {
    let rows: Vec<(&AccountId, &Operation)> = changes
        .iter()
        .flat_map(|(old, new)| {
            let made = new.operations.iter().filter(|(key, _)| !old.operations.contains_key(*key));
            made.map(|(_, operation)| (&new.account.account_id, operation))
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let keys: Vec<String> = rows.iter().map(|(account, _)| account.to_string()).collect();
    let made = || rows.iter().map(|(_, operation)| *operation);
    let kinds: Vec<i16> = made().map(|o| o.key.0 as i16).collect();
    let ids: Vec<String> = made().map(|o| o.key.1.to_string()).collect();
    let types: Vec<String> = made().map(|o| o.credit_type.to_string()).collect();
    let credits: Vec<i64> = made().map(|o| o.credits).collect();
    let expiries: Vec<_> = made().map(|o| o.expire_time).collect();
    let reasons: Vec<String> = made().map(|o| o.reason.clone()).collect();
    let lots: Vec<_> = made().map(|o| o.lot_id.map(|lot| lot.0)).collect();
    let sequences: Vec<i64> = made().map(|o| o.sequence).collect();
    let times: Vec<_> = made().map(|o| o.create_time).collect();
    sqlx::query!(
        r#"
        INSERT INTO operations (account_id, kind, operation_id, credit_type, credits, expire_time,
                                reason, lot_id, sequence, create_time)
        SELECT * FROM UNNEST($1::text[], $2::smallint[], $3::text[], $4::text[], $5::bigint[],
                             $6::timestamptz[], $7::text[], $8::uuid[], $9::bigint[],
                             $10::timestamptz[])
        "#,
        &keys,
        &kinds,
        &ids,
        &types,
        &credits,
        &expiries as &[Option<crate::clock::Timestamp>],
        &reasons,
        &lots as &[Option<uuid::Uuid>],
        &sequences,
        &times
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A notice is told once: the same again is passed over.
pub(super) async fn notices(
    connection: &mut PgConnection,
    changes: &[Change<'_>],
) -> Result<(), StoreError> {
    let rows: Vec<(&AccountId, &Notice)> = changes
        .iter()
        .flat_map(|(_, new)| new.notices.iter().map(|notice| (&new.account.account_id, notice)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let keys: Vec<String> = rows.iter().map(|(account, _)| account.to_string()).collect();
    let notices = || rows.iter().map(|(_, notice)| *notice);
    let ids: Vec<String> = notices().map(|n| n.key.clone()).collect();
    let kinds: Vec<i16> = notices().map(|n| n.kind).collect();
    let types: Vec<Option<String>> =
        notices().map(|n| n.credit_type.as_ref().map(ToString::to_string)).collect();
    let credits: Vec<i64> = notices().map(|n| n.credits).collect();
    let subjects: Vec<String> = notices().map(|n| n.subject.clone()).collect();
    let times: Vec<_> = notices().map(|n| n.create_time).collect();
    sqlx::query!(
        r#"
        INSERT INTO notices (account_id, notice_key, kind, credit_type, credits, subject,
                             create_time)
        SELECT * FROM UNNEST($1::text[], $2::text[], $3::smallint[], $4::text[], $5::bigint[],
                             $6::text[], $7::timestamptz[])
            ON CONFLICT ON CONSTRAINT notices_pkey DO NOTHING
        "#,
        &keys,
        &ids,
        &kinds,
        &types as &[Option<String>],
        &credits,
        &subjects,
        &times
    )
    .execute(connection)
    .await?;
    Ok(())
}
