//! Billing periods by the calendar, in UTC: so daylight saving changes nothing.

use chrono::{Datelike, Months};

use super::subscription::BillingInterval;
use crate::clock::Timestamp;

impl BillingInterval {
    /// How many calendar months it spans.
    #[must_use]
    pub fn months(self) -> u32 {
        match self {
            Self::Month => 1,
            Self::Year => 12,
        }
    }
}

/// When the period that holds at `time` ends: the first whole number of
/// intervals after `anchor` that lies after `time`. Counted from the anchor each
/// time, so a short month shortens no later one: 31 January, 28 February, 31
/// March. The end of time where there is none.
#[must_use]
pub fn period_end(anchor: Timestamp, interval: BillingInterval, time: Timestamp) -> Timestamp {
    let step = interval.months();
    let months = i64::from(time.year() - anchor.year()) * 12 + i64::from(time.month())
        - i64::from(anchor.month());
    // One interval too early rather than too late: the day decides the rest.
    let first = (u32::try_from(months).unwrap_or(0) / step).max(1);
    (first..)
        .map_while(|count| count.checked_mul(step))
        .map(|months| anchor.checked_add_months(Months::new(months)))
        .find(|end| end.is_none_or(|end| end > time))
        .flatten()
        .unwrap_or(Timestamp::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        let time = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
        time.parse().unwrap()
    }

    /// The ends of the periods that follow each other from `anchor` on.
    fn ends(anchor: &str, interval: BillingInterval, count: usize) -> Vec<Timestamp> {
        let mut ends = Vec::new();
        let mut time = at(anchor);
        while ends.len() < count {
            time = period_end(at(anchor), interval, time);
            ends.push(time);
        }
        ends
    }

    #[test]
    fn a_month_ends_on_the_day_it_began_or_on_the_months_last() {
        use BillingInterval::{Month, Year};
        for (anchor, interval, expected) in [
            ("2026-01-15", Month, ["2026-02-15", "2026-03-15", "2026-04-15", "2026-05-15"]),
            ("2026-01-31", Month, ["2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]),
            ("2027-12-30", Month, ["2028-01-30", "2028-02-29", "2028-03-30", "2028-04-30"]),
            ("2026-10-31", Month, ["2026-11-30", "2026-12-31", "2027-01-31", "2027-02-28"]),
            ("2024-02-29", Year, ["2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]),
            ("2026-07-01", Year, ["2027-07-01", "2028-07-01", "2029-07-01", "2030-07-01"]),
            // Clocks change in Europe on 29 March and 25 October 2026: not here.
            (
                "2026-02-28T23:30:00.000001Z",
                Month,
                [
                    "2026-03-28T23:30:00.000001Z",
                    "2026-04-28T23:30:00.000001Z",
                    "2026-05-28T23:30:00.000001Z",
                    "2026-06-28T23:30:00.000001Z",
                ],
            ),
        ] {
            assert_eq!(ends(anchor, interval, 4), expected.map(at), "{anchor} {interval:?}");
        }
    }

    #[test]
    fn the_period_of_any_time_is_found_at_once() {
        use BillingInterval::{Month, Year};
        for (anchor, interval, time, expected) in [
            ("2020-01-31", Month, "2026-02-28", "2026-03-31"),
            ("2020-01-31", Month, "2026-02-27T23:59:59Z", "2026-02-28"),
            ("2020-01-31", Month, "2020-01-31", "2020-02-29"),
            ("2020-06-30", Year, "2026-06-29", "2026-06-30"),
            ("2020-06-30", Year, "2026-06-30", "2027-06-30"),
            // Before it began: its first period.
            ("2026-06-30", Month, "2026-01-01", "2026-07-30"),
        ] {
            assert_eq!(period_end(at(anchor), interval, at(time)), at(expected), "{anchor} {time}");
        }
        assert_eq!(period_end(Timestamp::MAX_UTC, Month, Timestamp::MAX_UTC), Timestamp::MAX_UTC);
    }

    proptest! {
        #[test]
        fn periods_follow_each_other_without_a_gap(
            anchor in 0..4_000_000_000_i64,
            later in 0..4_000_000_000_i64,
            yearly: bool,
        ) {
            let interval = if yearly { BillingInterval::Year } else { BillingInterval::Month };
            let anchor = Timestamp::from_timestamp(anchor, 0).unwrap();
            let time = anchor + chrono::TimeDelta::seconds(later);
            let end = period_end(anchor, interval, time);
            prop_assert!(end > time);
            // A moment earlier it is the same end, or this is where it begins.
            let before = period_end(anchor, interval, end - chrono::TimeDelta::microseconds(1));
            prop_assert_eq!(before, end);
            let longest = chrono::TimeDelta::days(if yearly { 366 } else { 31 });
            prop_assert!(end - time <= longest);
        }
    }
}
