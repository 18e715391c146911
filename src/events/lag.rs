//! How long what was committed has waited to be told.

use std::time::{Duration, Instant};

/// What is waited for first, and since when.
#[derive(Debug, Default)]
pub(super) struct Lag {
    first: Option<(i64, Instant)>,
    warned: Option<Instant>,
}

/// For how long commits are waited for before it is told, and how often after that.
pub(super) const WARN_AFTER: Duration = Duration::from_secs(10);

impl Lag {
    /// Takes in the position that is waited for first, and gives for how long it was.
    /// Under load something always waits: it is late only where it stays the same.
    pub(super) fn observe(&mut self, first: Option<i64>, now: Instant) -> Duration {
        if self.first.map(|(known, _)| known) != first {
            self.first = first.map(|first| (first, now));
            self.warned = None;
        }
        self.first.map_or(Duration::ZERO, |(_, since)| now - since)
    }

    /// Whether it is to be told now.
    pub(super) fn is_worth_a_word(&mut self, lag: Duration, now: Instant) -> bool {
        let is_due = lag > WARN_AFTER && self.warned.is_none_or(|at| now - at > WARN_AFTER);
        if is_due {
            self.warned = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_while_the_same_is_waited_for_and_begins_anew_with_the_next() {
        let (mut lag, begun) = (Lag::default(), Instant::now());
        let mut words = 0;
        for second in 0..60 {
            let now = begun + Duration::from_secs(second);
            let waited = lag.observe(Some(7), now);
            assert_eq!(waited.as_secs(), second);
            words += i32::from(lag.is_worth_a_word(waited, now));
        }
        assert_eq!(words, 5, "at 11 s, and every 11 s after");
        // A busy feed, in which another is waited for each time, is never late.
        for second in 60..120 {
            let now = begun + Duration::from_secs(second);
            let waited = lag.observe(Some(8 + i64::try_from(second).unwrap()), now);
            assert_eq!(waited, Duration::ZERO);
            assert!(!lag.is_worth_a_word(waited, now));
        }
        assert_eq!(lag.observe(None, begun + Duration::from_secs(300)), Duration::ZERO);
    }
}
