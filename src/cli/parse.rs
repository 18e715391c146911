//! Values of options.

use std::time::Duration;

use chrono::DateTime;
use prost_types::Timestamp;
use uuid::Uuid;

use crate::proto::{BillingInterval, ReleaseCause, ReservationState};

/// A duration such as `30m` or `1h 30m`, longer than nothing.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration =
        humantime::parse_duration(text).map_err(|error| format!("{error}; try 30s, 15m or 1h"))?;
    if duration.is_zero() {
        return Err("must be longer than nothing".to_owned());
    }
    Ok(duration)
}

/// `key=value`; the value may be empty and may have `=` in it.
pub(super) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is key=value".to_owned()),
    }
}

/// An RFC 3339 time.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    let time = DateTime::parse_from_rfc3339(text)
        .map_err(|error| format!("{error}; a time is such as 2026-01-31T12:00:00Z"))?;
    Ok(Timestamp {
        seconds: time.timestamp(),
        // Below two billion even in a leap second.
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0),
    })
}

/// Credits: at least 1.
pub(super) fn credits(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(credits) if credits >= 1 => Ok(credits),
        _ => Err("a whole number, at least 1".to_owned()),
    }
}

/// An id or name that must be said; what else it may be, the gate checks.
pub(super) fn id(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("must not be empty".to_owned());
    }
    Ok(text.to_owned())
}

/// A cause of release by its short name, in either case, with - or _.
pub(super) fn cause(text: &str) -> Result<ReleaseCause, String> {
    let name = format!("RELEASE_CAUSE_{}", upper(text));
    ReleaseCause::from_str_name(&name)
        .filter(|cause| *cause != ReleaseCause::Unspecified)
        .ok_or_else(|| format!("one of {}", names(CAUSES.iter().map(|c| c.as_str_name()))))
}

/// Every cause that a release may give.
pub(super) const CAUSES: [ReleaseCause; 8] = [
    ReleaseCause::NotStarted,
    ReleaseCause::PlatformError,
    ReleaseCause::PlatformTimeout,
    ReleaseCause::UnsupportedTarget,
    ReleaseCause::TargetUnreachable,
    ReleaseCause::VerificationLapsed,
    ReleaseCause::CanceledBeforeStart,
    ReleaseCause::CanceledAfterStart,
];

/// A reservation's state by its short name.
pub(super) fn state(text: &str) -> Result<ReservationState, String> {
    ReservationState::from_str_name(&format!("RESERVATION_STATE_{}", upper(text)))
        .filter(|state| *state != ReservationState::Unspecified)
        .ok_or_else(|| "one of held, committed, released, expired, refunded".to_owned())
}

/// How often a subscription renews.
pub(super) fn interval(text: &str) -> Result<BillingInterval, String> {
    BillingInterval::from_str_name(&format!("BILLING_INTERVAL_{}", upper(text)))
        .filter(|interval| *interval != BillingInterval::Unspecified)
        .ok_or_else(|| "one of month, year".to_owned())
}

fn upper(text: &str) -> String {
    text.to_ascii_uppercase().replace('-', "_")
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names
        .map(|name| name.trim_start_matches("RELEASE_CAUSE_").to_lowercase())
        .collect::<Vec<_>>()
        .join(", ")
}

/// The id that was given, or a new one, which sorts by time.
pub(super) fn id_or_new(id: Option<String>) -> String {
    id.unwrap_or_else(|| Uuid::now_v7().to_string())
}

/// For the wire. The gate refuses what is too long, so a duration that does
/// not fit is sent as the longest there is.
pub(super) fn proto_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(duration)
        .unwrap_or(prost_types::Duration { seconds: i64::MAX, nanos: 0 })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn durations_are_as_people_write_them_and_never_nothing() {
        assert_eq!(duration("1h 30m").unwrap(), Duration::from_secs(5_400));
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        assert!(duration("0s").unwrap_err().contains("longer"));
        for bad in ["", "5", "-1m", "soon"] {
            assert!(duration(bad).unwrap_err().contains("try 30s"), "{bad}");
        }
    }

    #[test]
    fn a_label_is_split_at_its_first_equals_sign() {
        assert_eq!(label("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert_eq!(label("a=").unwrap(), ("a".into(), String::new()));
        assert!(label("a").is_err());
        assert!(label("=b").is_err());
    }

    #[test]
    fn causes_are_named_in_either_case() {
        assert_eq!(cause("platform-error"), Ok(ReleaseCause::PlatformError));
        assert_eq!(cause("NOT_STARTED"), Ok(ReleaseCause::NotStarted));
        assert!(cause("unspecified").unwrap_err().contains("platform_timeout"));
    }

    #[test]
    fn a_time_with_an_offset_is_the_same_instant() {
        assert_eq!(
            time("2026-01-01T01:00:00+01:00").unwrap(),
            time("2026-01-01T00:00:00Z").unwrap()
        );
        assert!(time("yesterday").is_err());
    }
}
