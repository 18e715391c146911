//! How soon a watcher hears, and what it costs those who reserve.
//!
//! The figures that are quoted come from `cargo test --release --test suite -- soon
//! --nocapture` with CREDITGATE_WATCH_RATE=5000.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use creditgate::{clock::Clock, ledger::Ledger};
use tokio::task::JoinSet;

use super::watcher::Watcher;
use crate::harness::{TestDb, TestServer, words::*};

const ACCOUNTS: usize = 200;

fn account_of(n: usize) -> String {
    format!("acc-{}", n % ACCOUNTS)
}

async fn open(db: &TestDb) -> TestServer {
    let server = TestServer::open(db, "acc-0", 1_000_000).await;
    let ledger = db.ledger(Clock::Database).await;
    for n in 1..ACCOUNTS {
        server.create_account(&account_of(n)).await;
    }
    let grants = (1..ACCOUNTS).map(|n| grant(&account_of(n), "g", "scan", 1_000_000)).collect();
    for granted in ledger.submit_all(grants).await {
        granted.unwrap();
    }
    ledger.close().await;
    server
}

/// Events a second: CREDITGATE_WATCH_RATE.
fn rate() -> usize {
    std::env::var("CREDITGATE_WATCH_RATE").ok().and_then(|n| n.parse().ok()).unwrap_or(300)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_hears_soon_of_many_events_a_second() {
    const SECONDS: usize = 4;
    let db = TestDb::new().await;
    let server = open(&db).await;
    let ledger = db.ledger(Clock::Database).await;
    let rate = rate();
    let mut watch = Watcher::now(&server, "").await;
    let total = rate * SECONDS;
    let hearing = tokio::spawn(async move {
        let mut late = Vec::with_capacity(total);
        for _ in 0..total {
            let event = watch.take(1).await.remove(0);
            let time = event.create_time.unwrap();
            let now = chrono::Utc::now();
            let now = now.timestamp() * 1_000_000 + i64::from(now.timestamp_subsec_micros());
            late.push(now - time.seconds * 1_000_000 - i64::from(time.nanos) / 1_000);
        }
        late
    });
    // Credits are held beforehand, so that what is timed is commits alone.
    let ids: Vec<String> = (0..total).map(|n| format!("run-{n}")).collect();
    for ids in ids.chunks(2_000).enumerate() {
        let (chunk, ids) = ids;
        let at = |n| account_of(chunk * 2_000 + n);
        let holds = ids.iter().enumerate().map(|(n, id)| reserve(&at(n), id, "live_audit"));
        for held in ledger.submit_all(holds.collect()).await {
            held.unwrap();
        }
    }
    let begun = Instant::now();
    let mut sending = JoinSet::new();
    let step = Duration::from_millis(10);
    let each = (rate / 100).max(1);
    for (turn, ids) in ids.chunks(each).enumerate() {
        let due = begun + step * u32::try_from(turn).unwrap();
        tokio::time::sleep_until(due.into()).await;
        let at = |n| account_of(turn * each + n);
        let commits = ids.iter().enumerate().map(|(n, id)| commit(&at(n), id)).collect();
        let ledger = ledger.clone();
        sending.spawn(async move { ledger.submit_all(commits).await });
    }
    while let Some(done) = sending.join_next().await {
        for committed in done.unwrap() {
            committed.unwrap();
        }
    }
    let took = begun.elapsed();
    let mut late = hearing.await.unwrap();
    late.sort_unstable();
    let at = |percent: usize| {
        let index = (late.len() * percent / 100).min(late.len() - 1);
        Duration::from_micros(u64::try_from(late[index]).unwrap_or(0))
    };
    println!(
        "{:.0} events a second; heard after p50 {:?}, p99 {:?}, at most {:?}",
        total as f64 / took.as_secs_f64(),
        at(50),
        at(99),
        at(100)
    );
    // A debug build beside other tests: what is promised is measured as above.
    assert!(at(99) < Duration::from_secs(2));
    ledger.close().await;
    server.finish().await;
    db.finish().await;
}

/// Reservations a second, by 64 callers.
async fn reservations(ledger: &Ledger, round: &str, time: Duration) -> f64 {
    let begun = Instant::now();
    let done = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for caller in 0..64 {
        let (ledger, done, round) = (ledger.clone(), done.clone(), round.to_owned());
        callers.spawn(async move {
            let mut turn = 0;
            while begun.elapsed() < time {
                let id = format!("{round}-{caller}-{turn}");
                ledger
                    .submit(reserve(&account_of(caller * 31 + turn), &id, "live_audit"))
                    .await
                    .unwrap();
                turn += 1;
                done.fetch_add(1, Relaxed);
            }
        });
    }
    while callers.join_next().await.is_some() {}
    done.load(Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_watchers_cost_those_who_reserve_little() {
    let db = TestDb::new().await;
    let server = open(&db).await;
    let ledger = db.ledger(Clock::Database).await;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let time = Duration::from_millis(if rate() > 1_000 { 2_000 } else { 300 });
    reservations(&ledger, "warm", time).await;
    for round in 0..5 {
        without.push(reservations(&ledger, &format!("without-{round}"), time).await);
        let mut watchers = Vec::new();
        for n in 0..100 {
            watchers.push(Watcher::now(&server, &account_of(n)).await);
        }
        with.push(reservations(&ledger, &format!("with-{round}"), time).await);
    }
    without.sort_by(f64::total_cmp);
    with.sort_by(f64::total_cmp);
    let ratio = with[2] / without[2];
    println!("{:.0} a second without, {:.0} with 100 watchers: {ratio:.2}", without[2], with[2]);
    assert!(ratio > 0.5, "{without:?} {with:?}");
    ledger.close().await;
    server.finish().await;
    db.finish().await;
}
