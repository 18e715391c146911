//! What a webhook says: a CloudEvents 1.0 JSON envelope.

use serde_json::json;

use crate::domain::event::Event;

/// The body. The same event gives the same body, byte for byte.
#[must_use]
pub fn body(event: &Event) -> String {
    json!({
        "specversion": "1.0",
        "id": event.event_id,
        "source": "creditgate",
        "type": format!("creditgate.{}", event.kind.name()),
        "subject": event.account_id.as_str(),
        "time": event.create_time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        "datacontenttype": "application/json",
        "data": {
            "kind": event.kind.name(),
            "account_id": event.account_id.as_str(),
            "credit_type": event.credit_type.as_ref().map(|of| of.as_str()),
            "credits": event.credits,
            "available": event.available,
            "subject": event.subject,
            "message": event.message(),
        },
    })
    .to_string()
}
