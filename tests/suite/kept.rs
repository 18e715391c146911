//! What a lane keeps of the accounts that it has written: it is not read again, and
//! whatever somebody else has done to them in between is seen.

use chrono::TimeDelta;
use creditgate::{
    billing::Billing,
    domain::{
        catalog::{Catalog, Plan, PlanScan},
        command::{Action, Command, Outcome, Refusal},
        subscription::{BillingInterval, SentSubscription, StartSubscription},
        verdict::BlockReason,
    },
    ids::ProjectId,
    ledger::{Ledger, LedgerError, LedgerOptions},
};

use crate::{
    harness::{TestDb, hand, words::*},
    write_path::{at_once, open},
};

type Answer = Result<Outcome, LedgerError>;

/// A ledger that tries again after each refusal to trust what it has kept.
async fn trusting(db: &TestDb) -> Ledger {
    db.ledger_with(LedgerOptions { doubt: 0, ..LedgerOptions::default() }).await
}

/// The account's lane has read and written it, so that it keeps it.
async fn warm(ledger: &Ledger, account_id: &str) {
    for id in ["w1", "w2"] {
        let answer = ledger.submit(reserve(account_id, id, "live_audit")).await;
        assert!(matches!(answer, Ok(Outcome::Reserved { .. })), "{answer:?}");
    }
}

fn available(answer: &Answer) -> Option<i64> {
    match answer {
        Ok(
            Outcome::Reserved { balance, .. }
            | Outcome::Committed { balance, .. }
            | Outcome::Released { balance, .. },
        ) => balance.as_ref().map(|balance| balance.available),
        other => panic!("{other:?}"),
    }
}

fn extend(account_id: &str, id: &str, hours: i64) -> Command {
    let lease = TimeDelta::hours(hours);
    command(account_id, Action::Extend { reservation_id: reservation(id), lease })
}

/// One credit of another type than audits take.
fn fix(id: &str) -> Command {
    let mut fix = reserve("a", id, "auto_fix");
    if let Action::Reserve(reserve) = &mut fix.action {
        reserve.scan.credits = 1;
    }
    fix
}

fn reserve_in(account_id: &str, id: &str, project: &str) -> Command {
    let mut command = reserve(account_id, id, "live_audit");
    if let Action::Reserve(reserve) = &mut command.action {
        reserve.scan.project_id = Some(ProjectId::new(project).unwrap());
    }
    command
}

/// Nobody but this test changes an account behind the ledger's back: whoever does not see
/// that it is suspended has not read it.
async fn suspend_unseen(db: &TestDb, suspended: bool) {
    db.execute(&format!("UPDATE accounts SET suspended = {suspended}")).await;
}

#[tokio::test]
async fn what_a_kept_account_holds_is_held_and_settled_without_a_read() {
    let db = TestDb::new().await;
    let ledger = open(&db, 100).await;
    let other = trusting(&db).await;
    warm(&ledger, "a").await;
    suspend_unseen(&db, true).await;
    assert_eq!(available(&ledger.submit(reserve("a", "r", "live_audit")).await), Some(97));
    assert_eq!(available(&ledger.submit(commit("a", "r")).await), Some(97));
    let cause = creditgate::domain::reservation::ReleaseCause::PlatformError;
    assert_eq!(available(&ledger.submit(release("a", "w1", cause)).await), Some(98));
    assert_eq!(available(&ledger.submit(reserve("a", "r2", "deep_audit")).await), Some(95));
    let answer = other.submit(reserve("a", "r3", "live_audit")).await;
    assert!(blocked(&answer, BlockReason::AccountSuspended), "{answer:?}");
    suspend_unseen(&db, false).await;
    ledger.close().await;
    other.close().await;
    db.finish().await;
}

/// How many lanes have written last, in a transaction that was over with that.
async fn lanes_that_only_wrote(db: &TestDb) -> i64 {
    db.count(
        "SELECT count(*) FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = 'creditgate-lane'
            AND state = 'idle' AND query ~ '^\\s*WITH a AS MATERIALIZED'",
    )
    .await
}

#[tokio::test]
async fn a_kept_accounts_write_is_a_transaction_of_its_own() {
    let db = TestDb::new().await;
    let ledger = open(&db, 100).await;
    warm(&ledger, "a").await;
    // Read, and so begun and committed by name.
    let answer = ledger.submit(reserve("a", "w1", "live_audit")).await;
    assert_eq!(available(&answer), Some(98));
    assert_eq!(lanes_that_only_wrote(&db).await, 0);
    for (at, id) in [(97, "r1"), (96, "r2")] {
        assert_eq!(available(&ledger.submit(reserve("a", id, "live_audit")).await), Some(at));
    }
    assert_eq!(lanes_that_only_wrote(&db).await, 1);
    assert_eq!(available(&ledger.submit(commit("a", "r1")).await), Some(96));
    assert_eq!(lanes_that_only_wrote(&db).await, 1);
    ledger.close().await;
    db.finish().await;
}

/// Another server may answer on the new one, which has lost what the old one had committed.
#[tokio::test]
async fn a_lane_that_lost_its_connection_has_kept_nothing() {
    let db = TestDb::new().await;
    let ledger = open(&db, 100).await;
    warm(&ledger, "a").await;
    suspend_unseen(&db, true).await;
    db.count(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = 'creditgate-lane'",
    )
    .await;
    let answer = ledger.submit(reserve("a", "r", "live_audit")).await;
    assert!(blocked(&answer, BlockReason::AccountSuspended), "{answer:?}");
    suspend_unseen(&db, false).await;
    ledger.close().await;
    db.finish().await;
}

#[tokio::test]
async fn a_ledger_may_keep_nothing() {
    let db = TestDb::new().await;
    let ledger = open(&db, 100).await;
    let options = LedgerOptions { kept_accounts: 0, ..LedgerOptions::default() };
    let reading = db.ledger_with(options).await;
    warm(&reading, "a").await;
    suspend_unseen(&db, true).await;
    let answer = reading.submit(reserve("a", "r", "live_audit")).await;
    assert!(blocked(&answer, BlockReason::AccountSuspended), "{answer:?}");
    suspend_unseen(&db, false).await;
    reading.close().await;
    ledger.close().await;
    db.finish().await;
}

fn blocked(answer: &Answer, reason: BlockReason) -> bool {
    matches!(answer, Ok(Outcome::Blocked { block, .. }) if block.reason == reason)
}

#[tokio::test]
async fn what_another_server_has_done_in_between_is_seen() {
    let db = TestDb::new().await;
    let ledger = open(&db, 100).await;
    let billing = Billing::new(db.database(), ledger.clone());
    let (mine, other) = (trusting(&db).await, trusting(&db).await);
    let suspend = |suspended| Action::SetSuspension { suspended, reason: "unpaid".to_owned() };

    warm(&mine, "a").await;
    other.submit(command("a", suspend(true))).await.unwrap();
    let answer = mine.submit(reserve("a", "suspended", "live_audit")).await;
    assert!(blocked(&answer, BlockReason::AccountSuspended), "{answer:?}");
    other.submit(command("a", suspend(false))).await.unwrap();

    warm_again(&mine).await;
    let before = left(&db).await;
    other.submit(grant("a", "g2", "scan", 1000)).await.unwrap();
    let answer = mine.submit(reserve("a", "granted", "live_audit")).await;
    assert_eq!(available(&answer), Some(before + 999), "{answer:?}");

    warm_again(&mine).await;
    other.submit(commit("a", "w1")).await.unwrap();
    let answer = mine.submit(commit("a", "w1")).await;
    assert!(matches!(answer, Ok(Outcome::Committed { replayed: true, .. })), "{answer:?}");

    warm_again(&mine).await;
    other.submit(commit("a", "w2")).await.unwrap();
    let answer = mine.submit(extend("a", "w2", 1)).await;
    let settled = LedgerError::Refused(Refusal::ReservationSettled {
        reservation_id: reservation("w2"),
        state: creditgate::domain::reservation::ReservationState::Committed,
        advice: "it holds nothing any more, stop the scan",
    });
    assert_eq!(answer, Err(settled));

    warm_again(&mine).await;
    other.submit(reserve("a", "same", "live_audit")).await.unwrap();
    let answer = mine.submit(reserve("a", "same", "live_audit")).await;
    assert!(matches!(answer, Ok(Outcome::Reserved { replayed: true, .. })), "{answer:?}");

    warm_again(&mine).await;
    let project = ProjectId::new("p").unwrap();
    billing.assign_project(&project, Some(&account("a"))).await.unwrap();
    let answer = mine.submit(reserve_in("a", "in-p", "p")).await;
    assert!(matches!(answer, Ok(Outcome::Reserved { .. })), "{answer:?}");
    billing.assign_project(&project, None).await.unwrap();
    let answer = mine.submit(reserve_in("a", "in-p-no-more", "p")).await;
    assert!(blocked(&answer, BlockReason::WrongAccount), "{answer:?}");

    warm_again(&mine).await;
    let mut dearer = catalog();
    dearer.scan_kinds[1].credits = 2;
    db.database().apply_catalog(&dearer, "test").await.unwrap();
    let before = left(&db).await;
    let answer = mine.submit(reserve("a", "dearer", "live_audit")).await;
    assert_eq!(available(&answer), Some(before - 2), "{answer:?}");

    warm_again(&mine).await;
    let before = left(&db).await;
    // Of another type: nothing that the next one looks at.
    other.submit(grant("a", "fix", "fix", 1)).await.unwrap();
    other.submit(fix("all")).await.unwrap();
    let answer = mine.submit(reserve("a", "one-more", "live_audit")).await;
    assert_eq!(available(&answer), Some(before - 2), "{answer:?}");

    for ledger in [&mine, &other, &ledger] {
        ledger.close().await;
    }
    db.finish().await;
}

/// A plan's limit counts what is held of all types, also of one that began since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_that_hold_different_types_keep_a_plans_limit_together() {
    let db = TestDb::new().await;
    let ledger = open(&db, 100).await;
    let plan = Plan {
        name: hand::plan_name("pro"),
        allowances: Vec::new(),
        scans: ["live_audit", "auto_fix"]
            .map(|kind| PlanScan {
                scan_kind: scan(kind).scan_kind,
                covered: false,
                max_credits: 0,
            })
            .to_vec(),
        max_concurrent_scans: 3,
        prices: Vec::new(),
        provider_prices: Vec::new(),
    };
    let limited = Catalog { plans: vec![plan], ..catalog() };
    db.database().apply_catalog(&limited, "test").await.unwrap();
    let request = StartSubscription {
        subscription_id: None,
        sent: SentSubscription {
            plan: hand::plan_name("pro"),
            interval: BillingInterval::Month,
            start_time: None,
            trial: None,
        },
    };
    ledger.submit(command("a", Action::StartSubscription(request))).await.unwrap();
    let (mine, other) = (trusting(&db).await, trusting(&db).await);

    warm(&mine, "a").await;
    other.submit(grant("a", "fix", "fix", 100)).await.unwrap();
    other.submit(fix("third")).await.unwrap();
    let answer = mine.submit(reserve("a", "fourth", "live_audit")).await;
    assert!(blocked(&answer, BlockReason::ConcurrencyLimit), "{answer:?}");

    for id in ["w1", "w2"] {
        mine.submit(commit("a", id)).await.unwrap();
    }
    other.submit(commit("a", "third")).await.unwrap();
    // Each keeps what it has done last, and both go on at once.
    for round in 0..20 {
        let commands = (0..8).map(|n| match n % 2 {
            0 => reserve("a", &format!("{round}-{n}"), "live_audit"),
            _ => fix(&format!("{round}-{n}")),
        });
        let answers = at_once(&[&mine, &other], commands.collect()).await;
        let held = answers.iter().filter_map(|answer| match answer {
            Ok(Outcome::Reserved { reservation, .. }) => Some(reservation.reservation_id.as_str()),
            _ => None,
        });
        assert_eq!(held.clone().count(), 3, "{answers:?}");
        for (n, id) in held.enumerate() {
            let settler = if n % 2 == 0 { &mine } else { &other };
            settler.submit(commit("a", id)).await.unwrap();
        }
    }
    for ledger in [&mine, &other, &ledger] {
        ledger.close().await;
    }
    db.finish().await;
}

/// Two holds, the second of which is decided on what was kept of the first.
async fn warm_again(ledger: &Ledger) {
    for _ in 0..2 {
        let id = uuid::Uuid::now_v7().to_string();
        let answer = ledger.submit(reserve("a", &id, "live_audit")).await;
        assert!(matches!(answer, Ok(Outcome::Reserved { .. })), "{answer:?}");
    }
}

async fn left(db: &TestDb) -> i64 {
    db.count("SELECT available FROM balances WHERE credit_type = 'scan'").await
}
