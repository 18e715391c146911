//! Requests for events.

use super::{Invalid, Paged, delivery::event_kinds, fields::Fields};
use crate::{
    events::{Start, cursor::Cursor, watch::Filter},
    grpc::page::{List, rows_for},
    ids::{AccountId, SeenAccounts},
    ledger::EventQuery,
    proto,
};

pub(in crate::grpc) fn list_events(
    request: &proto::ListEventsRequest,
) -> Result<Paged<EventQuery>, Invalid> {
    let mut fields = Fields::default();
    let account_id = fields.id("account_id", &request.account_id, AccountId::new);
    let size = fields.page_size(request.page_size);
    let account_id = fields.finish(|| account_id)?;
    let list = List::of("ListEvents").text(&request.account_id);
    let before = list.key(&request.page_token)?;
    let query = EventQuery { account_id, before, limit: rows_for(size) };
    Ok(Paged { query, list, size })
}

pub(in crate::grpc) fn watch_events(
    request: &proto::WatchEventsRequest,
    seen: SeenAccounts,
) -> Result<(Filter, Start), Invalid> {
    let mut fields = Fields::default();
    let account_id = fields.optional_id("account_id", &request.account_id, AccountId::new);
    let kinds = event_kinds(&mut fields, &request.kinds).into_iter().collect();
    let start = match request.after_cursor.as_deref() {
        None => Start::Now,
        Some("") => Start::Beginning,
        Some(text) => match Cursor::decode(text) {
            Some(cursor) => Start::After(cursor),
            None => {
                fields.wrong("after_cursor", "is no cursor of an event or a stream");
                Start::Now
            }
        },
    };
    fields.finish(|| Some((Filter { account_id, seen, kinds }, start)))
}
