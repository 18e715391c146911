//! Accounts, and what is theirs: projects and customers of a provider.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Billing, BillingError, bulk::difference};
use crate::{
    domain::{
        account::Account,
        command::{Action, Command, Outcome},
        subscription::Subscription,
    },
    ids::{AccountId, ProjectId},
    ledger::{LedgerError, detached},
    store::{Cell, StoreError},
};

/// An account with its subscriptions, ended ones too, the newest first.
type Details = (Account, Vec<Subscription>);

impl Billing {
    /// Creates an account; the same again changes nothing.
    ///
    /// # Errors
    ///
    /// It exists with other fields, or the database is away.
    pub async fn create_account(
        &self,
        account_id: &AccountId,
        display_name: &str,
        billing_email: &str,
    ) -> Result<Details, BillingError> {
        let (database, cells) = (self.database.clone(), self.cells.clone());
        let cell = self.cell_for(account_id)?;
        let (id, name, email) =
            (account_id.clone(), display_name.to_owned(), billing_email.to_owned());
        let account =
            detached(
                async move { database.create_account(&cells, &cell, &id, &name, &email).await },
            )
            .await?;
        if let Some(field) = difference(&account, display_name, billing_email) {
            return Err(BillingError::AccountExists(account_id.clone(), field));
        }
        self.account(account_id).await
    }

    /// Where a new account goes to live: cells fill evenly.
    pub(super) fn cell_for(&self, account_id: &AccountId) -> Result<Cell, LedgerError> {
        let mut hasher = DefaultHasher::new();
        account_id.hash(&mut hasher);
        let index = hasher.finish() % self.cells.len().max(1) as u64;
        let cell = usize::try_from(index).ok().and_then(|index| self.cells.get(index));
        cell.cloned().ok_or(LedgerError::Unavailable)
    }

    /// The cell that an account lives in.
    ///
    /// # Errors
    ///
    /// It does not exist, or the database is away.
    pub(super) async fn cell_of(&self, account_id: &AccountId) -> Result<Cell, BillingError> {
        self.ledger.expect_seen(account_id)?;
        let (database, id) = (self.database.clone(), account_id.clone());
        let cell_id = detached(async move { database.cell_of(&id).await }).await?;
        let cell_id = cell_id.ok_or_else(|| BillingError::account_not_found(account_id))?;
        // In a cell that was opened after this server started: another one, or
        // this one after a restart, serves it.
        let cell = self.cells.iter().find(|cell| cell.cell_id == cell_id);
        Ok(cell.cloned().ok_or(LedgerError::Unavailable)?)
    }

    /// Reads an account.
    ///
    /// # Errors
    ///
    /// It does not exist, or the database is away.
    pub async fn account(&self, account_id: &AccountId) -> Result<Details, BillingError> {
        let (cell, id) = (self.cell_of(account_id).await?, account_id.clone());
        let found = detached(async move { Ok(cell.accounts(&[id]).await?.pop()) }).await?;
        let found = found.ok_or_else(|| BillingError::account_not_found(account_id))?;
        Ok((found.account, found.subscriptions))
    }

    /// Accounts after `after`, by id, at most `limit`.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn accounts(
        &self,
        after: Option<&AccountId>,
        limit: i64,
    ) -> Result<Vec<Details>, BillingError> {
        let (database, cells, after) = (self.database.clone(), self.cells.clone(), after.cloned());
        let mut page = detached(async move {
            let ids = database.account_ids(after.as_ref(), limit).await?;
            let mut page = Vec::with_capacity(ids.len());
            for cell in cells.iter() {
                let here: Vec<AccountId> = ids
                    .iter()
                    .filter(|(_, cell_id)| *cell_id == cell.cell_id)
                    .map(|(account_id, _)| account_id.clone())
                    .collect();
                page.extend(cell.accounts(&here).await?);
            }
            Ok::<_, StoreError>(page)
        })
        .await?;
        page.sort_by(|a, b| a.account.account_id.cmp(&b.account.account_id));
        Ok(page.into_iter().map(|found| (found.account, found.subscriptions)).collect())
    }

    /// Suspends an account, or lifts that. Running scans may still settle.
    ///
    /// # Errors
    ///
    /// It does not exist, or the database is away.
    pub async fn set_suspension(
        &self,
        account_id: &AccountId,
        suspended: bool,
        reason: &str,
        actor: &str,
    ) -> Result<Details, BillingError> {
        let command = Command {
            account_id: account_id.clone(),
            actor: actor.to_owned(),
            action: Action::SetSuspension { suspended, reason: reason.to_owned() },
        };
        match self.ledger.submit(command).await? {
            Outcome::SuspensionSet { .. } => self.account(account_id).await,
            _ => Err(LedgerError::Internal.into()),
        }
    }

    /// Gives a project to an account, or (`None`) takes it from the one that
    /// has it. Gives the account that had it before, if another one did.
    ///
    /// # Errors
    ///
    /// The account does not exist, or the database is away.
    pub async fn assign_project(
        &self,
        project_id: &ProjectId,
        to: Option<&AccountId>,
    ) -> Result<Option<String>, BillingError> {
        if let Some(account_id) = to {
            self.account(account_id).await?;
        }
        let (database, cells) = (self.database.clone(), self.cells.clone());
        let (project_id, to) = (project_id.clone(), to.cloned());
        Ok(detached(async move { database.assign_project(&cells, &project_id, to.as_ref()).await })
            .await?)
    }

    /// Ties a provider's customer to an account. Gives the account that had it
    /// before, if another one did.
    ///
    /// # Errors
    ///
    /// The account does not exist, or the database is away.
    pub async fn link_provider(
        &self,
        account_id: &AccountId,
        provider: &str,
        customer_id: &str,
    ) -> Result<Option<String>, BillingError> {
        self.account(account_id).await?;
        let database = self.database.clone();
        let (provider, customer) = (provider.to_owned(), customer_id.to_owned());
        let account_id = account_id.clone();
        Ok(detached(async move {
            let previous = database.link_provider(&provider, &customer, &account_id).await?;
            // What came before the link has waited for it.
            database.wake_customer(&provider, &customer).await?;
            Ok(previous)
        })
        .await?)
    }
}
