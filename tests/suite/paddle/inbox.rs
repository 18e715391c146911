//! What becomes of an event once it is stored.

use creditgate::{
    billing::{Billing, Inbox},
    clock::Clock,
    ids::AccountId,
    ledger::Ledger,
    proto,
    workers::inbox::Worker,
};
use serde_json::{Value, json};

use super::send::*;
use crate::harness::{TestDb, TestServer, eventually};

async fn start(db: &TestDb) -> TestServer {
    let server = TestServer::with(&settings_with(db, SECRET), Clock::Database).await;
    server.apply_catalog().await;
    server.create_account("a").await;
    server
}

pub async fn link(server: &TestServer, account_id: &str, customer_id: &str) {
    let request = proto::LinkProviderRequest {
        account_id: account_id.to_owned(),
        provider: "paddle".to_owned(),
        customer_id: customer_id.to_owned(),
    };
    server.accounts().link_provider(request).await.unwrap();
}

/// How many events are in a state, by its number.
async fn in_state(db: &TestDb, state: i16) -> i64 {
    db.count(&format!("SELECT count(*) FROM webhook_inbox WHERE state = {state}")).await
}

async fn error_of(db: &TestDb, event_id: &str) -> String {
    sqlx::query_scalar("SELECT error FROM webhook_inbox WHERE event_id = $1")
        .bind(event_id)
        .fetch_one(&db.owner)
        .await
        .unwrap()
}

async fn store(db: &TestDb, event: &Value) {
    sqlx::query(
        "INSERT INTO webhook_inbox (provider, event_id, event_type, occurred_at, body)
         VALUES ('paddle', $1, $2, $3::timestamptz, $4)",
    )
    .bind(event["event_id"].as_str())
    .bind(event["event_type"].as_str())
    .bind(chrono::DateTime::parse_from_rfc3339(event["occurred_at"].as_str().unwrap()).unwrap())
    .bind(event.to_string().into_bytes())
    .execute(&db.owner)
    .await
    .unwrap();
}

const NEW: i16 = 1;
const PARKED: i16 = 2;
const IGNORED: i16 = 4;
const FAILED: i16 = 5;

#[tokio::test]
async fn what_changes_nothing_is_ignored_and_what_is_not_understood_is_kept() {
    let db = TestDb::new().await;
    let server = start(&db).await;
    let address = server.http_addr();
    for (id, event_type, data) in [
        ("evt_unknown", "customer.created", json!("anything")),
        ("evt_poison", "transaction.completed", json!({"id": "txn_1"})),
        ("evt_words", "subscription.updated", json!({"id": "sub_1", "status": "\u{0}odd"})),
        ("evt_past_due", "transaction.past_due", json!({})),
    ] {
        assert_eq!(deliver(&address, &event(id, event_type, 0, data)).await.0, 200);
    }
    eventually("all are settled", async || in_state(&db, NEW).await == 0).await;
    assert_eq!((in_state(&db, IGNORED).await, in_state(&db, FAILED).await), (2, 2));
    assert!(error_of(&db, "evt_poison").await.contains("data: missing field"));
    assert!(error_of(&db, "evt_words").await.starts_with("data.status: unknown variant"));
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn an_event_waits_until_its_customer_is_linked() {
    let db = TestDb::new().await;
    let server = start(&db).await;
    let address = server.http_addr();
    let data = payment("txn_1", "ctm_1", "pri_1", 1);
    assert_eq!(deliver(&address, &event("evt_1", "transaction.paid", 0, data)).await.0, 200);
    eventually("it is parked", async || in_state(&db, PARKED).await == 1).await;
    assert_eq!(error_of(&db, "evt_1").await, "customer ctm_1 is linked to no account");
    // As if it had waited for long.
    db.execute("UPDATE webhook_inbox SET next_attempt_time = now() + interval '1 hour', parks = 9")
        .await;
    link(&server, "a", "ctm_1").await;
    eventually("it is taken up", async || in_state(&db, PARKED).await == 0).await;
    let owner = "SELECT count(*) FROM provider_transactions
                  WHERE transaction_id = 'txn_1' AND account_id = 'a'";
    assert_eq!(db.count(owner).await, 1);
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn nobody_is_waited_for_longer_than_thirty_days() {
    let db = TestDb::new().await;
    let server = start(&db).await;
    let data = payment("txn_1", "ctm_1", "pri_1", 1);
    let late = event("evt_1", "transaction.paid", 0, data);
    assert_eq!(deliver(&server.http_addr(), &late).await.0, 200);
    eventually("it is parked", async || in_state(&db, PARKED).await == 1).await;
    db.execute("UPDATE webhook_inbox SET receive_time = now() - interval '30 days'").await;
    eventually("it is given up", async || in_state(&db, FAILED).await == 1).await;
    let error = error_of(&db, "evt_1").await;
    assert_eq!(error, "given up after 30 days: customer ctm_1 is linked to no account");
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn whose_a_payment_is_was_said_once_and_a_later_link_does_not_move_it() {
    let db = TestDb::new().await;
    let server = start(&db).await;
    server.create_account("b").await;
    let (database, keys) = (db.database(), |transaction: &str, subscription: Option<&str>| {
        creditgate::billing::ProviderKeys {
            transaction_id: Some(transaction.to_owned()),
            subscription_id: subscription.map(|id| id.to_owned().try_into().unwrap()),
            customer_id: Some("ctm_1".to_owned()),
        }
    });
    let (a, b) = (AccountId::new("a").unwrap(), AccountId::new("b").unwrap());
    let ledger = db.ledger(Clock::Database).await;
    let billing = Billing::new(database.clone(), ledger.clone());
    let owner = async |transaction: &str, subscription: Option<&str>| {
        let keys = keys(transaction, subscription);
        let found = billing.account_of_report("paddle", &keys).await.unwrap();
        found.map(|found| (found.account_id.to_string(), found.top_up_id.map(|id| id.to_string())))
    };
    let of = |account: &str| Some((account.to_owned(), None));
    assert_eq!(owner("txn_1", None).await, None);

    link(&server, "a", "ctm_1").await;
    assert_eq!(owner("txn_1", Some("sub_1")).await, of("a"));
    link(&server, "b", "ctm_1").await;
    assert_eq!(owner("txn_1", None).await, of("a"));
    // A renewal of the old subscription is still a's; a new purchase is b's.
    assert_eq!(owner("txn_2", Some("sub_1")).await, of("a"));
    assert_eq!(owner("txn_3", None).await, of("b"));

    // Whoever opens a purchase says it first, or finds out whose it is.
    let top_up = "top_1".to_owned().try_into().unwrap();
    let claimed = database.claim_transaction("paddle", "txn_4", &a, Some(&top_up)).await.unwrap();
    assert_eq!((claimed.account_id, claimed.top_up_id), (a.clone(), Some(top_up.clone())));
    assert_eq!(owner("txn_4", None).await, Some(("a".to_owned(), Some("top_1".to_owned()))));
    let claimed = database.claim_transaction("paddle", "txn_1", &b, Some(&top_up)).await.unwrap();
    assert_eq!((claimed.account_id, claimed.top_up_id), (a.clone(), None));
    // A purchase that is named later is added, and not replaced.
    let claimed = database.claim_transaction("paddle", "txn_1", &a, Some(&top_up)).await.unwrap();
    assert_eq!(claimed.top_up_id, Some(top_up.clone()));
    let other = "top_2".to_owned().try_into().unwrap();
    let claimed = database.claim_transaction("paddle", "txn_1", &a, Some(&other)).await.unwrap();
    assert_eq!(claimed.top_up_id, Some(top_up));
    ledger.close().await;
    database.close().await;
    server.finish().await;
    db.finish().await;
}

fn worker(db: &TestDb, ledger: &Ledger) -> Worker {
    let database = db.database();
    Worker::new(
        ledger.clone(),
        Billing::new(database.clone(), ledger.clone()),
        Inbox::new(database),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_of_two_replicas_share_the_events_and_a_stalled_one_settles_nothing() {
    let db = TestDb::new().await;
    for n in 0..300 {
        store(&db, &event(&format!("evt_{n}"), "customer.created", n, json!({}))).await;
    }
    let inbox = Inbox::new(db.database());
    let lease = std::time::Duration::from_secs(60);
    let taken = inbox.take("paddle", 7, lease).await.unwrap();
    let ids: Vec<&str> = taken.iter().map(|event| event.event_id.as_str()).collect();
    assert_eq!(ids, ["evt_0", "evt_1", "evt_2", "evt_3", "evt_4", "evt_5", "evt_6"]);

    let (one, other) = (db.ledger(Clock::Database).await, db.ledger(Clock::Database).await);
    let (first, second) = (worker(&db, &one), worker(&db, &other));
    let (a, b) = tokio::join!(first.sweep(), second.sweep());
    a.unwrap();
    b.unwrap();
    assert_eq!((in_state(&db, IGNORED).await, in_state(&db, NEW).await), (293, 7));
    assert_eq!(db.count("SELECT count(*) FROM webhook_inbox WHERE attempts = 1").await, 300);

    // Its lease ends, another one takes them over, and then it wakes up.
    db.execute("UPDATE webhook_inbox SET next_attempt_time = now() WHERE state = 1").await;
    first.sweep().await.unwrap();
    let late = taken
        .into_iter()
        .map(|event| creditgate::billing::Settlement {
            event_id: event.event_id,
            attempt: event.attempt,
            state: creditgate::billing::InboxState::Failed,
            retry_after: std::time::Duration::ZERO,
            error: "late".to_owned(),
            account_id: None,
            keys: creditgate::billing::ProviderKeys::default(),
        })
        .collect();
    inbox.settle("paddle", late).await.unwrap();
    assert_eq!(in_state(&db, IGNORED).await, 300);
    one.close().await;
    other.close().await;
    db.finish().await;
}

/// Its customer is linked while a worker, which has looked before that, has it.
#[tokio::test]
async fn what_is_woken_while_somebody_has_it_is_taken_again_at_once() {
    let db = TestDb::new().await;
    store(&db, &event("evt_1", "customer.created", 0, json!({}))).await;
    let (database, lease) = (db.database(), std::time::Duration::from_secs(60));
    let inbox = Inbox::new(database.clone());
    let parked = |attempt| creditgate::billing::Settlement {
        event_id: "evt_1".to_owned(),
        attempt,
        state: creditgate::billing::InboxState::Parked,
        retry_after: std::time::Duration::from_secs(3600),
        error: "waits".to_owned(),
        account_id: None,
        keys: creditgate::billing::ProviderKeys {
            customer_id: Some("ctm_a".to_owned()),
            transaction_id: Some("txn_1".to_owned()),
            ..Default::default()
        },
    };
    let first = inbox.take("paddle", 1, lease).await.unwrap();
    inbox.settle("paddle", vec![parked(first[0].attempt)]).await.unwrap();
    for customer in [true, false] {
        db.execute("UPDATE webhook_inbox SET next_attempt_time = now()").await;
        let taken = inbox.take("paddle", 1, lease).await.unwrap();
        let woken = match customer {
            true => database.wake_customer("paddle", "ctm_a").await,
            false => database.wake_transaction("paddle", "txn_1").await,
        };
        assert_eq!(woken.unwrap(), 1);
        inbox.settle("paddle", vec![parked(taken[0].attempt)]).await.unwrap();
        assert_eq!(inbox.take("paddle", 1, lease).await.unwrap().len(), 1, "{customer}");
    }
    database.close().await;
    db.finish().await;
}

/// What came is evidence: whoever serves may settle it, and not make it vanish.
#[tokio::test]
async fn the_serving_role_cannot_delete_what_came() {
    let db = TestDb::new().await;
    for (right, allowed) in [("INSERT", 1), ("UPDATE", 1), ("DELETE", 0), ("TRUNCATE", 0)] {
        let query = format!(
            "SELECT has_table_privilege('creditgate_app', 'public.webhook_inbox', '{right}')
                    ::int::bigint"
        );
        assert_eq!(db.count(&query).await, allowed, "{right}");
    }
    db.finish().await;
}

/// Plans that are made on an empty table must be right when it is full.
#[tokio::test]
async fn a_full_inbox_is_as_quick_as_an_empty_one() {
    let db = TestDb::new().await;
    let ledger = db.ledger(Clock::Database).await;
    let database = db.database();
    let inbox = Inbox::new(database.clone());
    let billing = Billing::new(database.clone(), ledger.clone());
    let worker = Worker::new(ledger.clone(), billing, inbox.clone());
    // An autovacuum may well come by before the first row does.
    db.execute("ANALYZE").await;
    for n in 0..12 {
        store(&db, &event(&format!("evt_first_{n}"), "customer.created", n, json!({}))).await;
        worker.sweep().await.unwrap();
        inbox.figures("paddle").await.unwrap();
        inbox.wake_transaction("paddle", "txn_1".to_owned()).await.unwrap();
        database.wake_customer("paddle", "ctm_1").await.unwrap();
    }
    // Settled ones, and those that wait for somebody.
    db.execute(
        "INSERT INTO webhook_inbox (provider, event_id, event_type, occurred_at, receive_time, body,
                                    state, next_attempt_time, settle_time, customer_id)
         SELECT 'paddle', 'old_' || n, 'a.b', now() - n * interval '1 second',
                now() - n * interval '1 second', '{}', CASE WHEN n % 100 = 0 THEN 2 ELSE 3 END,
                CASE WHEN n % 100 = 0 THEN now() + interval '1 hour' END,
                CASE WHEN n % 100 = 0 THEN NULL ELSE now() END, 'ctm_' || n
           FROM generate_series(1, 50000) n",
    )
    .await;
    for n in 0..200 {
        store(&db, &event(&format!("evt_{n}"), "customer.created", n, json!({}))).await;
    }
    let begun = std::time::Instant::now();
    worker.sweep().await.unwrap();
    let swept = begun.elapsed();
    let figures = inbox.figures("paddle").await.unwrap();
    let counts: Vec<i64> = figures.iter().map(|figure| figure.events).collect();
    println!("200 events beside 50,000: {swept:?}; with the figures {:?}", begun.elapsed());
    assert_eq!(counts, [0, 500, 0]);
    assert_eq!(database.wake_customer("paddle", "ctm_500").await.unwrap(), 1);
    ledger.close().await;
    database.close().await;
    let used = "SELECT coalesce(sum(idx_scan), 0)::bigint FROM pg_stat_user_indexes
                 WHERE indexrelname = 'webhook_inbox_waiting_idx'";
    eventually("the statistics arrive", async || db.count(used).await > 12).await;
    let strange = "SELECT coalesce(sum(idx_scan), 0)::bigint FROM pg_stat_user_indexes
                    WHERE indexrelname = 'webhook_inbox_receive_time_idx'";
    assert_eq!(db.count(strange).await, 0);
    let scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'webhook_inbox'";
    assert_eq!(db.count(scans).await, 0);
    assert_eq!(in_state(&db, IGNORED).await, 212);
    assert!(swept < std::time::Duration::from_secs(5), "{swept:?}");
    db.finish().await;
}
