//! What was asked, and what was answered: the raw material of the checker.

use std::time::Duration;

use creditgate::clock::Timestamp;

/// One call. A retry is a call of its own, under the same id.
#[derive(Debug, Clone)]
pub struct Call {
    /// Whose credits.
    pub account: String,
    /// What was asked.
    pub ask: Ask,
    /// When it was sent, counted from the start.
    pub begun: Duration,
    /// When its answer came, and which; nothing where it is unknown what became
    /// of it: no answer, or one that says so.
    pub ended: Option<(Duration, Answer)>,
}

/// What a call asks for. Credits are of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Hold `credits`.
    Reserve { id: String, credits: i64 },
    /// Prolong a lease.
    Extend { id: String },
    /// Spend a hold, or so many credits of it.
    Commit { id: String, credits: Option<i64> },
    /// Settle a run that did not deliver; `restores` where its credits go back.
    Release { id: String, restores: bool },
    /// Bring credits in. What the ledger refers to is the id.
    Grant { id: String, credits: i64 },
    /// A provider's word, answered once it is stored: its credits come in later.
    Webhook { id: String, credits: i64 },
    /// A word that nobody believes.
    Forgery { id: String },
    /// Read the balance.
    Balance,
    /// Ask whether a scan of so many credits would run.
    Check { credits: i64 },
}

/// A balance as an answer tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Balance {
    pub available: i64,
    pub reserved: i64,
    pub spent: i64,
    /// The place in the ledger after which it is so.
    pub sequence: i64,
}

/// What became of released credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Restored,
    Consumed,
    Refunded,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A hold; `id` as the answer has it.
    Held { id: String, expires: Timestamp, balance: Balance, replayed: bool },
    /// The scan must not run, or would not.
    Blocked { required: i64, balance: Balance },
    /// The scan would run.
    Eligible { balance: Balance },
    /// The lease has its new end.
    Extended { id: String, expires: Timestamp },
    /// So many credits are spent.
    Committed { id: String, spent: i64, balance: Balance, replayed: bool },
    /// The run is settled.
    Released { id: String, fate: Fate, restored: i64, balance: Balance, replayed: bool },
    /// The credits are in.
    Granted { balance: Balance, replayed: bool },
    /// The provider's word is stored.
    Stored,
    /// The balance.
    Read { balance: Balance },
    /// It cannot be carried out; for programs.
    Refused { reason: String },
    /// Nothing was done, it says.
    NotDone,
    /// An answer that nobody may ever get.
    Broken { why: String },
}

impl Ask {
    /// The reservation that it is about.
    pub fn reservation(&self) -> Option<&str> {
        match self {
            Self::Reserve { id, .. }
            | Self::Extend { id }
            | Self::Commit { id, .. }
            | Self::Release { id, .. } => Some(id),
            _ => None,
        }
    }
}

impl Answer {
    /// The balance that it tells.
    pub fn balance(&self) -> Option<Balance> {
        match self {
            Self::Held { balance, .. }
            | Self::Blocked { balance, .. }
            | Self::Eligible { balance }
            | Self::Committed { balance, .. }
            | Self::Released { balance, .. }
            | Self::Granted { balance, .. }
            | Self::Read { balance } => Some(*balance),
            _ => None,
        }
    }
}
