//! Checked newtypes for every identifier. One that exists is valid: the edge
//! makes them, and nothing behind it checks again.
//!
//! Ids that callers choose are text of `[A-Za-z0-9._:-]`: safe in a log line, a
//! URL, a shell and a `COLLATE "C"` key, and the same bytes everywhere.

use std::{collections::BTreeSet, fmt, sync::Arc};

use uuid::Uuid;

use crate::clock::Timestamp;

/// The accounts that somebody sees; `None` for all.
pub type SeenAccounts = Option<Arc<BTreeSet<AccountId>>>;

/// Why a text is no identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing was given.
    #[error("is required")]
    Empty,
    /// Longer than the limit, in bytes.
    #[error("has {length} bytes: at most {limit} are allowed")]
    TooLong {
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A character outside `[A-Za-z0-9._:-]`.
    #[error(
        "has a character other than A-Z, a-z, 0-9, '.', '_', ':' and '-' at position {position}"
    )]
    BadCharacter {
        /// Where, counted from 1.
        position: usize,
    },
}

fn check(text: &str, limit: usize) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > limit {
        return Err(IdError::TooLong { length: text.len(), limit });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-');
    match text.chars().position(|c| !allowed(c)) {
        None => Ok(()),
        Some(index) => Err(IdError::BadCharacter { position: index + 1 }),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $limit:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The most bytes that it may have.
            pub const MAX_LEN: usize = $limit;

            /// Checks a text.
            ///
            /// # Errors
            ///
            /// Empty, too long, or a character that is not allowed.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check(text, $limit)?;
                Ok(Self(Arc::from(text)))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// The owner of credits. The caller's choice, 1 to 64 characters.
    AccountId, 64);
text_id!(
    /// A project: it belongs to one account. 1 to 128 characters.
    ProjectId, 128);
text_id!(
    /// One scan attempt, named by the scheduler, and the idempotency key of
    /// all calls about it. 1 to 128 characters.
    ReservationId, 128);
text_id!(
    /// A grant, a revocation, a top-up or a billing period: the idempotency
    /// key of credits that come or go outside a scan. 1 to 256 characters; the
    /// edge takes at most 128 from callers, the keys of periods are longer.
    OperationId, 256);
text_id!(
    /// A type of credits, such as "scan" or "fix". 1 to 64 characters.
    CreditType, 64);
text_id!(
    /// A kind of scan in the catalog. 1 to 64 characters.
    ScanKindName, 64);
text_id!(
    /// A plan in the catalog. 1 to 64 characters.
    PlanName, 64);
text_id!(
    /// A subscription: the provider's id or one of ours. 1 to 128 characters.
    SubscriptionId, 128);

/// A lot of credits: an id of ours, a UUIDv7, so that lots sort by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LotId(pub Uuid);

impl LotId {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl OperationId {
    /// The most bytes that one chosen by a caller may have.
    pub const MAX_CALLER_LEN: usize = 128;

    /// Checks a text that a caller chose.
    ///
    /// # Errors
    ///
    /// Empty, too long, or a character that is not allowed.
    pub fn of_caller(text: &str) -> Result<Self, IdError> {
        check(text, Self::MAX_CALLER_LEN)?;
        Self::new(text)
    }

    /// The id of what a subscription's period brings of one type of credits:
    /// `SUBSCRIPTION:TYPE:START`. Valid because its parts are.
    #[must_use]
    pub fn of_period(
        subscription_id: &SubscriptionId,
        credit_type: &CreditType,
        start: Timestamp,
    ) -> Self {
        let start = start.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string().replace('+', "");
        Self(Arc::from(format!("{subscription_id}:{credit_type}:{start}")))
    }

    /// The id of a trial's credits: `SUBSCRIPTION:TYPE:trial`.
    #[must_use]
    pub fn of_trial(subscription_id: &SubscriptionId, credit_type: &CreditType) -> Self {
        Self(Arc::from(format!("{subscription_id}:{credit_type}:trial")))
    }

    /// For a period's id: whether `text` is that of another period of the same
    /// subscription, or of this one. Nothing else ends in so many characters of
    /// time after the same beginning.
    #[must_use]
    pub fn is_same_but_for_time(&self, text: &str) -> bool {
        let beginning = self.0.len().checked_sub(PERIOD_TIME_LEN);
        let beginning = beginning.and_then(|length| self.0.get(..length));
        beginning
            .and_then(|beginning| text.strip_prefix(beginning))
            .is_some_and(|time| time.len() == PERIOD_TIME_LEN)
    }
}

/// Bytes of the time in a period's id, such as "2026-03-01T00:00:00.000000Z".
const PERIOD_TIME_LEN: usize = 27;

impl fmt::Display for LotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_takes_the_allowed_characters_up_to_its_length_and_nothing_else() {
        for good in ["a", "acc_42", "scan-run-123:attempt.1", &"x".repeat(64)] {
            assert_eq!(AccountId::new(good).unwrap().as_str(), good);
        }
        for (bad, error) in [
            ("", IdError::Empty),
            (&*"x".repeat(65), IdError::TooLong { length: 65, limit: 64 }),
            ("a b", IdError::BadCharacter { position: 2 }),
            ("ab\n", IdError::BadCharacter { position: 3 }),
            ("a\0", IdError::BadCharacter { position: 2 }),
            ("konto-ä", IdError::BadCharacter { position: 7 }),
            ("a/b", IdError::BadCharacter { position: 2 }),
        ] {
            assert_eq!(AccountId::new(bad), Err(error), "{bad:?}");
        }
    }

    #[test]
    fn the_ids_of_periods_are_valid_sort_by_time_and_know_their_like() {
        let subscription = |id: &str| SubscriptionId::new(id).unwrap();
        let credit_type = |name: &str| CreditType::new(name).unwrap();
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let of = |id: &str, name: &str, start: &str| {
            OperationId::of_period(&subscription(id), &credit_type(name), at(start))
        };
        let march = of("sub_A", "scan", "2026-03-01T00:00:00Z");
        assert_eq!(march.as_str(), "sub_A:scan:2026-03-01T00:00:00.000000Z");
        let later = of("sub_A", "scan", "2026-03-01T00:00:00.000001Z");
        assert!(march < later);
        assert!(march.is_same_but_for_time(later.as_str()));
        for other in [
            of("sub_B", "scan", "2026-03-01T00:00:00Z"),
            of("sub_A", "fix", "2026-03-01T00:00:00Z"),
            of("sub_A:scan", "scan", "2026-03-01T00:00:00Z"),
            OperationId::of_trial(&subscription("sub_A"), &credit_type("scan")),
        ] {
            assert!(!march.is_same_but_for_time(other.as_str()), "{other}");
        }
        let longest = of(&"s".repeat(128), &"t".repeat(64), "9999-12-31T23:59:59.999999Z");
        assert_eq!(OperationId::new(longest.as_str()), Ok(longest));
        let last =
            OperationId::of_period(&subscription("s"), &credit_type("t"), Timestamp::MAX_UTC);
        assert_eq!(OperationId::new(last.as_str()), Ok(last));
    }
}
