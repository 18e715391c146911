//! A plan that is taken away, and a subscription to it, at the same time.

use std::time::Duration;

use creditgate::{
    billing::Billing,
    clock::Clock,
    domain::{
        catalog::{Catalog, Plan},
        subscription::SubscriptionStatus,
    },
    store::{StoreError, batch::Footing, catalogs::Applied},
};

use tokio_util::sync::CancellationToken;

use crate::{
    harness::{TestDb, eventually, hand::*, words::*},
    write_path::open,
};

fn with_plan() -> Catalog {
    let plan = Plan {
        name: plan_name("pro"),
        allowances: Vec::new(),
        scans: Vec::new(),
        max_concurrent_scans: 0,
        prices: Vec::new(),
        provider_prices: Vec::new(),
    };
    Catalog { plans: vec![plan], ..catalog() }
}

/// Whoever is second sees what the first has done, in either order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_is_being_taken_away_is_given_to_nobody() {
    let db = TestDb::new().await;
    let ledger = open(&db, 0).await;
    let billing = Billing::new(db.database(), ledger.clone());
    billing.apply_catalog(with_plan(), false, "test").await.unwrap();
    let (mut hand, _cell) = Hand::new(&db).await;
    let database = db.database();

    let read = hand.read(&[start("s")]).await;
    let mut new = read.clone();
    new.subscriptions.push(subscription("s", "pro"));
    new.account.subscriptions += 1;
    let removed = database.apply_catalog(&catalog(), "test").await.unwrap();
    assert!(matches!(removed, Applied::Changed { .. }));
    assert!(matches!(hand.write(&read, &new).await, Err(StoreError::Conflict(_))));

    database.apply_catalog(&with_plan(), "test").await.unwrap();
    let read = hand.read(&[start("s")]).await;
    let changes = std::iter::once((&read, &new));
    hand.lane.write(Footing::read(), at(4), hand.revision, changes).await.unwrap();
    let removal = tokio::spawn({
        let database = database.clone();
        async move { database.apply_catalog(&catalog(), "test").await }
    });
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    eventually("the catalog waits", async || db.count(waiting).await == 1).await;
    hand.lane.commit().await.unwrap();
    let answer = removal.await.unwrap().unwrap();
    assert_eq!(answer, Applied::PlansInUse(vec![plan_name("pro")]));

    // What gives nobody a plan waits for no catalog.
    let read = hand.read(&[start("s")]).await;
    let mut new = read.clone();
    new.subscriptions[0].cancel_at_period_end = true;
    hand.revision = 0;
    hand.write(&read, &new).await.unwrap();
    hand.lane.close().await;
    ledger.close().await;
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn catalogs_and_subscriptions_that_race_leave_no_subscription_without_its_plan() {
    let db = TestDb::new().await;
    let ledger = db.ledger(Clock::Database).await;
    let billing = Billing::new(db.database(), ledger.clone());
    billing.apply_catalog(with_plan(), false, "test").await.unwrap();
    billing.create_account(&account("a"), "", "").await.unwrap();
    let database = db.database();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let catalogs = tokio::spawn(async move {
        let mut removed = 0_u64;
        while !stopped.is_cancelled() || removed == 0 {
            let applied = database.apply_catalog(&catalog(), "test").await.unwrap();
            removed += u64::from(matches!(applied, Applied::Changed { .. }));
            database.apply_catalog(&with_plan(), "test").await.unwrap();
            // Long enough for some to begin, short enough for some to be late.
            tokio::time::sleep(Duration::from_micros(500 * (removed % 8))).await;
        }
        removed
    });
    let (mut hand, _cell) = Hand::new(&db).await;
    let (mut begun, mut refused) = (0, 0);
    let orphans = "SELECT count(*) FROM subscriptions s WHERE s.status <> 5 AND NOT EXISTS (
                     SELECT 1 FROM (SELECT document FROM catalogs ORDER BY revision DESC LIMIT 1) c
                      WHERE c.document -> 'plans' @> '[{\"name\": \"pro\"}]')";
    while begun < 20 || refused < 20 {
        let id = format!("s{begun}");
        let read = hand.read(&[start(&id)]).await;
        let knows_plan =
            hand.lane.catalog(hand.revision).await.unwrap().plan(&plan_name("pro")).is_some();
        if !knows_plan {
            hand.lane.rollback().await.unwrap();
            continue;
        }
        let mut new = read.clone();
        new.account.subscriptions += 1;
        new.subscriptions.push(subscription(&id, "pro"));
        match hand.write(&read, &new).await {
            Ok(()) => begun += 1,
            Err(StoreError::Conflict(_)) => {
                refused += 1;
                continue;
            }
            Err(error) => panic!("{error}"),
        }
        assert_eq!(db.count(orphans).await, 0);
        // It ends, so that the plan may go again.
        hand.change(&[start(&id)], |state| {
            let subscription = state.subscriptions.first_mut().unwrap();
            subscription.status = SubscriptionStatus::Canceled;
            subscription.end_time = Some(at(9));
        })
        .await;
    }
    stop.cancel();
    let removed = catalogs.await.unwrap();
    println!("{begun} began, {refused} were refused, the plan was removed {removed} times");
    hand.lane.close().await;
    ledger.close().await;
    db.finish().await;
}
