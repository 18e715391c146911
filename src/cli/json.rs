//! Messages of the contract as JSON, by their descriptors, so that a field
//! that is new in the contract is printed without a line of code here.
//!
//! Field names as in the contract, 64-bit integers as numbers, enum values by
//! their short name ("HELD"), times in RFC 3339 UTC, durations as seconds
//! ("3600s"), bytes in hex. An absent message, optional field or UNSPECIFIED
//! enum value is null; a member of a oneof that is not set is left out.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey,
    MessageDescriptor, ReflectMessage, Value as Proto,
};
use serde_json::{Map, Number, Value};

use super::{CliError, format};

static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(crate::proto::DESCRIPTORS).ok());

/// Converts a message of the contract, given its name, such as "Balance".
pub(super) fn from_message<M: Message>(name: &str, message: &M) -> Result<Value, CliError> {
    let odd = || CliError::Other(format!("cannot print a {name} as JSON"));
    let pool = POOL.as_ref().ok_or_else(odd)?;
    let descriptor = pool.get_message_by_name(&format!("creditgate.v1.{name}")).ok_or_else(odd)?;
    let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())
        .map_err(|_| odd())?;
    Ok(object(&message))
}

/// A list of them.
pub(super) fn from_messages<M: Message>(name: &str, messages: &[M]) -> Result<Value, CliError> {
    messages.iter().map(|message| from_message(name, message)).collect()
}

fn object(message: &DynamicMessage) -> Value {
    let descriptor = message.descriptor();
    if let Some(value) = well_known(&descriptor, message) {
        return value;
    }
    let mut object = Map::new();
    for field in descriptor.fields() {
        let set = message.has_field(&field);
        if !set && field.containing_oneof().is_some() && !is_optional(&field) {
            continue;
        }
        let value = if !set && field.supports_presence() {
            Value::Null
        } else {
            value(&field.kind(), &message.get_field(&field))
        };
        object.insert(field.name().to_owned(), value);
    }
    Value::Object(object)
}

/// `optional` is a oneof of one, which is not a choice.
fn is_optional(field: &FieldDescriptor) -> bool {
    field.field_descriptor_proto().proto3_optional()
}

fn value(kind: &Kind, proto: &Proto) -> Value {
    match proto {
        Proto::Bool(value) => Value::Bool(*value),
        Proto::I32(value) => Value::from(*value),
        Proto::I64(value) => Value::from(*value),
        Proto::U32(value) => Value::from(*value),
        Proto::U64(value) => Value::from(*value),
        Proto::F32(value) => Number::from_f64(f64::from(*value)).map_or(Value::Null, Value::Number),
        Proto::F64(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
        Proto::String(value) => Value::from(value.as_str()),
        Proto::Bytes(bytes) => Value::from(format::hex(bytes)),
        Proto::EnumNumber(number) => match kind {
            Kind::Enum(descriptor) => enumeration(descriptor, *number),
            _ => Value::from(*number),
        },
        Proto::Message(message) => object(message),
        Proto::List(items) => items.iter().map(|item| value(kind, item)).collect(),
        Proto::Map(entries) => {
            let value_kind = match kind {
                Kind::Message(entry) => entry.map_entry_value_field().kind(),
                other => other.clone(),
            };
            let mut pairs: Vec<(String, Value)> = entries
                .iter()
                .map(|(key, item)| (map_key(key), value(&value_kind, item)))
                .collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(pairs.into_iter().collect())
        }
    }
}

fn map_key(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

/// The value's name without the enum's, null for UNSPECIFIED, and the number
/// for a value that is newer than this program.
fn enumeration(descriptor: &EnumDescriptor, number: i32) -> Value {
    if number == 0 {
        return Value::Null;
    }
    let Some(value) = descriptor.get_value(number) else {
        return Value::from(number);
    };
    let zero = descriptor.default_value();
    let prefix = zero.name().strip_suffix("UNSPECIFIED").unwrap_or_default();
    let name = value.name();
    Value::from(name.strip_prefix(prefix).unwrap_or(name))
}

fn well_known(descriptor: &MessageDescriptor, message: &DynamicMessage) -> Option<Value> {
    match descriptor.full_name() {
        "google.protobuf.Timestamp" => {
            let time: prost_types::Timestamp = message.transcode_to().ok()?;
            Some(Value::from(format::time_precise(&time)))
        }
        "google.protobuf.Duration" => {
            let duration: prost_types::Duration = message.transcode_to().ok()?;
            Some(Value::from(duration.to_string()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::proto::{
        Block, BlockReason, CheckEligibilityResponse, CommitRequest, LedgerEntry, Reservation,
        ReservationState, check_eligibility_response::Verdict,
    };

    #[test]
    fn a_reservation_has_the_contracts_names_short_states_and_utc_times() {
        let reservation = Reservation {
            reservation_id: "r1".into(),
            credits: 3,
            state: ReservationState::Held.into(),
            expire_time: Some(prost_types::Timestamp { seconds: 1_767_225_600, nanos: 0 }),
            labels: [("k".to_owned(), "v".to_owned())].into(),
            ..Default::default()
        };
        let json = from_message("Reservation", &reservation).unwrap();
        assert_eq!(json["reservation_id"], "r1");
        assert_eq!(json["credits"], 3);
        assert_eq!(json["state"], "HELD");
        assert_eq!(json["expire_time"], "2026-01-01T00:00:00Z");
        assert_eq!(json["settle_time"], Value::Null);
        assert_eq!(json["release_cause"], Value::Null);
        assert_eq!(json["labels"], json!({"k": "v"}));
    }

    #[test]
    fn only_the_verdict_that_was_given_is_printed() {
        let response = CheckEligibilityResponse {
            verdict: Some(Verdict::Block(Block {
                reason: BlockReason::Exhausted.into(),
                ..Default::default()
            })),
            balance: None,
        };
        let json = from_message("CheckEligibilityResponse", &response).unwrap();
        assert_eq!(json["block"]["reason"], "EXHAUSTED");
        assert_eq!(json.get("eligible"), None);
        assert_eq!(json["balance"], Value::Null);
    }

    #[test]
    fn an_absent_optional_number_is_null_and_hashes_are_hex() {
        let commit = from_message("CommitRequest", &CommitRequest::default()).unwrap();
        assert_eq!(commit["credits"], Value::Null);
        let entry = LedgerEntry { hash: vec![0, 255], ..Default::default() };
        assert_eq!(from_message("LedgerEntry", &entry).unwrap()["hash"], "00ff");
    }
}
