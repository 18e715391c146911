//! An account's top-ups, the newest first.

use crate::{
    clock::Timestamp,
    domain::payment::TopUp,
    ids::{AccountId, OperationId},
    store::{Cell, StoreError, rows::TopUpRow},
};

/// Where a top-up stands in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopUpKey {
    /// When it was opened.
    pub create_time: Timestamp,
    /// Its id.
    pub top_up_id: OperationId,
}

/// Which top-ups.
#[derive(Debug, Clone)]
pub struct TopUpQuery {
    /// The account.
    pub account_id: AccountId,
    /// Only those after this one, in the list's order.
    pub after: Option<TopUpKey>,
    /// At most so many.
    pub limit: i64,
}

impl Cell {
    /// A page of top-ups.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn top_ups(&self, query: &TopUpQuery) -> Result<Vec<TopUp>, StoreError> {
        let after = query.after.as_ref();
        let rows = sqlx::query_as!(
            TopUpRow,
            r#"
            SELECT account_id, top_up_id, credit_type, credits, price_minor, currency, status,
                   provider, provider_reference, reason, create_time, expire_time, settle_time
              FROM top_ups
             WHERE account_id COLLATE "ucs_basic" = $1
               AND ($2::timestamptz IS NULL
                    OR (create_time, top_up_id) < ($2, $3::text COLLATE "C"))
             ORDER BY create_time DESC, top_up_id DESC
             LIMIT $4
            "#,
            query.account_id.as_str(),
            after.map(|key| key.create_time),
            after.map(|key| key.top_up_id.as_str()),
            query.limit
        )
        .fetch_all(&mut *self.pool.acquire().await?)
        .await?;
        rows.into_iter().map(TopUpRow::decode).collect()
    }
}
