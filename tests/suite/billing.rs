//! Subscriptions and purchases over the wire: what they bring, and that nothing is
//! brought twice.

use creditgate::proto::{self, reserve_response::Verdict};
use prost_types::Timestamp;
use tonic::Code::{FailedPrecondition, InvalidArgument};

use crate::{
    bad_input::expect,
    harness::{TestDb, TestServer, catalog},
    wire::reserve,
};

/// With plans and prices, and an account that has nothing.
pub async fn open(db: &TestDb, account_id: &str) -> TestServer {
    let server = TestServer::start(db).await;
    let price = |unit_price_minor| proto::CreditPrice {
        credit_type: "scan".to_owned(),
        unit_price_minor,
        currency: "USD".to_owned(),
        packs: vec![],
    };
    let plan = |name: &str, credits: i64, unit_price_minor: i64| proto::Plan {
        name: name.to_owned(),
        allowances: (credits > 0)
            .then(|| proto::Allowance {
                credit_type: "scan".to_owned(),
                credits,
                rollover: proto::Rollover::Unlimited.into(),
                ..proto::Allowance::default()
            })
            .into_iter()
            .collect(),
        scans: vec![proto::PlanScan {
            scan_kind: "live_audit".to_owned(),
            covered: false,
            max_credits: 0,
        }],
        prices: vec![price(unit_price_minor)],
        ..proto::Plan::default()
    };
    let catalog = proto::Catalog {
        plans: vec![plan("pro", 3, 2_500), plan("agency", 10, 1_900), plan("monitor", 0, 2_900)],
        prices: vec![price(2_900)],
        ..catalog()
    };
    let request = proto::ApplyCatalogRequest { catalog: Some(catalog), validate_only: false };
    server.catalog().apply_catalog(request).await.unwrap();
    server.create_account(account_id).await;
    server
}

pub fn start(account_id: &str, id: &str, plan: &str) -> proto::StartSubscriptionRequest {
    proto::StartSubscriptionRequest {
        account_id: account_id.to_owned(),
        plan: plan.to_owned(),
        subscription_id: id.to_owned(),
        ..proto::StartSubscriptionRequest::default()
    }
}

/// A purchase of scan credits that this service keeps itself.
pub fn begin(account_id: &str, id: &str, credits: i64) -> proto::BeginTopUpRequest {
    proto::BeginTopUpRequest {
        top_up_id: id.to_owned(),
        account_id: account_id.to_owned(),
        credit_type: "scan".to_owned(),
        credits,
        provider: "manual".to_owned(),
        provider_reference: String::new(),
    }
}

fn confirm(id: &str, reference: &str) -> proto::ConfirmTopUpRequest {
    proto::ConfirmTopUpRequest {
        top_up_id: id.to_owned(),
        provider_reference: reference.to_owned(),
    }
}

fn fail(id: &str) -> proto::FailTopUpRequest {
    proto::FailTopUpRequest { top_up_id: id.to_owned(), reason: "card declined".to_owned() }
}

async fn available(server: &TestServer, account_id: &str) -> i64 {
    let request =
        proto::GetBalanceRequest { account_id: account_id.to_owned(), ..Default::default() };
    let balances = server.ledger().get_balance(request).await.unwrap().into_inner().balances;
    balances.first().map_or(0, |balance| balance.available)
}

async fn top_ups(server: &TestServer, account_id: &str) -> Vec<proto::TopUp> {
    let request =
        proto::ListTopUpsRequest { account_id: account_id.to_owned(), ..Default::default() };
    server.billing().list_top_ups(request).await.unwrap().into_inner().top_ups
}

#[tokio::test]
async fn a_subscription_brings_its_allowance_once() {
    let db = TestDb::new().await;
    let server = open(&db, "a").await;
    let mut billing = server.billing();
    let begun = billing.start_subscription(start("a", "s", "pro")).await.unwrap().into_inner();
    let subscription = begun.subscription.unwrap();
    assert_eq!((&*subscription.subscription_id, &*subscription.plan), ("s", "pro"));
    assert_eq!(subscription.status(), proto::SubscriptionStatus::Active);
    assert_eq!(subscription.create_time, subscription.period_start_time);
    assert_eq!(subscription.end_time, None);
    assert_eq!((begun.balances[0].available, begun.replayed), (3, false));

    let again = billing.start_subscription(start("a", "s", "pro")).await.unwrap().into_inner();
    assert_eq!((again.balances[0].available, again.replayed), (3, true));
    // Without an id: the live one of this plan and interval.
    let nameless = billing.start_subscription(start("a", "", "pro")).await.unwrap().into_inner();
    assert_eq!((&*nameless.subscription.unwrap().subscription_id, nameless.replayed), ("s", true));
    let other = billing.start_subscription(start("a", "s", "agency")).await;
    expect("another plan", other, InvalidArgument, "SUBSCRIPTION_ID_REUSED");

    let renew = |period_start_time| proto::RenewSubscriptionRequest {
        account_id: "a".to_owned(),
        period_start_time,
        subscription_id: String::new(),
    };
    let held = billing.renew_subscription(renew(None)).await.unwrap().into_inner();
    assert_eq!((held.balances[0].available, held.replayed), (3, true));
    let next = billing.renew_subscription(renew(subscription.period_end_time)).await;
    expect("the next period", next, FailedPrecondition, "PERIOD_NOT_DUE");
    let never = billing.renew_subscription(renew(Some(Timestamp { seconds: 1, nanos: 0 }))).await;
    expect("no period", never, InvalidArgument, "PERIOD_UNKNOWN");
    assert_eq!(available(&server, "a").await, 3);
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn a_trial_becomes_a_paid_subscription_by_its_renewal() {
    let db = TestDb::new().await;
    let server = open(&db, "a").await;
    let mut billing = server.billing();
    let trial = proto::StartSubscriptionRequest {
        trial_end_time: Some(Timestamp { seconds: chrono::Utc::now().timestamp() + 600, nanos: 0 }),
        trial_credits: 2,
        ..start("a", "s", "pro")
    };
    let begun = billing.start_subscription(trial).await.unwrap().into_inner();
    assert_eq!(begun.subscription.unwrap().status(), proto::SubscriptionStatus::Trialing);
    assert_eq!(begun.balances[0].available, 2);
    let renew = || proto::RenewSubscriptionRequest {
        account_id: "a".to_owned(),
        period_start_time: None,
        subscription_id: "s".to_owned(),
    };
    let paid = billing.renew_subscription(renew()).await.unwrap().into_inner();
    assert_eq!(paid.subscription.unwrap().status(), proto::SubscriptionStatus::Active);
    assert_eq!((paid.balances[0].available, paid.replayed), (5, false));
    let again = billing.renew_subscription(renew()).await.unwrap().into_inner();
    assert_eq!((again.balances[0].available, again.replayed), (5, true));
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn a_plan_is_changed_cancelled_and_taken_back() {
    let db = TestDb::new().await;
    let server = open(&db, "a").await;
    let mut billing = server.billing();
    billing.start_subscription(start("a", "s", "pro")).await.unwrap();
    let change = proto::ChangePlanRequest {
        account_id: "a".to_owned(),
        plan: "agency".to_owned(),
        subscription_id: String::new(),
    };
    let changed = billing.change_plan(change).await.unwrap().into_inner().subscription.unwrap();
    assert_eq!(changed.plan, "agency");
    assert_eq!(available(&server, "a").await, 3, "the allowance comes with the next period");

    let cancel = |immediately| proto::CancelSubscriptionRequest {
        account_id: "a".to_owned(),
        immediately,
        subscription_id: "s".to_owned(),
    };
    let later = billing.cancel_subscription(cancel(false)).await.unwrap().into_inner();
    assert!(later.subscription.unwrap().cancel_at_period_end);
    let resume = || proto::ResumeSubscriptionRequest {
        account_id: "a".to_owned(),
        subscription_id: String::new(),
    };
    let resumed = billing.resume_subscription(resume()).await.unwrap().into_inner();
    assert!(!resumed.subscription.unwrap().cancel_at_period_end);
    for _ in 0..2 {
        let ended = billing.cancel_subscription(cancel(true)).await.unwrap().into_inner();
        let ended = ended.subscription.unwrap();
        assert_eq!(ended.status(), proto::SubscriptionStatus::Canceled);
        assert!(ended.end_time.is_some());
    }
    let named = proto::ResumeSubscriptionRequest { subscription_id: "s".to_owned(), ..resume() };
    let answer = billing.resume_subscription(named).await;
    expect("what has ended", answer, FailedPrecondition, "SUBSCRIPTION_ENDED");
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn a_purchase_is_pending_until_it_is_confirmed_and_then_pays_for_scans() {
    let db = TestDb::new().await;
    let server = open(&db, "a").await;
    let (mut billing, mut gate) = (server.billing(), server.gate());
    let begun = billing.begin_top_up(begin("a", "t", 2)).await.unwrap().into_inner();
    let top_up = begun.top_up.unwrap();
    assert_eq!((top_up.price_minor, &*top_up.currency), (5_800, "USD"));
    assert_eq!(top_up.status(), proto::TopUpStatus::Pending);
    let lifetime = top_up.expire_time.unwrap().seconds - top_up.create_time.unwrap().seconds;
    assert_eq!((lifetime, top_up.settle_time), (24 * 3_600, None));
    assert!(billing.begin_top_up(begin("a", "t", 2)).await.unwrap().into_inner().replayed);
    let other = billing.begin_top_up(begin("a", "t", 3)).await;
    expect("other credits", other, InvalidArgument, "TOP_UP_ID_REUSED");
    assert_eq!(available(&server, "a").await, 0);

    let blocked = gate.reserve(reserve("a", "r", "live_audit")).await.unwrap().into_inner();
    let Some(Verdict::Block(block)) = blocked.verdict else { panic!("{blocked:?}") };
    assert_eq!(block.reason(), proto::BlockReason::PaymentPending);
    assert_eq!(block.pending_payment.unwrap().top_up_id, "t");

    for replayed in [false, true] {
        let paid = billing.confirm_top_up(confirm("t", "inv-1")).await.unwrap().into_inner();
        assert_eq!((paid.balance.unwrap().available, paid.replayed), (2, replayed));
        let top_up = paid.top_up.unwrap();
        assert_eq!(top_up.status(), proto::TopUpStatus::Confirmed);
        assert_eq!(top_up.provider_reference, "inv-1");
    }
    let other = billing.confirm_top_up(confirm("t", "inv-2")).await;
    expect("another payment", other, InvalidArgument, "TOP_UP_ID_REUSED");
    let failed = billing.fail_top_up(fail("t")).await;
    expect("what is paid", failed, FailedPrecondition, "TOP_UP_SETTLED");
    let held = gate.reserve(reserve("a", "r", "live_audit")).await.unwrap().into_inner();
    assert!(matches!(held.verdict, Some(Verdict::Reservation(_))));
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn a_purchase_that_failed_brings_nothing_until_the_money_comes_after_all() {
    let db = TestDb::new().await;
    let server = open(&db, "a").await;
    let mut billing = server.billing();
    billing.start_subscription(start("a", "s", "agency")).await.unwrap();
    let begun = billing.begin_top_up(begin("a", "t", 1)).await.unwrap().into_inner();
    assert_eq!(begun.top_up.unwrap().price_minor, 1_900, "the plan's price");
    for _ in 0..2 {
        let closed = billing.fail_top_up(fail("t")).await.unwrap().into_inner().top_up.unwrap();
        assert_eq!(closed.status(), proto::TopUpStatus::Failed);
        assert_eq!(closed.reason, "card declined");
    }
    assert_eq!(available(&server, "a").await, 10);
    billing.confirm_top_up(confirm("t", "")).await.unwrap();
    assert_eq!(available(&server, "a").await, 11);
    assert_eq!(top_ups(&server, "a").await[0].reason, "");
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn a_purchase_is_one_accounts_and_a_payment_one_purchases() {
    let db = TestDb::new().await;
    let server = open(&db, "acme").await;
    server.create_account("b").await;
    let mut billing = server.billing();
    let paddle = |account_id: &str, id: &str, transaction: &str| proto::BeginTopUpRequest {
        provider: "paddle".to_owned(),
        provider_reference: transaction.to_owned(),
        ..begin(account_id, id, 1)
    };
    billing.begin_top_up(paddle("acme", "t1", "")).await.unwrap();
    let stolen = billing.begin_top_up(paddle("b", "t1", "")).await.unwrap_err();
    assert!(!stolen.message().contains("acme"), "whose it is, is nobody else's business");
    expect::<()>("another's id", Err(stolen), InvalidArgument, "TOP_UP_ID_REUSED");

    // The payment is known later, and then stays.
    for _ in 0..2 {
        let known = billing.begin_top_up(paddle("acme", "t1", "txn_1")).await.unwrap().into_inner();
        assert!(known.replayed);
        assert_eq!(known.top_up.unwrap().provider_reference, "txn_1");
    }
    let moved = billing.begin_top_up(paddle("acme", "t1", "txn_2")).await;
    expect("another payment", moved, InvalidArgument, "TOP_UP_ID_REUSED");
    for (account_id, id) in [("acme", "t2"), ("b", "t3")] {
        let answer = billing.begin_top_up(paddle(account_id, id, "txn_1")).await;
        expect("a payment that has a purchase", answer, InvalidArgument, "PAYMENT_CLAIMED");
    }
    // What was refused has claimed nothing: the payment is still to be had.
    billing.begin_top_up(paddle("b", "t3", "txn_2")).await.unwrap();
    let names: Vec<String> =
        top_ups(&server, "acme").await.into_iter().map(|top_up| top_up.top_up_id).collect();
    assert_eq!(names, ["t1"]);

    // Confirmed by its webhook alone; closed by whoever knows that it is not paid.
    let confirmed = billing.confirm_top_up(confirm("t1", "")).await;
    expect("a provider's", confirmed, FailedPrecondition, "PROVIDER_MANAGED");
    let closed = billing.fail_top_up(fail("t1")).await.unwrap().into_inner().top_up.unwrap();
    assert_eq!(closed.status(), proto::TopUpStatus::Failed);
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn purchases_are_listed_page_by_page_the_newest_first() {
    let db = TestDb::new().await;
    let server = open(&db, "a").await;
    let mut billing = server.billing();
    for id in ["t1", "t2", "t3", "t4", "t5"] {
        billing.begin_top_up(begin("a", id, 1)).await.unwrap();
    }
    let mut token = String::new();
    let mut seen = Vec::new();
    for size in [2, 2, 1] {
        let request = proto::ListTopUpsRequest {
            account_id: "a".to_owned(),
            page_size: 2,
            page_token: token,
        };
        let page = billing.list_top_ups(request).await.unwrap().into_inner();
        assert_eq!(page.top_ups.len(), size);
        seen.extend(page.top_ups.into_iter().map(|top_up| top_up.top_up_id));
        token = page.next_page_token;
    }
    assert_eq!(
        (seen, token),
        (["t5", "t4", "t3", "t2", "t1"].map(String::from).to_vec(), String::new())
    );
    server.finish().await;
    db.finish().await;
}
