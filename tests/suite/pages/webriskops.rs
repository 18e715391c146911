//! WebRiskOps's page: a credit is reserved, then spent or restored; a purchase
//! counts when its payment is confirmed.

use chrono::TimeDelta;
use creditgate::proto::{
    self,
    BillingInterval::Month,
    BlockReason, Disposition,
    LedgerEntryKind::{Commit, Grant, Reserve, Restore},
    ReleaseCause, Remedy,
};

use super::Product;

async fn webriskops() -> Product {
    Product::open("webriskops.toml", "2026-05-04").await
}

/// "Compare Avail, Res and Spent", "one scan credit can be reserved and later
/// consumed by that run", "restored credits can appear after a failed scan".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn avail_res_and_spent_tell_each_step_of_a_scan() {
    let product = webriskops().await;
    product.subscribe("acme", "scan_plan", Month).await;
    assert_eq!(product.balance("acme", "scan").await, [2, 0, 0]);
    product.reserve("scan-run-1-attempt-1", "acme", "live_audit", "").await.unwrap();
    assert_eq!(product.balance("acme", "scan").await, [1, 1, 0]);
    product.commit("acme", "scan-run-1-attempt-1").await;
    assert_eq!(product.balance("acme", "scan").await, [1, 0, 1]);
    product.reserve("scan-run-2-attempt-1", "acme", "live_audit", "").await.unwrap();
    assert_eq!(product.balance("acme", "scan").await, [0, 1, 1]);
    // "Res is held for an in-progress scan and not available to another run."
    let block = product.block("acme", "live_audit", "").await;
    assert_eq!(
        (block.reason(), block.remedy()),
        (BlockReason::Exhausted, Remedy::WaitForRunningScan)
    );
    assert_eq!(block.holding_reservation_ids, ["scan-run-2-attempt-1"]);
    let cause = ReleaseCause::PlatformError;
    let given = product.release("acme", "scan-run-2-attempt-1", cause).await;
    assert_eq!(given, (Disposition::Restored, 1));
    assert_eq!(product.balance("acme", "scan").await, [1, 0, 1]);
    // "Latest ledger: you can explain why the available count changed."
    let ledger = product.ledger("acme", "scan").await;
    assert_eq!(ledger, [(Grant, 2), (Reserve, 1), (Commit, 1), (Reserve, 1), (Restore, 1)]);
    product.close().await;
}

/// "A browser return page is not enough; the ledger changes only after provider
/// confirmation", "Billing may still show the old balance".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_is_pending_until_it_is_confirmed_and_only_then_counts() {
    let product = webriskops().await;
    product.account("acme").await;
    let block = product.block("acme", "live_audit", "").await;
    assert_eq!(block.reason(), BlockReason::CreditRequired);
    // "Choose the top-up whose credit type is Scan credit."
    let top_up = product.begin("acme", "top-1", "scan", 3).await;
    assert_eq!((top_up.price_minor, top_up.currency.as_str()), (8700, "USD"));
    product.wait(TimeDelta::minutes(20));
    let block = product.block("acme", "live_audit", "").await;
    assert_eq!(
        (block.reason(), block.remedy()),
        (BlockReason::PaymentPending, Remedy::WaitForPayment)
    );
    let pending = block.pending_payment.unwrap();
    assert_eq!((pending.top_up_id.as_str(), pending.credits), ("top-1", 3));
    assert_eq!(pending.create_time, top_up.create_time);
    assert_eq!(product.balance("acme", "scan").await, [0, 0, 0]);
    product.confirm("top-1").await;
    assert_eq!(product.balance("acme", "scan").await, [3, 0, 0]);
    assert_eq!(product.reserve("r", "acme", "live_audit", "").await, Ok(1));
    // "You do not buy automated-fix credits by mistake": one type is not the other.
    assert_eq!(product.balance("acme", "fix").await, [0, 0, 0]);
    product.close().await;
}

/// From begin to the end of pending PAYMENT_PENDING; then what it was before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_does_not_come_is_given_up_and_a_late_one_still_counts() {
    let product = webriskops().await;
    product.account("acme").await;
    product.begin("acme", "top-1", "scan", 1).await;
    product.wait(TimeDelta::hours(24));
    let block = product.block("acme", "live_audit", "").await;
    assert_eq!(block.reason(), BlockReason::CreditRequired);
    product.confirm("top-1").await;
    product.reserve("r1", "acme", "live_audit", "").await.unwrap();
    product.commit("acme", "r1").await;
    let block = product.block("acme", "live_audit", "").await;
    assert_eq!((block.reason(), block.remedy()), (BlockReason::Exhausted, Remedy::TopUp));
    // One that fails is no longer awaited.
    product.begin("acme", "top-2", "scan", 1).await;
    assert_eq!(product.block("acme", "live_audit", "").await.reason(), BlockReason::PaymentPending);
    let request = proto::FailTopUpRequest {
        top_up_id: "top-2".to_owned(),
        reason: "card declined".to_owned(),
    };
    product.server.billing().fail_top_up(request).await.unwrap();
    assert_eq!(product.block("acme", "live_audit", "").await.reason(), BlockReason::Exhausted);
    product.close().await;
}

/// "Public quick scans do not consume private scan credits", "unsupported targets
/// do not consume credits"; monitoring is covered by its subscription.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn free_and_covered_scans_take_nothing_and_unsupported_targets_give_it_back() {
    let product = webriskops().await;
    product.account("visitor").await;
    assert_eq!(product.reserve("q", "visitor", "quick_scan", "").await, Ok(0));
    product.subscribe("acme", "monitor_plan", Month).await;
    assert_eq!(product.reserve("q", "acme", "quick_scan", "").await, Ok(0));
    assert_eq!(product.reserve("m", "acme", "monitoring", "").await, Ok(0));
    assert_eq!(product.reserve("l", "acme", "live_audit", "").await, Ok(1));
    let given = product.release("acme", "l", ReleaseCause::UnsupportedTarget).await;
    assert_eq!(given, (Disposition::Restored, 1));
    assert_eq!(product.balance("acme", "scan").await, [1, 0, 0]);
    product.close().await;
}

/// Two types side by side: neither is spent for the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scan_credits_and_fix_credits_are_two_balances() {
    let product = webriskops().await;
    product.subscribe("acme", "fix_plan", Month).await;
    assert_eq!(product.balance("acme", "scan").await, [2, 0, 0]);
    assert_eq!(product.balance("acme", "fix").await, [5, 0, 0]);
    product.reserve("f", "acme", "auto_fix", "").await.unwrap();
    product.commit("acme", "f").await;
    assert_eq!(product.balance("acme", "scan").await, [2, 0, 0]);
    assert_eq!(product.balance("acme", "fix").await, [4, 0, 1]);
    assert_eq!(product.ledger("acme", "fix").await, [(Grant, 5), (Reserve, 1), (Commit, 1)]);
    product.close().await;
}

/// "One account cannot spend another account's credits", "Wrong account means
/// switch to the account that owns the credits"; and the reasons in their order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reasons_come_in_their_order_and_the_wrong_account_first() {
    let product = webriskops().await;
    product.subscribe("agency", "agency_plan", Month).await;
    product.subscribe("client", "free_snapshot", Month).await;
    product.own("agency", "site").await;
    // The agency pays for its client's site.
    let block = product.block("client", "auto_fix", "site").await;
    assert_eq!(
        (block.reason(), block.remedy()),
        (BlockReason::WrongAccount, Remedy::SwitchAccount)
    );
    product.own("client", "site").await;
    let block = product.block("client", "auto_fix", "site").await;
    assert_eq!((block.reason(), block.remedy()), (BlockReason::PlanExcludes, Remedy::ChangePlan));
    // A plan without an allowance: the scan is included, the credit is wanting.
    let block = product.block("client", "live_audit", "site").await;
    assert_eq!((block.reason(), block.remedy()), (BlockReason::Exhausted, Remedy::TopUp));
    product.begin("client", "top-1", "scan", 2).await;
    let block = product.block("client", "live_audit", "site").await;
    assert_eq!(block.reason(), BlockReason::PaymentPending);
    product.confirm("top-1").await;
    product.reserve("r1", "client", "live_audit", "site").await.unwrap();
    // "A queued or running scan occupies the project's slot: no duplicates."
    let block = product.block("client", "live_audit", "site").await;
    assert_eq!(block.reason(), BlockReason::ConcurrencyLimit);
    assert_eq!(product.balance("agency", "scan").await, [20, 0, 0]);
    product.close().await;
}

/// "Cancelling stops renewal; access lasts until the period ends", and bought
/// credits stay the account's. An approved trial lets a scan through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_opens_the_gate_and_a_cancelled_plan_leaves_what_was_bought() {
    let product = webriskops().await;
    product.account("acme").await;
    let trial = product
        .start(proto::StartSubscriptionRequest {
            account_id: "acme".to_owned(),
            plan: "scan_plan".to_owned(),
            trial_end_time: Some("2026-05-11T09:00:00Z".parse().unwrap()),
            trial_credits: 2,
            ..Default::default()
        })
        .await;
    assert_eq!(trial.status(), proto::SubscriptionStatus::Trialing);
    assert_eq!(product.reserve("r1", "acme", "live_audit", "").await, Ok(1));
    product.commit("acme", "r1").await;
    product.today("2026-05-11");
    assert_eq!(product.block("acme", "live_audit", "").await.reason(), BlockReason::Exhausted);

    product.subscribe("buyer", "scan_plan", Month).await;
    product.begin("buyer", "top-1", "scan", 1).await;
    product.confirm("top-1").await;
    product.cancel("buyer", false).await;
    product.today("2026-06-11");
    product.reaped(&["acme", "buyer"]).await;
    assert_eq!(product.balance("buyer", "scan").await, [3, 0, 0]);
    assert_eq!(product.reserve("r1", "buyer", "live_audit", "").await, Ok(1));
    product.close().await;
}
