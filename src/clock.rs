//! Time. The database's clock decides; tests may bring their own.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};

/// A moment, in UTC, with the microseconds that Postgres keeps.
pub type Timestamp = DateTime<Utc>;

/// Where the write path's time comes from.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// `clock_timestamp()` of the database, read after the locks are held: the
    /// one clock that all replicas share.
    #[default]
    Database,
    /// A clock that a test sets by hand.
    Manual(ManualClock),
}

impl Clock {
    /// The time that a test has set; `None` where the database tells it.
    #[must_use]
    pub fn fixed(&self) -> Option<Timestamp> {
        match self {
            Self::Database => None,
            Self::Manual(clock) => Some(clock.now()),
        }
    }
}

/// A clock that stands still until it is moved. Clones share it.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that shows this time.
    #[must_use]
    pub fn at(time: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(time.timestamp_micros())))
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap_or_default()
    }

    /// Moves it on.
    pub fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_microseconds().unwrap_or(0), Ordering::SeqCst);
    }
}
