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

mod generations;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chrono::TimeDelta;

use self::generations::Generations;
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
    store::StoreError,
};

/// An account with more rows than this is not kept: what is kept stays small, whatever
/// callers send.
const MAX_ROWS: usize = 16;
/// Nor is a hold with more portions, or with labels of more bytes together.
const MAX_PORTIONS: usize = 8;
const MAX_LABELS: usize = 512;
/// How long the database's time may be told by the process's own clock.
const TIME_LASTS: Duration = Duration::from_secs(10);
/// How far the two may be apart: more, and the process was stopped, or a clock was set.
const MAX_SKEW: TimeDelta = TimeDelta::seconds(1);
/// A lane reads at most 2 to the power of this many batches before it tries again.
const MAX_DOUBT: u32 = 10;

/// The database's time, and when it was that.
pub(super) type Told = (Timestamp, Instant);

/// An account with its balances, open lots and live subscriptions. Lists take a fifth
/// of the memory of an [`AccountState`]'s maps.
struct Account {
    row: account::Account,
    balances: Box<[(CreditType, Balance)]>,
    lots: Box<[Lot]>,
    subscriptions: Box<[Subscription]>,
}

impl Account {
    fn rows(&self) -> usize {
        self.balances.len() + self.lots.len() + self.subscriptions.len()
    }

    fn state(self) -> AccountState {
        AccountState {
            balances: self.balances.into_iter().collect(),
            lots: self.lots.into_iter().map(|lot| (lot.lot_id, lot)).collect(),
            subscriptions: self.subscriptions.into_vec(),
            ..AccountState::new(self.row)
        }
    }
}

/// What is known of a batch's accounts.
pub(super) struct Known {
    /// What the database's clock shows, by the lane's own.
    pub(super) now: Timestamp,
    pub(super) accounts: BTreeMap<AccountId, AccountState>,
}

/// What a lane keeps.
pub(super) struct Kept {
    accounts: Generations<AccountId, Account>,
    /// Those that are held.
    reservations: Generations<(AccountId, ReservationId), Reservation>,
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
    pub(super) fn new(accounts: usize, refusal: u32) -> Self {
        Self {
            accounts: Generations::new(accounts),
            reservations: Generations::new(accounts),
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
        let mut accounts = BTreeMap::new();
        for (account_id, commands) in commands {
            if !commands.iter().all(|command| self.has(command)) {
                continue;
            }
            let Some(account) = self.accounts.take(account_id) else { continue };
            let mut state = account.state();
            for command in commands {
                if let Action::Reserve(reserve) = &command.action {
                    // That it exists is left to the write.
                    state.projects.extend(reserve.scan.project_id.clone());
                } else if let Some(id) = held(&command.action)
                    && let Some(held) = self.reservations.take(&(account_id.clone(), id.clone()))
                {
                    state.reservations.insert(id.clone(), held);
                }
            }
            accounts.insert(account_id.clone(), state);
        }
        (!accounts.is_empty()).then_some(Known { now, accounts })
    }

    /// True where a command needs nothing that is not kept. That a new reservation's id
    /// is unused is left to the write.
    fn has(&self, command: &Command) -> bool {
        let Some(account) = self.accounts.get(&command.account_id) else { return false };
        let named =
            |id: &ReservationId| self.reservations.get(&(command.account_id.clone(), id.clone()));
        let lot = |id: LotId| account.lots.iter().find(|lot| lot.lot_id == id);
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
        state: AccountState,
        answers: &[Result<Outcome, Refusal>],
    ) {
        if !self.accounts.has_room() {
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
        for (id, reservation) in state.reservations {
            let key = (account_id.clone(), id);
            if is_worth_it && reservation.is_held() && is_small(&reservation) {
                self.reservations.put(key, reservation);
            } else {
                self.reservations.take(&key);
            }
        }
        let open: Box<[Lot]> = state.lots.into_values().filter(|lot| lot.remaining > 0).collect();
        let kept = Account {
            balances: state.balances.into_iter().collect(),
            lots: open,
            subscriptions: state.subscriptions.into_iter().filter(Subscription::is_live).collect(),
            row: state.account,
        };
        let account_id = kept.row.account_id.clone();
        if is_worth_it && kept.rows() <= MAX_ROWS {
            self.accounts.put(account_id, kept);
        } else {
            self.accounts.take(&account_id);
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

/// Compares the time that a batch was decided at with the database's.
///
/// # Errors
///
/// [`StoreError::Conflict`] where they are too far apart.
pub(super) fn compare(now: Timestamp, told: Timestamp) -> Result<(), StoreError> {
    if (told - now).abs() <= MAX_SKEW {
        return Ok(());
    }
    Err(StoreError::Conflict(format!("decided at {now}, and it is {told}")))
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

fn count(what: &'static str) {
    metrics::counter!("creditgate_kept_batches_total", "what" => what).increment(1);
}
