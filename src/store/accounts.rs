//! Accounts: the directory that says where one lives, and its row there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::PgConnection;

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

/// An account that is to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// Its id.
    pub account_id: AccountId,
    /// For people; may be empty.
    pub display_name: String,
    /// Where notifications are mailed; empty for nowhere.
    pub billing_email: String,
}

/// An account that is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedAccount {
    /// As it is.
    pub account: Account,
    /// False where it was there before.
    pub is_new: bool,
}

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

    /// Creates an account in `preferred`, unless it exists, and returns what is
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
        let account = NewAccount {
            account_id: account_id.clone(),
            display_name: display_name.to_owned(),
            billing_email: billing_email.to_owned(),
        };
        let there = self.create_accounts(cells, &[(account, preferred.cell_id)]).await?.pop();
        let there = there.map(|created| created.account);
        there.ok_or_else(|| StoreError::Corrupt(format!("account {account_id} has no row")))
    }

    /// Creates accounts in the cells that they come with, those that do not
    /// exist, and returns what is there, by id: the caller compares. All in one
    /// transaction.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn create_accounts(
        &self,
        cells: &[Cell],
        accounts: &[(NewAccount, CellId)],
    ) -> Result<Vec<CreatedAccount>, StoreError> {
        // Whoever else creates some of them does so in the same order: one waits
        // for the other, and never both.
        let mut accounts: Vec<&(NewAccount, CellId)> = accounts.iter().collect();
        accounts.sort_by(|(a, _), (b, _)| a.account_id.cmp(&b.account_id));
        let keys: Vec<String> =
            accounts.iter().map(|(account, _)| account.account_id.to_string()).collect();
        let preferred: Vec<CellId> = accounts.iter().map(|(_, cell_id)| *cell_id).collect();
        let mut transaction = self.directories().begin().await?;
        sqlx::query!(
            r#"
            INSERT INTO public.account_directory (account_id, cell_id)
            SELECT * FROM UNNEST($1::text[], $2::smallint[])
                ON CONFLICT ON CONSTRAINT account_directory_pkey DO NOTHING
            "#,
            &keys,
            &preferred
        )
        .execute(&mut *transaction)
        .await?;
        let homes = homes(&mut transaction, &keys).await?;
        if let Some(lost) = homes.values().find(|id| cells.iter().all(|cell| cell.cell_id != **id))
        {
            transaction.rollback().await?;
            return Err(StoreError::SchemaNotReady(format!("there is no cell {lost}")));
        }
        let mut there = Vec::with_capacity(keys.len());
        for cell in cells {
            let here: Vec<&NewAccount> = accounts
                .iter()
                .map(|(account, _)| account)
                .filter(|account| homes.get(account.account_id.as_str()) == Some(&cell.cell_id))
                .collect();
            if !here.is_empty() {
                enter(&mut transaction, &cell.schema_name).await?;
                there.extend(create_here(&mut transaction, &here).await?);
            }
        }
        transaction.commit().await?;
        there.sort_by(|a, b| a.account.account_id.cmp(&b.account.account_id));
        Ok(there)
    }

    /// Which cells these accounts live in; unknown ones are left out.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn cells_of(
        &self,
        account_ids: &[AccountId],
    ) -> Result<HashMap<String, CellId>, StoreError> {
        let keys: Vec<String> = account_ids.iter().map(ToString::to_string).collect();
        homes(&mut *self.directories().acquire().await?, &keys).await
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

/// The cells of these accounts, by id.
pub(super) async fn homes(
    connection: &mut PgConnection,
    keys: &[String],
) -> Result<HashMap<String, CellId>, StoreError> {
    let rows = sqlx::query!(
        "SELECT account_id, cell_id FROM public.account_directory WHERE account_id = ANY ($1::text[])",
        keys
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.account_id, row.cell_id)).collect())
}

/// Creates accounts in the cell that the transaction is turned to.
async fn create_here(
    connection: &mut PgConnection,
    accounts: &[&NewAccount],
) -> Result<Vec<CreatedAccount>, StoreError> {
    let keys: Vec<String> = accounts.iter().map(|a| a.account_id.to_string()).collect();
    let names: Vec<String> = accounts.iter().map(|a| a.display_name.clone()).collect();
    let emails: Vec<String> = accounts.iter().map(|a| a.billing_email.clone()).collect();
    // Waits for a concurrent creation of the same account.
    let created: BTreeSet<String> = sqlx::query_scalar!(
        r#"
        INSERT INTO accounts (account_id, version, held_scans, subscriptions, suspended,
                              suspension_reason, display_name, billing_email, create_time)
        SELECT account_id, 1, 0, 0, false, '', display_name, billing_email, clock_timestamp()
          FROM UNNEST($1::text[], $2::text[], $3::text[])
               AS u (account_id, display_name, billing_email)
            ON CONFLICT ON CONSTRAINT accounts_pkey DO NOTHING
        RETURNING account_id
        "#,
        &keys,
        &names,
        &emails
    )
    .fetch_all(&mut *connection)
    .await?
    .into_iter()
    .collect();
    let there = look(connection, &keys).await?;
    if there.len() != keys.len() {
        let (found, wanted) = (there.len(), keys.len());
        return Err(StoreError::Corrupt(format!("{found} of {wanted} accounts have a row")));
    }
    Ok(there
        .into_iter()
        .map(|account| {
            let is_new = created.contains(account.account_id.as_str());
            CreatedAccount { account, is_new }
        })
        .collect())
}
