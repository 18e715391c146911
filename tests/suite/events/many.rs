//! Thousands that watch one gate at once.

use std::time::{Duration, Instant};

use creditgate::{
    clock::Clock,
    proto::{WatchEventsRequest, WatchEventsResponse, event_service_client::EventServiceClient},
};
use tokio::{task::JoinSet, time::timeout};
use tonic::{Streaming, transport::Endpoint};

use crate::harness::{TestDb, TestServer, words::*};

/// More than one connection takes: 1,024 calls.
const CONNECTIONS: usize = 3;
const EACH: usize = 700;
const ACCOUNTS: usize = 100;

async fn next_event(stream: &mut Streaming<WatchEventsResponse>) -> (String, i64) {
    loop {
        let message = stream.message().await.unwrap().expect("an end");
        if let Some(event) = message.event {
            return (event.account_id, event.credits);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_watch_and_each_hears_of_its_own_account_at_once() {
    let db = TestDb::new().await;
    let server = TestServer::start(&db).await;
    server.apply_catalog().await;
    let account_of = |n: usize| format!("acc-{}", n % ACCOUNTS);
    for n in 0..ACCOUNTS {
        server.create_account(&account_of(n)).await;
    }
    let mut opening = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc_addr())).unwrap();
        let client = EventServiceClient::new(endpoint.connect().await.unwrap());
        for n in 0..EACH {
            let mut client = client.clone();
            let account_id = account_of(connection * EACH + n);
            opening.spawn(async move {
                let request = WatchEventsRequest {
                    account_id: account_id.clone(),
                    ..WatchEventsRequest::default()
                };
                let mut stream = client.watch_events(request).await.unwrap().into_inner();
                // That it watches.
                stream.message().await.unwrap().unwrap();
                (account_id, stream)
            });
        }
    }
    let watching = timeout(Duration::from_secs(60), opening.join_all()).await.expect("to watch");
    let ledger = db.ledger(Clock::Database).await;
    let grants = (0..ACCOUNTS).map(|n| {
        let credits = i64::try_from(n).unwrap() + 1;
        grant(&account_of(n), "g", "scan", credits)
    });
    let begun = Instant::now();
    for granted in ledger.submit_all(grants.collect()).await {
        granted.unwrap();
    }
    let mut hearing = JoinSet::new();
    for (account_id, mut stream) in watching {
        hearing.spawn(async move {
            let (of, credits) = next_event(&mut stream).await;
            assert_eq!(of, account_id);
            assert_eq!(format!("acc-{}", credits - 1), account_id);
        });
    }
    let heard = timeout(Duration::from_secs(60), hearing.join_all()).await.expect("to hear").len();
    println!("{heard} watchers heard within {:?}", begun.elapsed());
    ledger.close().await;
    server.finish().await;
    db.finish().await;
}
