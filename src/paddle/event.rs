//! What a webhook says, as types.
//!
//! Fields that are not named here are left aside, and most may be null or
//! absent: Paddle adds fields, and its fixtures leave some out. What an effect
//! depends on is checked, and an error says where it is. Source: Paddle's
//! documentation, "Webhooks", and the entities that it refers to.

pub mod adjustment;
mod fields;
pub mod subscription;
pub mod transaction;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

pub use adjustment::{Adjustment, AdjustmentItem};
pub use fields::{Id, Minor, Period, Time};
pub use subscription::{Subscription, SubscriptionItem};
pub use transaction::{LineItem, Transaction};

use crate::clock::Timestamp;

/// The most bytes of an event's type.
const MAX_TYPE_BYTES: usize = 64;

/// An event that is not understood: where, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct EventError {
    /// The field, such as `data.items[0].quantity`; `.` for the whole.
    pub path: String,
    /// What is wrong with it.
    pub why: String,
}

/// What every event says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The same each time it is delivered: see [`Id`].
    pub event_id: String,
    /// Such as `transaction.completed`: at most 64 characters.
    pub event_type: String,
    /// When it happened, to the microsecond. Deliveries come in any order.
    pub occurred_at: Timestamp,
}

/// An event that is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What it says of itself.
    pub envelope: Envelope,
    /// What it is about.
    pub data: Data,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// `transaction.paid`, `transaction.payment_failed`: neither is final.
    TransactionPending(Transaction),
    /// `transaction.completed`.
    TransactionCompleted(Transaction),
    /// `transaction.canceled`.
    TransactionCanceled(Transaction),
    /// `subscription.*`.
    Subscription(Subscription),
    /// `adjustment.*`.
    Adjustment(Adjustment),
    /// A type that changes nothing here, or that this program does not know.
    Unknown,
}

#[derive(Deserialize)]
struct RawEnvelope {
    event_id: Id,
    event_type: Id,
    occurred_at: Time,
}

#[derive(Deserialize)]
struct RawEvent {
    data: Value,
}

impl Envelope {
    /// Reads what the event says of itself, and leaves its data aside.
    ///
    /// # Errors
    ///
    /// This is no event.
    pub fn parse(body: &[u8]) -> Result<Self, EventError> {
        let raw: RawEnvelope = read(&mut serde_json::Deserializer::from_slice(body), "")?;
        let event_type = raw.event_type.into_string();
        if event_type.len() > MAX_TYPE_BYTES {
            let (path, why) = ("event_type".to_owned(), "is too long".to_owned());
            return Err(EventError { path, why });
        }
        let occurred_at = raw.occurred_at.exactly();
        Ok(Self { event_id: raw.event_id.into_string(), event_type, occurred_at })
    }
}

impl Event {
    /// Reads an event from the body of a webhook.
    ///
    /// # Errors
    ///
    /// It is none, or its type is known and its data is not understood.
    pub fn parse(body: &[u8]) -> Result<Self, EventError> {
        let envelope = Envelope::parse(body)?;
        let (object, name) = envelope.event_type.split_once('.').unwrap_or_default();
        let data = || {
            let raw: RawEvent = read(&mut serde_json::Deserializer::from_slice(body), "")?;
            Ok(raw.data)
        };
        let data = match (object, name) {
            ("transaction", "paid" | "payment_failed") => Data::TransactionPending(inner(data()?)?),
            ("transaction", "completed") => Data::TransactionCompleted(inner(data()?)?),
            ("transaction", "canceled") => Data::TransactionCanceled(inner(data()?)?),
            (
                "subscription",
                "created" | "activated" | "trialing" | "paused" | "resumed" | "past_due"
                | "canceled" | "updated" | "imported",
            ) => Data::Subscription(inner(data()?)?),
            ("adjustment", "created" | "updated") => Data::Adjustment(inner(data()?)?),
            _ => Data::Unknown,
        };
        Ok(Self { envelope, data })
    }
}

fn inner<T: DeserializeOwned>(data: Value) -> Result<T, EventError> {
    read(data, "data")
}

/// Reads one value; an error says where, from `prefix` on.
fn read<'de, T, D>(source: D, prefix: &str) -> Result<T, EventError>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
    D::Error: std::fmt::Display,
{
    serde_path_to_error::deserialize(source).map_err(|error| {
        let (path, why) = (error.path().to_string(), error.inner().to_string());
        let path = match (prefix, path.as_str()) {
            ("", path) => path.to_owned(),
            (prefix, ".") => prefix.to_owned(),
            (prefix, path) => format!("{prefix}.{path}"),
        };
        EventError { path, why }
    })
}

#[cfg(test)]
pub(crate) mod tests;
