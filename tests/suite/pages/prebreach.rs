//! PreBreach's page: a credit is spent when a scan begins, and comes back where
//! the platform fails.

use creditgate::proto::{
    BillingInterval::{Month, Year},
    BlockReason, Disposition,
    LedgerEntryKind::{Commit, Grant, LotExpire, Refund, Reserve},
    ReleaseCause,
};

use super::Product;

async fn prebreach(today: &str) -> Product {
    Product::open("prebreach.toml", today).await
}

impl Product {
    /// A scan as PreBreach starts one: its credit is spent at once.
    async fn initiate(&self, account_id: &str, id: &str) -> Result<i64, BlockReason> {
        let held = self.reserve(id, account_id, "full_scan", "").await?;
        self.commit(account_id, id).await;
        Ok(held)
    }
}

/// "Every scan you run consumes one credit", "each plan includes a set number of
/// credits", "priced based on your current plan".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_plan_has_its_credits_and_its_price_of_extra_ones() {
    let product = prebreach("2026-01-10").await;
    for (plan, credits, cents) in [("starter", 1, 2900), ("pro", 3, 2500), ("agency", 10, 1900)] {
        product.subscribe(plan, plan, Month).await;
        assert_eq!(product.balance(plan, "scan").await, [credits, 0, 0]);
        let top_up = product.begin(plan, &format!("extra-{plan}"), "scan", 2).await;
        assert_eq!((top_up.price_minor, top_up.currency.as_str()), (2 * cents, "USD"));
        assert_eq!(product.initiate(plan, "run-1").await, Ok(1));
        assert_eq!(product.balance(plan, "scan").await, [credits - 1, 0, 1]);
    }
    product.close().await;
}

/// "You are on the Pro plan. In January you use 1 credit, leaving 2 unused. On
/// your February renewal date, you receive 3 new credits. Your total balance is
/// now 5 credits."
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pro_uses_1_of_3_in_january_and_has_5_in_february() {
    let product = prebreach("2026-01-31").await;
    product.subscribe("a", "pro", Month).await;
    product.initiate("a", "run-1").await.unwrap();
    product.today("2026-02-27");
    assert_eq!(product.balance("a", "scan").await, [2, 0, 1]);
    product.today("2026-02-28");
    // The gate itself renews: nobody waits for a worker.
    assert_eq!(product.initiate("a", "run-2").await, Ok(1));
    assert_eq!(product.balance("a", "scan").await, [4, 0, 2]);
    // "No expiration": a year of renewals later, nothing of it is gone.
    product.today("2027-01-31");
    assert_eq!(product.initiate("a", "run-3").await, Ok(1));
    assert_eq!(product.balance("a", "scan").await, [4 + 11 * 3 - 1, 0, 3]);
    product.close().await;
}

/// "Renew automatically on your billing date each month (or each year if you are
/// on annual billing)."
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn annual_billing_brings_a_year_of_credits_each_year() {
    let product = prebreach("2024-02-29").await;
    product.subscribe("a", "pro", Year).await;
    assert_eq!(product.balance("a", "scan").await, [36, 0, 0]);
    product.today("2025-02-27");
    assert_eq!(product.initiate("a", "run-1").await, Ok(1));
    assert_eq!(product.balance("a", "scan").await, [35, 0, 1]);
    product.today("2025-02-28");
    assert_eq!(product.initiate("a", "run-2").await, Ok(1));
    assert_eq!(product.balance("a", "scan").await, [70, 0, 2]);
    product.close().await;
}

/// "Extra credits are a one-time purchase and do not recur. They behave exactly
/// like plan credits."
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extra_credits_come_once_carry_over_and_end_with_the_subscription() {
    let product = prebreach("2026-01-10").await;
    product.subscribe("a", "starter", Month).await;
    product.begin("a", "extra", "scan", 5).await;
    assert_eq!(product.balance("a", "scan").await, [1, 0, 0]);
    product.confirm("extra").await;
    assert_eq!(product.balance("a", "scan").await, [6, 0, 0]);
    product.today("2026-03-10");
    product.initiate("a", "run-1").await.unwrap();
    assert_eq!(product.balance("a", "scan").await, [6 + 2 - 1, 0, 1]);
    // "If you cancel, unused credits remain available until the end of your
    // current billing period."
    product.cancel("a", false).await;
    product.today("2026-04-09");
    product.initiate("a", "run-2").await.unwrap();
    assert_eq!(product.balance("a", "scan").await, [6, 0, 2]);
    product.today("2026-04-10");
    assert_eq!(product.initiate("a", "run-3").await, Err(BlockReason::Exhausted));
    product.reaped(&["a"]).await;
    assert_eq!(product.balance("a", "scan").await, [0, 0, 2]);
    let lapsed: i64 = product
        .ledger("a", "scan")
        .await
        .iter()
        .filter_map(|(kind, credits)| (*kind == LotExpire).then_some(credits))
        .sum();
    assert_eq!(lapsed, 6);
    product.close().await;
}

/// "Credits are refunded automatically: platform error, scan timeout." "Not
/// refunded: finds no vulnerabilities, the domain is unreachable or DNS
/// verification has lapsed, you cancel a scan after it has begun."
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credit_comes_back_for_the_platforms_fault_and_for_no_other() {
    use ReleaseCause::{
        CanceledAfterStart, PlatformError, PlatformTimeout, TargetUnreachable, VerificationLapsed,
    };
    let product = prebreach("2026-01-10").await;
    product.subscribe("a", "agency", Month).await;
    let mut left = 10;
    for (cause, disposition) in [
        (PlatformError, Disposition::Refunded),
        (PlatformTimeout, Disposition::Refunded),
        (TargetUnreachable, Disposition::Consumed),
        (VerificationLapsed, Disposition::Consumed),
        (CanceledAfterStart, Disposition::Consumed),
    ] {
        let id = format!("run-{cause:?}");
        product.initiate("a", &id).await.unwrap();
        let back = i64::from(disposition == Disposition::Refunded);
        for _ in 0..2 {
            let given = product.release("a", &id, cause).await;
            assert_eq!(given, (disposition, back), "{cause:?}, and again");
        }
        left -= 1 - back;
        assert_eq!(product.balance("a", "scan").await, [left, 0, 10 - left], "{cause:?}");
    }
    // A scan that finds nothing is a scan: nobody releases it.
    product.initiate("a", "found-nothing").await.unwrap();
    assert_eq!(product.balance("a", "scan").await, [left - 1, 0, 10 - left + 1]);
    // "The billing page shows your full credit history."
    let history = product.ledger("a", "scan").await;
    let (start, first) = (&history[0], &history[1..4]);
    assert_eq!(*start, (Grant, 10));
    assert_eq!(first, [(Reserve, 1), (Commit, 1), (Refund, 1)]);
    product.close().await;
}

/// A scan that runs while the subscription ends: it keeps its credit, and what
/// the platform owes outlives the plan's credits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_that_outlives_the_subscription_settles_by_the_rules() {
    let product = prebreach("2026-01-10").await;
    product.subscribe("a", "pro", Month).await;
    for id in ["delivered", "failed"] {
        product.reserve(id, "a", "full_scan", "").await.unwrap();
    }
    product.cancel("a", true).await;
    assert_eq!(product.balance("a", "scan").await, [0, 2, 0]);
    product.commit("a", "delivered").await;
    let given = product.release("a", "failed", ReleaseCause::PlatformError).await;
    assert_eq!(given, (Disposition::Restored, 1));
    assert_eq!(product.balance("a", "scan").await, [1, 0, 1]);
    product.close().await;
}
