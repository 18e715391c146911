//! `creditgate paddle events` and `paddle replay`.

use creditgate::clock::Clock;
use serde_json::{Value, json};

use super::send::*;
use crate::{
    harness::{TestDb, TestServer, eventually},
    program::{output, program, text},
};

/// Exit code, standard output, standard error.
async fn paddle(db: &TestDb, words: &[&str]) -> (i32, String, String) {
    let mut command = program();
    let output = output(command.arg("paddle").args(words).env("DATABASE_URL", db.url())).await;
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn what_came_is_listed_and_tried_again_on_demand() {
    let db = TestDb::new().await;
    let (_, empty, _) = paddle(&db, &["events"]).await;
    assert_eq!(empty, "no events\n");
    let server = TestServer::with(&settings_with(&db, SECRET), Clock::Database).await;
    let address = server.http_addr();
    let broken = event("evt_broken", "transaction.completed", 1, json!({"id": "txn_1"}));
    let waiting = event("evt_waiting", "transaction.paid", 2, payment("txn_2", "ctm_1", "p", 1));
    let other = event("evt_other", "customer.created", 3, json!({}));
    for sent in [&broken, &waiting, &other] {
        assert_eq!(deliver(&address, sent).await.0, 200);
    }
    let new = "SELECT count(*) FROM webhook_inbox WHERE state = 1";
    eventually("all have been looked at", async || db.count(new).await == 0).await;

    let (code, table, error) = paddle(&db, &["events"]).await;
    assert_eq!(code, 0, "{error}");
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("EVENT"), "{table}");
    let line = |id: &str| lines.iter().find(|line| line.starts_with(id)).unwrap().to_string();
    assert!(line("evt_broken").contains("FAILED"), "{table}");
    assert!(line("evt_broken").ends_with("data: missing field `currency_code`"), "{table}");
    assert!(line("evt_waiting").contains("PARKED"), "{table}");
    assert!(line("evt_waiting").contains("2026-03-01T10:00:02Z"), "{table}");
    assert!(line("evt_other").contains("IGNORED"), "{table}");
    let column = |line: &str, name: &str| line.get(lines[0].find(name).unwrap()..).map(str::len);
    assert!(lines[1..].iter().all(|line| column(line, "ERROR").is_some()), "{table}");
    let (_, out, _) = paddle(&db, &["events", "--state", "failed", "--output", "json"]).await;
    let listed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(listed["events"].as_array().unwrap().len(), 1);
    assert_eq!(listed["events"][0]["event_id"], "evt_broken");
    assert_eq!(listed["events"][0]["state"], "FAILED");
    let (_, out, _) = paddle(&db, &["events", "--limit", "2"]).await;
    assert_eq!(out.lines().count(), 3, "{out}");

    // Tried again, and again it fails.
    let tries = "SELECT attempts::bigint FROM webhook_inbox WHERE event_id = 'evt_broken'";
    assert_eq!(db.count(tries).await, 1);
    let (code, out, error) = paddle(&db, &["replay", "evt_broken", "evt_other"]).await;
    assert_eq!(code, 0, "{error}");
    assert!(out.starts_with("2 events are to be tried again"), "{out}");
    eventually("it is tried", async || db.count(tries).await == 2).await;
    eventually("all have been looked at", async || db.count(new).await == 0).await;
    let (_, out, _) = paddle(&db, &["replay", "--failed"]).await;
    assert!(out.starts_with("1 event is to be tried again"), "{out}");
    eventually("it is tried", async || db.count(tries).await == 3).await;
    let (code, out, _) = paddle(&db, &["replay", "--parked"]).await;
    assert_eq!((code, out.starts_with("1 event is")), (0, true), "{out}");

    for (code, words, says) in [
        (1, &["replay", "evt_none", "evt_broken"][..], "there is no event evt_none"),
        (2, &["replay"], "EVENT_ID"),
        (2, &["replay", "--failed", "--parked"], "cannot be used"),
        (2, &["events", "--state", "lost"], "new, parked, applied, ignored, failed"),
    ] {
        let (exit, out, error) = paddle(&db, words).await;
        assert_eq!(exit, code, "{words:?}: {out}{error}");
        assert!(format!("{out}{error}").contains(says), "{words:?}: {out}{error}");
    }
    server.finish().await;
    db.finish().await;
}
