//! What callers have seen: how many, how fast, and what went wrong.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::bench::BenchError;

/// Latencies are kept in microseconds, with three digits, up to a minute.
const LONGEST: u64 = 60_000_000;
/// Kinds of failure that are told apart.
const MAX_KINDS: usize = 20;

/// What a call that went well was worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Requests that were sent.
    pub calls: u64,
    /// What the workload counts: reservations, pairs, checks, calls.
    pub units: u64,
}

/// Why a call was in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The server has too much to do: RESOURCE_EXHAUSTED.
    Shed,
    /// Anything else, in words; the same words are counted together.
    Other(String),
}

impl Failure {
    /// In words.
    pub fn new(what: impl Into<String>) -> Self {
        Self::Other(what.into())
    }
}

impl From<h2::Error> for Failure {
    fn from(error: h2::Error) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Other(error.to_string())
    }
}

/// When is measured.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Calls begin here.
    pub begin: Instant,
    /// From here on they count.
    pub warm: Instant,
    /// Until here.
    pub end: Instant,
}

impl Window {
    /// One that begins in a moment.
    #[must_use]
    pub fn soon(warm_up: Duration, measured: Duration) -> Self {
        let begin = Instant::now() + Duration::from_millis(20);
        Self { begin, warm: begin + warm_up, end: begin + warm_up + measured }
    }

    /// Whether what happens then counts.
    #[must_use]
    pub fn counts(&self, at: Instant) -> bool {
        self.warm <= at && at < self.end
    }

    /// How long is measured.
    #[must_use]
    pub fn measured(&self) -> Duration {
        self.end.saturating_duration_since(self.warm)
    }
}

/// When a call was what.
#[derive(Debug, Clone, Copy)]
pub struct CallTimes {
    /// When it counts.
    pub at: Instant,
    /// From when on its latency counts.
    pub since: Instant,
    /// When it was sent.
    pub sent: Instant,
    /// When its answer was there.
    pub ended: Instant,
}

impl CallTimes {
    /// Of a call that has ended now, in a closed loop.
    #[must_use]
    pub fn closed(sent: Instant) -> Self {
        let ended = Instant::now();
        Self { at: ended, since: sent, sent, ended }
    }

    /// Of a call that has ended now, in an open loop.
    #[must_use]
    pub fn open(due: Instant, sent: Instant) -> Self {
        Self { at: due, since: due, sent, ended: Instant::now() }
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(LONGEST).clamp(1, LONGEST)
}

/// What was seen within a window.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Requests that were answered.
    pub calls: u64,
    /// What the workload counts.
    pub units: u64,
    /// Microseconds that each took.
    pub latency: Histogram<u64>,
    /// Units in each second of the window.
    pub by_second: Vec<u64>,
    /// Microseconds after which those that were shed knew it, from when they were sent.
    pub shed: Histogram<u64>,
    /// What else went wrong, and how often: in the warm-up too.
    pub failures: BTreeMap<String, u64>,
}

impl Tally {
    /// Nothing seen yet.
    ///
    /// # Errors
    ///
    /// None in practice: the histogram's bounds are constants that it accepts.
    pub fn new() -> Result<Self, BenchError> {
        let latency = Histogram::new_with_max(LONGEST, 3)
            .map_err(|error| BenchError::Other(format!("histogram: {error}")))?;
        let (shed, failures) = (latency.clone(), BTreeMap::new());
        Ok(Self { calls: 0, units: 0, latency, by_second: Vec::new(), shed, failures })
    }

    /// Notes what became of a call. In a closed loop it counts where it ended within the
    /// window, in an open one where it was due then.
    pub fn note(&mut self, window: &Window, times: CallTimes, outcome: Result<Done, Failure>) {
        let CallTimes { at, since, sent, ended } = times;
        let done = match outcome {
            Ok(done) => done,
            Err(Failure::Shed) => {
                if window.counts(at) {
                    self.shed.saturating_record(micros(ended - sent));
                }
                return;
            }
            Err(Failure::Other(what)) => return self.fail(what),
        };
        if !window.counts(at) {
            return;
        }
        self.calls += done.calls;
        self.units += done.units;
        self.latency.saturating_record(micros(ended - since));
        let second = (at - window.warm).as_secs();
        let second = usize::try_from(second).unwrap_or_default();
        if self.by_second.len() <= second {
            self.by_second.resize(second + 1, 0);
        }
        if let Some(units) = self.by_second.get_mut(second) {
            *units += done.units;
        }
    }

    /// Notes a failure, whenever it was.
    pub fn fail(&mut self, what: impl Into<String>) {
        let what = what.into();
        let known = self.failures.contains_key(&what);
        let kind = if known || self.failures.len() < MAX_KINDS {
            what
        } else {
            "other failures".to_owned()
        };
        *self.failures.entry(kind).or_default() += 1;
    }

    /// Adds what others have seen.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.units += other.units;
        // Both have the same bounds.
        let _ = self.latency.add(&other.latency);
        let _ = self.shed.add(&other.shed);
        if self.by_second.len() < other.by_second.len() {
            self.by_second.resize(other.by_second.len(), 0);
        }
        for (mine, theirs) in self.by_second.iter_mut().zip(&other.by_second) {
            *mine += theirs;
        }
        for (what, count) in &other.failures {
            *self.failures.entry(what.clone()).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ends_in_the_window_counts_but_every_failure_is_told() {
        let begin = Instant::now();
        let second = Duration::from_secs(1);
        let window = Window { begin, warm: begin + second, end: begin + 3 * second };
        let mut tally = Tally::new().unwrap();
        let mut note = |at: Instant, outcome| {
            let times = CallTimes { at, since: at, sent: at, ended: at + second };
            tally.note(&window, times, outcome);
        };
        let done = || Ok(Done { calls: 1, units: 2 });
        note(begin, done());
        note(begin + second, done());
        note(begin + 2 * second + second / 2, done());
        note(begin + 3 * second, done());
        note(begin, Err(Failure::new("no")));
        note(begin, Err(Failure::Shed));
        note(begin + second, Err(Failure::Shed));
        assert_eq!((tally.calls, tally.units), (2, 4));
        assert_eq!(tally.by_second, [2, 2]);
        assert_eq!(tally.failures.get("no"), Some(&1));
        assert_eq!((tally.shed.len(), tally.failures.len()), (1, 1));
        let mut both = Tally::new().unwrap();
        both.add(&tally);
        both.add(&tally);
        assert_eq!((both.units, both.latency.len(), both.shed.len()), (8, 4, 2));
    }
}
