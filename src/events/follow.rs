//! Follows a cell's feed step by step, for whoever hands events on.

use super::{
    hub::{PAGE, chunk},
    tail::Tail,
};
use crate::{
    ledger::{LedgerError, WORK_LIMIT, within},
    store::{Cell, CellId, queries::FeedRow},
};

/// One cell's feed, followed.
#[derive(Debug)]
pub struct Follower {
    cell: Cell,
    tail: Tail,
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
        Self { cell, tail: Tail::default() }
    }

    /// The cell.
    #[must_use]
    pub fn cell_id(&self) -> CellId {
        self.cell.cell_id
    }

    /// Looks how far the feed can be told; true in second place where something is on
    /// its way.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn look(&mut self) -> Result<(i64, bool), LedgerError> {
        let (cell, known) = (self.cell.clone(), self.tail.known());
        let head = within(WORK_LIMIT, async move { cell.feed_head(known).await }).await?;
        Ok((self.tail.observe(head), self.tail.is_waiting()))
    }

    /// Reads a page after `after`, up to what can be told.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn read(&self, after: i64, told: i64) -> Result<Step, LedgerError> {
        let cell = self.cell.clone();
        let rows = within(WORK_LIMIT, async move { cell.feed(after, told, None, PAGE).await });
        let chunk = chunk(after, told, rows.await?);
        Ok(Step { up_to: chunk.up_to, rows: chunk.rows })
    }
}
