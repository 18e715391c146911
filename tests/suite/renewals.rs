//! What falls due on accounts that nobody calls for: renewals, ends, payments
//! that did not come; by several replicas at once, and after a down time.

use chrono::TimeDelta;
use creditgate::{
    billing::Billing,
    clock::{Clock, ManualClock, Timestamp},
    domain::{
        catalog::{Allowance, Catalog, CreditPrice, Plan, PlanScan, Policy, Rollover},
        command::{Action, Command, Outcome},
        payment::BeginTopUp,
        subscription::{BillingInterval, SentSubscription, StartSubscription},
    },
    ids::{OperationId, PlanName, ScanKindName, SubscriptionId},
    ledger::Ledger,
    workers::reaper,
};

use crate::harness::{TestDb, words::*};

const ACCOUNTS: usize = 600;

fn day(text: &str) -> Timestamp {
    format!("{text}T00:00:00Z").parse().unwrap()
}

/// A plan of 3 scan credits a month, of which 4 are kept; all lapses at its end.
fn monthly() -> Catalog {
    let plan = Plan {
        name: PlanName::new("pro").unwrap(),
        allowances: vec![Allowance {
            credit_type: credit_type("scan"),
            credits: 3,
            rollover: Rollover::Capped(4),
            credits_per_year: None,
        }],
        scans: vec![PlanScan {
            scan_kind: ScanKindName::new("live_audit").unwrap(),
            covered: false,
            max_credits: 0,
        }],
        max_concurrent_scans: 0,
        prices: vec![CreditPrice {
            credit_type: credit_type("scan"),
            unit_price_minor: 2_500,
            currency: "USD".to_owned(),
            packs: Vec::new(),
        }],
        provider_prices: Vec::new(),
    };
    let policy = Policy { credits_lapse_on_cancel: true, ..catalog().policy };
    Catalog { plans: vec![plan], policy, ..catalog() }
}

fn start(account_id: &str) -> Command {
    let sent = SentSubscription {
        plan: PlanName::new("pro").unwrap(),
        interval: BillingInterval::Month,
        start_time: None,
        trial: None,
    };
    let subscription_id = Some(SubscriptionId::new("s").unwrap());
    command(account_id, Action::StartSubscription(StartSubscription { subscription_id, sent }))
}

async fn open(db: &TestDb, clock: &ManualClock, accounts: &[String]) -> (Ledger, Ledger) {
    let one = db.ledger(Clock::Manual(clock.clone())).await;
    let billing = Billing::new(db.database(), one.clone());
    billing.apply_catalog(monthly(), false, "test").await.unwrap();
    for id in accounts {
        billing.create_account(&account(id), "", "").await.unwrap();
    }
    (one, db.ledger(Clock::Manual(clock.clone())).await)
}

async fn sweep_both(one: &Ledger, other: &Ledger) {
    let (a, b) = tokio::join!(Box::pin(reaper::sweep(one)), Box::pin(reaper::sweep(other)));
    a.unwrap();
    b.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_three_periods_down_two_replicas_renew_each_account_once_a_period() {
    let db = TestDb::new().await;
    let clock = ManualClock::at(day("2027-11-30"));
    let accounts: Vec<String> = (0..ACCOUNTS).map(|n| format!("a{n}")).collect();
    let (one, other) = open(&db, &clock, &accounts).await;
    for answer in one.submit_all(accounts.iter().map(|id| start(id)).collect()).await {
        assert!(matches!(answer, Ok(Outcome::Subscribed { replayed: false, .. })), "{answer:?}");
    }
    let grants = "SELECT count(*) FROM ledger_entries WHERE kind = 1";
    let all = i64::try_from(ACCOUNTS).unwrap();

    clock.advance(TimeDelta::days(29));
    sweep_both(&one, &other).await;
    assert_eq!(db.count(grants).await, all, "nothing is due");

    // Down over 30 December, 30 January and 29 February.
    clock.advance(day("2028-03-01") - clock.now());
    sweep_both(&one, &other).await;
    assert_eq!(db.count(grants).await, 4 * all);
    let periods =
        "SELECT count(DISTINCT (account_id, operation_id)) FROM operations WHERE kind = 4";
    assert_eq!(db.count(periods).await, 4 * all);
    // 3, then 3 and 3, then 4 kept of 6 and 3, then the same again.
    assert_eq!(db.count("SELECT count(*) FROM balances WHERE available = 7").await, all);
    let next = "SELECT count(*) FROM subscriptions WHERE period_end_time = '2028-03-30'";
    assert_eq!(db.count(next).await, all);
    // Every one of them has its own three days.
    let days = "SELECT count(DISTINCT right(operation_id, 27)) FROM operations WHERE kind = 4";
    assert_eq!(db.count(days).await, 4);

    sweep_both(&one, &other).await;
    assert_eq!(db.count(grants).await, 4 * all, "and again: nothing is due");
    one.close().await;
    other.close().await;
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_end_each_cancelled_subscription_once_and_its_credits_with_it() {
    let db = TestDb::new().await;
    let clock = ManualClock::at(day("2026-01-31"));
    let accounts: Vec<String> = (0..ACCOUNTS).map(|n| format!("a{n}")).collect();
    let (one, other) = open(&db, &clock, &accounts).await;
    let cancel = Action::CancelSubscription { subscription_id: None, immediately: false };
    let mut commands: Vec<Command> = accounts.iter().map(|id| start(id)).collect();
    commands.extend(accounts.iter().map(|id| command(id, cancel.clone())));
    commands.extend(accounts.iter().map(|id| reserve(id, "running", "live_audit")));
    for answer in one.submit_all(commands).await {
        answer.unwrap();
    }
    clock.advance(day("2026-02-28") - clock.now());
    sweep_both(&one, &other).await;
    assert_eq!(db.count("SELECT count(*) FROM subscriptions WHERE status <> 5").await, 0);
    let all = i64::try_from(ACCOUNTS).unwrap();
    // The leases have run out as well: what they held is a lot of its own each.
    assert_eq!(db.count("SELECT sum(available)::bigint FROM balances").await, all);
    assert_eq!(db.count("SELECT sum(remaining)::bigint FROM lots WHERE source = 5").await, all);
    let lapsed = "SELECT count(*) FROM ledger_entries WHERE kind = 7 AND credits = 2";
    assert_eq!(db.count(lapsed).await, all);
    one.close().await;
    other.close().await;
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_that_do_not_come_are_given_up_once() {
    let db = TestDb::new().await;
    let clock = ManualClock::at(day("2026-01-31"));
    let accounts = ["a".to_owned()];
    let (one, other) = open(&db, &clock, &accounts).await;
    one.submit(start("a")).await.unwrap();
    let begin = |n: usize| {
        command(
            "a",
            Action::BeginTopUp(BeginTopUp {
                top_up_id: OperationId::new(&format!("t{n}")).unwrap(),
                credit_type: credit_type("scan"),
                credits: 1,
                provider: "manual".to_owned(),
                provider_reference: String::new(),
            }),
        )
    };
    for answer in one.submit_all((0..ACCOUNTS).map(begin).collect()).await {
        answer.unwrap();
    }
    let expired = "SELECT count(*) FROM top_ups WHERE status = 4";
    clock.advance(TimeDelta::hours(24) - TimeDelta::microseconds(1));
    sweep_both(&one, &other).await;
    assert_eq!(db.count(expired).await, 0);
    clock.advance(TimeDelta::microseconds(1));
    sweep_both(&one, &other).await;
    assert_eq!(db.count(expired).await, i64::try_from(ACCOUNTS).unwrap());
    // A late confirmation still grants.
    let late = Action::ConfirmTopUp {
        top_up_id: OperationId::new("t7").unwrap(),
        provider_reference: String::new(),
    };
    let confirmed = one.submit(command("a", late)).await;
    assert!(matches!(confirmed, Ok(Outcome::TopUpConfirmed { replayed: false, .. })));
    one.close().await;
    other.close().await;
    db.finish().await;
}
