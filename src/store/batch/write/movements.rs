//! Movements: balances, lots, new reservations and ledger entries, and the row of the
//! feed that tells of them, in one statement. Each part alone would be as quick to carry out; but a statement is
//! a round trip, and a lone caller waits for each.
//!
//! UNNEST is for texts alone. Each array in it is a tuple store of its own, filled
//! and read row by row: 56 of them took PostgreSQL longer than all the rest of a
//! lone caller's statement. An element of a fixed width is found by its place at
//! once, so those columns are `array[i]`, and hashes are slices of one string.
//!
//! The accounts of a batch that was decided on what its lane had kept are locked and
//! compared here (`a`), in key order and before anything else is touched; then all
//! balances of those that have a plan, which may limit what is held of all types (`n`):
//! sequences only grow, so their sum is the same if each is. Both find the newest that
//! is committed, not what the statement's snapshot sees. `n` asks for `a`, and `b` for
//! `n`: so they are carried out in that order. A refused batch is rolled back whole.

mod assumed;
mod columns;
mod feed;

use std::collections::BTreeSet;

use sqlx::PgConnection;

pub(super) use self::assumed::Assumed;
use self::{
    columns::{Entries, Lots, Reservations},
    feed::Feed,
};
use super::{Change, balances::Balances, expect_rows};
use crate::{clock::Timestamp, store::StoreError};

/// `news`: accounts and keys of the notices that were not known before. `assumed`: what
/// has to be true still, where nothing was locked yet. Gives the database's time; `None`
/// where there was nothing to write.
pub(super) async fn write(
    connection: &mut PgConnection,
    changes: &[Change<'_>],
    news: BTreeSet<(String, String)>,
    assumed: Option<Assumed>,
) -> Result<Option<Timestamp>, StoreError> {
    let balances = Balances::changed(changes);
    let lots = Lots::changed(changes);
    let reservations = Reservations::made(changes);
    let entries = Entries::made(changes);
    let feed = Feed::of(changes, news);
    if balances.account_ids.is_empty()
        && lots.account_ids.is_empty()
        && reservations.account_ids.is_empty()
        && entries.account_ids.is_empty()
        && feed.is_empty()
        && assumed.is_none()
    {
        return Ok(None);
    }
    let assumed = assumed.unwrap_or_default();
    let written = sqlx::query!(
        r#"
        WITH a AS MATERIALIZED (
        SELECT 1
          FROM UNNEST($64::text[]) WITH ORDINALITY AS u (account_id, i)
          JOIN accounts a
            ON a.account_id = u.account_id AND a.version = ($65::bigint[])[u.i]
         ORDER BY u.i
           FOR UPDATE OF a),
        n AS MATERIALIZED (
        SELECT b.sequence
          FROM balances b
         WHERE b.account_id = ANY ($68::text[])
           AND (SELECT count(*) FROM a) = cardinality($64::text[])
           FOR UPDATE OF b),
        b AS (
        UPDATE balances b
           SET available = ($4::bigint[])[u.i], reserved = ($5::bigint[])[u.i],
               spent = ($6::bigint[])[u.i], held_scans = ($7::bigint[])[u.i],
               sequence = ($8::bigint[])[u.i], last_entry_time = ($9::timestamptz[])[u.i],
               last_hash = substring($10::bytea FROM 32 * u.i::int - 31 FOR 32)
          FROM UNNEST($1::text[], $2::text[]) WITH ORDINALITY AS u (account_id, credit_type, i)
         WHERE b.account_id = u.account_id AND b.credit_type = u.credit_type
           AND b.sequence = ($3::bigint[])[u.i]
           AND (SELECT coalesce(sum(sequence), 0) FROM n) = $69::bigint
     RETURNING 1),
        l AS (
        UPDATE lots l
           SET remaining = ($14::bigint[])[u.i], unrecovered = ($15::bigint[])[u.i],
               is_open = ($14::bigint[])[u.i] > 0
          FROM UNNEST($11::text[]) WITH ORDINALITY AS u (account_id, i)
         WHERE l.account_id = u.account_id AND l.lot_id = ($12::uuid[])[u.i]
           AND l.remaining = ($13::bigint[])[u.i]
           AND l.unrecovered = ($70::bigint[])[u.i]
     RETURNING 1),
        r AS (
        INSERT INTO reservations (
               account_id, reservation_id, project_id, scan_kind, credit_type, state,
               release_cause, late, credits, committed_credits, sent_credits, sent_lease_micros,
               create_time, expire_time, settle_time, labels, lot_ids, lot_credits, entries)
        SELECT u.account_id, u.reservation_id, u.project_id, u.scan_kind, u.credit_type,
               ($21::smallint[])[u.i], ($22::smallint[])[u.i], ($23::boolean[])[u.i],
               ($24::bigint[])[u.i], ($25::bigint[])[u.i], ($26::bigint[])[u.i],
               ($27::bigint[])[u.i], ($28::timestamptz[])[u.i], ($29::timestamptz[])[u.i],
               ($30::timestamptz[])[u.i], u.labels,
               ($32::uuid[])[($34::int[])[u.i]:($35::int[])[u.i]],
               ($33::bigint[])[($34::int[])[u.i]:($35::int[])[u.i]],
               ($36::bigint[])[($37::int[])[u.i]:($38::int[])[u.i]]
          FROM UNNEST($16::text[], $17::text[], $18::text[], $19::text[], $20::text[],
                      $31::jsonb[])
               WITH ORDINALITY
               AS u (account_id, reservation_id, project_id, scan_kind, credit_type, labels, i)
         WHERE (SELECT count(*) FROM b) = cardinality($1::text[])),
        e AS (
        INSERT INTO ledger_entries (
               account_id, credit_type, sequence, kind, hash_version, credits, available_after,
               reserved_after, spent_after, create_time, reservation_id, reference, actor, hash,
               lot_ids, lot_credits)
        SELECT u.account_id, u.credit_type, ($41::bigint[])[u.i], ($42::smallint[])[u.i],
               ($43::smallint[])[u.i], ($44::bigint[])[u.i], ($45::bigint[])[u.i],
               ($46::bigint[])[u.i], ($47::bigint[])[u.i], ($48::timestamptz[])[u.i],
               u.reservation_id, u.reference, u.actor,
               substring($52::bytea FROM 32 * u.i::int - 31 FOR 32),
               ($53::uuid[])[($55::int[])[u.i]:($56::int[])[u.i]],
               ($54::bigint[])[($55::int[])[u.i]:($56::int[])[u.i]]
          FROM UNNEST($39::text[], $40::text[], $49::text[], $50::text[], $51::text[])
               WITH ORDINALITY
               AS u (account_id, credit_type, reservation_id, reference, actor, i)
         WHERE (SELECT count(*) FROM b) = cardinality($1::text[])),
        f AS (
        INSERT INTO feed (
               account_ids, credit_types, first_sequences, last_sequences, notice_account_ids,
               notice_keys, create_time)
        SELECT $57::text[], $58::text[], $59::bigint[], $60::bigint[], $61::text[], $62::text[],
               $63::timestamptz
         WHERE $63::timestamptz IS NOT NULL
           AND (SELECT count(*) FROM a) = cardinality($64::text[]))
        SELECT (SELECT count(*) FROM a) AS "accounts!",
               (SELECT coalesce(sum(sequence), 0)::bigint FROM n) AS "sequences!",
               (SELECT count(*) FROM b) AS "balances!", (SELECT count(*) FROM l) AS "lots!",
               (SELECT count(*)
                  FROM UNNEST($66::text[], $67::text[]) AS u (account_id, project_id)
                  JOIN projects p
                    ON p.account_id = u.account_id AND p.project_id = u.project_id)
               AS "projects!",
               coalesce((SELECT max(revision) FROM catalogs), 0) AS "revision!",
               clock_timestamp() AS "now!"
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
        &entries.lots.to,
        &feed.account_ids,
        &feed.credit_types,
        &feed.first,
        &feed.last,
        &feed.notice_account_ids,
        &feed.notice_keys,
        feed.time,
        &assumed.account_ids,
        &assumed.versions,
        &assumed.project_accounts,
        &assumed.project_ids,
        &assumed.subscribed,
        assumed.sequences,
        &lots.expected_unrecovered
    )
    .fetch_one(connection)
    .await?;
    expect_rows(written.balances, balances.account_ids.len(), "balances")?;
    expect_rows(written.lots, lots.account_ids.len(), "lots")?;
    expect_rows(written.accounts, assumed.account_ids.len(), "accounts as they were kept")?;
    expect_rows(written.projects, assumed.project_accounts.len(), "projects")?;
    if written.sequences != assumed.sequences {
        return Err(StoreError::Conflict("a balance is not as it was kept".to_owned()));
    }
    match assumed.catalog_revision {
        Some(revision) if revision != written.revision => Err(StoreError::Conflict(format!(
            "decided by catalog {revision}, by now {} holds",
            written.revision
        ))),
        _ => Ok(Some(written.now)),
    }
}
