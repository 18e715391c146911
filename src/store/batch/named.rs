//! What a batch of commands names: all that has to be read to decide it, but for
//! what every decision looks at.

use std::collections::BTreeSet;

use crate::{
    domain::{
        command::{Action, Command, OperationKey, OperationKind},
        provider::{Effect, ProviderEvent, Transaction},
    },
    ids::{AccountId, OperationId, ProjectId, ReservationId, SubscriptionId},
};

/// What a batch of commands names.
#[derive(Debug, Default)]
pub struct Named {
    /// Accounts, in the order in which they are locked.
    pub accounts: BTreeSet<AccountId>,
    pub(super) reservations: BTreeSet<(AccountId, ReservationId)>,
    pub(super) operations: BTreeSet<(AccountId, OperationKey)>,
    pub(super) projects: BTreeSet<(AccountId, ProjectId)>,
    pub(super) subscriptions: BTreeSet<(AccountId, SubscriptionId)>,
    pub(super) top_ups: BTreeSet<(AccountId, OperationId)>,
    /// Payments: account, provider, id.
    pub(super) transactions: BTreeSet<(AccountId, String, String)>,
    /// Reports: account, provider, id.
    pub(super) events: BTreeSet<(AccountId, String, String)>,
}

impl Named {
    /// What these commands name.
    pub fn by<'c>(commands: impl Iterator<Item = &'c Command>) -> Self {
        let mut named = Self::default();
        for command in commands {
            named.accounts.insert(command.account_id.clone());
            named.add(&command.account_id, &command.action);
        }
        named
    }

    fn add(&mut self, account: &AccountId, action: &Action) {
        match action {
            Action::Check(scan) => {
                self.projects.extend(scan.project_id.clone().map(|id| (account.clone(), id)));
            }
            Action::Reserve(reserve) => {
                let project = reserve.scan.project_id.clone();
                self.projects.extend(project.map(|id| (account.clone(), id)));
                self.reservations.insert((account.clone(), reserve.reservation_id.clone()));
            }
            Action::Extend { reservation_id, .. }
            | Action::Commit { reservation_id, .. }
            | Action::Release { reservation_id, .. }
            | Action::ExpireLease { reservation_id } => {
                self.reservations.insert((account.clone(), reservation_id.clone()));
            }
            Action::Grant(grant) => {
                self.operations.insert((account.clone(), grant.key.clone()));
            }
            Action::Revoke(revoke) => {
                self.operations.insert((account.clone(), revoke.key.clone()));
            }
            Action::StartSubscription(request) => {
                self.subscription(account, request.subscription_id.as_ref());
            }
            Action::RenewSubscription { subscription_id, .. }
            | Action::ChangePlan { subscription_id, .. }
            | Action::CancelSubscription { subscription_id, .. }
            | Action::ResumeSubscription { subscription_id } => {
                self.subscription(account, subscription_id.as_ref());
            }
            Action::ImportSubscription(subscription) => {
                self.subscription(account, Some(&subscription.subscription_id));
            }
            Action::BeginTopUp(request) => {
                self.top_up(account, &request.top_up_id);
                if !request.provider_reference.is_empty() {
                    self.transaction(account, &request.provider, &request.provider_reference);
                }
            }
            Action::ConfirmTopUp { top_up_id, .. }
            | Action::FailTopUp { top_up_id, .. }
            | Action::ExpireTopUp { top_up_id } => self.top_up(account, top_up_id),
            Action::ApplyEvent(event) => self.event(account, event),
            Action::SetSuspension { .. } | Action::ApplyDue => {}
        }
    }

    fn subscription(&mut self, account: &AccountId, subscription_id: Option<&SubscriptionId>) {
        self.subscriptions.extend(subscription_id.map(|id| (account.clone(), id.clone())));
    }

    /// A top-up, and what granted its credits.
    fn top_up(&mut self, account: &AccountId, top_up_id: &OperationId) {
        self.top_ups.insert((account.clone(), top_up_id.clone()));
        self.operations.insert((account.clone(), (OperationKind::TopUp, top_up_id.clone())));
    }

    fn event(&mut self, account: &AccountId, event: &ProviderEvent) {
        let provider = &event.provider;
        self.events.insert((account.clone(), provider.clone(), event.event_id.clone()));
        match &event.effect {
            Effect::PaymentPending(transaction)
            | Effect::PaymentCompleted(transaction)
            | Effect::PaymentCanceled(transaction) => {
                self.payment(account, provider, transaction);
            }
            Effect::SubscriptionChanged(subscription) => {
                self.subscription(account, Some(&subscription.subscription_id));
            }
            Effect::Adjusted(adjustment) => {
                self.transaction(account, provider, &adjustment.transaction_id);
            }
        }
    }

    /// A payment: the top-up that it says it is for, and those that its lines are
    /// where nobody has opened one.
    fn payment(&mut self, account: &AccountId, provider: &str, transaction: &Transaction) {
        let id = &transaction.transaction_id;
        self.transaction(account, provider, id);
        self.subscription(account, transaction.subscription_id.as_ref());
        let lines = transaction.items.iter().filter_map(|item| {
            // What is no id of a top-up is the id of none.
            OperationId::new(&format!("{id}:{}", item.item_id)).ok()
        });
        for top_up_id in transaction.top_up_id.iter().cloned().chain(lines) {
            self.top_up(account, &top_up_id);
        }
    }

    fn transaction(&mut self, account: &AccountId, provider: &str, transaction_id: &str) {
        let transaction = (account.clone(), provider.to_owned(), transaction_id.to_owned());
        self.transactions.insert(transaction);
    }
}
