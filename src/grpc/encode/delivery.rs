//! Endpoints, and what was sent.

use super::time;
use crate::{
    delivery::{StoredDelivery, StoredEndpoint, StoredMail},
    proto,
};

pub(in crate::grpc) fn endpoint(endpoint: StoredEndpoint) -> proto::Endpoint {
    proto::Endpoint {
        endpoint_id: endpoint.endpoint_id,
        account_id: endpoint.account_id.unwrap_or_default(),
        url: endpoint.url,
        kinds: endpoint.kinds.into_iter().map(i32::from).collect(),
        create_time: Some(time(endpoint.create_time)),
        create_actor: endpoint.create_actor,
        disable_time: endpoint.disable_time.map(time),
        disable_reason: endpoint.disable_reason,
        failures: endpoint.failures,
        next_attempt_time: endpoint.next_attempt_time.map(time),
        waiting: endpoint.waiting,
    }
}

pub(in crate::grpc) fn delivery(delivery: StoredDelivery) -> proto::Delivery {
    proto::Delivery {
        endpoint_id: delivery.endpoint_id,
        event_id: delivery.event_id.to_string(),
        account_id: delivery.account_id,
        kind: i32::from(delivery.kind),
        state: i32::from(delivery.state as i16),
        attempts: delivery.attempts,
        last_attempt_time: delivery.last_attempt_time.map(time),
        response_status: delivery.response_status.unwrap_or(0),
        error: delivery.error,
        create_time: Some(time(delivery.create_time)),
        settle_time: delivery.settle_time.map(time),
    }
}

pub(in crate::grpc) fn mail(mail: StoredMail) -> proto::Mail {
    proto::Mail {
        event_id: mail.event_id.to_string(),
        account_id: mail.account_id,
        kind: i32::from(mail.kind),
        recipient: mail.recipient,
        subject: mail.subject,
        body_text: mail.body_text,
        state: i32::from(mail.state as i16),
        attempts: mail.attempts,
        error: mail.error,
        create_time: Some(time(mail.create_time)),
        settle_time: mail.settle_time.map(time),
    }
}
