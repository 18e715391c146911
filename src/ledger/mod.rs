//! The only door to credits: commands go in, outcomes come out.
//!
//! A command waits in the queue of its account's lane. The lane takes what has
//! queued up and decides it as one batch in one transaction: so a single call
//! is a batch of one, batches grow under load by themselves, and a hot account
//! costs the same as many cold ones. Callers hear an outcome only after COMMIT.
//!
//! Reading order: this file (routing), [`queue`] (what waits), `lane` (the task
//! that owns a connection, and what it does when something fails), `attempt`
//! (one batch in one transaction), `kept` (what a lane need not read again), `reads`,
//! [`verify`].

mod attempt;
mod kept;
mod lane;
pub mod queue;
mod reads;
pub(crate) use reads::{WORK_LIMIT, detached, within};
mod touched;
pub mod verify;

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, RwLock},
};

use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What lists are asked by, and where their pages end.
pub use crate::store::queries::{
    EntryQuery, EventQuery, LotKey, LotQuery, ReservationKey, ReservationQuery,
};
use crate::{
    clock::Clock,
    domain::command::{Action, Command, Outcome, Refusal},
    ids::{AccountId, SeenAccounts},
    store::{Cell, CellId, Database, StoreError},
};
use kept::Kept;
use queue::{Queued, Waiting};
pub use touched::Changes;
use touched::Touched;
pub use verify::VerifyReport;

/// Why a command or a read gave no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// It cannot be carried out.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The queue is full: nothing was done.
    #[error("too many requests are waiting")]
    Overloaded,
    /// The database is away, or the account's row was locked for too long. For a
    /// command it is unknown whether it took effect: send it again.
    #[error("the ledger's database is unavailable")]
    Unavailable,
    /// The service is shutting down: nothing was done.
    #[error("the service is shutting down")]
    Closed,
    /// The database refuses this command's data, or a bug; it was logged.
    #[error("internal error")]
    Internal,
}

impl From<StoreError> for LedgerError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_)
            | StoreError::Locked
            | StoreError::Conflict(_)
            | StoreError::SchemaNotReady(_) => {
                tracing::warn!(%error, "the database cannot be read");
                Self::Unavailable
            }
            StoreError::Data(_)
            | StoreError::Corrupt(_)
            | StoreError::Other(_)
            | StoreError::Migration(_) => {
                tracing::error!(%error, "a read failed");
                Self::Internal
            }
        }
    }
}

/// How the write path is laid out.
#[derive(Debug, Clone)]
pub struct LedgerOptions {
    /// Lanes that write, for each cell: each owns a connection. Two at least: one
    /// writes while the other flushes.
    pub lanes: usize,
    /// Lanes that answer CheckEligibility, for each cell.
    pub check_lanes: usize,
    /// Commands that may wait in one lane's queue.
    pub queue: usize,
    /// Accounts that each lane that writes keeps in memory, at most: while nobody else
    /// writes them, their commands take no read. 0 for none. About 1 KB each, and as
    /// much for a hold of each.
    pub kept_accounts: usize,
    /// How fast a lane doubts what it keeps, once somebody else has changed it: each time
    /// it reads for 2 to the power of this many times as long. 0 where a test wants it to
    /// try again at once.
    pub doubt: u32,
    /// Where time comes from.
    pub clock: Clock,
}

impl Default for LedgerOptions {
    fn default() -> Self {
        Self {
            lanes: 2,
            check_lanes: 2,
            queue: 4096,
            kept_accounts: 16_384,
            doubt: 4,
            clock: Clock::Database,
        }
    }
}

/// The ledger. Clones share it.
#[derive(Debug, Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
    /// The accounts that there are for whoever holds this.
    seen: SeenAccounts,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    cells: Vec<Lanes>,
    /// Where accounts live. An account stays in its cell, so that what was
    /// learnt once holds; that it exists is decided in the cell.
    directory: RwLock<HashMap<AccountId, CellId>>,
    clock: Clock,
    touched: Arc<Touched>,
    closing: CancellationToken,
    tasks: TaskTracker,
}

/// A cell with the queues of its lanes.
#[derive(Debug)]
struct Lanes {
    cell: Cell,
    writers: Vec<mpsc::Sender<Queued>>,
    checkers: Vec<mpsc::Sender<Queued>>,
}

/// Places of a queue that reservations leave to what settles them: one in so many.
const SETTLING_SHARE: usize = 16;

/// Whether a lane's queue has room for what takes credits.
fn has_room_to_reserve(queue: &mpsc::Sender<Queued>) -> bool {
    queue.is_closed() || queue.capacity() > queue.max_capacity() / SETTLING_SHARE
}

/// What a command hears for which there is no place.
fn overloaded() -> LedgerError {
    metrics::counter!("creditgate_shed_total", "reason" => "queue_full").increment(1);
    LedgerError::Overloaded
}

/// Entries of the directory that are remembered: about 100 bytes each.
const DIRECTORY_ENTRIES: usize = 100_000;

impl Ledger {
    /// Starts the lanes. They connect by themselves, and again after a failure.
    #[must_use]
    pub fn start(database: Database, cells: Vec<Cell>, options: &LedgerOptions) -> Self {
        let closing = CancellationToken::new();
        let tasks = TaskTracker::new();
        let touched = Arc::new(Touched::default());
        let start = |cell: &Cell, mode: lane::Mode, count: usize| {
            (0..count.max(1))
                .map(|_| {
                    let (sender, receiver) = mpsc::channel(options.queue.max(1));
                    let (clock, told) = (options.clock.clone(), Arc::clone(&touched));
                    let kept = if mode == lane::Mode::Write { options.kept_accounts } else { 0 };
                    let kept = Kept::new(kept, options.doubt);
                    let lane = lane::Lane::new(cell.clone(), mode, clock, told, receiver, kept);
                    tasks.spawn(lane.run(closing.clone()));
                    sender
                })
                .collect()
        };
        let cells = cells
            .into_iter()
            .map(|cell| Lanes {
                writers: start(&cell, lane::Mode::Write, options.lanes),
                checkers: start(&cell, lane::Mode::Check, options.check_lanes),
                cell,
            })
            .collect();
        tasks.close();
        let inner = Arc::new(Inner {
            database,
            cells,
            directory: RwLock::default(),
            clock: options.clock.clone(),
            touched,
            closing,
            tasks,
        });
        Self { inner, seen: None }
    }

    /// The same ledger for somebody who sees these accounts alone: whatever is
    /// asked of another is answered as if it did not exist, and as fast.
    #[must_use]
    pub fn seen_by(&self, accounts: SeenAccounts) -> Self {
        Self { inner: Arc::clone(&self.inner), seen: accounts }
    }

    /// The accounts that are seen; `None` for all.
    pub(crate) fn seen(&self) -> &SeenAccounts {
        &self.seen
    }

    /// Refuses an account that is not seen.
    pub(crate) fn expect_seen(&self, account_id: &AccountId) -> Result<(), LedgerError> {
        if self.seen.as_ref().is_none_or(|accounts| accounts.contains(account_id)) {
            return Ok(());
        }
        Err(Refusal::AccountNotFound { account_id: account_id.clone() }.into())
    }

    /// Carries out one command.
    ///
    /// # Errors
    ///
    /// See [`LedgerError`].
    pub async fn submit(&self, command: Command) -> Result<Outcome, LedgerError> {
        self.enqueue(command).await?.outcome().await
    }

    /// Carries out commands, those of one account in the order given, and
    /// answers in that order. They share a batch where they fit into one.
    pub async fn submit_all(&self, commands: Vec<Command>) -> Vec<Result<Outcome, LedgerError>> {
        let mut waiting = Vec::with_capacity(commands.len());
        for command in commands {
            waiting.push(self.enqueue(command).await);
        }
        let mut answers = Vec::with_capacity(waiting.len());
        for answer in waiting {
            answers.push(match answer {
                Ok(answer) => answer.outcome().await,
                Err(error) => Err(error),
            });
        }
        answers
    }

    /// Puts a command into its lane's queue.
    async fn enqueue(&self, command: Command) -> Result<Waiting, LedgerError> {
        let lanes = self.lanes_of(&command.account_id).await?;
        let queues = match command.action {
            Action::Check(_) => &lanes.checkers,
            _ => &lanes.writers,
        };
        let mut hasher = DefaultHasher::new();
        command.account_id.hash(&mut hasher);
        let position = usize::try_from(hasher.finish() % queues.len().max(1) as u64).unwrap_or(0);
        let queue = queues.get(position).ok_or(LedgerError::Closed)?;
        if matches!(command.action, Action::Reserve(_)) && !has_room_to_reserve(queue) {
            return Err(overloaded());
        }
        let (queued, answer) = Queued::new(command);
        queue.try_send(queued).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => overloaded(),
            mpsc::error::TrySendError::Closed(_) => LedgerError::Closed,
        })?;
        Ok(answer)
    }

    /// Refuses a reservation, of whatever account, while no lane has room for one.
    pub(crate) fn expect_room_to_reserve(&self) -> Result<(), LedgerError> {
        let mut writers = self.inner.cells.iter().flat_map(|lanes| &lanes.writers);
        if writers.any(has_room_to_reserve) { Ok(()) } else { Err(overloaded()) }
    }

    /// The lanes of an account's cell. With one cell there is nothing to look
    /// up; whether the account exists is then for the batch to see.
    async fn lanes_of(&self, account_id: &AccountId) -> Result<&Lanes, LedgerError> {
        self.expect_seen(account_id)?;
        if let [only] = self.inner.cells.as_slice() {
            return Ok(only);
        }
        let not_found = || Refusal::AccountNotFound { account_id: account_id.clone() };
        let known = self.inner.directory.read().ok().and_then(|map| map.get(account_id).copied());
        let cell_id = match known {
            Some(cell_id) => cell_id,
            None => {
                let database = self.inner.database.clone();
                let key = account_id.clone();
                let found = reads::detached(async move { database.cell_of(&key).await }).await?;
                let cell_id = found.ok_or_else(not_found)?;
                if let Ok(mut map) = self.inner.directory.write() {
                    if map.len() >= DIRECTORY_ENTRIES {
                        map.clear();
                    }
                    map.insert(account_id.clone(), cell_id);
                }
                cell_id
            }
        };
        let lanes = self.inner.cells.iter().find(|lanes| lanes.cell.cell_id == cell_id);
        // In a cell that was opened after this server started: another one, or
        // this one after a restart, serves it.
        lanes.ok_or(LedgerError::Unavailable)
    }

    /// Tells how many commands wait in the lanes, as a metric.
    pub(crate) fn tell_queues(&self) {
        let waiting = |of: fn(&Lanes) -> &Vec<mpsc::Sender<Queued>>| -> usize {
            let queues = self.inner.cells.iter().flat_map(of);
            queues.map(|queue| queue.max_capacity() - queue.capacity()).sum()
        };
        let sums = [
            ("write", waiting(|lanes| &lanes.writers)),
            ("check", waiting(|lanes| &lanes.checkers)),
        ];
        for (lane, waiting) in sums {
            metrics::gauge!("creditgate_queue_commands", "lane" => lane).set(waiting as f64);
        }
    }

    /// Hears of an account's changes by commands of this process.
    #[must_use]
    pub fn changes_of(&self, account_id: &AccountId) -> Changes {
        self.inner.touched.listen(account_id)
    }

    /// The cells.
    pub fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.inner.cells.iter().map(|lanes| &lanes.cell)
    }

    /// Where this ledger's time comes from.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Takes no more commands, and returns when all that were taken have been
    /// answered.
    pub async fn close(&self) {
        self.inner.closing.cancel();
        self.inner.tasks.wait().await;
        for lanes in &self.inner.cells {
            lanes.cell.close().await;
        }
    }
}
