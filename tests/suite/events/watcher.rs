//! A stream of events, read as a program reads it.

use std::time::Duration;

use creditgate::proto::{Event, WatchEventsRequest, WatchEventsResponse};
use tokio::time::timeout;
use tonic::Streaming;

use crate::harness::TestServer;

pub struct Watcher(Streaming<WatchEventsResponse>);

impl Watcher {
    pub async fn of(server: &TestServer, request: WatchEventsRequest) -> Self {
        let mut stream = server.events().watch_events(request).await.unwrap().into_inner();
        // That it watches; also for one who watches from now on.
        stream.message().await.unwrap().unwrap();
        Self(stream)
    }

    /// After a cursor; an empty one is the beginning.
    pub async fn after(server: &TestServer, account_id: &str, cursor: &str) -> Self {
        let request = WatchEventsRequest {
            account_id: account_id.to_owned(),
            kinds: Vec::new(),
            after_cursor: Some(cursor.to_owned()),
        };
        let stream = server.events().watch_events(request).await.unwrap().into_inner();
        Self(stream)
    }

    /// What happens from now on.
    pub async fn now(server: &TestServer, account_id: &str) -> Self {
        let request =
            WatchEventsRequest { account_id: account_id.to_owned(), ..Default::default() };
        Self::of(server, request).await
    }

    /// So many events.
    pub async fn take(&mut self, count: usize) -> Vec<Event> {
        let taken = async {
            let mut events = Vec::new();
            while events.len() < count {
                events.extend(self.0.message().await.unwrap().expect("an end").event);
            }
            events
        };
        timeout(Duration::from_secs(20), taken).await.expect("so many events")
    }

    pub async fn next_ids(&mut self, count: usize) -> Vec<String> {
        self.take(count).await.into_iter().map(|event| event.event_id).collect()
    }
}
