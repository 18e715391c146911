//! An account's lots, in the order in which they will be spent.

use uuid::Uuid;

use crate::{
    clock::Timestamp,
    domain::credit::Lot,
    ids::{AccountId, CreditType, LotId},
    store::{Cell, StoreError, rows::LotRow},
};

/// Where a lot stands in burn order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LotKey {
    /// When it expires.
    pub expire_time: Option<Timestamp>,
    /// When it was granted.
    pub create_time: Timestamp,
    /// Its id.
    pub lot_id: LotId,
}

/// Which lots.
#[derive(Debug, Clone)]
pub struct LotQuery {
    /// The account.
    pub account_id: AccountId,
    /// One type, or all.
    pub credit_type: Option<CreditType>,
    /// Those without remaining credits too.
    pub include_empty: bool,
    /// Only those after this one.
    pub after: Option<LotKey>,
    /// At most so many.
    pub limit: i64,
}

impl Cell {
    /// A page of lots.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn lots(&self, query: &LotQuery) -> Result<Vec<Lot>, StoreError> {
        let after = query.after.as_ref();
        let rows = sqlx::query_as!(
            LotRow,
            r#"
            SELECT account_id, lot_id, credit_type, source, credits, remaining, unrecovered,
                   expire_time, create_time, reference, origin_lot_id
              FROM lots
             WHERE account_id = $1
               AND ($2::text IS NULL OR credit_type = $2)
               AND (is_open OR $3)
               AND ($6::uuid IS NULL
                    OR (coalesce(expire_time, 'infinity'), create_time, lot_id)
                       > (coalesce($4::timestamptz, 'infinity'), $5::timestamptz, $6))
             ORDER BY coalesce(expire_time, 'infinity'), create_time, lot_id
             LIMIT $7
            "#,
            query.account_id.as_str(),
            query.credit_type.as_ref().map(CreditType::as_str),
            query.include_empty,
            after.and_then(|key| key.expire_time),
            after.map(|key| key.create_time),
            after.map(|key| key.lot_id.0) as Option<Uuid>,
            query.limit
        )
        .fetch_all(&mut *self.pool.acquire().await?)
        .await?;
        rows.into_iter().map(LotRow::decode).collect()
    }
}
