//! Calls that last longer than the key that they came with.

use super::*;

#[tokio::test]
async fn a_stream_ends_soon_after_its_key_was_revoked() {
    let db = TestDb::new().await;
    let scheduler = make(&db, &[Scope::Scheduler], None).await;
    let viewer = make(&db, &[Scope::Viewer], None).await;
    let server = guarded(&db).await;
    let watch = || proto::WatchEventsRequest::default();
    let mut events = server.events();
    let denied = events.watch_events(with(watch(), bearer(&scheduler))).await.unwrap_err();
    assert_eq!(reason(&denied), "SCOPE_MISSING");
    let stream = events.watch_events(with(watch(), bearer(&viewer))).await.unwrap();
    let mut stream = stream.into_inner();
    revoke(&db, &viewer).await;
    let begun = Instant::now();
    let end = loop {
        match stream.message().await {
            Ok(message) => assert!(message.unwrap().event.is_none()),
            Err(status) => break status,
        }
    };
    assert_eq!((end.code(), reason(&end).as_str()), (Code::Unauthenticated, "KEY_REVOKED"));
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    drop((stream, events));
    server.finish().await;
    db.finish().await;
}
