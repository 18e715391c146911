//! The faults there are, and how often each was seen to happen.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// A thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    // Of callers.
    RepeatedAtOnce,
    RepeatedLater,
    OtherPayload,
    Canceled,
    SettledTwice,
    CommitAtExpiry,
    BadItem,
    Poison,
    WebhookRepeated,
    WebhookForged,
    // Of replicas.
    Killed,
    KilledAfterCommit,
    Restarted,
    Paused,
    PausedInTransaction,
    // Of the network.
    Partition,
    Cut,
    Slow,
    CommitAnswerLost,
    CommitAnswerKept,
    // Of the database.
    Stopped,
    PostmasterKilled,
    FailedOver,
    BackendStopped,
    RowsLocked,
    Deadlock,
    // Of many.
    Storm,
}

impl Fault {
    pub const ALL: [Self; 27] = [
        Self::RepeatedAtOnce,
        Self::RepeatedLater,
        Self::OtherPayload,
        Self::Canceled,
        Self::SettledTwice,
        Self::CommitAtExpiry,
        Self::BadItem,
        Self::Poison,
        Self::WebhookRepeated,
        Self::WebhookForged,
        Self::Killed,
        Self::KilledAfterCommit,
        Self::Restarted,
        Self::Paused,
        Self::PausedInTransaction,
        Self::Partition,
        Self::Cut,
        Self::Slow,
        Self::CommitAnswerLost,
        Self::CommitAnswerKept,
        Self::Stopped,
        Self::PostmasterKilled,
        Self::FailedOver,
        Self::BackendStopped,
        Self::RowsLocked,
        Self::Deadlock,
        Self::Storm,
    ];

    /// Those that the nemesis brings about; the ones before are the callers'.
    pub fn planned() -> Vec<Self> {
        Self::ALL[Self::Killed as usize..].to_vec()
    }
}

/// How often each fault has happened.
#[derive(Default)]
pub struct Fired([AtomicU64; Fault::ALL.len()]);

impl Fired {
    pub fn count(&self, fault: Fault) {
        self.0[fault as usize].fetch_add(1, Relaxed);
    }

    pub fn times(&self, fault: Fault) -> u64 {
        self.0[fault as usize].load(Relaxed)
    }

    /// Adds what another has counted.
    pub fn add(&self, other: &Self) {
        for fault in Fault::ALL {
            self.0[fault as usize].fetch_add(other.times(fault), Relaxed);
        }
    }

    /// Those that have never happened.
    pub fn missing(&self) -> Vec<Fault> {
        Fault::ALL.into_iter().filter(|fault| self.times(*fault) == 0).collect()
    }
}

impl fmt::Display for Fired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in Fault::ALL {
            writeln!(f, "  {:<20} {:>9}", format!("{fault:?}"), self.times(fault))?;
        }
        Ok(())
    }
}
