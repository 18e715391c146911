//! Single values, as Paddle writes them.

use chrono::{DateTime, Datelike};
use serde::{Deserialize, Deserializer};

use crate::clock::Timestamp;

/// The most bytes of an id. Paddle's have about 30, and two of them together make
/// an id of ours.
const MAX_ID_BYTES: usize = 100;

/// An id of Paddle's: 1 to 100 characters of `[A-Za-z0-9._:-]`, as in our own
/// ids, so that it is safe in a key, a log line and a list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Id(String);

impl Id {
    /// The text.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl TryFrom<String> for Id {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() || text.len() > MAX_ID_BYTES {
            return Err("an id has 1 to 100 characters");
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if !text.bytes().all(allowed) {
            return Err("an id has letters, digits and . _ : - only");
        }
        Ok(Self(text))
    }
}

/// Money in the currency's minor unit, which Paddle writes as a text: "9800".
/// May be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Minor(pub i64);

impl TryFrom<String> for Minor {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.strip_prefix('-').unwrap_or(&text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("money is a text of digits, in the minor unit");
        }
        text.parse().map(Self).map_err(|_| "more money than can be counted")
    }
}

/// An ISO 4217 code.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Currency(pub(super) String);

impl TryFrom<String> for Currency {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
            Ok(Self(text))
        } else {
            Err("a currency is three capital letters")
        }
    }
}

/// A time in RFC 3339, to the microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Time(Timestamp);

impl Time {
    /// The time, whatever it is.
    #[must_use]
    pub fn exactly(self) -> Timestamp {
        self.0
    }

    /// The time, or none where it is 0001-01-01, which Paddle's fixtures have
    /// for "never".
    #[must_use]
    pub fn real(self) -> Option<Timestamp> {
        (self.0.year() > 1).then_some(self.0)
    }
}

impl TryFrom<String> for Time {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let time = DateTime::parse_from_rfc3339(&text).map_err(|_| "is no time in RFC 3339")?;
        DateTime::from_timestamp_micros(time.timestamp_micros())
            .map(Self)
            .ok_or("is no time that can be stored")
    }
}

/// A period of a subscription: its begin and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawPeriod")]
pub struct Period(Option<(Timestamp, Timestamp)>);

#[derive(Deserialize)]
struct RawPeriod {
    #[serde(default)]
    starts_at: Option<Time>,
    #[serde(default)]
    ends_at: Option<Time>,
}

impl Period {
    /// Begin and end, where both are there: then it ends after it begins.
    #[must_use]
    pub fn range(self) -> Option<(Timestamp, Timestamp)> {
        self.0
    }
}

impl TryFrom<RawPeriod> for Period {
    type Error = &'static str;

    fn try_from(raw: RawPeriod) -> Result<Self, Self::Error> {
        let starts = raw.starts_at.and_then(Time::real);
        let ends = raw.ends_at.and_then(Time::real);
        let range = starts.zip(ends);
        if range.is_some_and(|(starts, ends)| ends <= starts) {
            return Err("the period ends before it begins");
        }
        Ok(Self(range))
    }
}

/// An id that may be null, absent or empty.
pub(super) fn optional_id<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<String>,
    T::Error: std::fmt::Display,
{
    match Option::<String>::deserialize(deserializer)? {
        None => Ok(None),
        Some(text) if text.is_empty() => Ok(None),
        Some(text) => T::try_from(text).map(Some).map_err(serde::de::Error::custom),
    }
}

/// A list that may be null.
pub(super) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
