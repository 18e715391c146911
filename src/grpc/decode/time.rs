//! Times and spans, cut to the microseconds that Postgres keeps: so what is
//! stored is what a retry is compared with.

use chrono::{DateTime, TimeDelta};

use super::fields::Fields;
use crate::clock::Timestamp;

/// The last second of the year 9999, as in `google.protobuf.Timestamp`.
const LAST_SECOND: i64 = 253_402_300_799;
/// The longest span of `google.protobuf.Duration`: 10,000 years.
const MAX_SPAN_SECONDS: i64 = 315_576_000_000;
const MAX_NANOS: i32 = 999_999_999;
const NANOS_PER_MICRO: i32 = 1_000;
/// A shorter hold than this is a mistake in a unit.
const MIN_LEASE: TimeDelta = TimeDelta::milliseconds(1);
const MAX_LEASE: TimeDelta = TimeDelta::days(366);

/// Microseconds since 1970 as a time, from 1970 to 9999.
pub(in crate::grpc) fn in_range(micros: i64) -> Option<Timestamp> {
    DateTime::from_timestamp_micros(micros)
        .filter(|time| (0..=LAST_SECOND).contains(&time.timestamp()))
}

impl Fields {
    /// A time that may be left out.
    pub(super) fn time(
        &mut self,
        field: &str,
        time: Option<prost_types::Timestamp>,
    ) -> Option<Timestamp> {
        let prost_types::Timestamp { seconds, nanos } = time?;
        let decoded = ((0..=LAST_SECOND).contains(&seconds) && (0..=MAX_NANOS).contains(&nanos))
            .then(|| seconds * 1_000_000 + i64::from(nanos / NANOS_PER_MICRO))
            .and_then(in_range);
        if decoded.is_none() {
            self.wrong(field, "must be a time of the years 1970 to 9999, its nanos below 10^9");
        }
        decoded
    }

    /// A span that may be left out, of any length and sign.
    pub(super) fn span(
        &mut self,
        field: &str,
        span: Option<prost_types::Duration>,
    ) -> Option<TimeDelta> {
        let prost_types::Duration { seconds, nanos } = span?;
        let signs_agree = seconds == 0 || nanos == 0 || (seconds > 0) == (nanos > 0);
        let in_range = (-MAX_SPAN_SECONDS..=MAX_SPAN_SECONDS).contains(&seconds)
            && (-MAX_NANOS..=MAX_NANOS).contains(&nanos);
        if signs_agree && in_range {
            let micros = seconds * 1_000_000 + i64::from(nanos / NANOS_PER_MICRO);
            return Some(TimeDelta::microseconds(micros));
        }
        self.wrong(
            field,
            "must be a span of at most 10,000 years, its nanos below 10^9 and of the same sign",
        );
        None
    }

    /// A lease that may be left out.
    pub(super) fn lease(
        &mut self,
        field: &str,
        lease: Option<prost_types::Duration>,
    ) -> Option<TimeDelta> {
        let lease = self.span(field, lease)?;
        if (MIN_LEASE..=MAX_LEASE).contains(&lease) {
            return Some(lease);
        }
        self.wrong(field, "must be 1 ms to 366 days long");
        None
    }
}
