//! One reader of each cell's feed for all that watch: they share what it has read.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, Semaphore, broadcast, watch},
    time,
};
use tokio_util::sync::CancellationToken;

use super::tail::Tail;
use crate::{
    ids::AccountId,
    ledger::{LedgerError, WORK_LIMIT, within},
    store::{Cell, queries::FeedRow},
};

/// How often the feed is looked at while somebody watches: what this costs the
/// database is one row that it has in memory.
const PERIOD: Duration = Duration::from_millis(20);
/// And while something is on its way.
const SHORT_PERIOD: Duration = Duration::from_millis(4);
/// The rest after an error, or while the database is away.
const ERROR_PAUSE: Duration = Duration::from_millis(500);
/// Rows that are read at once: of 256 commands each, at most.
pub(super) const PAGE: i64 = 32;
/// What watchers who are slow may lag behind before they read for themselves.
const CHUNKS: usize = 256;
/// Watchers of one cell that may read for themselves at once.
const READERS: usize = 2;
/// For how long commits may be waited for before it is told.
const TOLD_AFTER: Duration = Duration::from_secs(10);

/// What was read at once.
#[derive(Debug)]
pub(super) struct Chunk {
    /// It begins after this position,
    pub(super) after: i64,
    /// and there is no more up to this one.
    pub(super) up_to: i64,
    /// What there is.
    pub(super) rows: Vec<FeedRow>,
    /// Whom it is about.
    pub(super) accounts: HashSet<AccountId>,
}

impl Chunk {
    pub(super) fn new(after: i64, up_to: i64, rows: Vec<FeedRow>) -> Self {
        let events = rows.iter().flat_map(|row| &row.events);
        let accounts = events.map(|event| event.account_id.clone()).collect();
        Self { after, up_to, rows, accounts }
    }
}

/// One cell's feed.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) cell: Cell,
    /// Up to where everything can be told; `None` before that is known.
    told: watch::Sender<Option<i64>>,
    live: broadcast::Sender<Arc<Chunk>>,
    wanted: Notify,
    pub(super) readers: Semaphore,
}

impl Feed {
    pub(super) fn new(cell: Cell) -> Self {
        Self {
            cell,
            told: watch::Sender::new(None),
            live: broadcast::Sender::new(CHUNKS),
            wanted: Notify::new(),
            readers: Semaphore::new(READERS),
        }
    }

    /// What is read from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<Chunk>> {
        let receiver = self.live.subscribe();
        self.wanted.notify_one();
        receiver
    }

    /// Up to where everything can be told, as soon as that is known.
    pub(super) async fn told(&self) -> Result<i64, LedgerError> {
        let mut told = self.told.subscribe();
        let told = told.wait_for(Option::is_some).await.map_err(|_| LedgerError::Closed)?;
        told.ok_or(LedgerError::Closed)
    }

    /// The last position that was drawn.
    pub(super) async fn drawn(&self) -> Result<i64, LedgerError> {
        let cell = self.cell.clone();
        let head = within(WORK_LIMIT, async move { cell.feed_head(i64::MAX).await }).await?;
        Ok(head.drawn)
    }

    /// As far as it was known last.
    pub(super) fn told_now(&self) -> Option<i64> {
        *self.told.borrow()
    }

    /// Reads while somebody listens, until `stop`.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut tail = Tail::default();
        let mut late: Option<Instant> = None;
        // Up to where it was read for those who listen now.
        let mut read = None;
        loop {
            if self.live.receiver_count() == 0 {
                // Who comes next begins with what is there then.
                self.told.send_replace(None);
                (tail, read, late) = (Tail::default(), None, None);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.wanted.notified() => continue,
                }
            }
            let pause = match self.advance(&mut tail, &mut read).await {
                Ok(true) => SHORT_PERIOD,
                Ok(false) if tail.is_waiting() => SHORT_PERIOD,
                Ok(false) => PERIOD,
                Err(error) => {
                    tracing::debug!(%error, "events are told later");
                    ERROR_PAUSE
                }
            };
            self.tell_lag(&tail, &mut late);
            tokio::select! {
                () = stop.cancelled() => return,
                () = time::sleep(pause) => {}
            }
        }
    }

    /// Reads what can be told by now; true where there was something.
    async fn advance(&self, tail: &mut Tail, read: &mut Option<i64>) -> Result<bool, LedgerError> {
        let (cell, known) = (self.cell.clone(), tail.known());
        let head = within(WORK_LIMIT, async move { cell.feed_head(known).await }).await?;
        let told = tail.observe(head);
        let Some(mut from) = *read else {
            // The first look: those who listen read for themselves up to here.
            if !tail.is_waiting() {
                *read = Some(told);
                self.told.send_replace(Some(told));
                // Who has seen an earlier end, and waits for more, looks again.
                let _nobody = self.live.send(Arc::new(Chunk::new(told, told, Vec::new())));
            }
            return Ok(false);
        };
        let progress = from < told;
        while from < told {
            let cell = self.cell.clone();
            let rows = within(WORK_LIMIT, async move { cell.feed(from, told, None, PAGE).await });
            let chunk = chunk(from, told, rows.await?);
            from = chunk.up_to;
            *read = Some(from);
            // First what was read, then that it was: who finds nothing here, and
            // that more is told than it has seen, has missed it.
            let _nobody = self.live.send(Arc::new(chunk));
            self.told.send_replace(Some(from));
        }
        Ok(progress)
    }

    /// Tells of transactions that keep what is committed from being told.
    fn tell_lag(&self, tail: &Tail, late: &mut Option<Instant>) {
        let since = match tail.is_waiting() {
            true => *late.get_or_insert_with(Instant::now),
            false => Instant::now(),
        };
        if !tail.is_waiting() {
            *late = None;
        }
        let lag = since.elapsed();
        metrics::gauge!("creditgate_feed_lag_seconds").set(lag.as_secs_f64());
        if lag > TOLD_AFTER {
            *late = Some(Instant::now());
            tracing::warn!(
                cell = self.cell.schema_name,
                "for {} s nothing could be told: a transaction that is older, of whatever \
                 database of this server, has not ended (pg_stat_activity, backend_xid)",
                TOLD_AFTER.as_secs()
            );
        }
    }
}

/// A page as a chunk: one that is not full ends where it was to.
pub(super) fn chunk(after: i64, up_to: i64, rows: Vec<FeedRow>) -> Chunk {
    let is_full = i64::try_from(rows.len()).unwrap_or(i64::MAX) >= PAGE;
    let end = rows.last().filter(|_| is_full).map_or(up_to, |row| row.position);
    Chunk::new(after, end, rows)
}
