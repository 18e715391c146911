//! Reservations: one, an account's, or all that are held.

use std::collections::BTreeMap;

use sqlx::types::Json;

use crate::{
    clock::Timestamp,
    domain::reservation::{Reservation, ReservationState},
    ids::{AccountId, ReservationId},
    store::{
        Cell, StoreError,
        rows::{ReservationRow, id},
    },
};

/// Where a reservation stands in a list: its creation for an account's list,
/// its lease's end for the list of all that are held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservationKey {
    /// The time that the list is ordered by.
    pub time: Timestamp,
    /// The account.
    pub account_id: AccountId,
    /// The reservation.
    pub reservation_id: ReservationId,
}

/// Which reservations.
#[derive(Debug, Clone)]
pub struct ReservationQuery {
    /// One account's, the newest first; or, `None`, all that are held, the
    /// earliest lease first.
    pub account_id: Option<AccountId>,
    /// Only those in this state.
    pub state: Option<ReservationState>,
    /// Only those whose lease ends before this time.
    pub expire_before: Option<Timestamp>,
    /// Only those after this one, in the list's order.
    pub after: Option<ReservationKey>,
    /// At most so many.
    pub limit: i64,
}

/// A reservation with the account that pays.
pub(crate) type Owned = (AccountId, Reservation);

fn decode(rows: Vec<ReservationRow>) -> Result<Vec<Owned>, StoreError> {
    rows.into_iter().map(|row| Ok((id(&row.account_id, AccountId::new)?, row.decode()?))).collect()
}

impl Cell {
    /// One reservation.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn reservation(
        &self,
        account_id: &AccountId,
        reservation_id: &ReservationId,
    ) -> Result<Option<Reservation>, StoreError> {
        let row = sqlx::query_as!(
            ReservationRow,
            r#"
            SELECT account_id, reservation_id, project_id, scan_kind, credit_type, state,
                   release_cause, late, credits, committed_credits, sent_credits,
                   sent_lease_micros, create_time, expire_time, settle_time,
                   labels AS "labels: Json<BTreeMap<String, String>>", lot_ids, lot_credits, entries
              FROM reservations WHERE account_id = $1 AND reservation_id = $2
            "#,
            account_id.as_str(),
            reservation_id.as_str()
        )
        .fetch_optional(&mut *self.pool.acquire().await?)
        .await?;
        row.map(ReservationRow::decode).transpose()
    }

    /// A page of reservations.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn reservations(&self, query: &ReservationQuery) -> Result<Vec<Owned>, StoreError> {
        match &query.account_id {
            Some(account_id) => self.reservations_of(account_id, query).await,
            None => self.held_reservations(query).await,
        }
    }

    /// Those that were settled, and those that are held: each has an index of its own.
    async fn reservations_of(
        &self,
        account_id: &AccountId,
        query: &ReservationQuery,
    ) -> Result<Vec<Owned>, StoreError> {
        let after = query.after.as_ref();
        let rows = sqlx::query_as!(
            ReservationRow,
            r#"
            SELECT account_id AS "account_id!", reservation_id AS "reservation_id!", project_id,
                   scan_kind AS "scan_kind!", credit_type, state AS "state!", release_cause,
                   late AS "late!", credits AS "credits!",
                   committed_credits AS "committed_credits!", sent_credits AS "sent_credits!",
                   sent_lease_micros, create_time AS "create_time!", expire_time AS "expire_time!",
                   settle_time, labels AS "labels: Json<BTreeMap<String, String>>",
                   lot_ids AS "lot_ids!", lot_credits AS "lot_credits!", entries AS "entries!"
              FROM (
                   (SELECT *
                      FROM reservations
                     WHERE account_id COLLATE "ucs_basic" = $1 AND settle_time IS NOT NULL
                       AND $2::smallint IS DISTINCT FROM 1
                       AND ($2::smallint IS NULL OR state = $2)
                       AND ($3::timestamptz IS NULL OR expire_time < $3)
                       AND ($4::timestamptz IS NULL
                            OR (create_time, reservation_id) < ($4, $5::text COLLATE "C"))
                     ORDER BY create_time DESC, reservation_id DESC
                     LIMIT $6)
                    UNION ALL
                   (SELECT *
                      FROM reservations
                     WHERE account_id COLLATE "POSIX" = $1 AND settle_time IS NULL
                       AND ($2::smallint IS NULL OR $2 = 1)
                       AND ($3::timestamptz IS NULL OR expire_time < $3)
                       AND ($4::timestamptz IS NULL
                            OR (create_time, reservation_id) < ($4, $5::text COLLATE "C"))
                     ORDER BY create_time DESC, reservation_id DESC
                     LIMIT $6)) r
             ORDER BY create_time DESC, reservation_id DESC
             LIMIT $6
            "#,
            account_id.as_str(),
            query.state.map(|state| state as i16),
            query.expire_before,
            after.map(|key| key.time),
            after.map(|key| key.reservation_id.as_str()),
            query.limit
        )
        .fetch_all(&mut *self.pool.acquire().await?)
        .await?;
        decode(rows)
    }

    async fn held_reservations(&self, query: &ReservationQuery) -> Result<Vec<Owned>, StoreError> {
        let after = query.after.as_ref();
        let rows = sqlx::query_as!(
            ReservationRow,
            r#"
            SELECT account_id, reservation_id, project_id, scan_kind, credit_type, state,
                   release_cause, late, credits, committed_credits, sent_credits,
                   sent_lease_micros, create_time, expire_time, settle_time,
                   labels AS "labels: Json<BTreeMap<String, String>>", lot_ids, lot_credits, entries
              FROM reservations
             WHERE state = 1
               AND ($1::timestamptz IS NULL OR expire_time < $1)
               AND ($2::timestamptz IS NULL
                    OR (expire_time >= $2 AND (expire_time, account_id, reservation_id)
                        > ($2, $3::text COLLATE "C", $4::text COLLATE "C")))
             ORDER BY expire_time, account_id, reservation_id
             LIMIT $5
            "#,
            query.expire_before,
            after.map(|key| key.time),
            after.map(|key| key.account_id.as_str()),
            after.map(|key| key.reservation_id.as_str()),
            query.limit
        )
        .fetch_all(&mut *self.pool.acquire().await?)
        .await?;
        decode(rows)
    }
}
