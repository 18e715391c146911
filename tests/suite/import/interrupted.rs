//! Imports that end half-way, run beside each other, or spread over cells.

use std::{fmt::Write, time::Duration};

use creditgate::store::migrate::Plan;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use super::*;
use crate::harness::eventually;

/// Accounts with lots, each lot before its account; one of them has more than a
/// chunk of commands.
fn many(accounts: usize, lots: usize) -> TestFile {
    let mut content = "type,account_id,lot_id,project_id,credit_type,credits,source\n".to_owned();
    for lot in 0..lots {
        let account = if lot % 3 == 0 { 0 } else { lot % accounts };
        writeln!(content, "lot,acct-{account},l{lot},,scan,{},grant", lot % 7 + 1).unwrap();
    }
    for account in 0..accounts {
        writeln!(content, "account,acct-{account},,,,,").unwrap();
        writeln!(content, "project,acct-{account},,p{account},,,").unwrap();
    }
    TestFile::new("csv", content)
}

fn credits(lots: usize) -> usize {
    (0..lots).map(|lot| lot % 7 + 1).sum()
}

#[tokio::test]
async fn an_import_that_was_killed_is_finished_by_the_same_command() {
    let db = database().await;
    let (accounts, lots) = (300, 12_000);
    let file = many(accounts, lots);
    let granted = "SELECT count(*) FROM operations";
    for signal in [Signal::SIGKILL, Signal::SIGINT] {
        let before = db.count(granted).await;
        let mut command = program();
        command.arg("import").arg(&file.0).arg("--apply").env("DATABASE_URL", db.url());
        let child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
        eventually("lots come in", async || db.count(granted).await > before + 500).await;
        kill(pid, signal).unwrap();
        let ended = child.wait_with_output().await.unwrap();
        assert!(!ended.status.success(), "{}", text(&ended.stdout));
        let done = db.count(granted).await;
        assert!(done < i64::try_from(lots).unwrap(), "it was over before it was stopped");
        if signal == Signal::SIGINT {
            let out = text(&ended.stdout);
            assert!(out.contains("not finished: it was interrupted"), "{out}");
            // What it says that it did is what is there.
            let line = out.lines().find(|line| line.starts_with("lots")).unwrap();
            let counts: Vec<i64> =
                line.split_whitespace().skip(1).map(|n| n.parse().unwrap()).collect();
            assert_eq!(counts[1] + counts[2], done, "{out}");
        }
        assert_eq!(db.findings().await, Vec::<String>::new());
    }
    let (code, json) = report(&db, &file.0, &["--apply"]).await;
    assert_eq!(code, 0, "{json}");
    let there = json["lots"]["already_there"].as_u64().unwrap();
    assert!(there > 1_000, "{json}");
    assert_eq!(json["lots"]["new"].as_u64().unwrap() + there, lots as u64);
    let sum = "SELECT sum(available)::bigint FROM balances";
    assert_eq!(db.count(sum).await, i64::try_from(credits(lots)).unwrap());
    assert_eq!(db.count(granted).await, i64::try_from(lots).unwrap());
    // Those of one account came in the order of the file.
    let order = "SELECT count(*) FROM (
        SELECT create_time, lot_id,
               lag(substr(o.operation_id, 2)::int) OVER (ORDER BY o.sequence) AS before,
               substr(o.operation_id, 2)::int AS number
          FROM operations o WHERE account_id = 'acct-0') n WHERE before > number";
    assert_eq!(db.count(order).await, 0);
    db.finish().await;
}

#[tokio::test]
async fn two_imports_of_one_file_at_once_grant_it_once() {
    let db = database().await;
    let (accounts, lots) = (200, 3_000);
    let file = many(accounts, lots);
    let ended = tokio::join!(
        report(&db, &file.0, &["--apply"]),
        report(&db, &file.0, &["--apply"]),
        report(&db, &file.0, &["--apply"])
    );
    let mut new = 0;
    for (code, json) in [ended.0, ended.1, ended.2] {
        assert_eq!(code, 0, "{json}");
        new += json["lots"]["new"].as_u64().unwrap();
        let sum =
            json["lots"]["new"].as_u64().unwrap() + json["lots"]["already_there"].as_u64().unwrap();
        assert_eq!(sum, lots as u64);
    }
    assert_eq!(new, lots as u64);
    let sum = "SELECT sum(available)::bigint FROM balances";
    assert_eq!(db.count(sum).await, i64::try_from(credits(lots)).unwrap());
    db.finish().await;
}

#[tokio::test]
async fn accounts_spread_over_cells_with_all_that_is_theirs() {
    let db = database().await;
    let owner = creditgate::store::Database::new(&db.owner_url(), 1).unwrap();
    let plan = Plan { serving_role: "creditgate_app".to_owned(), cells: 2 };
    owner.migrate(&plan).await.unwrap();
    owner.close().await;
    let file = many(40, 400);
    let (code, json) = report(&db, &file.0, &["--apply"]).await;
    assert_eq!(code, 0, "{json}");
    assert_eq!(json["projects"], json!({ "in_file": 40, "new": 40, "already_there": 0 }));
    for (table, wanted) in [("accounts", 40), ("projects", 40), ("lots", 400)] {
        let of = async |cell: &str| db.count(&format!("SELECT count(*) FROM {cell}.{table}")).await;
        let (first, second) = (of("cell_00").await, of("cell_01").await);
        assert!(first > 0 && second > 0, "{table}: {first} and {second}");
        assert_eq!(first + second, wanted, "{table}");
    }
    let (code, json) = report(&db, &file.0, &["--apply"]).await;
    assert_eq!((code, &json["lots"]["already_there"]), (0, &json!(400)), "{json}");
    db.finish().await;
}

#[tokio::test]
async fn a_database_that_is_away_for_a_while_is_waited_for() {
    let db = database().await;
    let file = many(100, 5_000);
    let mut command = program();
    command.arg("import").arg(&file.0).arg("--apply").env("DATABASE_URL", db.url());
    let child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let granted = "SELECT count(*) FROM operations";
    eventually("lots come in", async || db.count(granted).await > 500).await;
    for _ in 0..5 {
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE application_name LIKE 'creditgate%' AND datname = current_database()",
        )
        .await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ended = child.wait_with_output().await.unwrap();
    assert!(ended.status.success(), "{}", text(&ended.stdout));
    assert_eq!(db.count(granted).await, 5_000);
    db.finish().await;
}
