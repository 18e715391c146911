//! Movements: balances, lots, reservations and ledger entries, and the row of the feed
//! that tells of them, in one statement. Each part alone would be as quick to carry out;
//! but a statement is a round trip, and a lone caller waits for each.
//!
//! Rows travel as rows ([`rows`](super::rows)). An array for each column would be a tuple
//! store for each, filled and read row by row: that took PostgreSQL longer than all the
//! rest of a lone caller's statement.
//!
//! The accounts of a batch that was decided on what its lane had kept are locked and
//! compared here (`a`), in key order and before anything else is touched; then all
//! balances of those that have a plan, which may limit what is held of all types (`n`):
//! sequences only grow, so their sum is the same if each is. Both find the newest that
//! is committed, not what the statement's snapshot sees. The last SELECT asks for them in
//! that order, and then for what is updated: so everybody locks in one order. Where a guard
//! did not hold, the statement fails (`refuse`): nothing of it has happened, also where it
//! is a transaction of its own.

mod assumed;
mod feed;

use std::collections::BTreeSet;

use sqlx::PgConnection;

pub(super) use self::assumed::Assumed;
use self::feed::Feed;
use super::{
    Change,
    rows::{
        ChangedLot, ChangedReservation, KnownAccount, KnownProject, NewEntry, NewReservation,
        WrittenBalance,
    },
};
use crate::{
    clock::Timestamp,
    planted::{self, Bug},
    store::StoreError,
};

/// `news`: accounts and keys of the notices that were not known before. `assumed`: what
/// has to be true still, where nothing was locked yet. Gives the database's time; `None`
/// where there was nothing to write.
pub(super) async fn write<'c>(
    connection: &mut PgConnection,
    changes: &[Change<'c>],
    news: BTreeSet<(String, String)>,
    assumed: Option<Assumed<'c>>,
) -> Result<Option<Timestamp>, StoreError> {
    let balances = WrittenBalance::changed(changes);
    let lots = ChangedLot::of(changes);
    let changed = ChangedReservation::of(changes);
    let made = NewReservation::of(changes);
    let entries = NewEntry::of(changes);
    let feed = Feed::of(changes, news);
    if balances.is_empty()
        && lots.is_empty()
        && changed.is_empty()
        && made.is_empty()
        && entries.is_empty()
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
          FROM UNNEST($1::known_account[]) WITH ORDINALITY AS u (account_id, version, i)
          JOIN accounts a ON a.account_id = u.account_id AND a.version = u.version
         ORDER BY u.i
           FOR UPDATE OF a),
        n AS MATERIALIZED (
        SELECT b.sequence
          FROM balances b
         WHERE b.account_id = ANY ($2::text[])
           FOR UPDATE OF b),
        b AS (
        UPDATE balances b
           SET available = u.available, reserved = u.reserved, spent = u.spent,
               held_scans = u.held_scans, sequence = u.sequence,
               last_entry_time = u.last_entry_time, last_hash = u.last_hash
          FROM UNNEST($4::written_balance[]) AS u
         WHERE b.account_id = u.account_id AND b.credit_type = u.credit_type
           AND b.sequence = u.expected
     RETURNING 1),
        l AS (
        UPDATE lots l
           SET remaining = u.remaining, unrecovered = u.unrecovered, is_open = u.remaining > 0
          FROM UNNEST($5::changed_lot[]) AS u
         WHERE l.account_id = u.account_id AND l.lot_id = u.lot_id
           AND l.remaining = u.expected_remaining AND l.unrecovered = u.expected_unrecovered
     RETURNING 1),
        c AS (
        UPDATE reservations r
           SET state = u.state, release_cause = u.release_cause, late = u.late,
               committed_credits = u.committed_credits, expire_time = u.expire_time,
               settle_time = u.settle_time, lot_ids = u.lot_ids, lot_credits = u.lot_credits,
               entries = u.entries
          FROM UNNEST($6::changed_reservation[]) AS u
         WHERE r.account_id = u.account_id AND r.reservation_id = u.reservation_id
           AND r.state = u.expected_state AND r.expire_time = u.expected_expire_time
     RETURNING 1),
        r AS (
        INSERT INTO reservations (
               account_id, reservation_id, project_id, scan_kind, credit_type, state,
               release_cause, late, credits, committed_credits, sent_credits, sent_lease_micros,
               create_time, expire_time, settle_time, labels, lot_ids, lot_credits, entries)
        SELECT u.*
          FROM UNNEST($7::new_reservation[]) AS u),
        e AS (
        INSERT INTO ledger_entries (
               account_id, credit_type, sequence, kind, hash_version, credits, available_after,
               reserved_after, spent_after, create_time, reservation_id, reference, actor, hash,
               lot_ids, lot_credits)
        SELECT u.*
          FROM UNNEST($8::new_entry[]) AS u),
        f AS (
        INSERT INTO feed (
               account_ids, credit_types, first_sequences, last_sequences, notice_account_ids,
               notice_keys, create_time)
        SELECT $9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::text[], $14::text[],
               $15::timestamptz
         WHERE $15::timestamptz IS NOT NULL
           AND (SELECT count(*) FROM a) = cardinality($1::known_account[]))
        SELECT CASE
               WHEN (SELECT count(*) FROM a) <> cardinality($1::known_account[])
               THEN refuse('an account is not as it was kept')
               WHEN (SELECT coalesce(sum(sequence), 0)::bigint FROM n) <> $3::bigint
               THEN refuse('a balance is not as it was kept')
               WHEN (SELECT count(*)
                       FROM (SELECT FROM b UNION ALL SELECT FROM l UNION ALL SELECT FROM c
                             UNION ALL
                             SELECT
                               FROM UNNEST($16::known_project[]) AS u
                               JOIN projects p
                                 ON p.account_id = u.account_id AND p.project_id = u.project_id)
                            AS found)
                    <> cardinality($4::written_balance[]) + cardinality($5::changed_lot[])
                       + cardinality($6::changed_reservation[]) + cardinality($16::known_project[])
               THEN refuse('a balance, lot, reservation or project has changed')
               WHEN coalesce((SELECT max(revision) FROM catalogs), 0) <> $17::bigint
               THEN refuse('the catalog is another one')
               WHEN clock_timestamp() - $18::timestamptz
                    NOT BETWEEN - INTERVAL '1 second' AND INTERVAL '1 second'
               THEN refuse('the clock is another one')
               ELSE clock_timestamp()
               END AS "now!"
        "#,
        assumed.accounts.as_slice() as &[KnownAccount<'_>],
        &assumed.subscribed as &[&str],
        assumed.sequences,
        balances.as_slice() as &[WrittenBalance<'_>],
        lots.as_slice() as &[ChangedLot<'_>],
        changed.as_slice() as &[ChangedReservation<'_>],
        made.as_slice() as &[NewReservation<'_>],
        entries.as_slice() as &[NewEntry<'_>],
        &feed.account_ids,
        &feed.credit_types,
        &feed.first,
        &feed.last,
        &feed.notice_account_ids,
        &feed.notice_keys,
        feed.time,
        assumed.projects.as_slice() as &[KnownProject<'_>],
        assumed.catalog_revision,
        assumed.decided_at
    )
    .fetch_one(connection)
    .await
    .map_err(StoreError::from);
    match written {
        Ok(written) => Ok(Some(written.now)),
        Err(StoreError::Conflict(_)) if planted::has(Bug::NoLockNoGuard) => Ok(None),
        Err(error) => Err(error),
    }
}
