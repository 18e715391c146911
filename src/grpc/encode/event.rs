//! Events.

use super::{text, time};
use crate::{domain::event::Event, events::cursor::Cursor, proto};

pub(in crate::grpc) fn event(event: Event, cursor: &Cursor) -> proto::Event {
    proto::Event {
        event_id: event.event_id.to_string(),
        cursor: cursor.encode(),
        kind: i32::from(event.kind as i16),
        message: event.message(),
        account_id: event.account_id.to_string(),
        credit_type: text(event.credit_type),
        credits: event.credits,
        available: event.available.unwrap_or(0),
        subject: event.subject,
        create_time: Some(time(event.create_time)),
    }
}
