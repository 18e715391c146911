//! Sends many commands through the ledger: as many at once as keep all lanes
//! busy, those of one account in their order.

use std::{
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::{self, Instant};

use super::{Options, input::At};
use crate::{
    domain::command::{Command, Outcome},
    ids::AccountId,
    ledger::{Ledger, LedgerError, queue::MAX_BATCH},
};

/// Chunks of commands that are in flight at once: while one is answered, the
/// others keep the lanes busy.
const FEEDERS: usize = 8;
/// For how long a database that is away is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// The pause before a command is sent again.
pub(super) const PAUSE: Duration = Duration::from_millis(250);

/// Why an import does not go on.
pub(super) type Stopped = String;

/// What becomes a command.
pub(super) trait Fed {
    /// The account.
    fn account_id(&self) -> &AccountId;
    /// The command.
    fn command(&self) -> Command;
}

/// Commands of a chunk, for this many lanes: all chunks together are four full
/// batches for each, so that one has work also where accounts do not spread
/// evenly.
fn chunk(lanes: usize) -> usize {
    lanes.max(1) * 4 * MAX_BATCH / FEEDERS
}

/// Commands that are in flight at most.
#[must_use]
pub fn in_flight(lanes: usize) -> usize {
    FEEDERS * chunk(lanes)
}

/// Stops where that is wanted.
pub(super) fn go_on(options: &Options<'_>) -> Result<(), Stopped> {
    if options.stop.is_cancelled() { Err("it was interrupted".to_owned()) } else { Ok(()) }
}

/// Sends the commands of these items, which are sorted by account, and tells
/// `answered` of each that was carried out. The first that cannot be ends it; what
/// is in flight by then is waited for.
pub(super) async fn feed<T: Fed>(
    items: &[At<T>],
    what: &str,
    ledger: &Ledger,
    options: &Options<'_>,
    answered: impl FnMut(&T, &Outcome),
) -> Result<(), Stopped> {
    let state = State { next: 0, done: 0, has_failed: false, answered };
    let feed = Feed { items, what, ledger, options, state: Mutex::new(state) };
    let ended = join_all((0..FEEDERS).map(|_| feed.run())).await;
    ended.into_iter().collect()
}

struct Feed<'f, T, A> {
    items: &'f [At<T>],
    what: &'f str,
    ledger: &'f Ledger,
    options: &'f Options<'f>,
    state: Mutex<State<A>>,
}

/// What the feeders share.
struct State<A> {
    /// The first item that nobody has taken.
    next: usize,
    done: usize,
    has_failed: bool,
    answered: A,
}

impl<T: Fed, A: FnMut(&T, &Outcome)> Feed<'_, T, A> {
    fn state(&self) -> MutexGuard<'_, State<A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self) -> Result<(), Stopped> {
        while let Some(range) = self.take() {
            // All of an account is taken by one feeder, which waits for each
            // chunk: so its commands keep their order.
            for items in self.items.get(range).unwrap_or_default().chunks(self.chunk()) {
                if let Err(stopped) = self.send(items).await {
                    self.state().has_failed = true;
                    return Err(stopped);
                }
            }
        }
        go_on(self.options)
    }

    fn chunk(&self) -> usize {
        chunk(self.options.lanes)
    }

    /// The next items, as whole accounts: a chunk, or more where one account has
    /// more than that.
    fn take(&self) -> Option<Range<usize>> {
        let mut state = self.state();
        let (from, len) = (state.next, self.items.len());
        if from >= len || state.has_failed || self.options.stop.is_cancelled() {
            return None;
        }
        let account = |index: usize| self.items.get(index).map(|at| at.record.account_id());
        let is_border = |index: &usize| account(index - 1) != account(*index);
        let full = (from + self.chunk()).min(len);
        let to = (from + 1..=full)
            .rev()
            .find(is_border)
            .or_else(|| (full..len).find(is_border))
            .unwrap_or(len);
        state.next = to;
        Some(from..to)
    }

    /// Sends commands until each has been carried out or refused.
    async fn send(&self, items: &[At<T>]) -> Result<(), Stopped> {
        go_on(self.options)?;
        let mut open: Vec<&At<T>> = items.iter().collect();
        let mut since = Instant::now();
        while !open.is_empty() {
            let commands = open.iter().map(|at| at.record.command()).collect();
            let answers = self.ledger.submit_all(commands).await;
            let mut again = Vec::new();
            let mut refused = None;
            let mut away = None;
            for (at, answer) in open.iter().copied().zip(answers) {
                match answer {
                    Ok(outcome) => {
                        let mut state = self.state();
                        state.done += 1;
                        (state.answered)(&at.record, &outcome);
                    }
                    Err(error @ (LedgerError::Unavailable | LedgerError::Overloaded)) => {
                        away = Some(error);
                        again.push(at);
                    }
                    Err(error) => {
                        refused.get_or_insert_with(|| format!("line {}: {error}", at.line));
                    }
                }
            }
            if let Some(refused) = refused {
                return Err(refused);
            }
            let done = self.state().done;
            self.options.progress.tell(self.what, done, self.items.len());
            if again.len() < open.len() {
                since = Instant::now();
            }
            if let Some(error) = away {
                if since.elapsed() > PATIENCE {
                    return Err(error.to_string());
                }
                go_on(self.options)?;
                time::sleep(PAUSE).await;
            }
            open = again;
        }
        Ok(())
    }
}
