//! A gate to one account, for tables: all of its state at hand, time moved by
//! hand.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use creditgate::{
    clock::Timestamp,
    domain::{
        account::{AccountState, Halt, Missing, Notice},
        catalog::{Catalog, CausePolicy},
        command::{Action, Command, Grant, OperationKey, OperationKind, Outcome, Refusal, Reserve},
        context::Context,
        credit::LotSource,
        decide::decide,
        entry::EntryKind,
        reservation::{Disposition, ReleaseCause, Reservation, ReservationState, Scan},
        subscription::{BillingInterval, Subscription, SubscriptionStatus},
        verdict::{Block, PendingPayment},
    },
    ids::{
        CreditType, LotId, OperationId, PlanName, ProjectId, ReservationId, ScanKindName,
        SubscriptionId,
    },
};

use super::{
    super::telling,
    generate::{account_id, catalog, start},
    model::{Model, next_lot_id},
};

pub(super) fn scan_credits() -> CreditType {
    CreditType::new("scan").unwrap()
}

pub(super) fn run_id(id: &str) -> ReservationId {
    ReservationId::new(id).unwrap()
}

pub(super) fn project(id: &str) -> ProjectId {
    ProjectId::new(id).unwrap()
}

pub(super) fn operation(kind: OperationKind, id: &str) -> OperationKey {
    (kind, OperationId::new(id).unwrap())
}

pub(super) fn scan(kind: &str) -> Scan {
    Scan { project_id: None, scan_kind: ScanKindName::new(kind).unwrap(), credits: 0 }
}

pub(super) fn reserve(id: &str, scan: Scan) -> Reserve {
    Reserve { reservation_id: run_id(id), scan, lease: None, labels: BTreeMap::new() }
}

pub(super) fn grant(id: &str, credits: i64, expires_in: Option<TimeDelta>) -> Grant {
    Grant {
        key: operation(OperationKind::Grant, id),
        source: LotSource::Grant,
        credit_type: scan_credits(),
        credits,
        expire_time: expires_in.map(|span| start() + span),
        reason: "why".to_owned(),
    }
}

pub(super) fn payment(id: &str, credit_type: &str) -> PendingPayment {
    PendingPayment {
        top_up_id: id.to_owned(),
        credit_type: CreditType::new(credit_type).unwrap(),
        create_time: start(),
        expire_time: start() + TimeDelta::hours(24),
        credits: 5,
    }
}

/// What a release gave: disposition, credits restored, replayed.
pub(super) type Given = (Disposition, i64, bool);

pub(super) struct Gate {
    pub(super) state: AccountState,
    pub(super) catalog: Catalog,
    pub(super) now: Timestamp,
    pub(super) pending: Vec<PendingPayment>,
}

impl Gate {
    /// Of an account with nothing. Accounts without a plan may spend.
    pub(super) fn new() -> Self {
        Self::of(&Model::new(), start())
    }

    pub(super) fn of(model: &Model, now: Timestamp) -> Self {
        let mut state = AccountState::new(model.account.clone());
        state.balances = model.balances.clone().into_iter().collect();
        state.lots = model.lots.clone().into_iter().collect();
        state.reservations.clone_from(&model.reservations);
        state.operations.clone_from(&model.operations);
        state.projects.clone_from(&model.projects);
        state.subscriptions = model.subscriptions.values().cloned().collect();
        Self { state, catalog: model.catalog.clone(), now, pending: Vec::new() }
    }

    /// With one lot of this many scan credits that never expires.
    pub(super) fn with(credits: i64) -> Self {
        let mut gate = Self::new();
        gate.grant("first", credits, None);
        gate
    }

    /// As if made anew, with a rule of the policy turned.
    pub(super) fn policy(mut self, bit: u8) -> Self {
        self.catalog.policy = catalog(1 << bit).policy;
        self
    }

    pub(super) fn run(&mut self, action: Action) -> Result<Outcome, Refusal> {
        let command = Command { account_id: account_id(), actor: "tester".to_owned(), action };
        self.state.pending_payments = None;
        loop {
            let context =
                Context { now: self.now, catalog: &self.catalog, new_lot_id: next_lot_id };
            let mut state = self.state.clone();
            let decided = decide(&mut state, &command, &context);
            match decided {
                Err(Halt::Missing(missing)) => self.supply(missing),
                Ok(outcome) => {
                    self.state = state;
                    return Ok(outcome);
                }
                Err(Halt::Refused(refusal)) => {
                    self.state = state;
                    return Err(refusal);
                }
            }
        }
    }

    /// The state names every reservation: nothing else holds.
    pub(super) fn supply(&mut self, missing: Missing) {
        match missing {
            Missing::Holders(scope) => {
                self.state.holders.insert(scope, Vec::new());
            }
            Missing::ProjectSlots(project) => {
                let held = self.state.reservations.values().filter(|reservation| {
                    reservation.is_held() && reservation.sent.project_id.as_ref() == Some(&project)
                });
                let held = i64::try_from(held.count()).unwrap();
                self.state.project_slots.insert(project, held);
            }
            Missing::PendingPayments => self.state.pending_payments = Some(self.pending.clone()),
            Missing::Operations(keys) => self.state.looked_up.extend(keys),
        }
    }

    /// What is told of everything so far.
    pub(super) fn notices(&self) -> Vec<Notice> {
        let context = Context { now: self.now, catalog: &self.catalog, new_lot_id: next_lot_id };
        let mut state = self.state.clone();
        telling::tell(&mut state, &context);
        state.notices
    }

    pub(super) fn wait(&mut self, span: TimeDelta) {
        self.now += span;
    }

    pub(super) fn grant(&mut self, id: &str, credits: i64, expires_in: Option<TimeDelta>) -> LotId {
        match self.run(Action::Grant(grant(id, credits, expires_in))) {
            Ok(Outcome::Granted { lot, .. }) => lot.lot_id,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn subscribe(&mut self, id: &str, plan: &str, status: SubscriptionStatus) {
        self.state.subscriptions.push(Subscription {
            subscription_id: SubscriptionId::new(id).unwrap(),
            plan: PlanName::new(plan).unwrap(),
            status,
            interval: BillingInterval::Month,
            provider: "manual".to_owned(),
            period_start_time: start(),
            period_end_time: start() + TimeDelta::days(30),
            cancel_at_period_end: false,
            anchor_time: start(),
            create_time: start(),
            end_time: None,
            sent: None,
            provider_time: None,
        });
    }

    /// A hold that must be given.
    pub(super) fn hold(&mut self, id: &str, scan: Scan) -> Reservation {
        match self.run(Action::Reserve(reserve(id, scan))) {
            Ok(Outcome::Reserved { reservation, replayed: false, .. }) => reservation,
            other => panic!("{other:?}"),
        }
    }

    /// A hold on so many scan credits.
    pub(super) fn hold_credits(&mut self, id: &str, credits: i64) -> Reservation {
        self.hold(id, Scan { credits, ..scan("live_audit") })
    }

    /// The block that a scan meets; a check must say the same.
    pub(super) fn block(&mut self, scan: Scan) -> Block {
        let checked = self.run(Action::Check(scan.clone()));
        match self.run(Action::Reserve(reserve("blocked", scan))) {
            Ok(Outcome::Blocked { block, balance }) => {
                let same = Outcome::Blocked { block: block.clone(), balance };
                assert_eq!(checked, Ok(same), "Check and Reserve agree");
                *block
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn commit(&mut self, id: &str, credits: Option<i64>) -> Result<bool, Refusal> {
        match self.run(Action::Commit { reservation_id: run_id(id), credits })? {
            Outcome::Committed { replayed, .. } => Ok(replayed),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn release(&mut self, id: &str, cause: ReleaseCause) -> Result<Given, Refusal> {
        let action = Action::Release { reservation_id: run_id(id), cause, note: String::new() };
        match self.run(action)? {
            Outcome::Released { disposition, restored_credits, replayed, .. } => {
                Ok((disposition, restored_credits, replayed))
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn expire(&mut self, id: &str) -> bool {
        match self.run(Action::ExpireLease { reservation_id: run_id(id) }) {
            Ok(Outcome::LeaseExpired { freed }) => freed,
            other => panic!("{other:?}"),
        }
    }

    /// Available, reserved and spent scan credits.
    pub(super) fn balance(&self) -> [i64; 3] {
        let balance = self.state.balance(&scan_credits());
        [balance.available, balance.reserved, balance.spent]
    }

    pub(super) fn reservation(&self, id: &str) -> &Reservation {
        &self.state.reservations[&run_id(id)]
    }

    pub(super) fn state_of(&self, id: &str) -> ReservationState {
        self.reservation(id).state
    }

    /// The movements so far, and how many credits each had.
    pub(super) fn movements(&self) -> Vec<(EntryKind, i64)> {
        self.state.entries.iter().map(|entry| (entry.kind, entry.credits)).collect()
    }

    /// Forgets the movements so far.
    pub(super) fn forget(&mut self) {
        self.state.entries.clear();
    }

    /// What is left of a lot.
    pub(super) fn left(&self, lot: LotId) -> i64 {
        self.state.lots[&lot].remaining
    }

    pub(super) fn turn(&mut self, cause: ReleaseCause) {
        let restores = !cause.restores_by_default();
        self.catalog.policy.causes.push(CausePolicy { cause, restores });
    }
}
