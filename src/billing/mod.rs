//! Accounts, projects, purchases, the catalog, and what providers report, as use
//! cases.

mod accounts;
pub mod bulk;
mod catalog;
mod inbox;
mod provider;
mod top_ups;

use std::sync::Arc;

use crate::{
    domain::{catalog_check::Violation, command::Refusal},
    ids::{AccountId, PlanName, SeenAccounts},
    ledger::{Ledger, LedgerError},
    store::{Cell, Database},
};

/// What the inbox holds, what an account is found by, and how purchases are
/// listed.
pub use crate::store::{
    inbox::{InboxState, NewEvent, Settlement, TakenEvent},
    provider::{ClaimedBy, ProviderKeys},
    queries::{InboxFigure, TopUpKey, TopUpQuery},
};
pub use catalog::AppliedCatalog;
pub use inbox::Inbox;

/// Why a use case gave no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BillingError {
    /// Of the ledger or its database.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The account exists with other fields.
    #[error("account {0} exists with another {1}")]
    AccountExists(AccountId, &'static str),
    /// The payment is for another purchase, or another account's.
    #[error("{provider} payment {transaction_id} is already that of another purchase")]
    PaymentClaimed {
        /// The provider.
        provider: String,
        /// Its payment.
        transaction_id: String,
    },
    /// The catalog breaks its own rules.
    #[error("the catalog is not valid")]
    CatalogInvalid(Vec<Violation>),
    /// Plans that the catalog lacks have live subscriptions.
    #[error("plans with live subscriptions cannot be removed")]
    PlansInUse(Vec<PlanName>),
}

impl From<Refusal> for BillingError {
    fn from(refusal: Refusal) -> Self {
        LedgerError::from(refusal).into()
    }
}

impl BillingError {
    fn account_not_found(account_id: &AccountId) -> Self {
        Refusal::AccountNotFound { account_id: account_id.clone() }.into()
    }
}

/// The use cases. Clones share what they work on.
#[derive(Debug, Clone)]
pub struct Billing {
    database: Database,
    cells: Arc<[Cell]>,
    ledger: Ledger,
}

impl Billing {
    /// Use cases on this database; what changes an account goes through
    /// `ledger`.
    #[must_use]
    pub fn new(database: Database, ledger: Ledger) -> Self {
        let cells = ledger.cells().cloned().collect();
        Self { database, cells, ledger }
    }

    /// The same for somebody who sees these accounts alone: see
    /// [`Ledger::seen_by`].
    #[must_use]
    pub fn seen_by(&self, accounts: SeenAccounts) -> Self {
        Self { ledger: self.ledger.seen_by(accounts), ..self.clone() }
    }
}
