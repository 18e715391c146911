//! What a superuser changes of subscriptions and purchases is found.

use creditgate::{
    billing::Billing,
    clock::Clock,
    domain::{
        command::{Action, Command, Reserve},
        provider::{AdjustmentAction, Effect},
        reservation::{ReleaseCause, Scan},
    },
    ids::{ScanKindName, SubscriptionId},
    ledger::Ledger,
};

use crate::harness::{TestDb, shop, shop::*, words::*};

/// Each is made on sound books, found, and taken back.
const TAMPERINGS: [(&str, &str); 21] = [
    ("a top-up that is no longer paid", "UPDATE top_ups SET status = 3 WHERE top_up_id = 'm1'"),
    (
        "a top-up that nobody granted",
        "UPDATE top_ups SET status = 2, settle_time = now() WHERE top_up_id = 'm2'",
    ),
    ("what a top-up is of", "UPDATE top_ups SET credits = credits + 1 WHERE top_up_id = 'm1'"),
    ("a missing top-up", "DELETE FROM top_ups WHERE top_up_id = 'm1'"),
    ("a provider's missing top-up", "DELETE FROM top_ups WHERE top_up_id = 'txn_1:line'"),
    ("a period of nobody's", "UPDATE operations SET operation_id = 'z:scan:x' WHERE kind = 4"),
    ("a missing subscription", "DELETE FROM subscriptions"),
    ("an account that never had one", "UPDATE accounts SET subscriptions = 0"),
    (
        "another kind of grant",
        "UPDATE operations SET kind = 1 WHERE kind = 3 AND operation_id = 'm1'",
    ),
    ("an operation without its lot", "UPDATE operations SET lot_id = NULL WHERE kind = 4"),
    ("what a payment brought", "UPDATE purchases SET credits = credits + 1"),
    ("which lot it is", "UPDATE purchases SET lot_id = gen_random_uuid()"),
    (
        "less taken back than was",
        "UPDATE purchases SET reversed_credits = 0 WHERE transaction_id = 'txn_1'",
    ),
    (
        "more taken back than was",
        "UPDATE purchases SET reversed_credits = 1 WHERE transaction_id = 'txn_2'",
    ),
    ("a missing purchase", "DELETE FROM purchases WHERE transaction_id = 'txn_1'"),
    ("a missing payment", "DELETE FROM transactions"),
    ("what is still owed", "UPDATE lots SET unrecovered = unrecovered - 1 WHERE unrecovered > 0"),
    ("what nobody owes", "UPDATE lots SET unrecovered = 1 WHERE unrecovered = 0"),
    (
        "a reversal of nothing",
        "UPDATE operations SET operation_id = operation_id || 'x' WHERE kind = 5",
    ),
    ("credits that lapsed", "UPDATE accounts SET lapse_time = now() + '1 day'"),
    (
        "an empty lot from nothing",
        "INSERT INTO lots SELECT account_id, gen_random_uuid(), credit_type, source, false, credits, 0, 0, NULL, now(), '' FROM lots",
    ),
];

fn fix(id: &str, credits: i64) -> Command {
    let scan =
        Scan { project_id: None, scan_kind: ScanKindName::new("auto_fix").unwrap(), credits };
    command(
        "a",
        Action::Reserve(Reserve {
            reservation_id: reservation(id),
            scan,
            lease: None,
            labels: std::collections::BTreeMap::new(),
        }),
    )
}

/// A payment of which 4 were held when it was charged back: 1 has returned, 3
/// are owed. One that was charged back and won. What was bought by hand, and a
/// subscription.
async fn trade(ledger: &Ledger) {
    let adjusted =
        |event: &str, second, adjustment| report(event, second, Effect::Adjusted(adjustment));
    for command in [
        report("evt_1", 1, Effect::PaymentCompleted(transaction("txn_1"))),
        fix("f1", 1),
        fix("f3", 3),
        adjusted("evt_2", 2, adjustment("adj_1", "txn_1", AdjustmentAction::Chargeback)),
        release("a", "f1", ReleaseCause::PlatformError),
        report("evt_3", 3, Effect::PaymentCompleted(transaction("txn_2"))),
        adjusted("evt_4", 4, adjustment("adj_2", "txn_2", AdjustmentAction::Chargeback)),
        adjusted("evt_5", 5, adjustment("adj_3", "txn_2", AdjustmentAction::ChargebackReverse)),
        start("s"),
        begin("m1", 7),
        confirm("m1"),
        begin("m2", 2),
    ] {
        let answer = ledger.submit(command.clone()).await;
        assert!(answer.is_ok(), "{command:?} {answer:?}");
    }
}

#[tokio::test]
async fn every_tampering_with_what_was_bought_is_found() {
    let db = TestDb::new().await;
    let ledger = db.ledger(Clock::Database).await;
    let billing = Billing::new(db.database(), ledger.clone());
    billing.apply_catalog(shop::catalog(), false, "test").await.unwrap();
    billing.create_account(&account("a"), "", "").await.unwrap();
    trade(&ledger).await;
    assert_eq!(db.findings().await, Vec::<String>::new());
    assert_eq!(db.count("SELECT sum(unrecovered)::bigint FROM lots").await, 3);
    assert_eq!(db.count("SELECT count(*) FROM operations WHERE kind IN (5, 6)").await, 3);
    let tables =
        ["accounts", "lots", "operations", "subscriptions", "top_ups", "purchases", "transactions"];
    for table in tables {
        db.execute(&format!("CREATE TABLE kept_{table} AS TABLE {table}")).await;
    }
    for (what, statement) in TAMPERINGS {
        db.execute(statement).await;
        let findings = db.findings().await;
        println!("{what}: {findings:?}");
        assert!(!findings.is_empty(), "{what} was not found");
        for table in tables {
            db.execute(&format!("TRUNCATE {table}; INSERT INTO {table} TABLE kept_{table}")).await;
        }
        assert_eq!(db.findings().await, Vec::<String>::new(), "{what} was not taken back");
    }
    ledger.close().await;
    db.finish().await;
}

/// Each breaks the link from credits that live on to the lot that they were of.
const LOST_ORIGINS: [(&str, &str); 4] = [
    ("no origin", "NULL"),
    ("an origin that there is not", "gen_random_uuid()"),
    ("itself for an origin", "lot_id"),
    (
        "an origin of another type",
        "(SELECT max(lot_id::text)::uuid FROM lots WHERE credit_type = 'scan')",
    ),
];

#[tokio::test]
async fn credits_that_live_on_after_a_lapse_go_back_with_their_payment() {
    let db = TestDb::new().await;
    let ledger = db.ledger(Clock::Database).await;
    let billing = Billing::new(db.database(), ledger.clone());
    let mut catalog = shop::catalog();
    catalog.policy.credits_lapse_on_cancel = true;
    billing.apply_catalog(catalog, false, "test").await.unwrap();
    billing.create_account(&account("a"), "", "").await.unwrap();
    let cancel = Action::CancelSubscription {
        subscription_id: Some(SubscriptionId::new("s").unwrap()),
        immediately: true,
    };
    let refund = adjustment("adj_1", "txn_1", AdjustmentAction::Refund);
    for command in [
        report("evt_1", 1, Effect::PaymentCompleted(transaction("txn_1"))),
        fix("f3", 3),
        fix("f1", 1),
        start("s"),
        command("a", cancel),
        // The lot has lapsed: what returns lives on in a lot of its own, and a scan
        // holds some of that when the money goes back.
        release("a", "f3", ReleaseCause::PlatformError),
        fix("f2", 2),
        report("evt_2", 2, Effect::Adjusted(refund)),
    ] {
        let answer = ledger.submit(command.clone()).await;
        assert!(answer.is_ok(), "{command:?} {answer:?}");
    }
    let available = "SELECT available FROM balances WHERE credit_type = 'fix'";
    let owed = "SELECT sum(unrecovered)::bigint FROM lots";
    // Of 10: 6 lapsed, 1 and 2 are held, 1 was left and is taken.
    assert_eq!((db.count(available).await, db.count(owed).await), (0, 9));
    for id in ["f2", "f1"] {
        ledger.submit(release("a", id, ReleaseCause::PlatformError)).await.unwrap();
    }
    assert_eq!((db.count(available).await, db.count(owed).await), (0, 6));
    assert_eq!(db.findings().await, Vec::<String>::new());
    db.execute("CREATE TABLE kept AS SELECT lot_id, origin_lot_id FROM lots").await;
    for (what, origin) in LOST_ORIGINS {
        db.execute(&format!("UPDATE lots SET origin_lot_id = {origin} WHERE source = 5")).await;
        assert!(!db.findings().await.is_empty(), "{what} was not found");
    }
    db.execute(
        "UPDATE lots l SET origin_lot_id = k.origin_lot_id FROM kept k WHERE k.lot_id = l.lot_id",
    )
    .await;
    ledger.close().await;
    db.finish().await;
}
