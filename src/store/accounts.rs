//! Accounts: the directory that says where one lives, and its row there.

use std::collections::BTreeMap;

use sqlx::types::Json;

use super::{
    Cell, CellId, Database, StoreError,
    batch::look,
    connect::enter,
    rows::{SubscriptionRow, id},
};
use crate::{
    domain::{
        account::Account,
        subscription::{SentSubscription, Subscription},
    },
    ids::AccountId,
};

/// An account as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountDetails {
    /// The row.
    pub account: Account,
    /// Its subscriptions, ended ones too, the newest first.
    pub subscriptions: Vec<Subscription>,
}

impl Database {
    /// The cell of an account; `None` where there is no such account.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn cell_of(&self, account_id: &AccountId) -> Result<Option<CellId>, StoreError> {
        Ok(sqlx::query_scalar!(
            "SELECT cell_id FROM public.account_directory WHERE account_id = $1",
            account_id.as_str()
        )
        .fetch_optional(&mut *self.directories().acquire().await?)
        .await?)
    }

    /// Creates an account in `cell`, unless it exists, and returns what is
    /// there: the caller compares.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn create_account(
        &self,
        cells: &[Cell],
        preferred: &Cell,
        account_id: &AccountId,
        display_name: &str,
        billing_email: &str,
    ) -> Result<Account, StoreError> {
        let mut transaction = self.directories().begin().await?;
        // Waits for a concurrent creation of the same account.
        sqlx::query!(
            r#"
            INSERT INTO public.account_directory (account_id, cell_id) VALUES ($1, $2)
                ON CONFLICT ON CONSTRAINT account_directory_pkey DO NOTHING
            "#,
            account_id.as_str(),
            preferred.cell_id
        )
        .execute(&mut *transaction)
        .await?;
        let cell_id = sqlx::query_scalar!(
            "SELECT cell_id FROM public.account_directory WHERE account_id = $1",
            account_id.as_str()
        )
        .fetch_one(&mut *transaction)
        .await?;
        let cell = cells
            .iter()
            .find(|cell| cell.cell_id == cell_id)
            .ok_or_else(|| StoreError::SchemaNotReady(format!("there is no cell {cell_id}")))?;
        enter(&mut transaction, &cell.schema_name).await?;
        sqlx::query!(
            r#"
            INSERT INTO accounts (account_id, version, held_scans, subscriptions, suspended,
                                  suspension_reason, display_name, billing_email, create_time)
            VALUES ($1, 1, 0, 0, false, '', $2, $3, clock_timestamp())
                ON CONFLICT ON CONSTRAINT accounts_pkey DO NOTHING
            "#,
            account_id.as_str(),
            display_name,
            billing_email
        )
        .execute(&mut *transaction)
        .await?;
        let account = look(&mut transaction, &[account_id.to_string()]).await?.pop();
        transaction.commit().await?;
        account.ok_or_else(|| StoreError::Corrupt(format!("account {account_id} has no row")))
    }

    /// Account ids after `after`, in their order, at most `limit`, each with
    /// its cell.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn account_ids(
        &self,
        after: Option<&AccountId>,
        limit: i64,
    ) -> Result<Vec<(AccountId, CellId)>, StoreError> {
        let rows = sqlx::query!(
            r#"
            SELECT account_id, cell_id FROM public.account_directory
             WHERE account_id > $1 ORDER BY account_id LIMIT $2
            "#,
            after.map_or("", AccountId::as_str),
            limit
        )
        .fetch_all(&mut *self.directories().acquire().await?)
        .await?;
        rows.into_iter()
            .map(|row| Ok((id(&row.account_id, AccountId::new)?, row.cell_id)))
            .collect()
    }

    /// Ties a provider's customer to an account; gives the account that had it.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn link_provider(
        &self,
        provider: &str,
        customer_id: &str,
        account_id: &AccountId,
    ) -> Result<Option<String>, StoreError> {
        let mut transaction = self.directories().begin().await?;
        sqlx::query!(
            r#"
            INSERT INTO public.provider_directory (provider, customer_id, account_id)
            VALUES ($1, $2, $3)
                ON CONFLICT ON CONSTRAINT provider_directory_pkey DO NOTHING
            "#,
            provider,
            customer_id,
            account_id.as_str()
        )
        .execute(&mut *transaction)
        .await?;
        let previous = sqlx::query_scalar!(
            r#"
            SELECT account_id FROM public.provider_directory
             WHERE provider = $1 AND customer_id = $2 FOR UPDATE
            "#,
            provider,
            customer_id
        )
        .fetch_one(&mut *transaction)
        .await?;
        if previous == account_id.as_str() {
            transaction.commit().await?;
            return Ok(None);
        }
        sqlx::query!(
            r#"
            UPDATE public.provider_directory SET account_id = $3
             WHERE provider = $1 AND customer_id = $2
            "#,
            provider,
            customer_id,
            account_id.as_str()
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Some(previous))
    }
}

impl Cell {
    /// These accounts with their subscriptions, by id; unknown ones are left
    /// out.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn accounts(
        &self,
        account_ids: &[AccountId],
    ) -> Result<Vec<AccountDetails>, StoreError> {
        let keys: Vec<String> = account_ids.iter().map(ToString::to_string).collect();
        let mut connection = self.pool.acquire().await?;
        let accounts = look(&mut connection, &keys).await?;
        let mut subscriptions: BTreeMap<String, Vec<Subscription>> = BTreeMap::new();
        let found = sqlx::query_as!(
            SubscriptionRow,
            r#"
            SELECT account_id, subscription_id, plan, status, billing_interval, provider,
                   anchor_time, period_start_time, period_end_time, cancel_at_period_end,
                   create_time, end_time, sent AS "sent: Json<SentSubscription>", provider_time
              FROM subscriptions WHERE account_id = ANY ($1::text[])
             ORDER BY account_id, create_time DESC, subscription_id
            "#,
            &keys
        )
        .fetch_all(&mut *connection)
        .await?;
        for row in found {
            subscriptions.entry(row.account_id.clone()).or_default().push(row.decode()?);
        }
        Ok(accounts
            .into_iter()
            .map(|account| {
                let subscriptions =
                    subscriptions.remove(account.account_id.as_str()).unwrap_or_default();
                AccountDetails { account, subscriptions }
            })
            .collect())
    }
}
