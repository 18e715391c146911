//! What a lane keeps of the accounts that it has written: their state, and what they
//! hold. Commands that need nothing else are decided on that, without a read, and their
//! write refuses where somebody else has changed anything since
//! ([`Footing`](crate::store::batch::Footing)).
//!
//! What is kept is never an answer. An account's commands [stand](stands) on it only if
//! the reservation that each names is written, so that a guard has spoken for all that
//! it was decided on; a block, a replay, a refusal is decided on a fresh read.
//!
//! An account belongs to one lane of a process. Where other processes write it as well,
//! what is kept is often stale, and trying costs a write for nothing: so each refusal
//! makes the lane read for a while, the longer the more often it was refused.

use std::{
    collections::BTreeMap,
    hash::Hash,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use litemap::LiteMap;
use lru::LruCache;

use crate::{
    clock::Timestamp,
    domain::{
        account::{self, AccountState},
        command::{Action, Command, Outcome, Refusal},
        credit::{Balance, Lot},
        reservation::Reservation,
        subscription::Subscription,
    },
    ids::{AccountId, CreditType, LotId, ReservationId},
};

/// An account with more rows than this is not kept: what is kept stays small, whatever
/// callers send.
const MAX_ROWS: usize = 16;
/// Nor is a hold with more portions, or with labels of more bytes together.
const MAX_PORTIONS: usize = 8;
const MAX_LABELS: usize = 512;
/// How long the database's time may be told by the process's own clock.
const TIME_LASTS: Duration = Duration::from_secs(10);
/// A lane reads at most 2 to the power of this many batches before it tries again.
const MAX_DOUBT: u32 = 10;

/// The database's time, and when it was that.
pub(super) type Told = (Timestamp, Instant);

/// An account with its balances, open lots and live subscriptions: what of an
/// [`AccountState`] outlasts a batch.
struct Account {
    row: account::Account,
    balances: LiteMap<CreditType, Balance>,
    lots: LiteMap<LotId, Lot>,
    subscriptions: Vec<Subscription>,
}

impl Account {
    fn rows(&self) -> usize {
        self.balances.len() + self.lots.len() + self.subscriptions.len()
    }

    fn state(self) -> AccountState {
        AccountState {
            balances: self.balances,
            lots: self.lots,
            subscriptions: self.subscriptions,
            ..AccountState::new(self.row)
        }
    }
}

/// What is known of a batch's accounts.
pub(super) struct Known {
    /// What the database's clock shows, by the lane's own.
    pub(super) now: Timestamp,
    pub(super) accounts: Vec<AccountState>,
}

/// What a lane keeps.
pub(super) struct Kept {
    accounts: LruCache<AccountId, Account>,
    /// Those that are held.
    reservations: LruCache<(AccountId, ReservationId), Reservation>,
    /// Of each of the two.
    most: usize,
    told: Option<Told>,
    /// Grows by `refusal` with each that is refused, and falls by one with each that is
    /// not: by 4, trying pays while one in five is refused at most.
    doubt: u32,
    refusal: u32,
    /// Batches that are to be read, whatever is kept.
    to_read: u32,
}

impl Kept {
    /// Keeps this many accounts at most, and as many holds; none for 0.
    pub(super) fn new(most: usize, refusal: u32) -> Self {
        Self {
            accounts: LruCache::unbounded(),
            reservations: LruCache::unbounded(),
            most,
            told: None,
            doubt: 0,
            refusal,
            to_read: 0,
        }
    }

    /// Forgets all of it: on a new connection another server may answer, which has lost
    /// what the one before has committed.
    pub(super) fn clear(&mut self) {
        self.accounts.clear();
        self.reservations.clear();
        self.told = None;
    }

    /// The accounts of which all is kept that their commands need; `None` where the lane
    /// is to read, or there are none. They are taken out: only what is committed comes
    /// back.
    pub(super) fn take(
        &mut self,
        commands: &BTreeMap<AccountId, Vec<&Command>>,
        fixed_now: Option<Timestamp>,
    ) -> Option<Known> {
        if self.to_read > 0 {
            self.to_read -= 1;
            return None;
        }
        let now = fixed_now.or_else(|| self.now())?;
        let mut accounts = Vec::with_capacity(commands.len());
        for (account_id, commands) in commands {
            if !commands.iter().all(|command| self.has(command)) {
                continue;
            }
            let Some(account) = self.accounts.pop(account_id) else { continue };
            let mut state = account.state();
            for command in commands {
                if let Action::Reserve(reserve) = &command.action {
                    // That it exists is left to the write.
                    state.projects.extend(reserve.scan.project_id.clone());
                } else if let Some(id) = held(&command.action)
                    && let Some(held) = self.reservations.pop(&(account_id.clone(), id.clone()))
                {
                    state.reservations.insert(id.clone(), held);
                }
            }
            accounts.push(state);
        }
        (!accounts.is_empty()).then_some(Known { now, accounts })
    }

    /// True where a command needs nothing that is not kept. That a new reservation's id
    /// is unused is left to the write.
    fn has(&self, command: &Command) -> bool {
        let Some(account) = self.accounts.peek(&command.account_id) else { return false };
        let named =
            |id: &ReservationId| self.reservations.peek(&(command.account_id.clone(), id.clone()));
        let lot = |id: LotId| account.lots.get(&id);
        // And the one that its credits may return to.
        let has_lot = |id| {
            lot(id).is_some_and(|found| found.origin.is_none_or(|origin| lot(origin).is_some()))
        };
        match &command.action {
            Action::Reserve(reserve) => named(&reserve.reservation_id).is_none(),
            action => held(action).and_then(named).is_some_and(|reservation| {
                reservation.portions.iter().all(|portion| has_lot(portion.lot_id))
            }),
        }
    }

    fn now(&self) -> Option<Timestamp> {
        let (time, at) = self.told?;
        let since = at.elapsed();
        // PostgreSQL keeps microseconds.
        let micros = i64::try_from(since.as_micros()).ok()?;
        (since <= TIME_LASTS).then(|| time + TimeDelta::microseconds(micros))
    }

    /// Notes the database's time of a batch that was committed.
    pub(super) fn note_time(&mut self, told: Told) {
        self.told = Some(told);
    }

    /// Keeps an account that was committed: as it was read, as it is now, and what its
    /// commands were answered.
    pub(super) fn keep(
        &mut self,
        read: &AccountState,
        mut state: Box<AccountState>,
        answers: &[Result<Outcome, Refusal>],
    ) {
        if self.most == 0 {
            return;
        }
        let account_id = &state.account.account_id;
        // Whatever has changed the account's own row has moved its version on; and what is
        // blocked has to be read each time.
        let is_worth_it = state.account == read.account
            && state.subscriptions == read.subscriptions
            && answers.iter().all(|answer| {
                answer.as_ref().is_ok_and(|outcome| !matches!(outcome, Outcome::Blocked { .. }))
            });
        for (id, reservation) in std::mem::take(&mut state.reservations) {
            let key = (account_id.clone(), id);
            if is_worth_it && reservation.is_held() && is_small(&reservation) {
                put(&mut self.reservations, self.most, key, reservation);
            } else {
                self.reservations.pop(&key);
            }
        }
        state.lots.retain(|_, lot| lot.remaining > 0);
        state.subscriptions.retain(Subscription::is_live);
        let kept = Account {
            balances: state.balances,
            lots: state.lots,
            subscriptions: state.subscriptions,
            row: state.account,
        };
        let account_id = kept.row.account_id.clone();
        if is_worth_it && kept.rows() <= MAX_ROWS {
            put(&mut self.accounts, self.most, account_id, kept);
        } else {
            self.accounts.pop(&account_id);
        }
    }

    /// What was known has held.
    pub(super) fn has_stood(&mut self) {
        count("stood");
        self.doubt = self.doubt.saturating_sub(1);
    }

    /// Something of it had changed: the lane reads for a while.
    pub(super) fn was_stale(&mut self) {
        count("stale");
        self.doubt = (self.doubt + self.refusal).min(MAX_DOUBT);
        self.to_read = 1 << self.doubt;
    }
}

/// True where what an account's commands have come to may be answered: each has made
/// or changed the reservation that it names, and nothing else has happened than that
/// credits have moved.
pub(super) fn stands(read: &AccountState, state: &AccountState, commands: &[&Command]) -> bool {
    let is_written = |command: &&Command| {
        let id = match &command.action {
            Action::Reserve(reserve) => Some(&reserve.reservation_id),
            action => held(action),
        };
        id.and_then(|id| state.reservations.get(id)).is_some_and(|reservation| {
            read.reservations.get(&reservation.reservation_id) != Some(reservation)
        })
    };
    state.notices.is_empty()
        && state.account == read.account
        && state.subscriptions == read.subscriptions
        && state.operations == read.operations
        && state.balances.keys().eq(read.balances.keys())
        && state.lots.keys().eq(read.lots.keys())
        && commands.iter().all(is_written)
}

fn is_small(reservation: &Reservation) -> bool {
    let labels = reservation.labels.iter().map(|(name, value)| name.len() + value.len());
    reservation.portions.len() <= MAX_PORTIONS && labels.sum::<usize>() <= MAX_LABELS
}

/// The hold that a command is about.
fn held(action: &Action) -> Option<&ReservationId> {
    match action {
        Action::Extend { reservation_id, .. }
        | Action::Commit { reservation_id, .. }
        | Action::Release { reservation_id, .. } => Some(reservation_id),
        _ => None,
    }
}

/// Puts, and forgets what was not used for the longest time where that is one too many.
fn put<K: Eq + Hash, V>(cache: &mut LruCache<K, V>, most: usize, key: K, value: V) {
    cache.put(key, value);
    if cache.len() > most {
        cache.pop_lru();
    }
}

fn count(what: &'static str) {
    metrics::counter!("creditgate_kept_batches_total", "what" => what).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_last_is_kept_and_no_more_than_there_is_room_for() {
        let mut cache = LruCache::unbounded();
        (0..100).for_each(|n| put(&mut cache, 8, n, n));
        assert_eq!(cache.len(), 8);
        put(&mut cache, 8, 92, 0);
        put(&mut cache, 8, 100, 100);
        assert_eq!((cache.len(), cache.peek(&92), cache.peek(&93)), (8, Some(&0), None));
    }
}
