//! One account's state, as far as a batch of commands needs it, and the one
//! way in which credits move.

mod row;

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use litemap::LiteMap;

use super::{
    command::{OperationKey, Refusal},
    credit::{Balance, Lot, LotPortion, take},
    entry::{Entry, EntryKind, HASH_VERSION},
    event::EventKind,
    payment::{KnownAdjustment, Purchase, TopUp},
    reservation::Reservation,
    subscription::Subscription,
    verdict::{MAX_HOLDERS, PendingPayment},
};
use crate::{
    clock::Timestamp,
    ids::{CreditType, LotId, OperationId, ProjectId, ReservationId},
    planted::{self, Bug},
};

pub use row::Account;

/// Credits that came or went outside a scan, once per key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The idempotency key.
    pub key: OperationKey,
    /// The type of credits.
    pub credit_type: CreditType,
    /// How many.
    pub credits: i64,
    /// The expiry that was asked for.
    pub expire_time: Option<Timestamp>,
    /// Why.
    pub reason: String,
    /// The lot that it made, where it made one.
    pub lot_id: Option<LotId>,
    /// The sequence of its ledger entry.
    pub sequence: i64,
    /// When.
    pub create_time: Timestamp,
}

/// What is worth telling and has no ledger entry. Unique by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What makes it unique within the account, such as `unbilled:RESERVATION`.
    pub key: String,
    /// What happened.
    pub kind: EventKind,
    /// The type of credits.
    pub credit_type: Option<CreditType>,
    /// How many.
    pub credits: i64,
    /// The reservation, top-up or subscription in question.
    pub subject: String,
    /// For people, where kind and numbers do not say it all; else empty.
    pub detail: String,
    /// The entry of the ledger that it is about, where it is about one.
    pub sequence: Option<i64>,
    /// Available at that time, where a balance is in question.
    pub available: Option<i64>,
    /// When.
    pub create_time: Timestamp,
}

/// Which reservations are looked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HolderScope {
    /// All that are held.
    Account,
    /// Those that hold credits of a type.
    Credits(CreditType),
    /// Those of a project.
    Project(ProjectId),
}

/// A held reservation that stands in the way of another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// When its lease ends.
    pub expire_time: Timestamp,
    /// Which.
    pub reservation_id: ReservationId,
}

/// What a decision needs and the state does not have, because it is seldom
/// needed: it is read, and everything is decided again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Missing {
    /// The held reservations of a scope, the earliest lease first.
    Holders(HolderScope),
    /// How many scans of a project are held.
    ProjectSlots(ProjectId),
    /// The account's pending payments, the oldest first.
    PendingPayments,
    /// Operations that no command names, with their lots.
    Operations(Vec<OperationKey>),
}

/// Why a decision gave no outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// The command cannot be carried out.
    Refused(Refusal),
    /// Something has to be read first.
    Missing(Missing),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// One account, as far as a batch needs it: what the commands name, and what
/// every decision looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountState {
    /// The account row.
    pub account: Account,
    /// Its balances.
    pub balances: LiteMap<CreditType, Balance>,
    /// Its open lots, and those that the named reservations and operations
    /// touched.
    pub lots: LiteMap<LotId, Lot>,
    /// The reservations that the commands name, where they exist.
    pub reservations: BTreeMap<ReservationId, Reservation>,
    /// The operations that the commands name, where they exist.
    pub operations: BTreeMap<OperationKey, Operation>,
    /// Those of the named projects that are this account's.
    pub projects: BTreeSet<ProjectId>,
    /// Its subscriptions that have not been canceled, and those that the
    /// commands name, where they exist; by id.
    pub subscriptions: Vec<Subscription>,
    /// The top-ups that the commands name, where they exist.
    pub top_ups: BTreeMap<OperationId, TopUp>,
    /// The payments that the commands name and that have been completed:
    /// provider and id.
    pub transactions: BTreeSet<(String, String)>,
    /// What these payments brought.
    pub purchases: Vec<Purchase>,
    /// What is known of adjustments of these payments: by provider and id.
    pub adjustments: BTreeMap<(String, String), KnownAdjustment>,
    /// The reports that the commands name and that have been applied: provider
    /// and id.
    pub applied_events: BTreeSet<(String, String)>,
    /// Operations that were looked for on demand: where `operations` lacks one of
    /// these, it does not exist.
    pub looked_up: BTreeSet<OperationKey>,
    /// Held reservations by scope, the earliest lease first and ids in byte
    /// order: as many as a block names, and one more for each command of the
    /// batch that could settle or prolong one. Read on demand.
    pub holders: BTreeMap<HolderScope, Vec<Holder>>,
    /// Scans held by project. Read on demand.
    pub project_slots: BTreeMap<ProjectId, i64>,
    /// Payments that are awaited, the oldest first. Read on demand.
    pub pending_payments: Option<Vec<PendingPayment>>,
    /// The movements decided so far, in order.
    pub entries: Vec<Entry>,
    /// What was decided and is worth telling.
    pub notices: Vec<Notice>,
}

/// Why credits move: what an entry says of its origin.
#[derive(Debug, Clone, Copy)]
pub struct Cause<'a> {
    /// The reservation, where there is one.
    pub reservation_id: Option<&'a ReservationId>,
    /// For people.
    pub reference: &'a str,
    /// Who asked.
    pub actor: &'a str,
}

impl AccountState {
    /// An account with nothing but its row.
    #[must_use]
    pub fn new(account: Account) -> Self {
        Self {
            account,
            balances: LiteMap::new(),
            lots: LiteMap::new(),
            reservations: BTreeMap::new(),
            operations: BTreeMap::new(),
            projects: BTreeSet::new(),
            subscriptions: Vec::new(),
            top_ups: BTreeMap::new(),
            transactions: BTreeSet::new(),
            purchases: Vec::new(),
            adjustments: BTreeMap::new(),
            applied_events: BTreeSet::new(),
            looked_up: BTreeSet::new(),
            holders: BTreeMap::new(),
            project_slots: BTreeMap::new(),
            pending_payments: None,
            entries: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// The balance of a credit type; an empty one before its first entry.
    #[must_use]
    pub fn balance(&self, credit_type: &CreditType) -> Balance {
        self.balances.get(credit_type).cloned().unwrap_or(Balance::EMPTY)
    }

    /// The balance to answer with: none for a free kind.
    #[must_use]
    pub fn balance_for(&self, credit_type: Option<&CreditType>) -> Option<Balance> {
        credit_type.map(|credit_type| self.balance(credit_type))
    }

    /// Subscriptions that have not ended.
    pub fn live_subscriptions(&self) -> impl Iterator<Item = &Subscription> + Clone {
        self.subscriptions.iter().filter(|subscription| subscription.is_live())
    }

    /// True where a lot's credits can no longer be spent: its own end has come,
    /// or it lapsed with the last subscription.
    #[must_use]
    pub fn has_expired(&self, lot: &Lot, now: Timestamp) -> bool {
        lot.has_expired(now) || self.account.lapse_time.is_some_and(|time| lot.create_time <= time)
    }

    /// When a lot that is made now is made: after a lapse, even one of the same
    /// microsecond.
    #[must_use]
    pub fn new_lot_time(&self, now: Timestamp) -> Timestamp {
        let after = self.account.lapse_time.map(|time| time + TimeDelta::microseconds(1));
        after.map_or(now, |after| after.max(now))
    }

    /// An operation that no command names: read on demand.
    pub fn operation(&self, key: &OperationKey) -> Result<Option<&Operation>, Halt> {
        match self.operations.get(key) {
            Some(made) => Ok(Some(made)),
            None if self.looked_up.contains(key) => Ok(None),
            None => Err(Halt::Missing(Missing::Operations(vec![key.clone()]))),
        }
    }

    /// Scans held at once, with credits or without.
    #[must_use]
    pub fn held_scans(&self) -> i64 {
        let with_credits: i64 = self.balances.values().map(|balance| balance.held_scans).sum();
        self.account.held_scans + with_credits
    }

    /// Open lots of a type in burn order.
    #[must_use]
    pub fn open_lots(&self, credit_type: &CreditType) -> Vec<&Lot> {
        let mut lots: Vec<&Lot> = self
            .lots
            .values()
            .filter(|lot| lot.remaining > 0 && lot.credit_type == *credit_type)
            .collect();
        lots.sort_by(|a, b| a.burn_order(b));
        lots
    }

    /// Chooses `credits` of a type from the open lots, in burn order. The
    /// caller has seen that so many are available.
    #[must_use]
    pub fn pick(&self, credit_type: &CreditType, credits: i64) -> Vec<LotPortion> {
        take(self.open_lots(credit_type), credits)
    }

    /// Moves credits: the one place where a balance, the lots and the ledger
    /// change, together. Returns the entry's sequence.
    pub fn post(
        &mut self,
        credit_type: &CreditType,
        kind: EntryKind,
        portions: Vec<LotPortion>,
        cause: Cause<'_>,
        now: Timestamp,
    ) -> i64 {
        let credits = super::credit::total(&portions);
        let effect = kind.effect();
        for portion in &portions {
            if let Some(lot) = self.lots.get_mut(&portion.lot_id) {
                lot.remaining = lot.remaining.saturating_add(effect.available * portion.credits);
            }
        }
        let balance = self.balances.entry(credit_type.clone()).or_insert(Balance::EMPTY);
        balance.available = balance.available.saturating_add(effect.available * credits);
        balance.reserved = balance.reserved.saturating_add(effect.reserved * credits);
        balance.spent = balance.spent.saturating_add(effect.spent * credits);
        if !(planted::has(Bug::SequenceReused) && kind == EntryKind::Restore) {
            balance.sequence += 1;
        }
        balance.last_entry_time = now;
        let mut entry = Entry {
            credit_type: credit_type.clone(),
            sequence: balance.sequence,
            kind,
            credits,
            available_after: balance.available,
            reserved_after: balance.reserved,
            spent_after: balance.spent,
            reservation_id: cause.reservation_id.cloned(),
            reference: cause.reference.to_owned(),
            actor: cause.actor.to_owned(),
            create_time: now,
            portions,
            hash: [0; 32],
            hash_version: HASH_VERSION,
        };
        let lots = &self.lots;
        entry.hash = entry
            .compute_hash(&self.account.account_id, &balance.last_hash, |p| lots.get(&p.lot_id));
        balance.last_hash = entry.hash;
        self.entries.push(entry);
        balance.sequence
    }

    /// Counts a reservation in, or out, of those that are held at once.
    pub fn count_held(&mut self, reservation: &Reservation, by: i64) {
        match &reservation.credit_type {
            Some(credit_type) if reservation.credits > 0 => {
                let balance = self.balances.entry(credit_type.clone()).or_insert(Balance::EMPTY);
                balance.held_scans += by;
            }
            _ => self.account.held_scans += by,
        }
        if let Some(project) = &reservation.sent.project_id
            && let Some(slots) = self.project_slots.get_mut(project)
        {
            *slots += by;
        }
    }

    /// The reservations that stand in the way, the earliest lease first, at
    /// most [`MAX_HOLDERS`]: those that were read, with what the batch has done
    /// to them since.
    pub fn holders(&self, scope: &HolderScope) -> Result<Vec<Holder>, Halt> {
        let read = self
            .holders
            .get(scope)
            .ok_or_else(|| Halt::Missing(Missing::Holders(scope.clone())))?;
        let in_scope = |reservation: &&Reservation| {
            reservation.is_held()
                && match scope {
                    HolderScope::Account => true,
                    HolderScope::Credits(credit_type) => {
                        reservation.credits > 0
                            && reservation.credit_type.as_ref() == Some(credit_type)
                    }
                    HolderScope::Project(project) => {
                        reservation.sent.project_id.as_ref() == Some(project)
                    }
                }
        };
        let mut holders: Vec<Holder> = read
            .iter()
            .filter(|holder| !self.reservations.contains_key(&holder.reservation_id))
            .cloned()
            .chain(self.reservations.values().filter(in_scope).map(|reservation| Holder {
                expire_time: reservation.expire_time,
                reservation_id: reservation.reservation_id.clone(),
            }))
            .collect();
        holders.sort();
        holders.truncate(MAX_HOLDERS);
        Ok(holders)
    }
}
