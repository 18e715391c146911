//! Parked scans are told when they could run: in order, no more than could.

use std::{collections::BTreeMap, time::Duration};

use creditgate::{
    clock::Clock,
    domain::{command::Action, reservation::ReleaseCause},
    proto::{
        self, BlockReason, CheckEligibilityResponse, Scan, WatchUnblockedRequest,
        WatchUnblockedResponse, check_eligibility_response::Verdict,
    },
};
use tokio::time::{Instant, timeout};
use tonic::{Code, Status, Streaming};

use crate::harness::{TestDb, TestServer, words::*};

/// One parked scan.
struct Parked(Streaming<WatchUnblockedResponse>);

async fn park(server: &TestServer, account_id: &str, kind: &str) -> Result<Parked, Status> {
    let scan =
        Scan { account_id: account_id.to_owned(), scan_kind: kind.to_owned(), ..Scan::default() };
    let request = WatchUnblockedRequest { scan: Some(scan) };
    let mut stream = server.gate().watch_unblocked(request).await?.into_inner();
    let first = stream.message().await?.unwrap();
    assert!(first.verdict.is_none(), "that it is parked, at once");
    Ok(Parked(stream))
}

impl Parked {
    async fn verdict(&mut self) -> Option<CheckEligibilityResponse> {
        let next = async {
            loop {
                match self.0.message().await.unwrap() {
                    None => return None,
                    Some(WatchUnblockedResponse { verdict: Some(verdict) }) => {
                        return Some(verdict);
                    }
                    Some(_) => {}
                }
            }
        };
        timeout(Duration::from_secs(20), next).await.expect("a verdict")
    }

    /// Why it is blocked.
    async fn block(&mut self) -> proto::Block {
        match self.verdict().await.unwrap().verdict.unwrap() {
            Verdict::Block(block) => block,
            Verdict::Eligible(_) => panic!("it could run"),
        }
    }

    /// Waits until it could run; then the stream ends.
    async fn could_run(mut self) -> i64 {
        let verdict = self.verdict().await.unwrap();
        let Some(Verdict::Eligible(eligible)) = verdict.verdict else { panic!("{verdict:?}") };
        assert!(self.verdict().await.is_none(), "and that is the end");
        eligible.credits
    }

    async fn is_parked_for(&mut self, time: Duration) -> bool {
        timeout(time, self.0.message()).await.is_err()
    }
}

#[tokio::test]
async fn a_parked_scan_hears_why_it_waits_and_when_it_could_run() {
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 0).await;
    let other = TestServer::start(&db).await;
    let mut parked = park(&server, "a", "live_audit").await.unwrap();
    assert_eq!(parked.block().await.reason(), BlockReason::CreditRequired);
    let begun = Instant::now();
    // On another replica.
    other.grant("a", "g1", "scan", 1).await;
    assert_eq!(parked.could_run().await, 1);
    println!("told after {:?}", begun.elapsed());
    // What could run is told at once; what never could is refused.
    assert_eq!(park(&server, "a", "live_audit").await.unwrap().could_run().await, 1);
    let unknown = park(&server, "a", "no_such_kind").await;
    let Err(refused) = unknown_verdict(unknown).await else { panic!("it was parked") };
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let refused = park(&server, "nobody", "live_audit").await.err().unwrap();
    assert_eq!(refused.code(), Code::NotFound, "{refused}");
    let refused = server.gate().watch_unblocked(WatchUnblockedRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    // A suspension tells no event: it is found out all the same.
    let suspend = |suspended| {
        let action = Action::SetSuspension { suspended, reason: "late".to_owned() };
        command("a", action)
    };
    let ledger = db.ledger(Clock::Database).await;
    ledger.submit(suspend(true)).await.unwrap();
    let mut parked = park(&server, "a", "live_audit").await.unwrap();
    assert_eq!(parked.block().await.reason(), BlockReason::AccountSuspended);
    ledger.submit(suspend(false)).await.unwrap();
    parked.could_run().await;
    // Whoever waits when a server stops is told to wait elsewhere.
    let mut parked = park(&server, "a", "deep_audit").await.unwrap();
    parked.block().await;
    server.stop();
    let end = parked.0.message().await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable, "{end}");
    drop(parked);
    ledger.close().await;
    server.finish().await;
    other.finish().await;
    db.finish().await;
}

async fn unknown_verdict(parked: Result<Parked, Status>) -> Result<(), Status> {
    parked?.0.message().await.map(drop)
}

#[tokio::test]
async fn as_many_are_told_as_there_are_credits_for_in_the_order_in_which_they_came() {
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 2).await;
    let ledger = db.ledger(Clock::Database).await;
    for id in ["held-1", "held-2"] {
        ledger.submit(reserve("a", id, "live_audit")).await.unwrap();
    }
    let mut parked = Vec::new();
    for _ in 0..6 {
        let mut next = park(&server, "a", "live_audit").await.unwrap();
        assert_eq!(next.block().await.reason(), BlockReason::Exhausted);
        parked.push(next);
    }
    ledger.submit(release("a", "held-1", ReleaseCause::PlatformError)).await.unwrap();
    let mut rest = parked.split_off(1);
    let begun = Instant::now();
    parked.remove(0).could_run().await;
    println!("told after {:?}", begun.elapsed());
    // The others hear nothing, while the first has its head start.
    for waiting in &mut rest {
        assert!(waiting.is_parked_for(Duration::from_millis(50)).await);
    }
    ledger.submit(reserve("a", "first", "live_audit")).await.unwrap();
    // Two more come back: the next two are told, the others stay.
    ledger.submit(release("a", "held-2", ReleaseCause::PlatformError)).await.unwrap();
    ledger.submit(release("a", "first", ReleaseCause::PlatformError)).await.unwrap();
    let mut last = rest.split_off(2);
    for next in rest {
        next.could_run().await;
    }
    for waiting in &mut last {
        assert!(waiting.is_parked_for(Duration::from_millis(50)).await);
    }
    // They do not come. What was kept for them is offered to the next two.
    let next = last.remove(0);
    next.could_run().await;
    drop(last);
    ledger.close().await;
    server.finish().await;
    db.finish().await;
}

/// Many schedulers park, run, and park again, as credits come and go: nobody starves,
/// and few are told in vain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_park_and_run_all_get_their_turn_and_seldom_in_vain() {
    const SCANS: usize = 60;
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 3).await;
    let ledger = db.ledger(Clock::Database).await;
    let mut scans = Vec::new();
    let server = std::sync::Arc::new(server);
    for scan in 0..SCANS {
        let (server, ledger) = (server.clone(), ledger.clone());
        scans.push(tokio::spawn(async move {
            let (mut told, id) = (0, format!("scan-{scan}"));
            loop {
                told += 1;
                let mut parked = park(&server, "a", "live_audit").await.unwrap();
                while let Some(verdict) = parked.verdict().await {
                    if matches!(verdict.verdict, Some(Verdict::Eligible(_))) {
                        break;
                    }
                }
                let outcome = ledger.submit(reserve("a", &id, "live_audit")).await.unwrap();
                if matches!(outcome, creditgate::domain::command::Outcome::Reserved { .. }) {
                    break;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            ledger.submit(release("a", &id, ReleaseCause::PlatformError)).await.unwrap();
            told
        }));
    }
    let mut times = BTreeMap::new();
    for scan in scans {
        let told = timeout(Duration::from_secs(60), scan).await.expect("its turn").unwrap();
        *times.entry(told).or_insert(0) += 1;
    }
    println!("so many were told so often: {times:?}");
    let told: usize = times.iter().map(|(told, scans)| told * scans).sum();
    assert!(told <= SCANS * 2, "{times:?}");
    ledger.close().await;
    std::sync::Arc::into_inner(server).unwrap().finish().await;
    db.finish().await;
}
