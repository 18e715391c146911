//! What a decision is made in.

use super::catalog::Catalog;
use crate::{clock::Timestamp, ids::LotId};

/// What a decision is made in besides the account's state.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The time: read after the account was locked, and never earlier than its
    /// last entry.
    pub now: Timestamp,
    /// The catalog that the transaction sees.
    pub catalog: &'a Catalog,
    /// Makes ids for new lots.
    pub new_lot_id: fn() -> LotId,
}
