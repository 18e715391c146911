//! Many accounts, projects, subscriptions and lots at once: for imports. Each call is a few
//! set-based statements; the caller keeps them to some thousand rows.

use super::{Billing, BillingError};
pub use crate::store::{
    accounts::{CreatedAccount, NewAccount},
    projects::ClaimedProject,
    queries::ImportedLot,
};
use crate::{
    clock::Timestamp,
    domain::{account::Account, subscription::Subscription},
    ids::{AccountId, OperationId, ProjectId, SubscriptionId},
    ledger::detached,
    store::StoreError,
};

/// The field in which an account is not as it is wanted.
pub(super) fn difference(
    there: &Account,
    display_name: &str,
    billing_email: &str,
) -> Option<&'static str> {
    if there.display_name != display_name {
        Some("display name")
    } else if there.billing_email != billing_email {
        Some("billing email")
    } else {
        None
    }
}

/// The field in which an account is not as it was to be created.
#[must_use]
pub fn differs(there: &Account, wanted: &NewAccount) -> Option<&'static str> {
    difference(there, &wanted.display_name, &wanted.billing_email)
}

impl Billing {
    /// Creates the accounts that do not exist, and gives what is there now, by
    /// id: one that was there before may have other fields.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn create_accounts(
        &self,
        accounts: Vec<NewAccount>,
    ) -> Result<Vec<CreatedAccount>, BillingError> {
        let mut placed = Vec::with_capacity(accounts.len());
        for account in accounts {
            let cell_id = self.cell_for(&account.account_id)?.cell_id;
            placed.push((account, cell_id));
        }
        let (database, cells) = (self.database.clone(), self.cells.clone());
        Ok(detached(async move { database.create_accounts(&cells, &placed).await }).await?)
    }

    /// Those of these accounts that exist, with their subscriptions.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn accounts_named(
        &self,
        account_ids: Vec<AccountId>,
    ) -> Result<Vec<(Account, Vec<Subscription>)>, BillingError> {
        let (database, cells) = (self.database.clone(), self.cells.clone());
        let found = detached(async move {
            let homes = database.cells_of(&account_ids).await?;
            let mut found = Vec::with_capacity(homes.len());
            for cell in cells.iter() {
                let here: Vec<AccountId> = account_ids
                    .iter()
                    .filter(|account_id| homes.get(account_id.as_str()) == Some(&cell.cell_id))
                    .cloned()
                    .collect();
                if !here.is_empty() {
                    found.extend(cell.accounts(&here).await?);
                }
            }
            Ok::<_, StoreError>(found)
        })
        .await?;
        Ok(found.into_iter().map(|found| (found.account, found.subscriptions)).collect())
    }

    /// Gives projects to accounts, those that nobody has, and says whose they are
    /// now: nothing is taken from anybody.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn claim_projects(
        &self,
        claims: Vec<(ProjectId, AccountId)>,
    ) -> Result<Vec<ClaimedProject>, BillingError> {
        let (database, cells) = (self.database.clone(), self.cells.clone());
        Ok(detached(async move { database.claim_projects(&cells, &claims).await }).await?)
    }

    /// Whose these projects are; those that nobody has are left out.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn project_owners(
        &self,
        project_ids: Vec<ProjectId>,
    ) -> Result<Vec<(ProjectId, AccountId)>, BillingError> {
        let database = self.database.clone();
        Ok(detached(async move { database.project_owners(&project_ids).await }).await?)
    }

    /// Says of a provider's subscriptions whose they are, so that its reports find
    /// their account, unless that has been said before; gives what holds.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn claim_subscriptions(
        &self,
        provider: &str,
        claims: Vec<(SubscriptionId, AccountId)>,
    ) -> Result<Vec<(SubscriptionId, AccountId)>, BillingError> {
        let (database, provider) = (self.database.clone(), provider.to_owned());
        Ok(detached(async move { database.claim_subscriptions(&provider, &claims).await }).await?)
    }

    /// Whose a provider's subscriptions are; those that nobody has claimed are
    /// left out.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn subscription_owners(
        &self,
        provider: &str,
        subscription_ids: Vec<SubscriptionId>,
    ) -> Result<Vec<(SubscriptionId, AccountId)>, BillingError> {
        let (database, provider) = (self.database.clone(), provider.to_owned());
        Ok(detached(async move {
            database.subscription_owners(&provider, subscription_ids.iter()).await
        })
        .await?)
    }

    /// Those of these lots that were imported.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn imported_lots(
        &self,
        keys: Vec<(AccountId, OperationId)>,
    ) -> Result<Vec<ImportedLot>, BillingError> {
        let (database, cells) = (self.database.clone(), self.cells.clone());
        Ok(detached(async move {
            let mut account_ids: Vec<AccountId> =
                keys.iter().map(|(account_id, _)| account_id.clone()).collect();
            account_ids.dedup();
            let homes = database.cells_of(&account_ids).await?;
            let mut found = Vec::new();
            for cell in cells.iter() {
                let here: Vec<(AccountId, OperationId)> = keys
                    .iter()
                    .filter(|(account_id, _)| homes.get(account_id.as_str()) == Some(&cell.cell_id))
                    .cloned()
                    .collect();
                if !here.is_empty() {
                    found.extend(cell.imported_lots(&here).await?);
                }
            }
            Ok::<_, StoreError>(found)
        })
        .await?)
    }

    /// What the database's clock shows.
    ///
    /// # Errors
    ///
    /// It is away.
    pub async fn now(&self) -> Result<Timestamp, BillingError> {
        let database = self.database.clone();
        Ok(detached(async move { database.now().await }).await?)
    }
}
