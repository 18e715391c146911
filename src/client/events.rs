//! Events, read as a stream that goes on by itself.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tonic::{Code, Status, Streaming};

use super::{Client, ClientError, Rejection, retry::Effect};
use crate::proto::{
    Event, WatchEventsRequest, WatchEventsResponse, event_service_client::EventServiceClient,
};

/// A stream that says nothing for so long has lost its connection: it says every ten
/// seconds that it lives.
const SILENCE: Duration = Duration::from_secs(30);
/// The rest before a stream that broke off is opened again.
const PAUSE: Duration = Duration::from_millis(250);

/// A stream of events that is opened again where it broke off.
#[derive(Debug)]
pub struct EventStream {
    client: Client,
    request: WatchEventsRequest,
    stream: Streaming<WatchEventsResponse>,
}

impl Client {
    /// Watches events from `request.after_cursor` on: absent for now, empty for the
    /// beginning, else after that event.
    ///
    /// # Errors
    ///
    /// The account does not exist, or the cursor is of another list; or the gate cannot
    /// be reached.
    pub async fn watch_events(
        &self,
        request: WatchEventsRequest,
    ) -> Result<EventStream, ClientError> {
        let stream = self.open_events(request.clone()).await?;
        Ok(EventStream { client: self.clone(), request, stream })
    }

    async fn open_events(
        &self,
        request: WatchEventsRequest,
    ) -> Result<Streaming<WatchEventsResponse>, ClientError> {
        self.call(Effect::Reads, request, |channel, request| async move {
            EventServiceClient::new(channel).watch_events(request).await
        })
        .await
    }
}

impl EventStream {
    /// The next event. Where the stream breaks off, it is opened again after the last
    /// event that this has given: none is missed. Dropped half-way, it loses nothing.
    ///
    /// # Errors
    ///
    /// The gate refuses to go on, such as a key that was revoked; or it cannot be
    /// reached within the client's budget for a call: ask again.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            match timeout(SILENCE, self.stream.message()).await {
                Ok(Ok(Some(message))) => {
                    self.request.after_cursor = Some(message.cursor);
                    if let Some(event) = message.event {
                        return Ok(event);
                    }
                }
                Ok(Err(status)) if !is_passing(&status) => {
                    let rejection = Box::new(Rejection::from_status(&status));
                    return Err(ClientError::Rejected(rejection));
                }
                Ok(Err(_) | Ok(None)) | Err(_) => {
                    sleep(PAUSE).await;
                    self.stream = self.client.open_events(self.request.clone()).await?;
                }
            }
        }
    }

    /// Where this goes on: to be kept by whoever handles the events, after each.
    #[must_use]
    pub fn cursor(&self) -> Option<&str> {
        self.request.after_cursor.as_deref()
    }
}

/// Whether another try may do better: the server drains, the connection broke.
fn is_passing(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::Internal
            | Code::Unknown
            | Code::Cancelled
            | Code::DeadlineExceeded
    )
}
