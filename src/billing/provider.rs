//! Whose a provider's event is.

use super::{Billing, BillingError};
use crate::{
    ids::AccountId,
    ledger::{WORK_LIMIT, within},
    store::{
        Database, StoreError,
        provider::{ClaimedBy, ProviderKeys},
    },
};

impl Billing {
    /// Whose an event is, and which purchase was opened here for its payment;
    /// `None` where nothing of it is known yet.
    ///
    /// The payment says it, else the subscription, else the customer. What was
    /// found by the customer is written down for the payment and the
    /// subscription, so that a customer who is linked to another account later
    /// does not take old purchases along.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn account_of_report(
        &self,
        provider: &'static str,
        keys: &ProviderKeys,
    ) -> Result<Option<ClaimedBy>, BillingError> {
        let (database, keys) = (self.database.clone(), keys.clone());
        Ok(within(WORK_LIMIT, async move { resolve(&database, provider, &keys).await }).await?)
    }
}

async fn resolve(
    database: &Database,
    provider: &str,
    keys: &ProviderKeys,
) -> Result<Option<ClaimedBy>, StoreError> {
    let known = database.known_as(provider, keys).await?;
    let by_transaction = known.transaction.as_ref().map(|claimed| &claimed.account_id);
    let Some(found) = by_transaction.or(known.subscription.as_ref()).or(known.customer.as_ref())
    else {
        return Ok(None);
    };
    let mut account_id: AccountId = found.clone();
    if let Some(subscription_id) = &keys.subscription_id
        && known.subscription.is_none()
    {
        let owner = database.claim_subscription(provider, subscription_id, &account_id).await?;
        // Somebody else was faster; the payment still says it first.
        if known.transaction.is_none() {
            account_id = owner;
        }
    }
    match (&keys.transaction_id, known.transaction) {
        (_, Some(claimed)) => Ok(Some(claimed)),
        (Some(transaction_id), None) => {
            let claimed = database.claim_transaction(provider, transaction_id, &account_id, None);
            Ok(Some(claimed.await?))
        }
        (None, None) => Ok(Some(ClaimedBy { account_id, top_up_id: None })),
    }
}
