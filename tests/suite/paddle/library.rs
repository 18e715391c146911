//! Paddle's own library: it believes what we sign and reads what we read, and the
//! gate believes what it signs.

use std::{path::Path, process::Stdio, time::Duration};

use creditgate::clock::Clock;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use super::send::*;
use crate::harness::{TestDb, TestServer};

fn events() -> Vec<Value> {
    let mut renewal = payment("txn_2", "ctm_1", "pri_1", 3);
    renewal["origin"] = json!("subscription_recurring");
    renewal["subscription_id"] = json!("sub_1");
    renewal["billing_period"] =
        json!({"starts_at": "2026-03-01T00:00:00Z", "ends_at": "2026-04-01T00:00:00Z"});
    vec![
        event("evt_1", "transaction.completed", 0, payment("txn_1", "ctm_1", "pri_1", 2)),
        event("evt_2", "transaction.paid", 1, renewal),
        event("evt_3", "subscription.updated", 2, subscription("sub_1", "ctm_1", "pri_1")),
        event("evt_4", "adjustment.created", 3, adjustment("adj_1", "txn_1", "ctm_1", "4900")),
    ]
}

#[tokio::test]
async fn paddles_own_library_and_the_gate_agree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packages = root.join(".venv/node");
    assert!(
        packages.join("node_modules").exists(),
        "{} is not there: `make tools` makes it, and `make test` too",
        packages.display()
    );
    let db = TestDb::new().await;
    let server = TestServer::with(&settings_with(&db, SECRET), Clock::Database).await;
    let input: String = events()
        .iter()
        .map(|event| {
            let body = event.to_string();
            let signature = sign(SECRET, now(), body.as_bytes());
            format!("{}\n", json!({"body": body, "signature": signature}))
        })
        .collect();
    let mut node = Command::new("node");
    node.arg(root.join("tests/node/webhooks.mjs")).arg(packages);
    node.arg(format!("http://{}/webhooks/paddle", server.http_addr())).arg(SECRET);
    node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = node.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = timeout(Duration::from_secs(60), child.wait_with_output());
    let output = output.await.expect("node did not end").unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));

    // What our events mean, by the names that Paddle's library has for it.
    let read: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [bought, renewed, changed, adjusted] = read.as_slice() else { panic!("{said}") };
    assert_eq!(bought["eventId"], "evt_1");
    assert_eq!(bought["occurredAt"], "2026-03-01T10:00:00.25Z");
    assert_eq!(bought["customer"], "ctm_1");
    assert_eq!((&bought["total"], &bought["currency"]), (&json!("9800"), &json!("USD")));
    assert_eq!(bought["lines"], json!([["txnitm_txn_1", "pri_1", 2, "9800"]]));
    assert_eq!(renewed["origin"], "subscription_recurring");
    assert_eq!(renewed["subscription"], "sub_1");
    assert_eq!(renewed["period"], json!(["2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"]));
    assert_eq!((&changed["id"], &changed["change"]), (&json!("sub_1"), &json!("cancel")));
    assert_eq!(changed["period"], json!(["2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"]));
    assert_eq!(changed["prices"], json!(["pri_1"]));
    assert_eq!((&adjusted["action"], &adjusted["status"]), (&json!("refund"), &json!("approved")));
    assert_eq!(adjusted["transaction"], "txn_1");
    assert_eq!(adjusted["adjusted"], json!([["txnitm_txn_1", "4900"]]));
    assert_eq!(db.count("SELECT count(*) FROM webhook_inbox").await, 4);
    server.finish().await;
    db.finish().await;
}
