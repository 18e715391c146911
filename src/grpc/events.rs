//! Events, listed and streamed.

use tonic::{Request, Response, Status};

use super::{
    MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, decode, encode,
    lasting::{self, Lasting, Source},
    seen,
};
use crate::{
    domain::event::Event,
    events::{Events, cursor::Cursor, watch::Watch},
    ledger::Ledger,
    proto::{
        self, WatchEventsResponse,
        event_service_server::{EventService, EventServiceServer},
    },
};

/// `EventService`.
#[derive(Debug, Clone)]
pub struct EventApi {
    ledger: Ledger,
    events: Events,
}

impl EventApi {
    /// What happens in this ledger.
    #[must_use]
    pub fn new(ledger: Ledger, events: Events) -> Self {
        Self { ledger, events }
    }

    /// The service to be routed to.
    #[must_use]
    pub fn into_server(self) -> EventServiceServer<Self> {
        EventServiceServer::new(self)
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(MAX_RESPONSE_BYTES)
    }
}

#[tonic::async_trait]
impl EventService for EventApi {
    type WatchEventsStream = Lasting<WatchEventsResponse>;

    async fn list_events(
        &self,
        request: Request<proto::ListEventsRequest>,
    ) -> Result<Response<proto::ListEventsResponse>, Status> {
        let ledger = self.ledger.seen_by(seen(&request));
        let asked = decode::list_events(request.get_ref())?;
        let account_id = asked.query.account_id.clone();
        let rows = ledger.events(asked.query).await?;
        let (events, next_page_token) = asked.list.page(
            rows,
            asked.size,
            |event: &Event| event.place.clone(),
            |event| {
                let cursor = Cursor::List(account_id.clone(), event.place.clone());
                encode::event(event, &cursor)
            },
        );
        Ok(Response::new(proto::ListEventsResponse { events, next_page_token }))
    }

    async fn watch_events(
        &self,
        request: Request<proto::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let (filter, start) = decode::watch_events(request.get_ref(), seen(&request))?;
        let standing = lasting::standing(&request);
        let watch = self.events.watch(filter, start).await?;
        Ok(lasting::stream(watch, standing, self.events.ending()))
    }
}

impl Source for Watch {
    type Message = WatchEventsResponse;

    fn alive(&self) -> WatchEventsResponse {
        WatchEventsResponse { event: None, cursor: self.cursor().encode() }
    }

    async fn next(&mut self) -> Option<Result<WatchEventsResponse, Status>> {
        let next = Watch::next(self).await.map(|(event, cursor)| WatchEventsResponse {
            event: Some(encode::event(event, &cursor)),
            cursor: cursor.encode(),
        });
        Some(next.map_err(Status::from))
    }
}
