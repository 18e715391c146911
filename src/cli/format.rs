//! Small values as text.

use std::{fmt::Write, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use prost_types::Timestamp;

/// RFC 3339 in UTC, to the second.
pub(super) fn seconds(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// RFC 3339 in UTC, as precise as the time is.
pub(super) fn precise(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// As [`seconds`]; empty for none.
pub(super) fn time(time: Option<&Timestamp>) -> String {
    time.and_then(to_chrono).map(seconds).unwrap_or_default()
}

/// As [`precise`].
pub(super) fn time_precise(time: &Timestamp) -> String {
    to_chrono(time).map(precise).unwrap_or_default()
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

/// Money from the minor unit, such as "USD 29.00".
pub(super) fn money(minor: i64, currency: &str) -> String {
    let digits = minor_digits(currency);
    let unit = 10_u64.pow(digits);
    let (whole, rest) = (minor.unsigned_abs() / unit, minor.unsigned_abs() % unit);
    let sign = if minor < 0 { "-" } else { "" };
    match usize::try_from(digits) {
        Ok(digits @ 1..) => format!("{currency} {sign}{whole}.{rest:0digits$}"),
        _ => format!("{currency} {sign}{whole}"),
    }
}

/// Digits after the point, by ISO 4217.
fn minor_digits(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX"
        | "UYI" | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

/// How long ago a time was, in its two largest units, such as "2h 5m"; "0s" for
/// one to come, empty for none.
pub(super) fn age(since: Option<&Timestamp>, now: DateTime<Utc>) -> String {
    let Some(since) = since.and_then(to_chrono) else { return String::new() };
    let seconds = u64::try_from((now - since).num_seconds()).unwrap_or(0);
    let whole = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    whole.split(' ').take(2).collect::<Vec<_>>().join(" ")
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
    fn money_has_its_currencys_digits() {
        for (minor, currency, shown) in [
            (2_900, "USD", "USD 29.00"),
            (5, "EUR", "EUR 0.05"),
            (0, "USD", "USD 0.00"),
            (2_900, "JPY", "JPY 2900"),
            (2_905, "KWD", "KWD 2.905"),
            (-150, "USD", "USD -1.50"),
            (i64::MIN, "USD", "USD -92233720368547758.08"),
        ] {
            assert_eq!(money(minor, currency), shown);
        }
    }

    #[test]
    fn an_age_has_two_units_at_most() {
        let at = |seconds| Timestamp { seconds, nanos: 0 };
        let now = DateTime::from_timestamp_secs(100_000).unwrap_or_default();
        for (seconds, shown) in
            [(100_000, "0s"), (99_990, "10s"), (99_910, "1m 30s"), (10_000, "1day 1h")]
        {
            assert_eq!(age(Some(&at(seconds)), now), shown);
        }
        assert_eq!(age(Some(&at(200_000)), now), "0s", "clocks differ");
        assert_eq!(age(None, now), "");
    }

    #[test]
    fn credits_agree_in_number() {
        assert_eq!(credits(1, "scan"), "1 scan credit");
        assert_eq!(credits(3, "fix"), "3 fix credits");
        assert_eq!(credits(0, "scan"), "no credits");
    }
}
