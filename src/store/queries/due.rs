//! What a worker has to do: holds whose lease has run out, payments that are no
//! longer waited for, and accounts with something due that nobody calls for.
//!
//! All are read page by page, each page after the last row of the one before:
//! what cannot be settled just now stands in nobody's way.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    ids::{AccountId, OperationId, ReservationId},
    store::{Cell, StoreError, rows::id},
};

/// A hold whose lease had run out when it was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredHold {
    /// When its lease ended.
    pub expire_time: Timestamp,
    /// The account.
    pub account_id: AccountId,
    /// The reservation.
    pub reservation_id: ReservationId,
}

/// A top-up whose payment was waited for long enough when it was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredTopUp {
    /// Until when it was waited for.
    pub expire_time: Timestamp,
    /// The account.
    pub account_id: AccountId,
    /// The top-up.
    pub top_up_id: OperationId,
}

/// An account on which something was due when it was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueAccount {
    /// Since when.
    pub due_time: Timestamp,
    /// The account.
    pub account_id: AccountId,
}

impl Cell {
    /// Up to `limit` holds whose lease has run out, the oldest first, those
    /// after `after`. Locks nothing: what is decided about them is decided on
    /// the write path.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn expired_holds(
        &self,
        now: Option<Timestamp>,
        after: Option<&ExpiredHold>,
        limit: i64,
    ) -> Result<Vec<ExpiredHold>, StoreError> {
        let rows = sqlx::query!(
            r#"
            SELECT expire_time, account_id, reservation_id FROM reservations
             WHERE state = 1 AND expire_time <= coalesce($1::timestamptz, now())
               AND expire_time >= coalesce($2::timestamptz, '-infinity')
               AND ($2::timestamptz IS NULL OR (expire_time, account_id, reservation_id)
                                               > ($2, $3::text COLLATE "C", $4::text COLLATE "C"))
             ORDER BY expire_time, account_id, reservation_id LIMIT $5
            "#,
            now,
            after.map(|hold| hold.expire_time),
            after.map(|hold| hold.account_id.as_str()),
            after.map(|hold| hold.reservation_id.as_str()),
            limit
        )
        .fetch_all(&mut *self.pool.acquire().await?)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(ExpiredHold {
                    expire_time: row.expire_time,
                    account_id: id(&row.account_id, AccountId::new)?,
                    reservation_id: id(&row.reservation_id, ReservationId::new)?,
                })
            })
            .collect()
    }

    /// How many holds there are, and since when the lease of the oldest has run out.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn holds(&self, now: Option<Timestamp>) -> Result<(u64, Duration), StoreError> {
        let row = sqlx::query!(
            r#"
            SELECT count(*) AS "held!",
                   coalesce(extract(epoch FROM coalesce($1::timestamptz, now())
                                               - min(expire_time)), 0)::float8 AS "overdue!"
              FROM reservations WHERE state = 1
            "#,
            now
        )
        .fetch_one(&mut *self.pool.acquire().await?)
        .await?;
        let overdue = Duration::try_from_secs_f64(row.overdue).unwrap_or_default();
        Ok((u64::try_from(row.held).unwrap_or_default(), overdue))
    }

    /// Up to `limit` top-ups whose payment is no longer waited for, the oldest
    /// first, those after `after`.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn expired_top_ups(
        &self,
        now: Option<Timestamp>,
        after: Option<&ExpiredTopUp>,
        limit: i64,
    ) -> Result<Vec<ExpiredTopUp>, StoreError> {
        let rows = sqlx::query!(
            r#"
            SELECT expire_time, account_id, top_up_id FROM top_ups
             WHERE settle_time IS NULL AND expire_time <= coalesce($1::timestamptz, now())
               AND expire_time >= coalesce($2::timestamptz, '-infinity')
               AND ($2::timestamptz IS NULL OR (expire_time, account_id, top_up_id)
                                               > ($2, $3::text COLLATE "C", $4::text COLLATE "C"))
             ORDER BY expire_time, account_id, top_up_id LIMIT $5
            "#,
            now,
            after.map(|top_up| top_up.expire_time),
            after.map(|top_up| top_up.account_id.as_str()),
            after.map(|top_up| top_up.top_up_id.as_str()),
            limit
        )
        .fetch_all(&mut *self.pool.acquire().await?)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(ExpiredTopUp {
                    expire_time: row.expire_time,
                    account_id: id(&row.account_id, AccountId::new)?,
                    top_up_id: id(&row.top_up_id, OperationId::new)?,
                })
            })
            .collect()
    }

    /// Up to `limit` accounts with a lot that has expired, or a subscription
    /// that has ended or that this service has to renew, and was not settled
    /// yet: the oldest first, those after `after`. An account may come more than
    /// once.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn due_accounts(
        &self,
        now: Option<Timestamp>,
        after: Option<&DueAccount>,
        limit: i64,
    ) -> Result<Vec<DueAccount>, StoreError> {
        let rows = sqlx::query!(
            r#"
            SELECT d.due_time AS "due_time!", d.account_id AS "account_id!" FROM (
            (SELECT DISTINCT expire_time AS due_time, account_id FROM lots
              WHERE is_open AND expire_time IS NOT NULL AND expire_time <= coalesce($1::timestamptz, now())
                AND expire_time >= coalesce($2::timestamptz, '-infinity')
                AND ($2::timestamptz IS NULL
                     OR (expire_time, account_id) > ($2::timestamptz, $3::text COLLATE "C"))
              ORDER BY expire_time, account_id LIMIT $4)
             UNION
            (SELECT DISTINCT period_end_time, account_id FROM subscriptions
              WHERE status <> 5 AND period_end_time <= coalesce($1::timestamptz, now())
                AND (cancel_at_period_end OR (status IN (1, 2) AND provider = 'manual'))
                AND period_end_time >= coalesce($2::timestamptz, '-infinity')
                AND ($2::timestamptz IS NULL
                     OR (period_end_time, account_id) > ($2::timestamptz, $3::text COLLATE "C"))
              ORDER BY period_end_time, account_id LIMIT $4)) d
             ORDER BY d.due_time, d.account_id LIMIT $4
            "#,
            now,
            after.map(|due| due.due_time),
            after.map(|due| due.account_id.as_str()),
            limit
        )
        .fetch_all(&mut *self.pool.acquire().await?)
        .await?;
        rows.into_iter()
            .map(|row| {
                let account_id = id(&row.account_id, AccountId::new)?;
                Ok(DueAccount { due_time: row.due_time, account_id })
            })
            .collect()
    }
}
