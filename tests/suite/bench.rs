//! The bench: what it compares the gate with does the gate's work, and keeps its
//! books; and it runs through, and says all that it promises.

use std::{process::Stdio, sync::Arc, time::Duration};

use creditgate::{
    bench::{
        Accounts, Choice, account_id,
        baseline::{
            floor::Floor,
            function::{self, FunctionCaller},
            ledger::{self, LedgerCaller},
            service,
        },
        books,
    },
    proto::{
        self, ReserveRequest, Scan, gate_service_client::GateServiceClient,
        reserve_response::Verdict,
    },
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::harness::TestDb;

/// Few accounts, many callers: they meet.
const ACCOUNTS: u32 = 3;
const CALLERS: u32 = 16;
const CALLS: u32 = 20;
const MADE: i64 = (CALLERS * CALLS) as i64;

async fn books() -> TestDb {
    let db = TestDb::new().await;
    books::load(&db.owner_url(), ACCOUNTS, 0).await.unwrap();
    db
}

fn request(account: u32, id: &str) -> ReserveRequest {
    let scan = Scan {
        account_id: account_id(account),
        scan_kind: books::SCAN_KIND.to_owned(),
        ..Scan::default()
    };
    ReserveRequest { reservation_id: id.to_owned(), scan: Some(scan), ..ReserveRequest::default() }
}

/// `finish` verifies every account's books, hashes included.
#[tokio::test]
async fn what_accounts_did_before_is_in_their_books_and_they_go_on_from_there() {
    let db = TestDb::new().await;
    books::load(&db.owner_url(), 7, 40).await.unwrap();
    // 40 do not divide by 7: each has the next whole number.
    assert_eq!(db.count("SELECT count(*) FROM reservations WHERE state = 2").await, 42);
    assert_eq!(db.count("SELECT count(*) FROM ledger_entries").await, 7 + 2 * 42);
    assert_eq!(db.count("SELECT sum(spent)::bigint FROM balances").await, 42);
    let server = crate::harness::TestServer::start(&db).await;
    server.gate().reserve(request(6, "r")).await.unwrap();
    let newest = "SELECT count(*) FROM ledger_entries e JOIN balances b USING (account_id)
                   WHERE e.sequence = b.sequence AND e.hash = b.last_hash AND b.reserved = 1";
    assert_eq!(db.count(newest).await, 1);
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn accounts_that_were_loaded_at_once_have_books_that_agree_and_credits_to_spend() {
    let db = TestDb::new().await;
    books::load(&db.owner_url(), 2_345, 0).await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM accounts").await, 2_345);
    assert_eq!(db.count("SELECT count(*) FROM public.account_directory").await, 2_345);
    let server = crate::harness::TestServer::start(&db).await;
    let answer = server.gate().reserve(request(2_344, "r")).await.unwrap().into_inner();
    assert!(matches!(answer.verdict, Some(Verdict::Reservation(_))), "{answer:?}");
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn the_plain_service_keeps_the_ledgers_invariants_under_concurrent_callers() {
    let db = books().await;
    let stop = CancellationToken::new();
    let running = service::start(&db.url(), stop.clone()).await.unwrap();
    let channel = Channel::from_shared(format!("http://{}", running.address)).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut tasks = JoinSet::new();
    for caller in 0..CALLERS {
        let mut gate = GateServiceClient::new(channel.clone());
        tasks.spawn(async move {
            for call in 0..CALLS {
                let (account, id) = ((caller + call) % ACCOUNTS, format!("r-{caller}-{call}"));
                let answer = gate.reserve(request(account, &id)).await.unwrap().into_inner();
                assert!(matches!(answer.verdict, Some(Verdict::Reservation(_))));
                assert!(!answer.replayed);
                if call % 2 == 0 {
                    let commit = proto::CommitRequest {
                        account_id: account_id(account),
                        reservation_id: id,
                        credits: None,
                    };
                    gate.commit(commit).await.unwrap();
                }
            }
        });
    }
    tasks.join_all().await;

    let mut gate = GateServiceClient::new(channel);
    let again = gate.reserve(request(1, "r-0-1")).await.unwrap().into_inner();
    assert!(again.replayed);
    let settled = gate.reserve(request(0, "r-0-0")).await.unwrap_err();
    assert!(settled.message().contains("COMMITTED"), "{settled:?}");
    assert_eq!(db.count("SELECT count(*) FROM reservations").await, MADE);
    assert_eq!(db.count("SELECT sum(spent)::bigint FROM balances").await, MADE / 2);
    drop(gate);
    stop.cancel();
    running.ended().await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn the_function_keeps_the_ledgers_invariants_under_concurrent_callers() {
    let db = books().await;
    function::install(&db.owner_url()).await.unwrap();
    let choice = Choice::of(Accounts::uniform(ACCOUNTS));
    let mut tasks = JoinSet::new();
    for _ in 0..CALLERS {
        let mut caller = FunctionCaller::connect(&db.url(), choice.clone()).await.unwrap();
        tasks.spawn(async move {
            for _ in 0..CALLS {
                caller.call().await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(db.count("SELECT count(*) FROM reservations").await, MADE);
    // What was made is found again, and nothing moves.
    let replayed = "SELECT count(*) FROM reservations r, bench_reserve(r.account_id,
                           r.reservation_id, r.scan_kind, r.credit_type, 1, '1 hour', 'again') b
                     WHERE b.verdict = 'REPLAYED'";
    assert_eq!(db.count(replayed).await, MADE);
    assert_eq!(db.count("SELECT sum(reserved)::bigint FROM balances").await, MADE);
    db.finish().await;
}

#[tokio::test]
async fn the_floor_and_the_batches_without_grpc_keep_the_ledgers_invariants() {
    let db = books().await;
    let accounts = Accounts::uniform(ACCOUNTS);
    let mut floor = Floor::open(&db.url(), accounts).await.unwrap();
    let (tally, took) = floor.run(Duration::from_millis(50)).await.unwrap();
    assert!(took >= Duration::from_millis(50));
    floor.close().await;
    let written = db.count("SELECT count(*) FROM reservations").await;
    assert_eq!(u64::try_from(written).unwrap(), tally.units);

    let running = ledger::start(&db.url()).await.unwrap();
    let ids = ledger::account_ids(ACCOUNTS).unwrap();
    let choice = Choice::of(accounts);
    let caller = LedgerCaller::new(running.clone(), choice, Arc::clone(&ids)).unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..CALLERS {
        let mut caller = caller.clone();
        tasks.spawn(async move {
            for _ in 0..CALLS {
                caller.call().await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    running.close().await;
    assert_eq!(db.count("SELECT count(*) FROM reservations").await, written + MADE);
    db.finish().await;
}

/// Runs `creditgate bench --quick` with more arguments; gives what it reports.
async fn quick_bench(name: &str, args: &[&str]) -> serde_json::Value {
    let data_dir =
        std::env::temp_dir().join(format!("creditgate-bench-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&data_dir).unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_creditgate"));
    command.args(["bench", "--quick", "--output", "json"]).args(args);
    command.arg("--data-dir").arg(&data_dir);
    command.env_remove("DATABASE_URL").stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(300), command.output());
    let output = output.await.expect("it did not end").unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    // Nothing of PostgreSQL is left.
    assert_eq!(std::fs::read_dir(&data_dir).unwrap().count(), 0);
    std::fs::remove_dir_all(&data_dir).unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn list(report: &serde_json::Value, name: &str) -> Vec<serde_json::Value> {
    report[name].as_array().unwrap().clone()
}

/// It takes less than a minute, most of it for a debug build's callers.
#[tokio::test(flavor = "multi_thread")]
async fn a_quick_bench_runs_through_and_leaves_nothing_behind() {
    let report = quick_bench("whole", &[]).await;
    assert_eq!(list(&report, "promises").len(), 12, "{report:#}");
    for figure in list(&report, "figures") {
        assert!(figure["rate"]["median"].as_f64().unwrap() > 0.0, "{figure:#}");
        assert_eq!(figure["failures"], serde_json::json!({}), "{figure:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bench_of_many_rounds_tells_what_is_left_of_the_rate() {
    let load = ["--accounts", "100", "--callers", "8", "--warm-up", "100ms", "--history", "500"];
    let report = quick_bench("rounds", &[&load[..], &["--rounds", "6"]].concat()).await;
    let promises = list(&report, "promises");
    let [left] = promises.as_slice() else { panic!("{report:#}") };
    assert_eq!(left["wanted"], serde_json::json!({ "at_least": 0.8 }));
    let figures = list(&report, "figures");
    let rates = list(&figures[0], "rates");
    let mut rates: Vec<f64> = rates.iter().map(|rate| rate.as_f64().unwrap()).collect();
    assert_eq!(rates.len(), 6, "{report:#}");
    let last = rates.split_off(4);
    let ratio = (last[0] + last[1]) / (rates[0] + rates[1]);
    let measured = left["measured"]["median"].as_f64().unwrap();
    assert!((measured - ratio).abs() < 1e-9, "{measured}, {ratio}");
    assert_eq!(left["met"], measured >= 0.8);
    assert_eq!(report["conditions"]["history"], 500);
    assert_eq!(report["findings"], serde_json::json!([]));
}
