//! What nearly every batch reads: the time, the catalog's revision, balances, open
//! lots and named reservations. One statement, as a lone caller waits for each; a
//! row of its answer is one of three kinds.

use std::collections::BTreeMap;

use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{Named, States, keys, of_known, state};
use crate::{
    clock::Timestamp,
    domain::{
        credit::{Balance, Lot},
        reservation::Reservation,
    },
    ids::CreditType,
    store::{
        StoreError,
        rows::{BalanceRow, LotRow, ReservationRow},
    },
};

/// A row of `balances`, `lots` or `reservations`. A lot has `lot_id`, a reservation
/// `reservation_id`, a balance neither; where nothing was found, the account is
/// missing too. Columns that several tables have are shared.
struct Row {
    now: Timestamp,
    revision: i64,
    account_id: Option<String>,
    credit_type: Option<String>,
    credits: Option<i64>,
    create_time: Option<Timestamp>,
    expire_time: Option<Timestamp>,
    available: Option<i64>,
    reserved: Option<i64>,
    spent: Option<i64>,
    held_scans: Option<i64>,
    sequence: Option<i64>,
    last_entry_time: Option<Timestamp>,
    last_hash: Option<Vec<u8>>,
    lot_id: Option<Uuid>,
    source: Option<i16>,
    remaining: Option<i64>,
    unrecovered: Option<i64>,
    reference: Option<String>,
    origin_lot_id: Option<Uuid>,
    reservation_id: Option<String>,
    project_id: Option<String>,
    scan_kind: Option<String>,
    state: Option<i16>,
    release_cause: Option<i16>,
    late: Option<bool>,
    committed_credits: Option<i64>,
    sent_credits: Option<i64>,
    sent_lease_micros: Option<i64>,
    settle_time: Option<Timestamp>,
    labels: Option<Json<BTreeMap<String, String>>>,
    lot_ids: Option<Vec<Uuid>>,
    lot_credits: Option<Vec<i64>>,
    entries: Option<Vec<i64>>,
}

/// What a [`Row`] is.
enum Found {
    Balance(CreditType, Balance),
    Lot(Lot),
    Reservation(Reservation),
}

impl Row {
    fn decode(mut self) -> Result<Option<(String, Found)>, StoreError> {
        let Some(account_id) = self.account_id.clone() else { return Ok(None) };
        let incomplete = || StoreError::Corrupt(format!("credits of account {account_id}"));
        let found = if let Some(lot_id) = self.lot_id {
            Found::Lot(self.lot(lot_id).ok_or_else(incomplete)?.decode()?)
        } else if let Some(reservation_id) = self.reservation_id.take() {
            let row = self.reservation(reservation_id).ok_or_else(incomplete)?;
            Found::Reservation(row.decode()?)
        } else {
            let (credit_type, balance) = self.balance().ok_or_else(incomplete)?.decode()?;
            Found::Balance(credit_type, balance)
        };
        Ok(Some((account_id, found)))
    }

    fn balance(self) -> Option<BalanceRow> {
        Some(BalanceRow {
            credit_type: self.credit_type?,
            available: self.available?,
            reserved: self.reserved?,
            spent: self.spent?,
            held_scans: self.held_scans?,
            sequence: self.sequence?,
            last_entry_time: self.last_entry_time?,
            last_hash: self.last_hash?,
        })
    }

    fn lot(self, lot_id: Uuid) -> Option<LotRow> {
        Some(LotRow {
            account_id: self.account_id?,
            lot_id,
            credit_type: self.credit_type?,
            source: self.source?,
            credits: self.credits?,
            remaining: self.remaining?,
            unrecovered: self.unrecovered?,
            expire_time: self.expire_time,
            create_time: self.create_time?,
            reference: self.reference?,
            origin_lot_id: self.origin_lot_id,
        })
    }

    fn reservation(self, reservation_id: String) -> Option<ReservationRow> {
        Some(ReservationRow {
            account_id: self.account_id?,
            reservation_id,
            project_id: self.project_id,
            scan_kind: self.scan_kind?,
            credit_type: self.credit_type,
            state: self.state?,
            release_cause: self.release_cause,
            late: self.late?,
            credits: self.credits?,
            committed_credits: self.committed_credits?,
            sent_credits: self.sent_credits?,
            sent_lease_micros: self.sent_lease_micros,
            create_time: self.create_time?,
            expire_time: self.expire_time?,
            settle_time: self.settle_time,
            labels: self.labels,
            lot_ids: self.lot_ids?,
            lot_credits: self.lot_credits?,
            entries: self.entries?,
        })
    }
}

/// Reads them into the states; gives the time and the catalog's revision.
pub(super) async fn read(
    connection: &mut PgConnection,
    named: &Named,
    accounts: &mut States,
) -> Result<(Timestamp, i64), StoreError> {
    let (of_accounts, reservation_ids): (Vec<String>, Vec<String>) =
        of_known(&named.reservations, accounts)
            .map(|(account, reservation)| (account.to_string(), reservation.to_string()))
            .unzip();
    let rows = sqlx::query_as!(
        Row,
        r#"
        SELECT h.now AS "now!", h.revision AS "revision!", c.account_id, c.credit_type, c.credits,
               c.create_time, c.expire_time, c.available, c.reserved, c.spent, c.held_scans,
               c.sequence, c.last_entry_time, c.last_hash, c.lot_id, c.source, c.remaining,
               c.unrecovered, c.reference, c.origin_lot_id, c.reservation_id, c.project_id, c.scan_kind, c.state,
               c.release_cause, c.late, c.committed_credits, c.sent_credits, c.sent_lease_micros,
               c.settle_time, c.labels AS "labels: Json<BTreeMap<String, String>>",
               c.lot_ids, c.lot_credits, c.entries
          FROM (SELECT clock_timestamp() AS now,
                       coalesce((SELECT max(revision) FROM catalogs), 0) AS revision) h
          LEFT JOIN (
               SELECT b.account_id, b.credit_type, NULL::bigint AS credits,
                      NULL::timestamptz AS create_time, NULL::timestamptz AS expire_time,
                      b.available, b.reserved, b.spent, b.held_scans, b.sequence,
                      b.last_entry_time, b.last_hash, NULL::uuid AS lot_id,
                      NULL::smallint AS source, NULL::bigint AS remaining,
                      NULL::bigint AS unrecovered, NULL::text AS reference,
                      NULL::uuid AS origin_lot_id,
                      NULL::text AS reservation_id, NULL::text AS project_id,
                      NULL::text AS scan_kind, NULL::smallint AS state,
                      NULL::smallint AS release_cause, NULL::boolean AS late,
                      NULL::bigint AS committed_credits, NULL::bigint AS sent_credits,
                      NULL::bigint AS sent_lease_micros, NULL::timestamptz AS settle_time,
                      NULL::jsonb AS labels, NULL::uuid[] AS lot_ids,
                      NULL::bigint[] AS lot_credits, NULL::bigint[] AS entries
                 FROM UNNEST($1::text[]) AS k (account_id)
                CROSS JOIN LATERAL (
                      SELECT * FROM balances b WHERE b.account_id = k.account_id LIMIT 1000) b
                UNION ALL
               SELECT l.account_id, l.credit_type, l.credits, l.create_time, l.expire_time,
                      NULL, NULL, NULL, NULL, NULL, NULL, NULL, l.lot_id, l.source, l.remaining,
                      l.unrecovered, l.reference, l.origin_lot_id,
                      NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                      NULL
                 FROM UNNEST($1::text[]) AS k (account_id)
                CROSS JOIN LATERAL (
                      SELECT * FROM lots l
                       WHERE l.account_id COLLATE "POSIX" = k.account_id AND l.is_open
                       LIMIT 1000000) l
                UNION ALL
               SELECT r.account_id, r.credit_type, r.credits, r.create_time, r.expire_time,
                      NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                      r.reservation_id, r.project_id, r.scan_kind, r.state, r.release_cause,
                      r.late, r.committed_credits, r.sent_credits, r.sent_lease_micros,
                      r.settle_time, r.labels, r.lot_ids, r.lot_credits, r.entries
                 FROM UNNEST($2::text[], $3::text[]) AS k (account_id, reservation_id)
                CROSS JOIN LATERAL (
                      SELECT * FROM reservations r
                       WHERE r.account_id = k.account_id AND r.reservation_id = k.reservation_id
                       LIMIT 1) r
               ) c ON true
        "#,
        &keys(accounts),
        &of_accounts,
        &reservation_ids
    )
    .fetch_all(connection)
    .await?;
    let mut head = None;
    for row in rows {
        head = Some((row.now, row.revision));
        let Some((account_id, found)) = row.decode()? else { continue };
        let state = state(accounts, &account_id)?;
        match found {
            Found::Balance(credit_type, balance) => {
                state.balances.insert(credit_type, balance);
            }
            Found::Lot(lot) => {
                state.lots.insert(lot.lot_id, lot);
            }
            Found::Reservation(reservation) => {
                state.reservations.insert(reservation.reservation_id.clone(), reservation);
            }
        }
    }
    head.ok_or_else(|| StoreError::Corrupt("no clock".to_owned()))
}
