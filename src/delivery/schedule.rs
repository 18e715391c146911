//! When a delivery that failed is tried again, and when nobody tries any more.

use std::time::Duration;

/// The rests after the first, the second, ... failure: about three days together.
const RESTS: [u64; 9] =
    [5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600];
/// The longest rest that an answer may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 3600);

/// The rest after failure number `failures` (1, 2, ...), or none where that was the
/// last; `random`, in 0.0..1.0, keeps those that failed together apart. What the
/// receiver has asked for (`Retry-After`) is kept, within a day.
#[must_use]
pub fn rest(failures: u32, asked: Option<Duration>, random: f64) -> Option<Duration> {
    let index = usize::try_from(failures).ok()?.checked_sub(1)?;
    let seconds = *RESTS.get(index)?;
    let rest = Duration::from_secs(seconds).mul_f64(0.9 + random / 5.0);
    Some(asked.map_or(rest, |asked| rest.max(asked.min(LONGEST_ASKED))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_for_three_days_and_then_ends() {
        let rests: Vec<Duration> = (1..).map_while(|n| rest(n, None, 0.5)).collect();
        assert_eq!(rests.len(), 9);
        let days = rests.iter().sum::<Duration>().as_secs_f64() / 86_400.0;
        assert!((3.0..3.3).contains(&days), "{days}");
        assert_eq!(rest(0, None, 0.5), None);
        assert_eq!(rest(10, None, 0.5), None);
    }

    #[test]
    fn what_is_asked_for_is_kept_within_a_day() {
        let asked = |seconds| rest(1, Some(Duration::from_secs(seconds)), 0.5).unwrap().as_secs();
        assert_eq!([asked(1), asked(60), asked(1_000_000)], [5, 60, 86_400]);
    }
}
