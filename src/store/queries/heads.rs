//! The heads of all ledgers of a cell.

use crate::{
    clock::Timestamp,
    domain::head::Head,
    ids::{AccountId, CreditType},
    store::{
        Cell, Database, StoreError,
        rows::{hash, id},
    },
};

impl Database {
    /// The time, by the database's clock.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn time(&self) -> Result<Timestamp, StoreError> {
        Ok(sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#)
            .fetch_one(&mut *self.directories().acquire().await?)
            .await?)
    }
}

impl Cell {
    /// The last entry of every ledger, in one snapshot: about 150 bytes of memory
    /// each. Of the entries themselves, not of what the balances say of them.
    ///
    /// # Errors
    ///
    /// The database is away, or a row is not understood.
    pub async fn heads(&self) -> Result<Vec<Head>, StoreError> {
        let rows = sqlx::query!(
            r#"
            SELECT b.account_id, b.credit_type, e.sequence, e.hash
              FROM balances b
             CROSS JOIN LATERAL (
                   SELECT l.sequence, l.hash FROM ledger_entries l
                    WHERE l.account_id = b.account_id AND l.credit_type = b.credit_type
                    ORDER BY l.sequence DESC
                    LIMIT 1) e
            "#
        )
        .fetch_all(&mut *self.pool.acquire().await?)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Head {
                    account_id: id(&row.account_id, AccountId::new)?,
                    credit_type: id(&row.credit_type, CreditType::new)?,
                    sequence: row.sequence,
                    hash: hash(&row.hash)?,
                })
            })
            .collect()
    }
}
