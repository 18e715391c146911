//! Balances, now and as they were.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::{
    clock::Timestamp,
    domain::credit::Balance,
    ids::{AccountId, CreditType},
    store::{
        Cell, StoreError,
        rows::{BalanceRow, EntryRow},
    },
};

/// All balances of an account, on any connection to its cell.
pub(super) async fn read(
    connection: &mut PgConnection,
    account_id: &AccountId,
) -> Result<BTreeMap<CreditType, Balance>, StoreError> {
    let rows = sqlx::query_as!(
        BalanceRow,
        r#"
            SELECT credit_type, available, reserved, spent, held_scans, sequence, last_entry_time,
                   last_hash
              FROM balances WHERE account_id = $1
            "#,
        account_id.as_str()
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(BalanceRow::decode).collect()
}

impl Cell {
    /// True where the account exists.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn has_account(&self, account_id: &AccountId) -> Result<bool, StoreError> {
        let row = sqlx::query!(
            "SELECT 1 AS one FROM accounts WHERE account_id = $1",
            account_id.as_str()
        )
        .fetch_optional(&mut *self.pool.acquire().await?)
        .await?;
        Ok(row.is_some())
    }

    /// All balances of an account.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn balances(
        &self,
        account_id: &AccountId,
    ) -> Result<BTreeMap<CreditType, Balance>, StoreError> {
        read(&mut *self.pool.acquire().await?, account_id).await
    }

    /// The balance as it was at `time`: that of the last entry then. Sequence
    /// and time agree, so the entry is found by halving, `head` being the
    /// newest sequence: 24 look-ups for ten million entries, and no index on
    /// the time, which every write would pay for.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn balance_as_of(
        &self,
        account_id: &AccountId,
        credit_type: &CreditType,
        head: i64,
        time: Timestamp,
    ) -> Result<Option<Balance>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let (mut low, mut high) = (0, head);
        while low < high {
            let middle = low + (high - low + 1) / 2;
            let made = sqlx::query_scalar!(
                r#"
                SELECT create_time FROM ledger_entries
                 WHERE account_id = $1 AND credit_type = $2 AND sequence = $3
                "#,
                account_id.as_str(),
                credit_type.as_str(),
                middle
            )
            .fetch_optional(&mut *connection)
            .await?;
            let made = made.ok_or_else(|| {
                StoreError::Corrupt(format!("account {account_id} lacks entry {middle}"))
            })?;
            if made <= time { low = middle } else { high = middle - 1 }
        }
        if low == 0 {
            return Ok(None);
        }
        let row = sqlx::query_as!(
            EntryRow,
            r#"
            SELECT credit_type, sequence, kind, hash_version, credits, available_after,
                   reserved_after, spent_after, create_time, reservation_id, reference, actor,
                   hash, lot_ids, lot_credits
              FROM ledger_entries
             WHERE account_id = $1 AND credit_type = $2 AND sequence = $3
            "#,
            account_id.as_str(),
            credit_type.as_str(),
            low
        )
        .fetch_optional(&mut *connection)
        .await?;
        Ok(row.map(EntryRow::decode).transpose()?.map(|entry| entry.balance_after()))
    }
}
