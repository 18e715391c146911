//! The ledger of an account, the newest entry first.

use crate::{
    clock::Timestamp,
    domain::entry::Entry,
    ids::{AccountId, CreditType, ReservationId},
    store::{Cell, StoreError, rows::EntryRow},
};

/// Which entries.
#[derive(Debug, Clone)]
pub struct EntryQuery {
    /// The account.
    pub account_id: AccountId,
    /// One type, or all.
    pub credit_type: Option<CreditType>,
    /// Only those older than this one: (when, type, sequence).
    pub before: Option<(Timestamp, CreditType, i64)>,
    /// At most so many.
    pub limit: i64,
}

impl Cell {
    /// A page of the ledger. Each type's entries come from the end of its own
    /// key, where time and sequence agree, and are merged by time. A later page
    /// begins where the one before ended: by the key for that entry's type, by
    /// the time for others.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn entries(&self, query: &EntryQuery) -> Result<Vec<Entry>, StoreError> {
        let (time, credit_type, sequence) = match &query.before {
            Some((time, credit_type, sequence)) => {
                (Some(*time), Some(credit_type.as_str()), Some(*sequence))
            }
            None => (None, None, None),
        };
        let rows = sqlx::query_as!(
            EntryRow,
            r#"
            SELECT e.credit_type, e.sequence, e.kind, e.hash_version, e.credits,
                   e.available_after, e.reserved_after, e.spent_after, e.create_time,
                   e.reservation_id, e.reference, e.actor, e.hash, e.lot_ids, e.lot_credits
              FROM balances b
             CROSS JOIN LATERAL (
                   SELECT * FROM ledger_entries e
                    WHERE e.account_id = b.account_id AND e.credit_type = b.credit_type
                      AND e.sequence < CASE WHEN b.credit_type = $4 THEN $5
                                            ELSE 9223372036854775807 END
                      AND ($3::timestamptz IS NULL OR e.create_time <= $3)
                      AND ($4::text IS NULL OR (e.create_time, e.credit_type, e.sequence)
                                               < ($3, $4 COLLATE "C", $5))
                    ORDER BY e.sequence DESC LIMIT $6) e
             WHERE b.account_id = $1 AND ($2::text IS NULL OR b.credit_type = $2)
             ORDER BY e.create_time DESC, e.credit_type DESC, e.sequence DESC
             LIMIT $6
            "#,
            query.account_id.as_str(),
            query.credit_type.as_ref().map(CreditType::as_str),
            time,
            credit_type,
            sequence,
            query.limit
        )
        .fetch_all(&mut *self.pool.acquire().await?)
        .await?;
        rows.into_iter().map(EntryRow::decode).collect()
    }

    /// All entries of one reservation, the newest first: the reservation knows
    /// their sequences, so no index of the ledger has to.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn entries_of(
        &self,
        account_id: &AccountId,
        reservation_id: &ReservationId,
    ) -> Result<Vec<Entry>, StoreError> {
        let rows = sqlx::query_as!(
            EntryRow,
            r#"
            SELECT e.credit_type, e.sequence, e.kind, e.hash_version, e.credits,
                   e.available_after, e.reserved_after, e.spent_after, e.create_time,
                   e.reservation_id, e.reference, e.actor, e.hash, e.lot_ids, e.lot_credits
              FROM reservations r
             CROSS JOIN UNNEST(r.entries) AS k (sequence)
             CROSS JOIN LATERAL (
                   SELECT * FROM ledger_entries e
                    WHERE e.account_id = r.account_id AND e.credit_type = r.credit_type
                      AND e.sequence = k.sequence
                    LIMIT 1) e
             WHERE r.account_id = $1 AND r.reservation_id = $2
             ORDER BY e.sequence DESC
            "#,
            account_id.as_str(),
            reservation_id.as_str()
        )
        .fetch_all(&mut *self.pool.acquire().await?)
        .await?;
        rows.into_iter().map(EntryRow::decode).collect()
    }
}
