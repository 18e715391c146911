//! More calls than the ledger can take.

use std::time::{Duration, Instant};

use creditgate::{
    clock::Clock,
    config::Settings,
    proto::{self, reserve_response::Verdict},
};
use sqlx::{Connection, Executor, PgConnection};
use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt;

use crate::{
    harness::{TestDb, TestServer, eventually, settings},
    keys::reason,
};

/// Places in the one lane's queue.
const QUEUE: usize = 64;
/// Calls at once: what the lane has in hand, and what waits behind it, is less.
const CALLS: usize = 400;
/// Credits that there are.
const CREDITS: i64 = 10_000;

fn reserve(id: &str) -> proto::ReserveRequest {
    let scan = proto::Scan {
        account_id: "a".to_owned(),
        scan_kind: "live_audit".to_owned(),
        ..Default::default()
    };
    proto::ReserveRequest { reservation_id: id.to_owned(), scan: Some(scan), ..Default::default() }
}

#[tokio::test]
async fn reservations_are_turned_away_at_once_and_what_settles_a_scan_finds_a_place() {
    let db = TestDb::new().await;
    let settings = Settings { lanes: 1, queue: QUEUE, ..settings(&db) };
    let server = TestServer::with(&settings, Clock::Database).await;
    server.apply_catalog().await;
    server.create_account("a").await;
    server.grant("a", "g", "scan", CREDITS).await;
    let mut gate = server.gate();
    gate.reserve(reserve("before")).await.unwrap();

    // The database stands still.
    let mut holder = PgConnection::connect(&db.owner_url()).await.unwrap();
    holder.execute("BEGIN; LOCK TABLE cell_00.accounts IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut calls = JoinSet::new();
    for number in 0..CALLS {
        let mut gate = gate.clone();
        calls.spawn(async move {
            let begun = Instant::now();
            (gate.reserve(reserve(&format!("r{number}"))).await, begun.elapsed())
        });
    }
    let (mut accepted, mut shed) = (0, Vec::new());
    // What is turned away hears it while the database still stands.
    while calls.len() > 5 * QUEUE {
        let (answer, took) = calls.join_next().await.unwrap().unwrap();
        shed.push((answer.expect_err("no call can have been carried out"), took));
    }
    let commit = proto::CommitRequest {
        account_id: "a".to_owned(),
        reservation_id: "before".to_owned(),
        credits: None,
    };
    let settled = tokio::spawn({
        let mut gate = gate.clone();
        async move { gate.commit(commit).await }
    });
    let late = gate.reserve(reserve("late")).await.expect_err("there is no place");
    shed.push((late, Duration::ZERO));
    holder.execute("ROLLBACK").await.unwrap();

    settled.await.unwrap().expect("it had a place");
    while let Some(ended) = calls.join_next().await {
        match ended.unwrap() {
            (Ok(answer), _) => {
                assert!(matches!(answer.into_inner().verdict, Some(Verdict::Reservation(_))));
                accepted += 1;
            }
            (Err(status), took) => shed.push((status, took)),
        }
    }
    assert!(accepted > 0 && shed.len() > 1, "{accepted} accepted, {} shed", shed.len());
    for (status, took) in &shed {
        assert_eq!(
            (status.code(), reason(status).as_str()),
            (Code::ResourceExhausted, "OVERLOADED")
        );
        assert!(status.get_error_details().retry_info().is_some(), "{status}");
        assert!(status.metadata().contains_key("grpc-retry-pushback-ms"), "{status}");
        assert!(*took < Duration::from_secs(2), "{took:?}");
    }
    eventually("calls are taken again", async || gate.reserve(reserve("after")).await.is_ok())
        .await;
    let held = db.count("SELECT count(*) FROM cell_00.reservations").await;
    assert_eq!(held, accepted + 2, "nothing was done for those that were turned away");
    holder.close().await.unwrap();
    server.finish().await;
    db.finish().await;
}
