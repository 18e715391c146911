//! What happened is told: in the order of each account's ledger, none left out,
//! whoever writes, whenever a reader goes away.

mod many;
mod soon;
mod watcher;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::TimeDelta;
use creditgate::{
    clock::{Clock, ManualClock, Timestamp},
    domain::{event::EventKind, reservation::ReleaseCause},
    ledger::Ledger,
    proto::{Event, ListEventsRequest, WatchEventsRequest},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::timeout;

use crate::harness::{TestDb, TestServer, eventually, settings, words::*};
use watcher::Watcher;

/// All of an account's events, the oldest first, page by page.
async fn listed(server: &TestServer, account_id: &str, page_size: i32) -> Vec<Event> {
    let mut events = Vec::new();
    let mut request = ListEventsRequest {
        account_id: account_id.to_owned(),
        page_size,
        page_token: String::new(),
    };
    loop {
        let page = server.events().list_events(request.clone()).await.unwrap().into_inner();
        events.extend(page.events);
        if page.next_page_token.is_empty() {
            events.reverse();
            return events;
        }
        request.page_token = page.next_page_token;
    }
}

fn kinds(events: &[Event]) -> Vec<EventKind> {
    events
        .iter()
        .map(|event| EventKind::from_number(i16::try_from(event.kind).unwrap()).unwrap())
        .collect()
}

async fn spend(ledger: &Ledger, account_id: &str, id: &str) {
    ledger.submit(reserve(account_id, id, "live_audit")).await.unwrap();
    ledger.submit(commit(account_id, id)).await.unwrap();
}

#[tokio::test]
async fn a_scan_that_stays_unbilled_is_told_once_however_often_its_commit_comes() {
    let db = TestDb::new().await;
    let clock = ManualClock::at("2026-01-31T09:00:00Z".parse::<Timestamp>().unwrap());
    let server = TestServer::with(&settings(&db), Clock::Manual(clock.clone())).await;
    server.apply_catalog().await;
    server.create_account("a").await;
    server.grant("a", "g", "scan", 1).await;
    let ledger = db.ledger(Clock::Manual(clock.clone())).await;
    ledger.submit(reserve("a", "late", "live_audit")).await.unwrap();
    clock.advance(TimeDelta::days(1));
    // Where the server's reaper was faster, there is nothing left to expire.
    let _expired = ledger.submit(expire("a", "late")).await;
    spend(&ledger, "a", "other").await;
    // One by one, and some in one batch.
    for _ in 0..2 {
        ledger.submit(commit("a", "late")).await.unwrap_err();
        for answer in ledger.submit_all(vec![commit("a", "late"), commit("a", "late")]).await {
            answer.unwrap_err();
        }
    }
    server.grant("a", "last", "scan", 1).await;
    let mut watch = Watcher::after(&server, "a", "").await;
    let told = watch.take(listed(&server, "a", 100).await.len()).await;
    assert_eq!(kinds(&told).last(), Some(&EventKind::CreditGranted), "{told:?}");
    let unbilled = kinds(&told).into_iter().filter(|kind| *kind == EventKind::UnbilledScan);
    assert_eq!(unbilled.count(), 1);
    ledger.close().await;
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn what_happened_is_listed_the_newest_first_whatever_the_pages() {
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 3).await;
    let ledger = db.ledger(Clock::Database).await;
    spend(&ledger, "a", "run-1").await;
    ledger.submit(reserve("a", "run-2", "live_audit")).await.unwrap();
    ledger.submit(release("a", "run-2", ReleaseCause::PlatformError)).await.unwrap();
    server.grant("a", "g2", "fix", 7).await;
    spend(&ledger, "a", "run-3").await;
    spend(&ledger, "a", "run-4").await;
    let events = listed(&server, "a", 0).await;
    use EventKind::{CreditGranted, CreditReturned, CreditUsed, LowBalance, ZeroBalance};
    let expected = [
        CreditGranted,
        CreditUsed,
        CreditReturned,
        CreditGranted,
        CreditUsed,
        LowBalance,
        CreditUsed,
        ZeroBalance,
    ];
    assert_eq!(kinds(&events), expected);
    let words: Vec<&str> = events.iter().map(|event| event.message.as_str()).collect();
    assert_eq!(
        words,
        [
            "3 scan credits were granted; 3 are available",
            "1 scan credit was used by run-1; 2 are available",
            "1 scan credit came back from run-2; 2 are available",
            "7 fix credits were granted; 7 are available",
            "1 scan credit was used by run-3; 1 is available",
            "The balance is low: 1 scan credit left, running scans included",
            "1 scan credit was used by run-4; none are available",
            "The balance is 0: no scan credits are left",
        ]
    );
    for size in 1..9 {
        assert_eq!(listed(&server, "a", size).await, events, "pages of {size}");
    }
    ledger.close().await;
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn a_watch_goes_on_where_a_list_ended_and_where_a_watch_broke_off() {
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 9).await;
    server.create_account("b").await;
    server.grant("b", "g1", "scan", 9).await;
    let ledger = db.ledger(Clock::Database).await;
    for turn in 0..3 {
        spend(&ledger, "a", &format!("run-{turn}")).await;
        spend(&ledger, "b", &format!("run-{turn}")).await;
    }
    let events = listed(&server, "a", 0).await;
    assert_eq!(events.len(), 4);
    for (index, event) in events.iter().enumerate() {
        let mut watch = Watcher::after(&server, "a", &event.cursor).await;
        assert_eq!(watch.next_ids(3 - index).await, ids(&events[index + 1..]), "after {index}");
    }
    let mut watch = Watcher::after(&server, "a", "").await;
    assert_eq!(watch.next_ids(4).await, ids(&events), "from the beginning");
    let mut all = Watcher::after(&server, "", "").await;
    let everything = all.take(8).await;
    assert_eq!(ids(&of(&everything, "a")), ids(&events));
    for (index, event) in everything.iter().enumerate() {
        let mut watch = Watcher::after(&server, "", &event.cursor).await;
        assert_eq!(watch.next_ids(7 - index).await, ids(&everything[index + 1..]), "after {index}");
        // And whoever watched all goes on with one.
        let mut watch = Watcher::after(&server, "b", &event.cursor).await;
        let rest = of(&everything[index + 1..], "b");
        assert_eq!(watch.next_ids(rest.len()).await, ids(&rest), "b after {index}");
    }
    let mut now = Watcher::now(&server, "").await;
    spend(&ledger, "b", "later").await;
    assert_eq!(now.take(1).await[0].subject, "later");
    // A kind that is asked for, and a place in a list that says nothing of others'.
    let request = WatchEventsRequest {
        account_id: String::new(),
        kinds: vec![EventKind::CreditGranted as i32],
        after_cursor: Some(String::new()),
    };
    let mut granted = Watcher::of(&server, request).await;
    assert_eq!(kinds(&granted.take(2).await), [EventKind::CreditGranted; 2]);
    for other in ["", "b"] {
        let request = WatchEventsRequest {
            account_id: other.to_owned(),
            kinds: Vec::new(),
            after_cursor: Some(events[0].cursor.clone()),
        };
        let refused = server.events().watch_events(request).await.unwrap_err();
        assert!(refused.message().contains("another account"), "{refused}");
    }
    ledger.close().await;
    server.finish().await;
    db.finish().await;
}

fn ids(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| event.event_id.clone()).collect()
}

fn of(events: &[Event], account_id: &str) -> Vec<Event> {
    events.iter().filter(|event| event.account_id == account_id).cloned().collect()
}

/// How often the reader below is killed: CREDITGATE_WATCH_KILLS.
fn kills() -> usize {
    std::env::var("CREDITGATE_WATCH_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(60)
}

/// Two replicas write, a slow transaction holds some of it back; a reader that is
/// killed again and again, and goes on at either, after the last that it has handled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_killed_at_random_sees_every_event_in_order() {
    const ACCOUNTS: usize = 8;
    let db = TestDb::new().await;
    let one = TestServer::open(&db, "acc-0", 100_000).await;
    for account in 1..ACCOUNTS {
        one.create_account(&format!("acc-{account}")).await;
        one.grant(&format!("acc-{account}"), "g1", "scan", 100_000).await;
    }
    let other = TestServer::start(&db).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let mut writers = Vec::new();
    for writer in 0..6 {
        let ledger = db.ledger(Clock::Database).await;
        let stop = stop.clone();
        writers.push(tokio::spawn(async move {
            let mut turn = 0;
            while !stop.is_cancelled() {
                let ids: Vec<String> = (0..ACCOUNTS).map(|_| format!("w{writer}-{turn}")).collect();
                let each = || ids.iter().enumerate().map(|(n, id)| (format!("acc-{n}"), id));
                let holds = each().map(|(of, id)| reserve(&of, id, "live_audit")).collect();
                ledger.submit_all(holds).await;
                let ends = each().map(|(of, id)| match turn % 5 {
                    0 => release(&of, id, ReleaseCause::PlatformTimeout),
                    _ => commit(&of, id),
                });
                ledger.submit_all(ends.collect()).await;
                turn += 1;
                // Not so many that the reader, who reads a few between two kills, falls
                // behind for ever.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            ledger.close().await;
        }));
    }
    let mut random = StdRng::seed_from_u64(7);
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut cursor = String::new();
    let mut known = BTreeSet::new();
    let mut handle = |event: Event| {
        let events = seen.entry(event.account_id).or_default();
        assert!(known.insert(event.event_id.clone()), "{} came twice", event.event_id);
        events.push(event.event_id);
        event.cursor
    };
    for turn in 0..kills() {
        let server = if turn % 2 == 0 { &one } else { &other };
        let mut watch = Watcher::after(server, "", &cursor).await;
        for _ in 0..random.random_range(0..60) {
            cursor = handle(watch.take(1).await.remove(0));
        }
    }
    stop.cancel();
    for writer in writers {
        writer.await.unwrap();
    }
    let mut total = 0;
    let mut expected = BTreeMap::new();
    for account in 0..ACCOUNTS {
        let account_id = format!("acc-{account}");
        let events = ids(&listed(&one, &account_id, 1000).await);
        total += events.len();
        expected.insert(account_id, events);
    }
    let mut watch = Watcher::after(&one, "", &cursor).await;
    while let Ok(event) = timeout(Duration::from_secs(2), watch.take(1)).await {
        handle(event.into_iter().next().unwrap());
    }
    for (account_id, events) in &expected {
        assert_eq!(seen.get(account_id), Some(events), "{account_id}");
    }
    println!("{total} events, {} readers", kills());
    one.finish().await;
    other.finish().await;
    db.finish().await;
}

/// What is committed behind a transaction that has not ended waits for it: in the
/// meantime, what it will commit has a lower place.
#[tokio::test]
async fn a_commit_that_comes_later_than_one_with_a_higher_place_is_told_first() {
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 9).await;
    server.create_account("b").await;
    server.grant("b", "g1", "scan", 9).await;
    let mut watch = Watcher::now(&server, "").await;
    // By hand, what a batch does: it has drawn its place, and does not commit yet.
    let mut slow = db.owner.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO notices (account_id, notice_key, kind, credits, subject, create_time, detail) \
         VALUES ('a', 'ended:slow', 8, 0, 'slow', now(), 'ended')",
    )
    .execute(&mut *slow)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO feed (account_ids, credit_types, first_sequences, last_sequences, \
                           notice_account_ids, notice_keys, create_time) \
         VALUES ('{}', '{}', '{}', '{}', '{a}', '{ended:slow}', now())",
    )
    .execute(&mut *slow)
    .await
    .unwrap();
    let ledger = db.ledger(Clock::Database).await;
    spend(&ledger, "b", "quick").await;
    assert!(timeout(Duration::from_millis(300), watch.take(1)).await.is_err(), "it waits");
    slow.commit().await.unwrap();
    let told = watch.take(2).await;
    assert_eq!([told[0].subject.as_str(), told[1].subject.as_str()], ["slow", "quick"]);
    // One that is rolled back leaves nothing to wait for.
    let mut gone = db.owner.begin().await.unwrap();
    sqlx::query("SELECT nextval('feed_position_seq')").execute(&mut *gone).await.unwrap();
    gone.rollback().await.unwrap();
    spend(&ledger, "b", "after").await;
    assert_eq!(watch.take(1).await[0].subject, "after");
    ledger.close().await;
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn a_stream_lives_tells_of_its_end_and_refuses_what_it_cannot_go_on_from() {
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 1).await;
    let refused = |account_id: &str, cursor: &str| {
        let request = WatchEventsRequest {
            account_id: account_id.to_owned(),
            kinds: vec![99],
            after_cursor: Some(cursor.to_owned()),
        };
        let mut events = server.events();
        async move { events.watch_events(request).await.unwrap_err() }
    };
    let wrong = refused("no such account!", "nonsense").await;
    assert_eq!(wrong.code(), tonic::Code::InvalidArgument);
    for field in ["account_id", "kinds[0]", "after_cursor"] {
        assert!(wrong.message().contains(field), "{wrong}");
    }
    let unknown = WatchEventsRequest { account_id: "b".to_owned(), ..Default::default() };
    let unknown = server.events().watch_events(unknown).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    // A place that another database has, or this one had.
    let mut watch = Watcher::after(&server, "", "").await;
    let cursor = watch.take(1).await[0].cursor.clone();
    db.execute("TRUNCATE feed; ALTER SEQUENCE feed_position_seq RESTART").await;
    drop(watch);
    let mut ahead = WatchEventsRequest { after_cursor: Some(cursor), ..Default::default() };
    let mut events = server.events();
    eventually("what was told is forgotten with the last watcher", async || {
        match events.watch_events(ahead.clone()).await {
            Err(status) => status.message().contains("ahead"),
            Ok(_) => false,
        }
    })
    .await;
    ahead.after_cursor = None;
    let mut stream = events.watch_events(ahead).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert!(first.event.is_none() && !first.cursor.is_empty(), "it says at once that it lives");
    server.stop();
    let end = loop {
        match stream.message().await {
            Ok(message) => assert!(message.is_some(), "an end without a word"),
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), tonic::Code::Unavailable, "{end}");
    drop((stream, events));
    server.finish().await;
    db.finish().await;
}
