//! The account row.

use crate::{clock::Timestamp, ids::AccountId};

/// The account row: what no ledger entry shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub account_id: AccountId,
    /// Moved on by every change of the row, and guards it.
    pub version: i64,
    /// For people.
    pub display_name: String,
    /// Where notifications are mailed; empty for nowhere.
    pub billing_email: String,
    /// True while suspended.
    pub suspended: bool,
    /// Why.
    pub suspension_reason: String,
    /// Reservations that are held without credits: of free kinds, or covered.
    /// Those that hold credits are counted in their balance.
    pub held_scans: i64,
    /// The revision of its subscriptions: moves on with every change of one; 0
    /// before the first.
    pub subscriptions: i64,
    /// When all its credits lapsed with its last subscription: lots made up to
    /// then count as expired, also for what returns to them later.
    pub lapse_time: Option<Timestamp>,
    /// When it was created.
    pub create_time: Timestamp,
}

impl Account {
    /// As it is made: with nothing said of it, and nothing on it.
    #[must_use]
    pub fn new(account_id: AccountId, create_time: Timestamp) -> Self {
        Self {
            account_id,
            version: 1,
            display_name: String::new(),
            billing_email: String::new(),
            suspended: false,
            suspension_reason: String::new(),
            held_scans: 0,
            subscriptions: 0,
            lapse_time: None,
            create_time,
        }
    }
}
