//! Small values as text.

use std::{fmt::Write, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use prost_types::Timestamp;

/// RFC 3339 in UTC, to the second; empty for none.
pub(super) fn time(time: Option<&Timestamp>) -> String {
    time.and_then(to_chrono)
        .map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
        .unwrap_or_default()
}

/// RFC 3339 in UTC, as precise as the time is.
pub(super) fn time_precise(time: &Timestamp) -> String {
    to_chrono(time)
        .map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
        .unwrap_or_default()
}

fn to_chrono(time: &Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?)
}

/// How long from one time to a later one; none where either is absent or the
/// later one is not later.
pub(super) fn between(from: Option<&Timestamp>, to: Option<&Timestamp>) -> Option<Duration> {
    let (from, to) = (to_chrono(from?)?, to_chrono(to?)?);
    (to - from).to_std().ok().filter(|span| !span.is_zero())
}

/// A duration as people write it, such as "1h 30m"; empty for none.
pub(super) fn duration(duration: Option<&prost_types::Duration>) -> String {
    duration
        .and_then(|duration| Duration::try_from(*duration).ok())
        .map(|duration| humantime::format_duration(duration).to_string())
        .unwrap_or_default()
}

/// An enum value's name without the enum's own: `BLOCK_REASON_EXHAUSTED` is
/// "EXHAUSTED". Empty for UNSPECIFIED.
pub(super) fn short<'a>(name: &'a str, prefix: &str) -> &'a str {
    match name.strip_prefix(prefix).unwrap_or(name) {
        "UNSPECIFIED" => "",
        short => short,
    }
}

/// "1 scan credit", "3 scan credits", "no credits".
pub(super) fn credits(credits: i64, credit_type: &str) -> String {
    let space = if credit_type.is_empty() { "" } else { " " };
    match credits {
        0 => "no credits".to_owned(),
        1 => format!("1{space}{credit_type} credit"),
        n => format!("{n}{space}{credit_type} credits"),
    }
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// "yes", or nothing.
pub(super) fn yes(value: bool) -> String {
    if value { "yes" } else { "" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_seconds_and_absent_ones_empty() {
        let stamp = Timestamp { seconds: 1_767_225_600, nanos: 120_000_000 };
        assert_eq!(time(Some(&stamp)), "2026-01-01T00:00:00Z");
        assert_eq!(time_precise(&stamp), "2026-01-01T00:00:00.120Z");
        assert_eq!(time(None), "");
    }

    #[test]
    fn credits_agree_in_number() {
        assert_eq!(credits(1, "scan"), "1 scan credit");
        assert_eq!(credits(3, "fix"), "3 fix credits");
        assert_eq!(credits(0, "scan"), "no credits");
    }
}
