//! A store of one account in memory: it loads what a batch needs, and no more,
//! decides, and keeps what was decided. What a database does, without one.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use creditgate::{
    clock::Timestamp,
    domain::{
        account::{Account, AccountState, Cause, Holder, HolderScope, Missing, Notice, Operation},
        catalog::Catalog,
        command::{Action, Command, OperationKey, OperationKind, Outcome, Refusal},
        context::Context,
        credit::{Balance, Lot, LotPortion},
        decide::decide_all,
        due,
        entry::{Entry, EntryKind},
        provider::Effect,
        reservation::Reservation,
        subscription::{Subscription, SubscriptionStatus},
        verdict::{MAX_HOLDERS, PendingPayment},
    },
    ids::{CreditType, LotId, ProjectId, ReservationId, SubscriptionId},
};
use uuid::Uuid;

use super::{
    generate::{Change, account_id, catalog, start},
    model_billing::{Billing, top_up_of},
};

/// What [`Change::Reverse`] says of its movements, which have no operation.
pub(super) const REVERSED_BY_TEST: &str = "reversed";

thread_local! {
    static NEXT_LOT: Cell<u128> = const { Cell::new(1) };
}

/// Ids of lots by number, so that two stores that do the same have the same.
pub(super) fn next_lot_id() -> LotId {
    LotId(Uuid::from_u128(NEXT_LOT.replace(NEXT_LOT.get() + 1)))
}

/// All that is known of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) account: Account,
    pub(super) balances: BTreeMap<CreditType, Balance>,
    pub(super) lots: BTreeMap<LotId, Lot>,
    pub(super) reservations: BTreeMap<ReservationId, Reservation>,
    pub(super) operations: BTreeMap<OperationKey, Operation>,
    pub(super) projects: BTreeSet<ProjectId>,
    pub(super) subscriptions: BTreeMap<SubscriptionId, Subscription>,
    pub(super) payments: BTreeMap<String, PendingPayment>,
    pub(super) billing: Billing,
    pub(super) entries: Vec<Entry>,
    pub(super) notices: BTreeMap<String, Notice>,
    pub(super) catalog: Catalog,
    next_lot: u128,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            account: Account::new(account_id(), start()),
            balances: BTreeMap::new(),
            lots: BTreeMap::new(),
            reservations: BTreeMap::new(),
            operations: BTreeMap::new(),
            projects: (1..3).map(|n| ProjectId::new(&format!("project-{n}")).unwrap()).collect(),
            subscriptions: BTreeMap::new(),
            payments: BTreeMap::new(),
            billing: Billing::default(),
            entries: Vec::new(),
            notices: BTreeMap::new(),
            catalog: catalog(0),
            next_lot: 1,
        }
    }

    /// Decides a batch, supplying what turns out to be missing.
    pub(super) fn run(
        &mut self,
        now: Timestamp,
        commands: &[Command],
    ) -> Vec<Result<Outcome, Refusal>> {
        let mut asked = BTreeSet::new();
        loop {
            NEXT_LOT.set(self.next_lot);
            let mut state = self.load(commands);
            for missing in &asked {
                self.supply(&mut state, missing, commands);
            }
            let context = Context { now, catalog: &self.catalog, new_lot_id: next_lot_id };
            match decide_all(&mut state, commands.iter(), &context) {
                Ok(outcomes) => {
                    self.store(state);
                    return outcomes;
                }
                Err(missing) => assert!(asked.insert(missing.clone()), "{missing:?} again"),
            }
        }
    }

    /// Applies what happens around the account.
    pub(super) fn change(&mut self, now: Timestamp, change: &Change) {
        match change {
            Change::Command(command) => {
                self.run(now, std::slice::from_ref(command));
            }
            Change::Subscribe(subscription) => {
                // Billing, too, first applies what is due.
                self.apply_due(now);
                self.account.subscriptions += 1;
                let mut changed = subscription.clone();
                // A period that has begun since is not taken back.
                let known = self.subscriptions.get(&changed.subscription_id);
                let begun =
                    |known: &&Subscription| known.period_start_time > changed.period_start_time;
                if let Some(known) = known.filter(begun) {
                    changed.period_start_time = known.period_start_time;
                    changed.period_end_time = known.period_end_time;
                }
                self.subscriptions.insert(changed.subscription_id.clone(), changed);
            }
            Change::AwaitPayment(payment) => {
                let id = &payment.top_up_id;
                let confirmed = |key: &OperationKey| {
                    key.0 == OperationKind::TopUp && key.1.as_str() == id.as_str()
                };
                if !self.operations.keys().any(confirmed) {
                    self.payments.insert(id.clone(), payment.clone());
                }
            }
            Change::Reverse(key) => self.reverse(now, key),
            Change::AssignProject(project) => {
                self.projects.insert(project.clone());
            }
            Change::UnassignProject(project) => {
                self.projects.remove(project);
            }
            Change::Apply(catalog) => self.catalog = catalog.as_ref().clone(),
        }
    }

    fn apply_due(&mut self, now: Timestamp) {
        NEXT_LOT.set(self.next_lot);
        let mut state = self.load(&[]);
        let context = Context { now, catalog: &self.catalog, new_lot_id: next_lot_id };
        if let Err(missing) = due::apply(&mut state, &context) {
            self.supply(&mut state, &missing, &[]);
            assert_eq!(due::apply(&mut state, &context), Ok(()), "all is asked for at once");
        }
        assert!(!due::is_pending(&state, &context), "applying leaves nothing due");
        self.store(state);
    }

    /// Takes back what a lot still has; the rest is owed.
    fn reverse(&mut self, now: Timestamp, key: &OperationKey) {
        self.apply_due(now);
        let Some(lot_id) = self.operations.get(key).and_then(|made| made.lot_id) else { return };
        let mut state = self.load(&[]);
        let mut lot = self.lots[&lot_id].clone();
        if lot.unrecovered > 0 {
            return;
        }
        lot.unrecovered = lot.credits - lot.remaining;
        let (credits, credit_type) = (lot.remaining, lot.credit_type.clone());
        state.lots.insert(lot_id, lot);
        if credits > 0 {
            let cause =
                Cause { reservation_id: None, reference: REVERSED_BY_TEST, actor: "tester" };
            let portions = vec![LotPortion { lot_id, credits }];
            state.post(&credit_type, EntryKind::Revoke, portions, cause, now);
        }
        self.store(state);
    }

    /// What every batch reads: the open lots, and what its commands name.
    fn load(&self, commands: &[Command]) -> AccountState {
        let mut state = AccountState::new(self.account.clone());
        state.balances = self.balances.clone().into_iter().collect();
        state.projects.clone_from(&self.projects);
        let live = |s: &&Subscription| s.status != SubscriptionStatus::Canceled;
        state.subscriptions = self.subscriptions.values().filter(live).cloned().collect();
        let mut lots: BTreeSet<LotId> =
            self.lots.values().filter(|lot| lot.remaining > 0).map(|lot| lot.lot_id).collect();
        for command in commands {
            if let Some(made) = reservation_of(command).and_then(|id| self.reservations.get(id)) {
                for portion in &made.portions {
                    lots.extend([portion.lot_id, self.lots[&portion.lot_id].root()]);
                }
                state.reservations.insert(made.reservation_id.clone(), made.clone());
            }
            if let Some(made) = operation_of(command).and_then(|key| self.operations.get(&key)) {
                lots.extend(made.lot_id);
                state.operations.insert(made.key.clone(), made.clone());
            }
            lots.extend(self.billing.load(&mut state, command));
            if let Some(known) = subscription_of(command).and_then(|id| self.subscriptions.get(id))
                && !known.is_live()
                && state.subscription(&known.subscription_id).is_none()
            {
                state.subscriptions.push(known.clone());
                state.subscriptions.sort_by(|a, b| a.subscription_id.cmp(&b.subscription_id));
            }
        }
        state.lots = lots.into_iter().map(|id| (id, self.lots[&id].clone())).collect();
        state
    }

    /// What a batch reads only when it asks: no more of it than was promised.
    fn supply(&self, state: &mut AccountState, missing: &Missing, commands: &[Command]) {
        match missing {
            Missing::Holders(scope) => {
                let settling = |command: &&Command| {
                    matches!(
                        command.action,
                        Action::Commit { .. }
                            | Action::Release { .. }
                            | Action::ExpireLease { .. }
                            | Action::Extend { .. }
                    )
                };
                let mut holders: Vec<Holder> = self
                    .reservations
                    .values()
                    .filter(|reservation| reservation.is_held() && holds(reservation, scope))
                    .map(|reservation| Holder {
                        expire_time: reservation.expire_time,
                        reservation_id: reservation.reservation_id.clone(),
                    })
                    .collect();
                holders.sort();
                holders.truncate(MAX_HOLDERS + commands.iter().filter(settling).count());
                state.holders.insert(scope.clone(), holders);
            }
            Missing::ProjectSlots(project) => {
                state.project_slots.insert(project.clone(), self.slots(project));
            }
            Missing::PendingPayments => {
                let mut pending: Vec<_> = self.payments.values().cloned().collect();
                pending.extend(self.billing.pending_payments());
                pending.sort_by_key(|payment| (payment.create_time, payment.top_up_id.clone()));
                state.pending_payments = Some(pending);
            }
            Missing::Operations(keys) => {
                for made in keys.iter().filter_map(|key| self.operations.get(key)) {
                    state.operations.insert(made.key.clone(), made.clone());
                    let lot = made.lot_id.and_then(|lot_id| self.lots.get(&lot_id)).cloned();
                    state.lots.extend(lot.map(|lot| (lot.lot_id, lot)));
                }
                state.looked_up.extend(keys.iter().cloned());
            }
        }
    }

    fn slots(&self, project: &ProjectId) -> i64 {
        let scope = HolderScope::Project(project.clone());
        let held = self.reservations.values().filter(|r| r.is_held() && holds(r, &scope));
        i64::try_from(held.count()).unwrap()
    }

    fn store(&mut self, mut state: AccountState) {
        self.billing.store(&mut state);
        for (project, slots) in &state.project_slots {
            let held =
                |r: &&Reservation| r.is_held() && r.sent.project_id.as_ref() == Some(project);
            let others = self.reservations.values().filter(held);
            let others = others.filter(|r| !state.reservations.contains_key(&r.reservation_id));
            let mine = state.reservations.values().filter(held);
            assert_eq!(usize::try_from(*slots).unwrap(), others.count() + mine.count());
        }
        self.account = state.account;
        self.balances = state.balances.into_iter().collect();
        self.lots.extend(state.lots);
        self.reservations.extend(state.reservations);
        for key in state.operations.keys() {
            if key.0 == OperationKind::TopUp {
                self.payments.remove(key.1.as_str());
            }
        }
        self.operations.extend(state.operations);
        for subscription in state.subscriptions {
            self.subscriptions.insert(subscription.subscription_id.clone(), subscription);
        }
        self.entries.extend(state.entries);
        for notice in state.notices {
            self.notices.entry(notice.key.clone()).or_insert(notice);
        }
        self.next_lot = NEXT_LOT.get();
    }
}

fn holds(reservation: &Reservation, scope: &HolderScope) -> bool {
    match scope {
        HolderScope::Account => true,
        HolderScope::Credits(credit_type) => {
            reservation.credits > 0 && reservation.credit_type.as_ref() == Some(credit_type)
        }
        HolderScope::Project(project) => reservation.sent.project_id.as_ref() == Some(project),
    }
}

fn reservation_of(command: &Command) -> Option<&ReservationId> {
    match &command.action {
        Action::Reserve(reserve) => Some(&reserve.reservation_id),
        Action::Extend { reservation_id, .. }
        | Action::Commit { reservation_id, .. }
        | Action::Release { reservation_id, .. }
        | Action::ExpireLease { reservation_id } => Some(reservation_id),
        _ => None,
    }
}

fn operation_of(command: &Command) -> Option<OperationKey> {
    match &command.action {
        Action::Grant(grant) => Some(grant.key.clone()),
        Action::Revoke(revoke) => Some(revoke.key.clone()),
        _ => top_up_of(command).map(|id| (OperationKind::TopUp, id.clone())),
    }
}

/// The subscription that a command names, which may have ended.
fn subscription_of(command: &Command) -> Option<&SubscriptionId> {
    match &command.action {
        Action::StartSubscription(request) => request.subscription_id.as_ref(),
        Action::RenewSubscription { subscription_id, .. }
        | Action::ChangePlan { subscription_id, .. }
        | Action::CancelSubscription { subscription_id, .. }
        | Action::ResumeSubscription { subscription_id } => subscription_id.as_ref(),
        Action::ImportSubscription(subscription) => Some(&subscription.subscription_id),
        Action::ApplyEvent(event) => match &event.effect {
            Effect::SubscriptionChanged(subscription) => Some(&subscription.subscription_id),
            Effect::PaymentPending(payment)
            | Effect::PaymentCompleted(payment)
            | Effect::PaymentCanceled(payment) => payment.subscription_id.as_ref(),
            Effect::Adjusted(_) => None,
        },
        _ => None,
    }
}
