//! Purchases of credits: whose they are, and which payment is theirs. An id of a
//! purchase is one account's, a provider's payment one purchase's.

use super::{Billing, BillingError};
use crate::{
    domain::{
        command::{Action, Command, Outcome, PROVIDER_MANUAL, Refusal},
        payment::{BeginTopUp, TopUp},
    },
    ids::{AccountId, OperationId},
    ledger::detached,
    store::{
        provider::{ClaimedBy, ProviderKeys},
        queries::TopUpQuery,
    },
};

/// A payment at a provider that a purchase is to be paid by.
struct Payment {
    provider: String,
    transaction_id: String,
    account_id: AccountId,
    top_up_id: OperationId,
}

impl Billing {
    /// Opens a purchase, once.
    ///
    /// # Errors
    ///
    /// The account does not exist; the id, or the payment, is another purchase's;
    /// it cannot be bought; or the database is away.
    pub async fn begin_top_up(
        &self,
        account_id: &AccountId,
        request: BeginTopUp,
        actor: String,
    ) -> Result<Outcome, BillingError> {
        self.cell_of(account_id).await?;
        self.claim_top_up(&request.top_up_id, account_id).await?;
        let has_payment =
            request.provider != PROVIDER_MANUAL && !request.provider_reference.is_empty();
        let payment = has_payment.then(|| Payment {
            provider: request.provider.clone(),
            transaction_id: request.provider_reference.clone(),
            account_id: account_id.clone(),
            top_up_id: request.top_up_id.clone(),
        });
        if let Some(payment) = &payment {
            self.expect_free(payment).await?;
        }
        let account_id = account_id.clone();
        let command = Command { account_id, actor, action: Action::BeginTopUp(request) };
        let outcome = self.ledger.submit(command).await?;
        // Only now: a claim is for ever, and wakes reports of the payment that
        // have come already; they have to find the purchase.
        if let Some(payment) = payment {
            self.claim_payment(payment).await?;
        }
        Ok(outcome)
    }

    /// Confirms a manual purchase, and grants its credits, once.
    ///
    /// # Errors
    ///
    /// There is no such purchase, or it is a provider's; or the database is away.
    pub async fn confirm_top_up(
        &self,
        top_up_id: &OperationId,
        provider_reference: String,
        actor: String,
    ) -> Result<(AccountId, Outcome), BillingError> {
        let top_up = top_up_id.clone();
        let action = Action::ConfirmTopUp { top_up_id: top_up, provider_reference };
        self.submit_to_owner(top_up_id, actor, action).await
    }

    /// Closes a purchase that will not be paid.
    ///
    /// # Errors
    ///
    /// There is no such purchase, or it is paid; or the database is away.
    pub async fn fail_top_up(
        &self,
        top_up_id: &OperationId,
        reason: String,
        actor: String,
    ) -> Result<(AccountId, Outcome), BillingError> {
        let action = Action::FailTopUp { top_up_id: top_up_id.clone(), reason };
        self.submit_to_owner(top_up_id, actor, action).await
    }

    /// A page of an account's purchases, the newest first.
    ///
    /// # Errors
    ///
    /// The account does not exist, or the database is away.
    pub async fn top_ups(&self, query: TopUpQuery) -> Result<Vec<TopUp>, BillingError> {
        let cell = self.cell_of(&query.account_id).await?;
        Ok(detached(async move { cell.top_ups(&query).await }).await?)
    }

    /// Carries out what is asked of a purchase on the account that opened it.
    async fn submit_to_owner(
        &self,
        top_up_id: &OperationId,
        actor: String,
        action: Action,
    ) -> Result<(AccountId, Outcome), BillingError> {
        let (database, id) = (self.database.clone(), top_up_id.clone());
        let owner = detached(async move { database.account_of_top_up(&id).await }).await?;
        // Another's is as good as none.
        let owner = owner.filter(|account_id| self.ledger.expect_seen(account_id).is_ok());
        let Some(account_id) = owner else {
            return Err(Refusal::TopUpNotFound { top_up_id: top_up_id.clone() }.into());
        };
        let command = Command { account_id: account_id.clone(), actor, action };
        Ok((account_id, self.ledger.submit(command).await?))
    }

    /// Makes sure that the id of a purchase is this account's. Whose it is
    /// otherwise, nobody is told.
    async fn claim_top_up(
        &self,
        top_up_id: &OperationId,
        account_id: &AccountId,
    ) -> Result<(), BillingError> {
        let (database, id, claimant) =
            (self.database.clone(), top_up_id.clone(), account_id.clone());
        let owner = detached(async move { database.claim_top_up(&id, &claimant).await }).await?;
        if owner != *account_id {
            let top_up_id = top_up_id.clone();
            return Err(Refusal::TopUpIdReused { top_up_id, field: "account" }.into());
        }
        Ok(())
    }

    /// Refuses a payment that is another purchase's, or another account's.
    async fn expect_free(&self, payment: &Payment) -> Result<(), BillingError> {
        let (database, provider) = (self.database.clone(), payment.provider.clone());
        let keys = ProviderKeys {
            transaction_id: Some(payment.transaction_id.clone()),
            ..ProviderKeys::default()
        };
        let known = detached(async move { database.known_as(&provider, &keys).await }).await?;
        known.transaction.map_or(Ok(()), |claimed| payment.expect(&claimed))
    }

    /// Says that a payment is for its purchase.
    async fn claim_payment(&self, payment: Payment) -> Result<(), BillingError> {
        let database = self.database.clone();
        let (provider, transaction_id) = (payment.provider.clone(), payment.transaction_id.clone());
        let (account_id, top_up_id) = (payment.account_id.clone(), payment.top_up_id.clone());
        let claimed = detached(async move {
            database
                .claim_transaction(&provider, &transaction_id, &account_id, Some(&top_up_id))
                .await
        })
        .await?;
        payment.expect(&claimed)
    }
}

impl Payment {
    /// Right where the payment is this purchase's, or so far no purchase's of
    /// this account.
    fn expect(&self, claimed: &ClaimedBy) -> Result<(), BillingError> {
        let is_ours = claimed.account_id == self.account_id
            && claimed.top_up_id.as_ref().is_none_or(|top_up_id| *top_up_id == self.top_up_id);
        if is_ours {
            return Ok(());
        }
        Err(BillingError::PaymentClaimed {
            provider: self.provider.clone(),
            transaction_id: self.transaction_id.clone(),
        })
    }
}
