//! Billing by the program, as people type it.

use crate::{
    billing::open,
    harness::{TestDb, TestServer},
    program::Gate,
};

/// What a command prints that has to succeed.
async fn said(gate: &Gate, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let (code, out, error) = gate.call(&words).await;
    assert_eq!(code, 0, "{line}\n{out}{error}");
    out
}

async fn refused(gate: &Gate, line: &str, code: i32, says: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let (exit, out, error) = gate.call(&words).await;
    assert_eq!(exit, code, "{line}\n{out}{error}");
    assert!(error.contains(says), "{line}\n{error}");
}

/// Lines without their times, and columns by one space.
fn plain(text: &str) -> Vec<String> {
    let is_time = |word: &str| word.len() >= 20 && word.starts_with("20") && word.ends_with('Z');
    let words = |line: &str| -> Vec<String> {
        line.split_whitespace()
            .map(|word| if is_time(word) { "TIME".to_owned() } else { word.to_owned() })
            .collect()
    };
    text.lines().map(|line| words(line).join(" ")).collect()
}

#[tokio::test]
async fn subscriptions_and_purchases_are_carried_on_by_the_program() {
    let db = TestDb::new().await;
    let server = open(&db, "acme").await;
    let gate = Gate::of(&server);
    let out = said(&gate, "subscription start --account acme --plan pro --id s").await;
    assert_eq!(
        plain(&out),
        [
            "subscription s",
            "account acme",
            "plan pro",
            "status ACTIVE",
            "interval MONTH",
            "period since TIME",
            "then renews TIME",
            "provider manual",
            "scan 3 available, 0 reserved, 0 spent",
        ]
    );
    let out = said(&gate, "sub start --account acme --plan pro --id s").await;
    assert!(out.contains("replayed      yes"), "{out}");
    let out = said(&gate, "sub change-plan --account acme --plan agency").await;
    assert!(out.contains("agency"), "{out}");
    let out = said(&gate, "sub cancel --account acme --id s").await;
    assert!(out.contains("then          ends "), "{out}");
    let out = said(&gate, "sub resume --account acme").await;
    assert!(out.contains("then          renews "), "{out}");
    let out = said(&gate, "sub renew --account acme").await;
    assert!(out.contains("replayed      yes"), "{out}");

    let out = said(&gate, "topup begin --account acme --credits 5 --id t1").await;
    assert_eq!(
        plain(&out),
        [
            "top-up t1",
            "status PENDING",
            "account acme",
            "credits 5 scan credits",
            "price USD 95.00",
            "provider manual",
            "reference -",
            "opened TIME",
            "awaited until TIME",
        ]
    );
    let out = said(&gate, "topup confirm --id t1 --reference inv-1").await;
    let paid = "t1, 5 scan credits for USD 95.00: 8 available, 0 reserved, 0 spent\n";
    assert_eq!(out, format!("confirmed {paid}"));
    let out = said(&gate, "topup confirm --id t1 --reference inv-1").await;
    assert_eq!(out, format!("confirmed before {paid}"));
    said(&gate, "topup begin --account acme --credits 1 --id t2").await;
    let out = said(&gate, "topup fail --id t2 --reason declined").await;
    assert_eq!(out, "closed t2, 1 scan credit for USD 19.00\n");
    let out = said(&gate, "topup list --account acme").await;
    assert_eq!(
        plain(&out),
        [
            "TOP-UP STATUS CREDITS TYPE PRICE OPENED SETTLED PROVIDER REFERENCE REASON",
            "t2 FAILED 1 scan USD 19.00 TIME TIME manual - declined",
            "t1 CONFIRMED 5 scan USD 95.00 TIME TIME manual inv-1 -",
        ]
    );
    for (line, code, says) in [
        ("sub start --account acme --plan gold", 1, "`creditgate catalog show` lists them"),
        ("sub start --account acme --plan pro --trial-credits 1", 2, "--trial-until"),
        ("sub start --account acme --plan pro --interval week", 2, "one of month, year"),
        ("sub renew --account nobody", 1, "ACCOUNT_NOT_FOUND"),
        ("sub resume --account acme --id s9", 1, "--id says which one"),
        ("topup begin --account acme --credits 0", 2, "at least 1"),
        ("topup begin --account acme --credits 2 --id t1", 1, "a new one needs a new --id"),
        ("topup begin --account acme --credits 1 --type fix", 1, "NOT_FOR_SALE"),
        ("topup confirm --id t9", 1, "TOP_UP_NOT_FOUND"),
        ("topup fail --id t1", 1, "TOP_UP_SETTLED"),
    ] {
        refused(&gate, line, code, says).await;
    }
    server.finish().await;
    db.finish().await;
}

async fn with_a_busy_account(db: &TestDb) -> TestServer {
    let server = open(db, "acme").await;
    let gate = Gate::of(&server);
    for line in [
        "sub start --account acme --plan agency --id s2",
        "sub cancel --account acme --now --id s2",
        "sub start --account acme --plan pro --id s1",
        "topup begin --account acme --credits 2 --id t1",
        "topup begin --account acme --credits 4 --id t2 --provider paddle --reference txn_1",
        "topup confirm --id t1",
        "reserve --account acme --kind live_audit --id r1",
        "commit --account acme --id r1",
        "reserve --account acme --kind live_audit --id r2",
    ] {
        said(&gate, line).await;
    }
    server
}

#[tokio::test]
async fn an_account_is_shown_as_on_a_billing_page() {
    let db = TestDb::new().await;
    let server = with_a_busy_account(&db).await;
    let gate = Gate::of(&server);
    let out = said(&gate, "account show --account acme --lots").await;
    let lines = plain(&out);
    let begins = |beginning: &str| {
        assert!(lines.iter().any(|line| line.starts_with(beginning)), "{beginning}\n{out}");
    };
    for beginning in [
        "account acme",
        "suspended no",
        "SUBSCRIPTION PLAN STATUS INTERVAL PERIOD SINCE THEN PROVIDER",
        "s1 pro ACTIVE MONTH TIME renews TIME manual",
        "s2 agency CANCELED MONTH TIME ended TIME manual",
        "TYPE AVAILABLE RESERVED SPENT",
        "PAYMENT PENDING CREDITS TYPE PRICE AGE PROVIDER REFERENCE",
        "t2 4 scan USD 100.00 ",
        "LOT TYPE SOURCE",
        "TIME TYPE SEQ KIND CREDITS AVAILABLE RESERVED SPENT RESERVATION REFERENCE ACTOR",
        "TIME scan",
    ] {
        begins(beginning);
    }
    assert!(
        !lines.iter().any(|line| line.starts_with("t1 ")),
        "what is paid is not pending: {out}"
    );

    let json = said(&gate, "account show --account acme --output json").await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["account"]["account_id"], "acme");
    assert_eq!(json["account"]["subscriptions"][0]["status"], "ACTIVE");
    assert_eq!(json["balances"][0]["reserved"], 1);
    assert_eq!(json["pending_top_ups"][0]["price_minor"], 10_000);
    assert_eq!(json["pending_top_ups"].as_array().unwrap().len(), 1);
    assert_eq!(json["entries"][0]["kind"], "RESERVE");
    assert_eq!(json.get("lots"), None);
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn accounts_are_listed_suspended_and_linked() {
    let db = TestDb::new().await;
    let server = open(&db, "acme").await;
    let gate = Gate::of(&server);
    said(&gate, "account create --account beta --name Beta").await;
    said(&gate, "sub start --account beta --plan pro").await;
    let out = said(&gate, "account suspend --account acme --reason chargeback").await;
    assert_eq!(out, "acme is suspended: chargeback\n");
    assert_eq!(
        plain(&said(&gate, "account list").await),
        [
            "ACCOUNT NAME PLANS SUSPENDED EMAIL CREATED",
            "acme - - yes: chargeback - TIME",
            "beta Beta pro no - TIME",
        ]
    );
    let page = said(&gate, "account list --limit 1").await;
    assert!(page.contains("more: --page-token "), "{page}");
    let out = said(&gate, "account show --account acme").await;
    assert!(out.contains("suspended  yes: chargeback\n"), "{out}");
    let out = said(&gate, "account unsuspend --account acme").await;
    assert_eq!(out, "acme is not suspended\n");
    for (account, says) in [("acme", "is acme\n"), ("beta", "is beta, no longer acme\n")] {
        let line = format!("account link --account {account} --customer ctm_1");
        let out = said(&gate, &line).await;
        assert_eq!(out, format!("paddle customer ctm_1 {says}"));
    }
    refused(&gate, "account suspend --account acme", 2, "--reason").await;
    server.finish().await;
    db.finish().await;
}
