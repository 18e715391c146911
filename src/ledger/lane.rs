//! A lane: a task that owns one connection and turns a queue into batches.
//!
//! | what fails                        | what the lane does                               |
//! |-----------------------------------|--------------------------------------------------|
//! | the connection, also in COMMIT    | a new one, the same batch again: it may have     |
//! |                                   | been committed, and every command is idempotent  |
//! | an account's lock, for a while    | goes on without it; its commands wait            |
//! | a guard, a deadlock               | rolls back, the same batch again, after a jitter |
//! | the data                          | rolls back, each command in a batch of its own:  |
//! |                                   | the poisoned one fails alone                     |
//! | patience                          | `Unavailable` to the caller                      |
//! | this program (a panic)            | `Unavailable` to the batch's callers, goes on    |

use std::{collections::VecDeque, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use rand::RngExt;
use tokio::{sync::mpsc, task, time};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    LedgerError,
    attempt::{Answer, Locking, attempt},
    kept::Kept,
    queue::{MAX_BATCH, Queued},
    touched::Touched,
};
use crate::{
    clock::Clock,
    domain::{
        catalog::{Catalog, RevisedCatalog},
        command::{Action, Command},
    },
    ids::OperationId,
    planted::{self, Bug},
    store::{Cell, StoreError, batch::LaneConnection},
    telemetry::traces,
};

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a batch may take before its connection counts as dead. It is then
/// closed, not used again: what it had begun ends with it.
const BATCH_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a lane without work keeps the transaction that its last commit has
/// begun. Under load the next batch needs it at once; an idle transaction is
/// what operators look for, and PostgreSQL cuts its connection after 2 s.
const REST_AFTER: Duration = Duration::from_millis(500);
/// How many commands of locked accounts may wait beside a lane's queue.
const MAX_PARKED: usize = 4 * MAX_BATCH;
/// How long commands of a locked account wait before they are tried again.
const PARKED_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How often a batch is tried again because of a conflict.
const MAX_CONFLICTS: u32 = 10;

/// What a lane does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Writes what it decides.
    Write,
    /// Only looks.
    Check,
}

pub(super) struct Lane {
    cell: Cell,
    mode: Mode,
    clock: Clock,
    touched: Arc<Touched>,
    queue: mpsc::Receiver<Queued>,
    connection: Option<LaneConnection>,
    /// The catalog as this lane read it last: good while its revision is the
    /// one that the transaction sees.
    catalog: Arc<RevisedCatalog>,
    /// What it need not read again.
    kept: Kept,
    /// Commands whose account is locked by somebody else.
    parked: Vec<Queued>,
    /// True where the last batch was of several.
    is_busy: bool,
}

impl Lane {
    pub(super) fn new(
        cell: Cell,
        mode: Mode,
        clock: Clock,
        touched: Arc<Touched>,
        queue: mpsc::Receiver<Queued>,
        kept: Kept,
    ) -> Self {
        Self {
            cell,
            mode,
            clock,
            touched,
            queue,
            connection: None,
            catalog: Arc::new(RevisedCatalog { revision: 0, catalog: Catalog::default() }),
            kept,
            parked: Vec::new(),
            is_busy: false,
        }
    }

    /// Works until the queue is closed and empty.
    pub(super) async fn run(mut self, closing: CancellationToken) {
        while let Some(batch) = self.next(&closing).await {
            metrics::histogram!("creditgate_batch_commands").record(batch.len() as f64);
            if let Some(oldest) = batch.iter().map(|queued| queued.since).min() {
                let waited = oldest.elapsed().as_secs_f64();
                metrics::histogram!("creditgate_queue_seconds").record(waited);
            }
            let span = traces::batch(batch.len(), batch.iter().map(|queued| &queued.span));
            // A bug in one batch must not end the lane: its queue would refuse
            // every command from then on.
            let work = self.work(batch).instrument(span);
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                tracing::error!(cell = %self.cell.schema_name, "a batch panicked: its callers are told that it is unknown what became of it");
                metrics::counter!("creditgate_batch_panics_total").increment(1);
                self.connection = None;
            }
        }
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }

    /// Takes what has queued up, without waiting for more. The commands of
    /// locked accounts come first: their callers came first.
    async fn next(&mut self, closing: &CancellationToken) -> Option<Vec<Queued>> {
        let mut batch = std::mem::take(&mut self.parked);
        let first = if batch.is_empty() {
            match time::timeout(REST_AFTER, self.wait(closing)).await {
                Ok(first) => first,
                Err(_) => {
                    self.rest().await;
                    self.wait(closing).await
                }
            }
        } else {
            match time::timeout(PARKED_PAUSE, self.queue.recv()).await {
                Ok(Some(first)) => Some(first),
                // A closed queue answers at once: keep to the pause all the same.
                Ok(None) => {
                    time::sleep(PARKED_PAUSE).await;
                    None
                }
                Err(_) => None,
            }
        };
        let first_came = first.is_some();
        batch.extend(first);
        if self.is_busy {
            // Calls that have arrived together ask one after the other: they come along.
            task::yield_now().await;
        }
        // Those that wait for a lock take no place from the others.
        for _ in usize::from(first_came)..MAX_BATCH {
            let Ok(queued) = self.queue.try_recv() else { break };
            batch.push(queued);
        }
        self.is_busy = batch.len() > 1;
        (!batch.is_empty()).then_some(batch)
    }

    /// The next command; none once the lane is to end and its queue is empty.
    async fn wait(&mut self, closing: &CancellationToken) -> Option<Queued> {
        tokio::select! {
            biased;
            first = self.queue.recv() => first,
            () = closing.cancelled() => {
                self.queue.close();
                self.queue.recv().await
            }
        }
    }

    /// Ends the transaction that the last commit has begun.
    async fn rest(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        match time::timeout(BATCH_TIMEOUT, connection.rest()).await {
            Ok(Ok(())) => self.connection = Some(connection),
            Ok(Err(error)) => tracing::debug!(%error, "a lane at rest lost its connection"),
            Err(_) => tracing::debug!("a lane at rest has no answer from the database"),
        }
    }

    /// Answers every command of the batch, or parks it.
    async fn work(&mut self, batch: Vec<Queued>) {
        let mut work = VecDeque::from([batch]);
        let mut locking = match self.mode {
            Mode::Check => Locking::None,
            // Something in it was parked: do not wait for that again.
            Mode::Write if work.iter().flatten().any(|q| q.is_parked) => Locking::Skip,
            Mode::Write => Locking::Wait,
        };
        let mut tries = 0;
        while let Some(batch) = work.pop_front() {
            let batch = give_up(batch);
            if batch.is_empty() {
                continue;
            }
            match self.try_once(&batch, locking).await {
                Ok(answers) => self.answer(batch, answers),
                Err(StoreError::Locked) => {
                    locking = Locking::Skip;
                    work.push_front(batch);
                }
                Err(error @ StoreError::Conflict(_)) if tries < MAX_CONFLICTS => {
                    metrics::counter!("creditgate_batch_retries_total", "reason" => "conflict")
                        .increment(1);
                    tracing::debug!(%error, "a batch is tried again");
                    tries += 1;
                    pause(tries).await;
                    work.push_front(batch);
                }
                Err(error @ (StoreError::Unavailable(_) | StoreError::SchemaNotReady(_))) => {
                    metrics::counter!("creditgate_batch_retries_total", "reason" => "unavailable")
                        .increment(1);
                    tries += 1;
                    // Once a second is enough to read.
                    if tries % 4 == 1 {
                        tracing::warn!(%error, cell = %self.cell.schema_name, "the database is away, trying again");
                    }
                    pause(tries).await;
                    let mut batch = batch;
                    if planted::has(Bug::RetriedAsNew) {
                        batch.iter_mut().for_each(|queued| rename_grant(&mut queued.command));
                    }
                    work.push_front(batch);
                }
                Err(error) if batch.len() > 1 => {
                    metrics::counter!("creditgate_batch_splits_total").increment(1);
                    tracing::warn!(%error, commands = batch.len(), "a batch failed, its commands are tried one by one");
                    work.extend(batch.into_iter().map(|queued| vec![queued]));
                }
                // Somebody else was faster each time: it may well go through later.
                Err(error @ StoreError::Conflict(_)) => {
                    for queued in batch {
                        tracing::warn!(%error, account = %queued.command.account_id, "a command met conflicts until the end");
                        queued.answer(Err(LedgerError::Unavailable));
                    }
                }
                Err(error) => {
                    for queued in batch {
                        tracing::error!(%error, account = %queued.command.account_id, "a command failed");
                        queued.answer(Err(LedgerError::Internal));
                    }
                }
            }
        }
    }

    /// One attempt. A connection that may be broken is dropped, never used
    /// again.
    async fn try_once(
        &mut self,
        batch: &[Queued],
        locking: Locking,
    ) -> Result<Vec<Answer>, StoreError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                self.kept.clear();
                time::timeout(CONNECT_TIMEOUT, LaneConnection::connect(&self.cell))
                    .await
                    .map_err(|_| StoreError::timed_out())??
            }
        };
        let commands: Vec<&Command> = batch.iter().map(|queued| &queued.command).collect();
        let (catalog, kept) = (&mut self.catalog, &mut self.kept);
        let tried = attempt(&mut connection, catalog, kept, &commands, locking, &self.clock);
        let result =
            time::timeout(BATCH_TIMEOUT, tried).await.map_err(|_| StoreError::timed_out())?;
        match &result {
            Ok(_) => self.connection = Some(connection),
            Err(error) if error.breaks_connection() => {}
            Err(_) => {
                if let Ok(Ok(())) = time::timeout(BATCH_TIMEOUT, connection.rollback()).await {
                    self.connection = Some(connection);
                }
            }
        }
        result
    }

    /// Answers after COMMIT; parks the commands of locked accounts.
    fn answer(&mut self, batch: Vec<Queued>, answers: Vec<Answer>) {
        if self.mode == Mode::Write {
            self.touched.tell(batch.iter().map(|queued| &queued.command.account_id));
        }
        for (mut queued, answer) in batch.into_iter().zip(answers) {
            match answer {
                Some(answer) => queued.answer(answer.map_err(LedgerError::Refused)),
                // As the queue of a lane is bounded, so is what waits beside it.
                None if self.parked.len() >= MAX_PARKED => {
                    metrics::counter!("creditgate_shed_total", "reason" => "parked_full")
                        .increment(1);
                    queued.answer(Err(LedgerError::Unavailable));
                }
                None => {
                    if !queued.is_parked {
                        metrics::counter!("creditgate_commands_parked_total").increment(1);
                        queued.is_parked = true;
                    }
                    self.parked.push(queued);
                }
            }
        }
    }
}

/// Answers those that have waited too long, and drops those whose caller waits no
/// longer: its deadline has passed, or it has cancelled. Gives the others.
fn give_up(batch: Vec<Queued>) -> Vec<Queued> {
    if !batch.iter().any(|queued| queued.is_abandoned() || queued.is_out_of_patience()) {
        return batch;
    }
    let (gone, batch): (Vec<_>, Vec<_>) = batch.into_iter().partition(Queued::is_abandoned);
    if !gone.is_empty() {
        metrics::counter!("creditgate_shed_total", "reason" => "caller_gone")
            .increment(gone.len() as u64);
    }
    let (late, rest): (Vec<_>, Vec<_>) = batch.into_iter().partition(Queued::is_out_of_patience);
    if !late.is_empty() {
        let count = late.len() as u64;
        metrics::counter!("creditgate_shed_total", "reason" => "too_late").increment(count);
    }
    for queued in late {
        queued.answer(Err(LedgerError::Unavailable));
    }
    rest
}

/// What a planted bug does to a grant that is sent again.
fn rename_grant(command: &mut Command) {
    if let Action::Grant(grant) = &mut command.action {
        let fresh = OperationId::new(&uuid::Uuid::now_v7().to_string());
        grant.key.1 = fresh.unwrap_or_else(|_| grant.key.1.clone());
    }
}

/// 10 ms, 20 ms, 40 ms ..., at most half a second, and each anywhere between a
/// half and the whole of that: replicas must not try in step.
async fn pause(tries: u32) {
    let longest = Duration::from_millis(10 << tries.min(6)).min(LONGEST_PAUSE);
    let pause = longest.mul_f64(rand::rng().random_range(0.5..1.0));
    time::sleep(pause).await;
}
