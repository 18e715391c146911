//! The reaper on several replicas at once, and against Commit.

use chrono::TimeDelta;
use creditgate::{
    billing::Billing,
    clock::{Clock, ManualClock, Timestamp},
    domain::command::{Action, Command, Outcome, Refusal},
    ledger::{Ledger, LedgerError},
    workers::reaper,
};

use crate::harness::{TestDb, TestServer, eventually, words::*};

fn start() -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::days(20_000)
}

async fn open(db: &TestDb, clock: &ManualClock, credits: i64) -> Ledger {
    let ledger = db.ledger(Clock::Manual(clock.clone())).await;
    let billing = Billing::new(db.database(), ledger.clone());
    billing.apply_catalog(catalog(), false, "test").await.unwrap();
    billing.create_account(&account("a"), "", "").await.unwrap();
    ledger.submit(grant("a", "g1", "scan", credits)).await.unwrap();
    ledger
}

fn reserves(count: usize) -> Vec<Command> {
    (0..count).map(|n| reserve("a", &format!("r{n}"), "live_audit")).collect()
}

async fn reservations_with(db: &TestDb, kind: i16) -> i64 {
    let query =
        format!("SELECT count(DISTINCT reservation_id) FROM ledger_entries WHERE kind = {kind}");
    db.count(&query).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reapers_of_two_replicas_free_each_hold_once() {
    let db = TestDb::new().await;
    let clock = ManualClock::at(start());
    let (one, other) =
        (open(&db, &clock, 700).await, db.ledger(Clock::Manual(clock.clone())).await);
    one.submit_all(reserves(700)).await;
    clock.advance(TimeDelta::minutes(59));
    reaper::sweep(&one).await.unwrap();
    assert_eq!(reservations_with(&db, 5).await, 0);
    clock.advance(TimeDelta::minutes(1));
    // More than one page.
    let (a, b) = tokio::join!(reaper::sweep(&one), reaper::sweep(&other));
    a.unwrap();
    b.unwrap();
    assert_eq!(reservations_with(&db, 5).await, 700);
    assert_eq!(db.count("SELECT count(*) FROM ledger_entries WHERE kind = 5").await, 700);
    assert_eq!(db.count("SELECT available FROM balances").await, 700);
    one.close().await;
    other.close().await;
    db.finish().await;
}

/// Whoever is first wins; who comes second finds what the first has done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_and_the_reaper_never_both_settle_a_hold() {
    let races = std::env::var("CREDITGATE_RACES").map_or(600, |races| races.parse().unwrap());
    let (mut late, mut unbilled) = (0, 0);
    for _ in 0..races / SCANS {
        let (more_late, more_unbilled) = race().await;
        late += more_late;
        unbilled += more_unbilled;
    }
    println!("{races} races: {late} late commits, {unbilled} too late for any credits");
    assert!(late > 0 && unbilled > 0, "the race was none: {late} {unbilled}");
}

const SCANS: usize = 300;

/// As many credits as scans; each expired hold's may be taken by another scan before
/// the late commit. Gives how many commits were late, and how many found no credits.
async fn race() -> (i64, i64) {
    let db = TestDb::new().await;
    let clock = ManualClock::at(start());
    let ledger = open(&db, &clock, 300).await;
    let other = db.ledger(Clock::Manual(clock.clone())).await;
    ledger.submit_all(reserves(SCANS)).await;
    clock.advance(TimeDelta::hours(1));
    let commits = {
        let other = other.clone();
        tokio::spawn(async move {
            let (mut late, mut unbilled) = (0, 0);
            for n in 0..SCANS {
                match other.submit(commit("a", &format!("r{n}"))).await {
                    Ok(Outcome::Committed { reservation, .. }) => {
                        late += i64::from(reservation.late);
                    }
                    Err(LedgerError::Refused(Refusal::ReservationExpired {
                        available, ..
                    })) => {
                        assert_eq!(available, 0);
                        unbilled += 1;
                    }
                    outcome => panic!("{outcome:?}"),
                }
            }
            (late, unbilled)
        })
    };
    // From the other end, and now and then another scan takes what has come back.
    let mut position = SCANS;
    let mut others = 0;
    while !commits.is_finished() && position > 0 {
        position -= 1;
        ledger.submit(expire("a", &format!("r{position}"))).await.unwrap();
        if position.is_multiple_of(3) {
            let taken = ledger.submit(reserve("a", &format!("n{position}"), "live_audit")).await;
            others += i64::from(matches!(taken, Ok(Outcome::Reserved { .. })));
        }
    }
    let (late, unbilled) = commits.await.unwrap();
    let both = "SELECT count(*) FROM ledger_entries a JOIN ledger_entries b
                 USING (account_id, reservation_id) WHERE a.kind = 3 AND b.kind = 5";
    assert_eq!(db.count(both).await, 0);
    assert_eq!(reservations_with(&db, 9).await, late);
    assert_eq!(reservations_with(&db, 5).await, late + unbilled);
    let scans = i64::try_from(SCANS).unwrap();
    assert_eq!(db.count("SELECT spent FROM balances").await, scans - unbilled);
    assert_eq!(db.count("SELECT reserved FROM balances").await, others);
    ledger.close().await;
    other.close().await;
    db.finish().await;
    (late, unbilled)
}

#[tokio::test]
async fn a_lot_that_nobody_asks_for_expires_all_the_same() {
    let db = TestDb::new().await;
    let clock = ManualClock::at(start());
    let ledger = open(&db, &clock, 5).await;
    let mut soon = grant("a", "g2", "scan", 7);
    if let Action::Grant(grant) = &mut soon.action {
        grant.expire_time = Some(start() + TimeDelta::hours(2));
    }
    ledger.submit(soon).await.unwrap();
    clock.advance(TimeDelta::hours(2));
    reaper::sweep(&ledger).await.unwrap();
    assert_eq!(db.count("SELECT available FROM balances").await, 5);
    assert_eq!(db.count("SELECT count(*) FROM ledger_entries WHERE kind = 7").await, 1);
    ledger.close().await;
    db.finish().await;
}

/// More holds, and more accounts, than a page has, all older than the ones that
/// can be settled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_settled_keeps_nothing_else_from_it() {
    let db = TestDb::new().await;
    let clock = ManualClock::at(start());
    let ledger = open(&db, &clock, 5).await;
    ledger.submit_all(reserves(1)).await;
    let mut soon = grant("a", "g2", "scan", 7);
    if let Action::Grant(grant) = &mut soon.action {
        grant.expire_time = Some(start() + TimeDelta::hours(1));
    }
    ledger.submit(soon).await.unwrap();
    clock.advance(TimeDelta::hours(1));
    // Of accounts that are gone: each is refused, however often it is tried.
    db.execute(
        "INSERT INTO reservations (account_id, reservation_id, scan_kind, state, late, credits,
                                   committed_credits, sent_credits, create_time, expire_time,
                                   lot_ids, lot_credits, entries)
         SELECT 'gone', 'r' || n, 'live_audit', 1, false, 0, 0, 0, to_timestamp(0),
                to_timestamp(1), '{}', '{}', '{}' FROM generate_series(1, 1200) n;
         INSERT INTO lots SELECT 'gone-' || n, gen_random_uuid(), 'scan', 4, true, 1, 1, 0,
                                 to_timestamp(1), to_timestamp(0), '' FROM generate_series(1, 1200) n",
    )
    .await;
    reaper::sweep(&ledger).await.unwrap();
    assert_eq!(reservations_with(&db, 5).await, 1);
    assert_eq!(db.count("SELECT available FROM balances").await, 5);
    db.execute("DELETE FROM reservations WHERE account_id = 'gone'").await;
    db.execute("DELETE FROM lots WHERE account_id LIKE 'gone%'").await;
    ledger.close().await;
    db.finish().await;
}

#[tokio::test]
async fn a_running_server_frees_a_hold_within_seconds_of_its_end() {
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 1).await;
    let mut request = crate::wire::reserve("a", "r", "live_audit");
    request.lease = Some(prost_types::Duration { seconds: 0, nanos: 50_000_000 });
    server.gate().reserve(request).await.unwrap();
    let available = "SELECT available FROM balances";
    eventually("the hold is freed", async || db.count(available).await == 1).await;
    server.finish().await;
    db.finish().await;
}
