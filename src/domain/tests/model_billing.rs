//! The part of [`super::model`] that purchases are kept in: what a command names
//! of them is read, and no more.

use std::collections::{BTreeMap, BTreeSet};

use creditgate::{
    domain::{
        account::AccountState,
        command::{Action, Command, OperationKind},
        payment::{KnownAdjustment, Purchase, TopUp},
        provider::{Effect, ProviderEvent, Transaction},
        verdict::PendingPayment,
    },
    ids::{CreditType, LotId, OperationId},
};

/// Provider and id.
type Key = (String, String);

/// All that is known of purchases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Billing {
    pub(super) top_ups: BTreeMap<OperationId, TopUp>,
    pub(super) transactions: BTreeSet<Key>,
    /// By provider, payment, line and type of credits.
    pub(super) purchases: BTreeMap<(String, String, String, CreditType), Purchase>,
    pub(super) adjustments: BTreeMap<Key, KnownAdjustment>,
    pub(super) applied_events: BTreeSet<Key>,
}

impl Billing {
    /// Reads what a command names. Gives the lots that it names as well.
    pub(super) fn load(&self, state: &mut AccountState, command: &Command) -> Vec<LotId> {
        if let Some(id) = top_up_of(command) {
            self.load_top_up(state, id);
        }
        if let Action::BeginTopUp(request) = &command.action {
            return self.load_payment(state, &request.provider, &request.provider_reference);
        }
        let Action::ApplyEvent(event) = &command.action else { return Vec::new() };
        let ProviderEvent { provider, event_id, .. } = &**event;
        let applied = self.applied_events.get(&(provider.clone(), event_id.clone()));
        state.applied_events.extend(applied.cloned());
        match &event.effect {
            Effect::PaymentPending(payment)
            | Effect::PaymentCompleted(payment)
            | Effect::PaymentCanceled(payment) => {
                for id in payment.top_up_id.iter().cloned().chain(ids_of_lines(payment)) {
                    self.load_top_up(state, &id);
                }
                self.load_payment(state, provider, &payment.transaction_id)
            }
            Effect::Adjusted(adjustment) => {
                let lots = self.load_payment(state, provider, &adjustment.transaction_id);
                for (_, id) in self
                    .of_payment(provider, &adjustment.transaction_id)
                    .map(|purchase| &purchase.key)
                    .filter(|(kind, _)| *kind == OperationKind::TopUp)
                {
                    self.load_top_up(state, id);
                }
                lots
            }
            Effect::SubscriptionChanged(_) => Vec::new(),
        }
    }

    fn load_top_up(&self, state: &mut AccountState, id: &OperationId) {
        if let Some(top_up) = self.top_ups.get(id) {
            state.top_ups.insert(id.clone(), top_up.clone());
        }
    }

    fn of_payment(&self, provider: &str, id: &str) -> impl Iterator<Item = &Purchase> {
        self.purchases
            .values()
            .filter(move |purchase| purchase.provider == provider && purchase.transaction_id == id)
    }

    fn load_payment(&self, state: &mut AccountState, provider: &str, id: &str) -> Vec<LotId> {
        let key = (provider.to_owned(), id.to_owned());
        // Two commands may name one payment.
        let known =
            |purchase: &Purchase| purchase.provider == provider && purchase.transaction_id == id;
        if !state.purchases.iter().any(known) {
            state.purchases.extend(self.of_payment(provider, id).cloned());
        }
        state.transactions.extend(self.transactions.get(&key).cloned());
        let of_it = self
            .adjustments
            .iter()
            .filter(|((of, _), known)| of == provider && known.adjustment.transaction_id == id);
        state.adjustments.extend(of_it.map(|(key, known)| (key.clone(), known.clone())));
        self.of_payment(provider, id).map(|purchase| purchase.lot_id).collect()
    }

    /// Those that are awaited.
    pub(super) fn pending_payments(&self) -> impl Iterator<Item = PendingPayment> {
        self.top_ups.values().filter(|top_up| top_up.is_pending()).map(TopUp::pending_payment)
    }

    /// Keeps what was decided.
    pub(super) fn store(&mut self, state: &mut AccountState) {
        self.top_ups.append(&mut state.top_ups);
        self.transactions.append(&mut state.transactions);
        for purchase in std::mem::take(&mut state.purchases) {
            let key = (
                purchase.provider.clone(),
                purchase.transaction_id.clone(),
                purchase.item_id.clone(),
                purchase.credit_type.clone(),
            );
            self.purchases.insert(key, purchase);
        }
        self.adjustments.append(&mut state.adjustments);
        self.applied_events.append(&mut state.applied_events);
    }
}

/// The top-up that a command is about.
pub(super) fn top_up_of(command: &Command) -> Option<&OperationId> {
    match &command.action {
        Action::BeginTopUp(request) => Some(&request.top_up_id),
        Action::ConfirmTopUp { top_up_id, .. }
        | Action::FailTopUp { top_up_id, .. }
        | Action::ExpireTopUp { top_up_id } => Some(top_up_id),
        _ => None,
    }
}

fn ids_of_lines(payment: &Transaction) -> impl Iterator<Item = OperationId> {
    let id = &payment.transaction_id;
    let of_line = move |item_id: &String| OperationId::new(&format!("{id}:{item_id}")).ok();
    payment.items.iter().filter_map(move |item| of_line(&item.item_id))
}
