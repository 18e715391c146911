//! Endpoints, and what is sent.

use uuid::Uuid;

use super::{Invalid, Paged, fields::Fields};
use crate::{
    clock::Timestamp,
    delivery::DeliveryState,
    domain::event::EventKind,
    grpc::page::{List, rows_for},
    ids::AccountId,
    proto,
};

const MAX_URL_BYTES: usize = 2_000;
const MAX_ENDPOINT_ID_BYTES: usize = 64;
/// The most events that are sent again by one call.
const MAX_REPLAYED: usize = 1_000;

/// An endpoint that is to be added.
#[derive(Debug)]
pub(in crate::grpc) struct NewEndpoint {
    /// Whose events; `None` for all.
    pub(in crate::grpc) account_id: Option<AccountId>,
    /// Of these kinds; empty for all.
    pub(in crate::grpc) kinds: Vec<EventKind>,
}

/// A page of deliveries.
#[derive(Debug)]
pub(in crate::grpc) struct DeliveryPage {
    pub(in crate::grpc) endpoint_id: String,
    pub(in crate::grpc) state: Option<DeliveryState>,
    pub(in crate::grpc) before: Option<i64>,
    pub(in crate::grpc) limit: i64,
    pub(in crate::grpc) list: List,
    pub(in crate::grpc) size: usize,
}

pub(in crate::grpc) fn create_endpoint(
    request: &proto::CreateEndpointRequest,
) -> Result<NewEndpoint, Invalid> {
    let mut fields = Fields::default();
    let account_id = fields.optional_id("account_id", &request.account_id, AccountId::new);
    fields.required_text("url", &request.url, MAX_URL_BYTES);
    let kinds = event_kinds(&mut fields, &request.kinds);
    fields.finish(|| Some(NewEndpoint { account_id, kinds }))
}

/// The kinds of events that a request names.
pub(super) fn event_kinds(fields: &mut Fields, kinds: &[i32]) -> Vec<EventKind> {
    let mut named = Vec::new();
    for (index, kind) in kinds.iter().enumerate() {
        named.extend(fields.choice(&format!("kinds[{index}]"), *kind, EventKind::from_number));
    }
    named.sort();
    named.dedup();
    named
}

pub(in crate::grpc) fn endpoint_id(endpoint_id: &str) -> Result<String, Invalid> {
    let mut fields = Fields::default();
    fields.required_text("endpoint_id", endpoint_id, MAX_ENDPOINT_ID_BYTES);
    fields.finish(|| Some(endpoint_id.to_owned()))
}

/// The endpoint, and why it is turned off.
pub(in crate::grpc) fn disable_endpoint(
    request: &proto::DisableEndpointRequest,
) -> Result<(String, String), Invalid> {
    let mut fields = Fields::default();
    fields.required_text("endpoint_id", &request.endpoint_id, MAX_ENDPOINT_ID_BYTES);
    fields.text("reason", &request.reason, super::fields::MAX_TEXT_BYTES);
    fields.finish(|| Some((request.endpoint_id.clone(), request.reason.clone())))
}

pub(in crate::grpc) fn deliveries(
    request: &proto::ListDeliveriesRequest,
) -> Result<DeliveryPage, Invalid> {
    let mut fields = Fields::default();
    fields.required_text("endpoint_id", &request.endpoint_id, MAX_ENDPOINT_ID_BYTES);
    let state = match request.state {
        0 => None,
        // A webhook is never held back.
        state => fields.choice("state", state, |number| {
            DeliveryState::from_number(number).filter(|state| *state != DeliveryState::HeldBack)
        }),
    };
    let size = fields.page_size(request.page_size);
    fields.finish(|| Some(()))?;
    let list = List::of("ListDeliveries")
        .text(&request.endpoint_id)
        .number(state.map(|state| i64::from(state as i16)));
    let before = list.key(&request.page_token)?;
    let endpoint_id = request.endpoint_id.clone();
    Ok(DeliveryPage { endpoint_id, state, before, limit: rows_for(size), list, size })
}

/// The endpoint, and the events; none for all that have failed.
pub(in crate::grpc) fn replay(
    request: &proto::ReplayDeliveriesRequest,
) -> Result<(String, Option<Vec<Uuid>>), Invalid> {
    let mut fields = Fields::default();
    fields.required_text("endpoint_id", &request.endpoint_id, MAX_ENDPOINT_ID_BYTES);
    if request.event_ids.len() > MAX_REPLAYED {
        fields.wrong("event_ids", format!("at most {MAX_REPLAYED} at once"));
    }
    let mut events = Vec::new();
    for (index, id) in request.event_ids.iter().enumerate().take(MAX_REPLAYED) {
        match id.parse() {
            Ok(id) => events.push(id),
            Err(_) => fields.wrong(&format!("event_ids[{index}]"), "is no id of an event"),
        }
    }
    fields.finish(|| Some((request.endpoint_id.clone(), (!events.is_empty()).then_some(events))))
}

/// The account, and what it is to be mailed; `None` for what is usual.
pub(in crate::grpc) fn mail_kinds(
    request: &proto::SetMailKindsRequest,
) -> Result<(AccountId, Option<Vec<EventKind>>), Invalid> {
    let mut fields = Fields::default();
    let account_id = fields.id("account_id", &request.account_id, AccountId::new);
    let kinds = event_kinds(&mut fields, &request.kinds);
    if request.usual && !request.kinds.is_empty() {
        fields.wrong("usual", "must be left out where kinds are named");
    }
    fields.finish(|| Some((account_id?, (!request.usual).then_some(kinds))))
}

/// Where a page of mails begins: whose, and before which.
pub(in crate::grpc) type MailQuery = (AccountId, Option<(Timestamp, Uuid)>);

pub(in crate::grpc) fn mails(
    request: &proto::ListMailsRequest,
) -> Result<Paged<MailQuery>, Invalid> {
    let mut fields = Fields::default();
    let account_id = fields.id("account_id", &request.account_id, AccountId::new);
    let size = fields.page_size(request.page_size);
    let account_id = fields.finish(|| account_id)?;
    let list = List::of("ListMails").text(&request.account_id);
    let before = list.key(&request.page_token)?;
    Ok(Paged { query: (account_id, before), list, size })
}
