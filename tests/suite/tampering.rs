//! What a superuser changes behind the service's back is found.

use creditgate::{
    domain::{
        command::{Action, OperationKind, Revoke},
        reservation::ReleaseCause,
    },
    ids::OperationId,
};
use sqlx::{Connection, Executor};

use crate::{
    harness::{TestDb, words::*},
    write_path::open,
};

/// Each is made on sound books, found, and taken back.
const TAMPERINGS: [(&str, &str); 23] = [
    ("an amount", "UPDATE ledger_entries SET credits = credits + 1 WHERE sequence = 2"),
    ("an actor", "UPDATE ledger_entries SET actor = 'nobody' WHERE sequence = 3"),
    ("a time", "UPDATE ledger_entries SET create_time = create_time + '1 s' WHERE sequence = 2"),
    ("a reference", "UPDATE ledger_entries SET reference = '' WHERE sequence = 1"),
    ("a hash", "UPDATE ledger_entries SET hash = sha256('x') WHERE sequence = 4"),
    ("a missing entry", "DELETE FROM ledger_entries WHERE sequence = 3"),
    (
        "a missing tail",
        "DELETE FROM ledger_entries WHERE sequence = (SELECT max(sequence) FROM ledger_entries)",
    ),
    ("no entries", "DELETE FROM ledger_entries"),
    ("a balance", "UPDATE balances SET available = available + 5"),
    ("a spent balance", "UPDATE balances SET spent = spent - 1"),
    ("a sequence", "UPDATE balances SET sequence = sequence + 1"),
    ("a missing balance", "DELETE FROM balances"),
    ("a lot's rest", "UPDATE lots SET remaining = remaining - 1"),
    ("a lot's expiry", "UPDATE lots SET expire_time = now() + '1 year'"),
    ("a lot's origin", "UPDATE lots SET reference = 'bought'"),
    (
        "a lot from nothing",
        "INSERT INTO lots SELECT account_id, gen_random_uuid(), credit_type, source, is_open, credits, remaining, 0, NULL, now(), '' FROM lots",
    ),
    (
        "a reservation's state",
        "UPDATE reservations SET state = 2, settle_time = now() WHERE reservation_id = 'held'",
    ),
    ("a missing reservation", "DELETE FROM reservations WHERE reservation_id = 'spent'"),
    ("a grant without a cause", "DELETE FROM operations"),
    ("a revocation without a cause", "DELETE FROM operations WHERE kind = 2"),
    (
        "the lots of a hold",
        "UPDATE reservations SET lot_ids = ARRAY[gen_random_uuid()] WHERE reservation_id = 'held'",
    ),
    (
        "what a refund would give back",
        "UPDATE reservations SET lot_credits = ARRAY[9::bigint] WHERE reservation_id = 'spent'",
    ),
    (
        "sums beyond all numbers",
        "UPDATE lots SET credits = 9223372036854775807, remaining = 9223372036854775807;
         INSERT INTO lots SELECT account_id, gen_random_uuid(), credit_type, source, is_open, credits, remaining, 0, NULL, now(), '' FROM lots",
    ),
];

#[tokio::test]
async fn every_tampering_is_found() {
    let db = TestDb::new().await;
    let ledger = open(&db, 10).await;
    for command in [
        reserve("a", "spent", "deep_audit"),
        commit("a", "spent"),
        reserve("a", "held", "live_audit"),
        reserve("a", "released", "live_audit"),
        release("a", "released", ReleaseCause::PlatformError),
        reserve("a", "free", "quick_scan"),
        command(
            "a",
            Action::Revoke(Revoke {
                key: (OperationKind::Revocation, OperationId::new("back").unwrap()),
                credit_type: credit_type("scan"),
                credits: 1,
                reason: "given by mistake".to_owned(),
            }),
        ),
    ] {
        ledger.submit(command).await.unwrap();
    }
    assert_eq!(db.findings().await, Vec::<String>::new());
    let tables = ["ledger_entries", "balances", "lots", "reservations", "operations"];
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
    db.execute("UPDATE accounts SET held_scans = 7").await;
    assert!(!db.findings().await.is_empty());
    db.execute("UPDATE accounts SET held_scans = 1").await;
    db.execute("DELETE FROM accounts").await;
    assert_eq!(db.findings().await, ["a"]);
    ledger.close().await;
}

#[tokio::test]
async fn the_serving_role_cannot_rewrite_history() {
    let db = TestDb::new().await;
    let ledger = open(&db, 10).await;
    assert_eq!(db.database().excessive_rights().await.unwrap(), Vec::<String>::new());
    let mut connection = sqlx::PgConnection::connect(&db.url()).await.unwrap();
    for statement in [
        "UPDATE cell_00.ledger_entries SET credits = 1",
        "DELETE FROM cell_00.ledger_entries",
        "TRUNCATE cell_00.ledger_entries",
        "UPDATE cell_00.operations SET credits = 1",
        "DELETE FROM cell_00.balances",
        "DELETE FROM cell_00.reservations",
        "UPDATE cell_00.catalogs SET revision = 9",
        "UPDATE cell_00.transactions SET provider = ''",
        "DELETE FROM cell_00.transactions",
        "UPDATE cell_00.applied_events SET provider = ''",
        "DELETE FROM cell_00.applied_events",
        "UPDATE cell_00.feed SET position = DEFAULT",
        "DELETE FROM cell_00.feed",
        "SELECT setval('cell_00.feed_position_seq', 1)",
        "DELETE FROM cell_00.purchases",
        "UPDATE public.top_up_directory SET account_id = 'mine'",
        "DROP TABLE cell_00.ledger_entries",
        "ALTER TABLE cell_00.ledger_entries DISABLE TRIGGER ALL",
        "CREATE TABLE cell_00.mine (x int)",
    ] {
        let error = connection.execute(statement).await.unwrap_err();
        let code = error.as_database_error().and_then(|error| error.code()).unwrap();
        assert_eq!(code, "42501", "{statement}");
    }
    connection.close().await.unwrap();
    let owner = creditgate::store::Database::new(&db.owner_url(), 1).unwrap();
    assert_eq!(owner.excessive_rights().await.unwrap().len(), 6);
    owner.close().await;
    ledger.close().await;
    db.finish().await;
}

#[tokio::test]
async fn a_database_that_may_forget_is_warned_of() {
    let db = TestDb::new().await;
    for (value, risky) in [("off", true), ("on", false), ("local", false)] {
        db.execute(&format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = {value}',
                                        current_database()); END $$"
        ))
        .await;
        let settings = db.database().risky_settings().await.unwrap();
        assert_eq!(settings.contains(&"synchronous_commit".to_owned()), risky, "{settings:?}");
    }
    db.finish().await;
}
