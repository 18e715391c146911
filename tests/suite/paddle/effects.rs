//! What webhooks do to the ledger: each event once, in any order, and nothing that
//! its payer says.

use creditgate::clock::Clock;
use serde_json::{Value, json};

use super::{catalog, inbox::link, send::*};
use crate::harness::{TestDb, TestServer, eventually};

/// A gate with the account "a", whose customer is ctm_a.
pub async fn start(db: &TestDb) -> TestServer {
    let server = TestServer::with(&settings_with(db, SECRET), Clock::Database).await;
    catalog::apply(&server, catalog::PACK).await;
    server.create_account("a").await;
    link(&server, "a", "ctm_a").await;
    server
}

async fn available(db: &TestDb) -> i64 {
    db.count("SELECT coalesce(sum(available), 0)::bigint FROM balances").await
}

async fn grants(db: &TestDb) -> i64 {
    db.count("SELECT count(*) FROM ledger_entries WHERE kind = 1").await
}

/// Delivers, and waits until all has been applied, or waits for something.
async fn send(server: &TestServer, db: &TestDb, events: &[Value]) {
    for event in events {
        let (status, text) = deliver(&server.http_addr(), event).await;
        assert_eq!(status, 200, "{text}");
    }
    let new = "SELECT count(*) FROM webhook_inbox WHERE state = 1";
    eventually("nothing is new", async || db.count(new).await == 0).await;
}

/// `[state, error]` of an event.
async fn outcome(db: &TestDb, event_id: &str) -> (i16, String) {
    sqlx::query_as("SELECT state, error FROM webhook_inbox WHERE event_id = $1")
        .bind(event_id)
        .fetch_one(&db.owner)
        .await
        .unwrap()
}

fn bought(event_id: &str, transaction: &str, quantity: i64) -> Value {
    let data = payment(transaction, "ctm_a", catalog::PACK, quantity);
    event(event_id, "transaction.completed", 10, data)
}

#[tokio::test]
async fn a_completed_payment_grants_once_however_often_it_is_said() {
    let db = TestDb::new().await;
    let server = start(&db).await;
    let completed = bought("evt_1", "txn_1", 2);
    send(&server, &db, &[completed.clone(), completed.clone(), completed]).await;
    assert_eq!((available(&db).await, grants(&db).await), (10, 1));
    // Under another id it is the same payment all the same.
    send(&server, &db, &[bought("evt_2", "txn_1", 2)]).await;
    assert_eq!((available(&db).await, grants(&db).await), (10, 1));
    // Tried again by hand: the account's cell knows what was applied.
    db.execute("UPDATE webhook_inbox SET state = 1, next_attempt_time = now(), settle_time = NULL")
        .await;
    send(&server, &db, &[]).await;
    assert_eq!((available(&db).await, grants(&db).await), (10, 1));
    assert_eq!(db.count("SELECT count(*) FROM webhook_inbox WHERE state = 3").await, 2);
    server.finish().await;
    db.finish().await;
}

/// The worker is told of an arrival: polling alone would take half a second each.
#[tokio::test]
async fn an_effect_follows_its_webhook_at_once() {
    let db = TestDb::new().await;
    let server = start(&db).await;
    let begun = std::time::Instant::now();
    for n in 1..=8 {
        send(&server, &db, &[bought(&format!("evt_{n}"), &format!("txn_{n}"), 1)]).await;
        assert_eq!(available(&db).await, 5 * n);
    }
    println!("8 webhooks and their effects, one after the other: {:?}", begun.elapsed());
    assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn nothing_but_completion_grants() {
    let db = TestDb::new().await;
    let server = start(&db).await;
    let of = |id: &str, event_type: &str, transaction: &str| {
        event(id, event_type, 1, payment(transaction, "ctm_a", catalog::PACK, 1))
    };
    let events = [
        of("evt_1", "transaction.paid", "txn_1"),
        of("evt_2", "transaction.payment_failed", "txn_2"),
        of("evt_3", "transaction.canceled", "txn_3"),
        of("evt_4", "transaction.past_due", "txn_4"),
        of("evt_5", "transaction.billed", "txn_5"),
        event("evt_6", "subscription.created", 2, subscription("sub_1", "ctm_a", catalog::PLAN)),
        event("evt_7", "subscription.activated", 3, subscription("sub_1", "ctm_a", catalog::PLAN)),
        event("evt_8", "subscription.updated", 4, subscription("sub_1", "ctm_a", catalog::PLAN)),
    ];
    send(&server, &db, &events).await;
    assert_eq!((available(&db).await, grants(&db).await), (0, 0));
    assert_eq!(db.count("SELECT count(*) FROM webhook_inbox WHERE state = 5").await, 0);
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn what_the_payer_says_buys_nothing() {
    let db = TestDb::new().await;
    let server = start(&db).await;
    server.create_account("b").await;
    link(&server, "b", "ctm_b").await;
    let mut forged = payment("txn_1", "ctm_a", catalog::PACK, 1);
    forged["custom_data"] = json!({"account_id": "b", "credits": 1_000_000, "top_up_id": "none"});
    send(&server, &db, &[event("evt_1", "transaction.completed", 0, forged)]).await;
    let of_b = "SELECT count(*) FROM balances WHERE account_id = 'b'";
    assert_eq!((available(&db).await, db.count(of_b).await), (5, 0));
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn a_period_is_paid_for_once_and_a_payment_of_nothing_brings_nothing() {
    let db = TestDb::new().await;
    let server = start(&db).await;
    let paid = |id: &str, transaction: &str, origin: &str, month: u32, total: &str| {
        let mut data = payment(transaction, "ctm_a", catalog::PLAN, 1);
        data["origin"] = json!(origin);
        data["subscription_id"] = json!("sub_1");
        data["billing_period"] = json!({"starts_at": format!("2026-{month:02}-01T00:00:00Z"),
                                        "ends_at": format!("2026-{:02}-01T00:00:00Z", month + 1)});
        data["details"]["totals"] = json!({"total": total, "grand_total": "0"});
        data["details"]["line_items"][0]["totals"] = json!({"total": total});
        event(id, "transaction.completed", month, data)
    };
    let begun = event("evt_0", "subscription.created", 0, {
        let mut data = subscription("sub_1", "ctm_a", catalog::PLAN);
        data["scheduled_change"] = Value::Null;
        data
    });
    send(&server, &db, &[begun, paid("evt_1", "txn_1", "web", 3, "9900")]).await;
    assert_eq!((available(&db).await, grants(&db).await), (3, 1));
    // Another payment for the same period, a change of the card, a payment of nothing.
    send(
        &server,
        &db,
        &[
            paid("evt_2", "txn_2", "subscription_recurring", 3, "9900"),
            paid("evt_3", "txn_3", "subscription_payment_method_change", 4, "0"),
            paid("evt_4", "txn_4", "subscription_recurring", 4, "0"),
        ],
    )
    .await;
    assert_eq!((available(&db).await, grants(&db).await), (3, 1));
    // The next period, paid from the customer's balance with Paddle.
    send(&server, &db, &[paid("evt_5", "txn_5", "subscription_recurring", 4, "9900")]).await;
    assert_eq!((available(&db).await, grants(&db).await), (6, 2));
    assert_eq!(db.count("SELECT count(*) FROM webhook_inbox WHERE state = 5").await, 0);
    server.finish().await;
    db.finish().await;
}

/// In all orders: 5 credits are bought, half of the money goes back.
#[tokio::test]
async fn the_order_of_deliveries_makes_no_difference() {
    let db = TestDb::new().await;
    let server = start(&db).await;
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (n, order) in orders.iter().enumerate() {
        let transaction = format!("txn_{n}");
        let data = payment(&transaction, "ctm_a", catalog::PACK, 1);
        let refund = adjustment(&format!("adj_{n}"), &transaction, "ctm_a", "2450");
        let events = [
            event(&format!("evt_{n}_paid"), "transaction.paid", 0, data.clone()),
            event(&format!("evt_{n}_completed"), "transaction.completed", 1, data),
            event(&format!("evt_{n}_refund"), "adjustment.updated", 2, refund),
        ];
        for position in order {
            send(&server, &db, &[events[*position].clone()]).await;
        }
        let parked = "SELECT count(*) FROM webhook_inbox WHERE state <> 3";
        eventually("all is applied", async || db.count(parked).await == 0).await;
        // 2.5 of 5 credits, rounded up, go back each time.
        let bought = i64::try_from(n).unwrap() + 1;
        assert_eq!((available(&db).await, grants(&db).await), (2 * bought, bought), "{order:?}");
    }
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn a_price_that_the_catalog_lacks_is_kept_until_it_has_it() {
    let db = TestDb::new().await;
    let server = start(&db).await;
    let data = payment("txn_1", "ctm_a", "pri_new", 2);
    let unknown = event("evt_1", "transaction.completed", 0, data);
    send(&server, &db, &[unknown, bought("evt_2", "txn_2", 1)]).await;
    let (state, error) = outcome(&db, "evt_1").await;
    assert_eq!(state, 5);
    assert!(error.contains("pri_new"), "{error}");
    assert_eq!((available(&db).await, outcome(&db, "evt_2").await.0), (5, 3));

    catalog::apply(&server, "pri_new").await;
    let mut replay = crate::program::program();
    replay.args(["paddle", "replay", "--failed"]).env("DATABASE_URL", db.url());
    assert!(crate::program::output(&mut replay).await.status.success());
    eventually("it is applied", async || outcome(&db, "evt_1").await.0 == 3).await;
    assert_eq!(available(&db).await, 15);
    server.finish().await;
    db.finish().await;
}
