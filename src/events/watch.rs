//! One watcher: from its cursor on, first by itself, then with all others.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use chrono::TimeDelta;
use futures_util::future::select_all;
use tokio::sync::broadcast::{
    Receiver,
    error::{RecvError, TryRecvError},
};

use super::{
    cursor::{Cursor, FeedPlace},
    follow::{PAGE, step},
    hub::{Chunk, Feed},
};
use crate::{
    clock::Timestamp,
    domain::event::{Event, EventKind, EventPlace},
    ids::{AccountId, SeenAccounts},
    ledger::{LedgerError, detached},
};

/// Positions that are searched at once for rows of one account.
const WINDOW: i64 = 20_000;
/// How far clocks may have gone back between the place of a list and the feed.
const MARGIN: TimeDelta = TimeDelta::minutes(1);

/// Which events.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// One account's, or all.
    pub account_id: Option<AccountId>,
    /// Of all, those that are seen.
    pub seen: SeenAccounts,
    /// These kinds; empty for all.
    pub kinds: BTreeSet<EventKind>,
}

impl Filter {
    fn takes(&self, event: &Event) -> bool {
        let of = &event.account_id;
        self.account_id.as_ref().is_none_or(|account_id| account_id == of)
            && self.seen.as_ref().is_none_or(|seen| seen.contains(of))
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
    }
}

/// Reads events in order. What it has given out, it has given out once.
#[derive(Debug)]
pub struct Watch {
    filter: Filter,
    readers: Vec<Reader>,
    /// What was read and is to be given out, with the place after it.
    ready: VecDeque<(Event, FeedPlace)>,
    /// What of each cell has been given out.
    places: Vec<FeedPlace>,
}

impl Watch {
    /// A watcher of these feeds, each from its place on.
    pub(super) fn new(feeds: Vec<(Arc<Feed>, FeedPlace)>, filter: Filter) -> Self {
        let places = feeds.iter().map(|(_, place)| *place).collect();
        let account_id = filter.account_id.clone();
        let readers = feeds.into_iter().map(|(feed, place)| Reader {
            live: feed.subscribe(),
            feed,
            account_id: account_id.clone(),
            after: place.position - 1,
        });
        Self { readers: readers.collect(), filter, ready: VecDeque::new(), places }
    }

    /// The next event, with the cursor after it. Dropped half-way, it loses nothing.
    ///
    /// # Errors
    ///
    /// The database is away, or the service is shutting down: go on from the last
    /// cursor.
    pub async fn next(&mut self) -> Result<(Event, Cursor), LedgerError> {
        loop {
            if let Some((event, place)) = self.ready.pop_front() {
                self.move_to(place);
                return Ok((event, self.cursor()));
            }
            let nexts = self.readers.iter_mut().map(|reader| Box::pin(reader.next()));
            let (chunk, index, _) = select_all(nexts).await;
            let chunk = chunk?;
            if let Some(place) = self.places.get(index).copied() {
                self.take(&chunk, place);
            }
        }
    }

    /// Up to where everything has been given out.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor::Feed(self.places.clone())
    }

    fn take(&mut self, chunk: &Chunk, place: FeedPlace) {
        let is_about = |of: &AccountId| chunk.accounts.contains(of);
        let end = FeedPlace { position: chunk.up_to + 1, event: 0, ..place };
        if self.filter.account_id.as_ref().is_none_or(is_about) {
            for row in chunk.rows.iter().filter(|row| row.position >= place.position) {
                let mut events = row.events.as_slice();
                if row.position == place.position && place.event != 0 {
                    let told = events.iter().position(|event| mark(event) == place.event);
                    events = events.get(told.map_or(0, |told| told + 1)..).unwrap_or_default();
                }
                for event in events.iter().filter(|event| self.filter.takes(event)) {
                    let position = row.position;
                    let after = FeedPlace { position, event: mark(event), ..place };
                    self.ready.push_back((event.clone(), after));
                }
            }
        }
        // The last one ends its chunk: whoever goes on after it begins behind.
        match self.ready.back_mut() {
            Some((_, after)) => *after = end,
            None => self.move_to(end),
        }
    }

    fn move_to(&mut self, place: FeedPlace) {
        if let Some(known) = self.places.iter_mut().find(|p| p.cell_id == place.cell_id) {
            *known = place;
        }
    }
}

/// The beginning of an event's id.
fn mark(event: &Event) -> u64 {
    let (first, _) = event.event_id.as_u64_pair();
    first
}

/// Reads one cell's feed.
#[derive(Debug)]
struct Reader {
    feed: Arc<Feed>,
    live: Receiver<Arc<Chunk>>,
    account_id: Option<AccountId>,
    after: i64,
}

impl Reader {
    async fn next(&mut self) -> Result<Arc<Chunk>, LedgerError> {
        loop {
            let chunk = match self.live.try_recv() {
                Ok(chunk) => chunk,
                Err(TryRecvError::Empty) => {
                    let told = match self.feed.told_now() {
                        Some(told) => told,
                        None => self.feed.told().await?,
                    };
                    if self.after < told {
                        return self.catch_up(told).await;
                    }
                    match self.live.recv().await {
                        Ok(chunk) => chunk,
                        Err(RecvError::Closed) => return Err(LedgerError::Closed),
                        Err(RecvError::Lagged(_)) => continue,
                    }
                }
                Err(TryRecvError::Lagged(_)) => continue,
                Err(TryRecvError::Closed) => return Err(LedgerError::Closed),
            };
            if chunk.up_to <= self.after {
                continue;
            }
            if chunk.after > self.after {
                return self.catch_up(chunk.up_to).await;
            }
            self.after = chunk.up_to;
            return Ok(chunk);
        }
    }

    /// Reads for itself what it has missed.
    async fn catch_up(&mut self, told: i64) -> Result<Arc<Chunk>, LedgerError> {
        let _permit = self.feed.readers.acquire().await.map_err(|_| LedgerError::Closed)?;
        let (cell, after) = (self.feed.cell.clone(), self.after);
        let account_id = self.account_id.clone();
        let up_to = if account_id.is_some() { told.min(after + WINDOW) } else { told };
        let rows =
            detached(async move { cell.feed(after, up_to, account_id.as_ref(), PAGE).await });
        let chunk = Chunk::new(after, step(up_to, rows.await?));
        self.after = chunk.up_to;
        Ok(Arc::new(chunk))
    }
}

/// The place in the feed of an account's event, which a list has told: after it, or,
/// where the feed does not have it, some time before.
pub(super) async fn place_of(
    feed: &Feed,
    account_id: &AccountId,
    of: &EventPlace,
) -> Result<FeedPlace, LedgerError> {
    let told = feed.told().await?;
    let from = position_at(feed, of.time - MARGIN, told).await?;
    let mut after = from - 1;
    while after < told {
        let (cell, account) = (feed.cell.clone(), account_id.clone());
        let up_to = told.min(after + WINDOW);
        let read = detached(async move { cell.feed(after, up_to, Some(&account), PAGE).await });
        let read = step(up_to, read.await?);
        for row in &read.rows {
            if let Some(event) = row.events.iter().find(|event| event.place == *of) {
                let cell_id = feed.cell.cell_id;
                return Ok(FeedPlace { cell_id, position: row.position, event: mark(event) });
            }
            if row.events.iter().all(|event| event.place.time > of.time + MARGIN) {
                return Ok(FeedPlace { cell_id: feed.cell.cell_id, position: from, event: 0 });
            }
        }
        after = read.up_to;
    }
    Ok(FeedPlace { cell_id: feed.cell.cell_id, position: from, event: 0 })
}

/// The first row at or after a time, as times go.
async fn position_at(feed: &Feed, time: Timestamp, told: i64) -> Result<i64, LedgerError> {
    let (mut low, mut high) = (0, told);
    while low < high {
        let middle = low + (high - low) / 2;
        let cell = feed.cell.clone();
        let found = detached(async move { cell.feed_time(middle).await }).await?;
        match found {
            Some((position, written)) if written < time => low = position,
            _ => high = middle,
        }
    }
    Ok(low + 1)
}
