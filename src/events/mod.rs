//! Events: what happened to accounts, told in order, from any place on.
//!
//! Nothing is written for them but one row for each batch that leaves something
//! worth telling (`migrations/cell/0004_feed.sql`): events are derived from the
//! ledger. Reading order: `tail` (how far a feed can be told, so that none is
//! skipped), `hub` (one reader for all who watch), [`watch`], [`cursor`].

pub mod cursor;
pub mod follow;
mod hub;
mod lag;
mod tail;
pub mod watch;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    ledger::{Ledger, LedgerError},
    store::Cell,
};
use cursor::{Cursor, FeedPlace};
use hub::Feed;
use watch::{Filter, Watch};

/// Watches that are placed at once. All of a replica come together when another one
/// has gone: they wait for each other, and leave connections to those who only read.
const PLACED_AT_ONCE: usize = 4;

/// Where a watcher begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With the first event of all.
    Beginning,
    /// With what happens from now on.
    Now,
    /// After this one.
    After(Cursor),
}

/// Why nobody can watch from there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// Of the ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A place in one account's list says nothing of others'.
    #[error("the cursor is a place in the list of another account's events, or of one")]
    OtherList,
    /// Of a database that was put back to an earlier time, or of another one.
    #[error(
        "the cursor is ahead of all that there is: the database is another one, or was put back \
         to an earlier time. List the account's events, and watch from now on"
    )]
    Ahead,
}

/// The feeds of all cells. Clones share what they read.
#[derive(Debug, Clone)]
pub struct Events {
    ledger: Ledger,
    feeds: Vec<Arc<Feed>>,
    placing: Arc<Semaphore>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Events {
    /// Reads this ledger's feeds as soon as somebody watches, until [`Events::close`].
    #[must_use]
    pub fn start(ledger: Ledger) -> Self {
        let feeds: Vec<Arc<Feed>> =
            ledger.cells().cloned().map(|cell| Arc::new(Feed::new(cell))).collect();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        for feed in &feeds {
            tasks.spawn(Arc::clone(feed).run(stop.clone()));
        }
        tasks.close();
        let placing = Arc::new(Semaphore::new(PLACED_AT_ONCE));
        Self { ledger, feeds, placing, stop, tasks }
    }

    /// Is cancelled when watchers are to end.
    #[must_use]
    pub fn ending(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Ends all watchers.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }

    /// Watches from a place on.
    ///
    /// # Errors
    ///
    /// The account does not exist, the cursor is of another list, or the database is
    /// away.
    pub async fn watch(&self, filter: Filter, start: Start) -> Result<Watch, WatchError> {
        let _turn = self.placing.acquire().await.map_err(|_| LedgerError::Closed)?;
        let feeds = match &filter.account_id {
            None => self.feeds.clone(),
            Some(account_id) => {
                let cell = self.ledger.seen_by(filter.seen.clone()).cell_with(account_id).await?;
                self.feed_of(&cell)
            }
        };
        // From here on they are read, so that it becomes known how far they are told.
        let listening: Vec<_> = feeds.iter().map(|feed| feed.subscribe()).collect();
        let mut placed = Vec::with_capacity(feeds.len());
        for feed in feeds {
            let place = self.place(&feed, &filter, &start).await?;
            placed.push((feed, place));
        }
        let watch = Watch::new(placed, filter);
        drop(listening);
        Ok(watch)
    }

    fn feed_of(&self, cell: &Cell) -> Vec<Arc<Feed>> {
        let of = |feed: &&Arc<Feed>| feed.cell.cell_id == cell.cell_id;
        self.feeds.iter().filter(of).cloned().collect()
    }

    async fn place(
        &self,
        feed: &Feed,
        filter: &Filter,
        start: &Start,
    ) -> Result<FeedPlace, WatchError> {
        let cell_id = feed.cell.cell_id;
        let first = FeedPlace { cell_id, position: 1, event: 0 };
        match start {
            Start::Beginning => Ok(first),
            Start::Now => Ok(FeedPlace { position: feed.told().await? + 1, ..first }),
            Start::After(Cursor::Feed(places)) => {
                let known = places.iter().find(|place| place.cell_id == cell_id);
                let place = known.copied().unwrap_or(first);
                if place.position > feed.told().await? + 1
                    && place.position > feed.last().await? + 1
                {
                    return Err(WatchError::Ahead);
                }
                Ok(place)
            }
            Start::After(Cursor::List(of, place)) => {
                let account_id = filter.account_id.as_ref().filter(|account_id| *account_id == of);
                let account_id = account_id.ok_or(WatchError::OtherList)?;
                Ok(watch::place_of(feed, account_id, place).await?)
            }
        }
    }
}
