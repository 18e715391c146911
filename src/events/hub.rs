//! One reader of each cell's feed for all that watch: they share what it has read.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, Semaphore, broadcast, watch},
    time,
};
use tokio_util::sync::CancellationToken;

use super::follow::{Follower, Step};
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
/// What watchers who are slow may lag behind before they read for themselves.
const CHUNKS: usize = 256;
/// Watchers of one cell that may read for themselves at once.
const READERS: usize = 2;

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
    pub(super) fn new(after: i64, step: Step) -> Self {
        let Step { rows, up_to } = step;
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

    /// The last position that is committed.
    pub(super) async fn last(&self) -> Result<i64, LedgerError> {
        let cell = self.cell.clone();
        let head = within(WORK_LIMIT, async move { cell.feed_head(i64::MAX).await }).await?;
        Ok(head.last)
    }

    /// As far as it was known last.
    pub(super) fn told_now(&self) -> Option<i64> {
        *self.told.borrow()
    }

    /// Reads while somebody listens, until `stop`.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut follower = Follower::new(self.cell.clone());
        // Up to where it was read for those who listen now.
        let mut read = None;
        loop {
            if self.live.receiver_count() == 0 {
                // Who comes next begins with what is there then.
                self.told.send_replace(None);
                (follower, read) = (Follower::new(self.cell.clone()), None);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.wanted.notified() => continue,
                }
            }
            let pause = match self.advance(&mut follower, &mut read).await {
                Ok(true) => SHORT_PERIOD,
                Ok(false) => PERIOD,
                Err(error) => {
                    tracing::debug!(%error, "events are told later");
                    ERROR_PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = time::sleep(pause) => {}
            }
        }
    }

    /// Reads what can be told by now; true where there was something, or is soon.
    async fn advance(
        &self,
        follower: &mut Follower,
        read: &mut Option<i64>,
    ) -> Result<bool, LedgerError> {
        let (told, is_waiting) = follower.look().await?;
        let Some(told) = told else { return Ok(true) };
        let Some(mut from) = *read else {
            // The first time: those who listen read for themselves up to here.
            *read = Some(told);
            self.told.send_replace(Some(told));
            // Who has seen an earlier end, and waits for more, looks again.
            let nothing = Step { rows: Vec::new(), up_to: told };
            let _nobody = self.live.send(Arc::new(Chunk::new(told, nothing)));
            return Ok(is_waiting);
        };
        let progress = from < told;
        while from < told {
            let chunk = Chunk::new(from, follower.read(from, told).await?);
            from = chunk.up_to;
            *read = Some(from);
            // First what was read, then that it was: who finds nothing here, and
            // that more is told than it has seen, has missed it.
            let _nobody = self.live.send(Arc::new(chunk));
            self.told.send_replace(Some(from));
        }
        Ok(progress || is_waiting)
    }
}
