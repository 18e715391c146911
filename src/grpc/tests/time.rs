//! Times and spans on the wire.

use chrono::{DateTime, TimeDelta};
use prost_types::{Duration, Timestamp};

use super::wrong;
use crate::{clock, domain::command::Action, grpc::decode, proto};

fn lease(seconds: i64, nanos: i32) -> Result<TimeDelta, decode::Invalid> {
    let request = proto::ExtendRequest {
        account_id: "a".to_owned(),
        reservation_id: "r".to_owned(),
        lease: Some(Duration { seconds, nanos }),
    };
    decode::extend(request, String::new()).map(|command| match command.action {
        Action::Extend { lease, .. } => lease,
        other => panic!("not an extension: {other:?}"),
    })
}

fn as_of(seconds: i64, nanos: i32) -> Result<Option<clock::Timestamp>, decode::Invalid> {
    let request = proto::GetBalanceRequest {
        account_id: "a".to_owned(),
        credit_type: String::new(),
        as_of: Some(Timestamp { seconds, nanos }),
    };
    decode::balances(&request).map(|(_, _, as_of)| as_of)
}

#[test]
fn a_lease_lasts_1_ms_to_366_days_in_whole_microseconds() {
    for (seconds, nanos, micros) in [
        (0, 1_000_000, 1_000),
        (0, 1_000_999, 1_000),
        (1, 999_999_999, 1_999_999),
        (366 * 86_400, 0, 366 * 86_400 * 1_000_000),
        (366 * 86_400, 999, 366 * 86_400 * 1_000_000),
    ] {
        assert_eq!(lease(seconds, nanos).unwrap(), TimeDelta::microseconds(micros));
    }
    for (seconds, nanos) in [
        (0, 0),
        (0, 999_999),
        (0, -1),
        (-1, 0),
        (-1, -1),
        (1, -1),
        (-1, 1),
        (1, 1_000_000_000),
        (0, i32::MAX),
        (0, i32::MIN),
        (366 * 86_400, 1_000),
        (315_576_000_000, 0),
        (315_576_000_001, 0),
        (i64::MAX, 0),
        (i64::MAX, i32::MAX),
        (i64::MIN, i32::MIN),
    ] {
        assert_eq!(wrong(lease(seconds, nanos)), ["lease"], "{seconds} s {nanos} ns");
    }
}

#[test]
fn a_time_lies_between_1970_and_9999() {
    for (seconds, nanos, shown) in [
        (0, 0, "1970-01-01T00:00:00Z"),
        (0, 999, "1970-01-01T00:00:00Z"),
        (951_782_400, 123_456_789, "2000-02-29T00:00:00.123456Z"),
        (253_402_300_799, 999_999_999, "9999-12-31T23:59:59.999999Z"),
    ] {
        let expected = DateTime::parse_from_rfc3339(shown).unwrap().to_utc();
        assert_eq!(as_of(seconds, nanos).unwrap(), Some(expected));
    }
    for (seconds, nanos) in [
        (-1, 0),
        (0, -1),
        (0, 1_000_000_000),
        (253_402_300_800, 0),
        // 0001-01-01, which providers send for "never".
        (-62_135_596_800, 0),
        (i64::MAX, 0),
        (i64::MIN, 0),
        (i64::MAX, i32::MAX),
        (0, i32::MIN),
    ] {
        assert_eq!(wrong(as_of(seconds, nanos)), ["as_of"], "{seconds} s {nanos} ns");
    }
}
