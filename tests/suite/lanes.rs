//! What a lane does when something fails: poison, locks, conflicts, lost
//! connections, panics.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use creditgate::{
    billing::Billing,
    clock::{Clock, ManualClock, Timestamp},
    domain::command::Command,
    ledger::LedgerError,
};
use sqlx::{Connection, Executor};

use crate::{
    harness::{TestDb, eventually, words::*},
    write_path::{is_held, open, reserves},
};

#[tokio::test]
async fn a_poisoned_command_fails_alone() {
    let db = TestDb::new().await;
    let ledger = open(&db, 100).await;
    // What the edge cannot foresee: the database refuses one of the rows.
    db.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = 'check_violation'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON reservations FOR EACH ROW
           WHEN (NEW.reservation_id = 'r13') EXECUTE FUNCTION refuse()",
    )
    .await;
    let answers = ledger.submit_all(reserves(40)).await;
    for (position, answer) in answers.iter().enumerate() {
        match position {
            13 => assert_eq!(answer, &Err(LedgerError::Internal)),
            _ => assert!(is_held(answer), "{position}: {answer:?}"),
        }
    }
    ledger.close().await;
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_account_holds_up_nobody_else() {
    let db = TestDb::new().await;
    let ledger = open(&db, 10).await;
    let billing = Billing::new(db.database(), ledger.clone());
    for other in 0..20 {
        let id = format!("other-{other}");
        billing.create_account(&account(&id), "", "").await.unwrap();
        ledger.submit(grant(&id, "g", "scan", 5)).await.unwrap();
    }
    let mut holder = sqlx::PgConnection::connect(&db.owner_url()).await.unwrap();
    holder
        .execute("BEGIN; SELECT 1 FROM cell_00.accounts WHERE account_id = 'a' FOR UPDATE")
        .await
        .unwrap();
    let waiting = {
        let ledger = ledger.clone();
        tokio::spawn(async move { ledger.submit(reserve("a", "r", "live_audit")).await })
    };
    let begun = Instant::now();
    for other in 0..20 {
        let answer = ledger.submit(reserve(&format!("other-{other}"), "r", "live_audit")).await;
        assert!(is_held(&answer), "{answer:?}");
    }
    // At most the one wait for the lock, not one for each call.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(!waiting.is_finished());
    holder.execute("ROLLBACK").await.unwrap();
    assert!(is_held(&waiting.await.unwrap()));
    holder.close().await.unwrap();
    ledger.close().await;
    db.finish().await;
}

#[tokio::test]
async fn a_command_that_meets_nothing_but_conflicts_may_be_sent_again() {
    let db = TestDb::new().await;
    let ledger = open(&db, 100).await;
    db.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = 'serialization_failure'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON reservations FOR EACH ROW
           WHEN (NEW.reservation_id = 'r3') EXECUTE FUNCTION refuse()",
    )
    .await;
    let answers = ledger.submit_all(reserves(8)).await;
    for (position, answer) in answers.iter().enumerate() {
        match position {
            3 => assert_eq!(answer, &Err(LedgerError::Unavailable)),
            _ => assert!(is_held(answer), "{position}: {answer:?}"),
        }
    }
    db.execute("DROP TRIGGER refuse ON reservations").await;
    assert!(is_held(&ledger.submit(reserve("a", "r3", "live_audit")).await));
    ledger.close().await;
    db.finish().await;
}

/// More commands of one locked account than fit into a batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_hot_account_does_not_fill_the_batches_of_the_others() {
    let db = TestDb::new().await;
    let ledger = open(&db, 10).await;
    let billing = Billing::new(db.database(), ledger.clone());
    let others: Vec<String> = (0..8).map(|other| format!("other-{other}")).collect();
    for id in &others {
        billing.create_account(&account(id), "", "").await.unwrap();
        ledger.submit(grant(id, "g", "scan", 1000)).await.unwrap();
    }
    let mut holder = sqlx::PgConnection::connect(&db.owner_url()).await.unwrap();
    holder
        .execute("BEGIN; SELECT 1 FROM cell_00.accounts WHERE account_id = 'a' FOR UPDATE")
        .await
        .unwrap();
    let hot = {
        let ledger = ledger.clone();
        tokio::spawn(async move { ledger.submit_all(reserves(600)).await })
    };
    // The first wait for the lock is over.
    tokio::time::sleep(Duration::from_millis(1000)).await;
    let begun = Instant::now();
    let of_others: Vec<Command> = (0..4000)
        .map(|n| reserve(&others[n % others.len()], &format!("r{n}"), "live_audit"))
        .collect();
    let answers = ledger.submit_all(of_others).await;
    let took = begun.elapsed();
    println!("4000 commands of others took {took:?}");
    assert!(answers.iter().all(is_held), "{:?}", answers.iter().find(|answer| !is_held(answer)));
    assert!(!hot.is_finished());
    assert!(took < Duration::from_secs(2), "{took:?}");
    holder.execute("ROLLBACK").await.unwrap();
    let answers = hot.await.unwrap();
    assert_eq!(answers.iter().filter(|answer| is_held(answer)).count(), 10);
    assert!(answers.iter().all(Result::is_ok));
    holder.close().await.unwrap();
    ledger.close().await;
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_whose_connection_is_killed_tries_again_on_a_new_one() {
    let db = TestDb::new().await;
    let ledger = open(&db, 1000).await;
    let calls = {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            for call in 0..300 {
                let answer = ledger.submit(reserve("a", &format!("r{call}"), "live_audit")).await;
                assert!(is_held(&answer), "{answer:?}");
            }
        })
    };
    while !calls.is_finished() {
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE application_name = 'creditgate-lane' AND datname = current_database()",
        )
        .await;
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    calls.await.unwrap();
    assert_eq!(db.count("SELECT reserved FROM balances").await, 300);
    ledger.close().await;
    db.finish().await;
}

/// At the end of time a lease cannot be added up: a bug, as good as any other.
#[tokio::test]
async fn a_batch_that_panics_does_not_end_its_lane() {
    let db = TestDb::new().await;
    let start = Timestamp::UNIX_EPOCH + TimeDelta::days(20_000);
    let clock = ManualClock::at(start);
    let ledger = db.ledger(Clock::Manual(clock.clone())).await;
    let billing = Billing::new(db.database(), ledger.clone());
    billing.apply_catalog(catalog(), false, "test").await.unwrap();
    billing.create_account(&account("a"), "", "").await.unwrap();
    ledger.submit(grant("a", "g1", "scan", 5)).await.unwrap();
    let beyond = Timestamp::MAX_UTC - start;
    clock.advance(beyond);
    let answer = ledger.submit(reserve("a", "r1", "live_audit")).await;
    assert_eq!(answer, Err(LedgerError::Unavailable));
    clock.advance(-beyond);
    assert!(is_held(&ledger.submit(reserve("a", "r1", "live_audit")).await));
    ledger.close().await;
    db.finish().await;
}

/// A lane's commit begins the next transaction; without work that would be cut by
/// PostgreSQL after two seconds.
#[tokio::test]
async fn a_lane_without_work_holds_no_transaction_and_keeps_its_connection() {
    let db = TestDb::new().await;
    let ledger = open(&db, 1000).await;
    let lanes = "SELECT count(*) FROM pg_stat_activity
                  WHERE application_name = 'creditgate-lane' AND datname = current_database()";
    let in_transaction = format!("{lanes} AND xact_start IS NOT NULL");
    let longest_idle = format!("{lanes} AND now() - state_change > interval '2.2 s'");
    assert!(is_held(&ledger.submit(reserve("a", "r1", "live_audit")).await));
    let connected = db.count(lanes).await;
    let pids = lanes.replace("count(*)", "sum(pid)");
    let before = db.count(&pids).await;
    eventually("the lane rests", async || db.count(&in_transaction).await == 0).await;
    // Longer than PostgreSQL would have let it idle in a transaction.
    eventually("the lane has idled", async || db.count(&longest_idle).await == connected).await;
    db.execute("UPDATE accounts SET display_name = 'changed meanwhile'").await;
    assert!(is_held(&ledger.submit(reserve("a", "r2", "live_audit")).await));
    assert_eq!(db.count(&pids).await, before);
    ledger.close().await;
    db.finish().await;
}
