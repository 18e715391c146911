//! Follows a cell's feed step by step, for whoever hands events on.

use std::time::Instant;

use super::{lag::Lag, tail::Tail};
use crate::{
    ledger::{LedgerError, WORK_LIMIT, within},
    store::{Cell, queries::FeedRow},
};

/// Rows that are read at once: of 256 commands each, at most.
pub(super) const PAGE: i64 = 32;

/// One cell's feed, followed.
#[derive(Debug)]
pub struct Follower {
    cell: Cell,
    tail: Tail,
    lag: Lag,
}

/// Rows that were read at once.
#[derive(Debug)]
pub struct Step {
    /// What there is.
    pub rows: Vec<FeedRow>,
    /// And no more up to here.
    pub up_to: i64,
}

impl Follower {
    /// Follows this cell's feed.
    #[must_use]
    pub fn new(cell: Cell) -> Self {
        Self { cell, tail: Tail::default(), lag: Lag::default() }
    }

    /// The cell.
    #[must_use]
    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    /// Looks how far the feed can be told, once that is known; true in second place where
    /// something is on its way.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn look(&mut self) -> Result<(Option<i64>, bool), LedgerError> {
        let (cell, known) = (self.cell.clone(), self.tail.known());
        let head = within(WORK_LIMIT, async move { cell.feed_head(known).await }).await;
        let told = head.map(|head| self.tail.observe(head));
        self.tell_lag();
        Ok((told?, self.tail.is_waiting()))
    }

    /// Tells of transactions that keep what is committed from being told.
    fn tell_lag(&mut self) {
        let now = Instant::now();
        let lag = self.lag.observe(self.tail.first(), now);
        metrics::gauge!("creditgate_feed_lag_seconds").set(lag.as_secs_f64());
        if self.lag.is_worth_a_word(lag, now) {
            tracing::warn!(
                cell = self.cell.schema_name,
                "for {} s nothing could be told: a transaction that is older, of whatever \
                 database of this server, has not ended (pg_stat_activity, backend_xid)",
                lag.as_secs()
            );
        }
    }

    /// Reads a page after `after`, up to what can be told.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn read(&self, after: i64, told: i64) -> Result<Step, LedgerError> {
        let cell = self.cell.clone();
        let rows = within(WORK_LIMIT, async move { cell.feed(after, told, None, PAGE).await });
        Ok(step(told, rows.await?))
    }
}

/// A page that was read up to a place: one that is full ends with its last row.
pub(super) fn step(up_to: i64, rows: Vec<FeedRow>) -> Step {
    let is_full = i64::try_from(rows.len()).unwrap_or(i64::MAX) >= PAGE;
    let up_to = rows.last().filter(|_| is_full).map_or(up_to, |row| row.position);
    Step { rows, up_to }
}
