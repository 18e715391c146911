//! Mails: PreBreach's list of notifications, item by item; and no storm.

pub mod server;

use chrono::TimeDelta;
use creditgate::{
    billing::Billing,
    clock::{Clock, ManualClock, Timestamp},
    config::{Secret, Settings},
    domain::{catalog::PlanScan, event::EventKind, reservation::ReleaseCause},
    ids::ScanKindName,
    proto::{
        CreateAccountRequest, DeliveryState, ListEventsRequest, ListMailsRequest, Mail,
        SetMailKindsRequest,
    },
};
use tonic::Code;

use crate::harness::{TestDb, TestServer, eventually, settings, shop, words::*};
use server::MailServer;

async fn open(db: &TestDb, mails: &MailServer, clock: Clock) -> TestServer {
    let settings = Settings {
        smtp_url: Some(Secret::new(mails.url())),
        mail_from: Some("Credits <credits@gate.example>".to_owned()),
        ..settings(db)
    };
    TestServer::with(&settings, clock).await
}

async fn create(server: &TestServer, account_id: &str, name: &str, email: &str) {
    let request = CreateAccountRequest {
        account_id: account_id.to_owned(),
        display_name: name.to_owned(),
        billing_email: email.to_owned(),
    };
    server.accounts().create_account(request).await.unwrap();
}

async fn listed(server: &TestServer, account_id: &str) -> Vec<Mail> {
    let mut request = ListMailsRequest {
        account_id: account_id.to_owned(),
        page_size: 2,
        page_token: String::new(),
    };
    let mut all = Vec::new();
    loop {
        let page = server.deliveries().list_mails(request.clone()).await.unwrap().into_inner();
        all.extend(page.mails);
        if page.next_page_token.is_empty() {
            all.reverse();
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_of_activity_is_told_item_by_item_none_missing_none_repeated() {
    let db = TestDb::new().await;
    let mails = MailServer::start().await;
    let clock = ManualClock::at("2026-01-31T09:00:00Z".parse::<Timestamp>().unwrap());
    let server = open(&db, &mails, Clock::Manual(clock.clone())).await;
    let ledger = db.ledger(Clock::Manual(clock.clone())).await;
    let billing = Billing::new(db.database(), ledger.clone());
    let mut catalog = shop::catalog();
    catalog.plans[0].scans = vec![PlanScan {
        scan_kind: ScanKindName::new("live_audit").unwrap(),
        covered: false,
        max_credits: 0,
    }];
    billing.apply_catalog(catalog, false, "test").await.unwrap();
    create(&server, "a", "Acme & Sons", "billing@acme.example").await;
    let run = async |id: &str, settled| {
        clock.advance(TimeDelta::hours(1));
        ledger.submit(reserve("a", id, "live_audit")).await.unwrap();
        clock.advance(TimeDelta::minutes(5));
        ledger.submit(settled).await.unwrap();
    };
    ledger.submit(shop::start("s")).await.unwrap();
    run("run-1", commit("a", "run-1")).await;
    run("run-2", commit("a", "run-2")).await;
    run("run-3", release("a", "run-3", ReleaseCause::PlatformError)).await;
    run("run-4", commit("a", "run-4")).await;
    ledger.submit(shop::begin("top_1", 5)).await.unwrap();
    ledger.submit(shop::confirm("top_1")).await.unwrap();
    run("run-5", commit("a", "run-5")).await;
    clock.advance(TimeDelta::days(28));
    run("run-6", commit("a", "run-6")).await;

    use EventKind::{CreditReturned, CreditUsed, LowBalance, Renewed, ToppedUp, ZeroBalance};
    let expected = [
        Renewed,
        CreditUsed,
        CreditUsed,
        LowBalance,
        CreditReturned,
        CreditUsed,
        ZeroBalance,
        ToppedUp,
        CreditUsed,
        Renewed,
        CreditUsed,
    ];
    let request = ListEventsRequest { account_id: "a".to_owned(), ..Default::default() };
    let events = server.events().list_events(request).await.unwrap().into_inner().events;
    let kinds: Vec<i32> = events.iter().rev().map(|event| event.kind).collect();
    assert_eq!(kinds, expected.map(|kind| kind as i32));

    eventually("all are mailed", async || mails.received().len() >= expected.len()).await;
    let list = listed(&server, "a").await;
    let kinds: Vec<i32> = list.iter().map(|mail| mail.kind).collect();
    assert_eq!(kinds.len(), expected.len());
    let received = mails.received();
    assert_eq!(received.len(), expected.len(), "none is repeated");
    for event in &events {
        let id = format!("<{}@gate.example>", event.event_id);
        let of = received.iter().filter(|mail| mail["message-id"] == id.as_str());
        let [mail] = of.collect::<Vec<_>>()[..] else { panic!("{id}") };
        assert_eq!(mail["to"], "billing@acme.example");
        assert_eq!(mail["from"], "Credits <credits@gate.example>");
        assert!(mail["subject"].as_str().unwrap().ends_with("(Acme & Sons)"));
        assert!(mail["text"].as_str().unwrap().replace('\n', " ").contains(&event.message));
        assert!(mail["html"].as_str().unwrap().contains("Acme &amp; Sons"));
        println!("--- {}\n\n{}", mail["subject"], mail["text"].as_str().unwrap());
    }
    eventually("that they were sent is noted", async || {
        listed(&server, "a").await.iter().all(|mail| {
            mail.state() == DeliveryState::HeldBack || mail.state() == DeliveryState::Delivered
        })
    })
    .await;
    ledger.close().await;
    server.finish().await;
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_begins_to_send_mails_sends_none_of_what_was_before() {
    let db = TestDb::new().await;
    let without = TestServer::start(&db).await;
    without.apply_catalog().await;
    create(&without, "old", "", "old@acme.example").await;
    for id in ["g1", "g2", "g3"] {
        without.grant("old", id, "scan", 1).await;
    }
    without.finish().await;
    let mails = MailServer::start().await;
    let server = open(&db, &mails, Clock::Database).await;
    server.grant("old", "g4", "scan", 1).await;
    eventually("the new one is sent", async || mails.received().len() == 1).await;
    assert_eq!(listed(&server, "old").await.len(), 1);
    server.finish().await;
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_comes_back_fifty_times_gives_one_mail_and_a_bounce_blocks_nobody() {
    let db = TestDb::new().await;
    let mails = MailServer::start().await;
    let server = open(&db, &mails, Clock::Database).await;
    server.apply_catalog().await;
    create(&server, "busy", "Busy", "busy@acme.example").await;
    create(&server, "later", "", "later@acme.example").await;
    create(&server, "never", "", "never@acme.example").await;
    create(&server, "silent", "", "silent@acme.example").await;
    create(&server, "nowhere", "", "").await;
    let choose = |account_id: &str, kinds: &[EventKind], usual| SetMailKindsRequest {
        account_id: account_id.to_owned(),
        kinds: kinds.iter().map(|kind| *kind as i32).collect(),
        usual,
    };
    let mut service = server.deliveries();
    service.set_mail_kinds(choose("silent", &[], false)).await.unwrap();
    let usual = service.set_mail_kinds(choose("busy", &[], true)).await.unwrap().into_inner();
    assert!(usual.kinds.len() > 5);
    let refused = service.set_mail_kinds(choose("none", &[], true)).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let both = choose("busy", &[EventKind::LowBalance], true);
    let refused = service.set_mail_kinds(both).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    for account in ["never", "later", "silent", "nowhere", "busy"] {
        server.grant(account, "g1", "scan", 2).await;
    }
    let ledger = db.ledger(Clock::Database).await;
    for turn in 0..50 {
        let id = format!("run-{turn}");
        ledger.submit(reserve("busy", &id, "live_audit")).await.unwrap();
        ledger.submit(release("busy", &id, ReleaseCause::PlatformError)).await.unwrap();
    }
    // From 2 to 1: the last thing that happens.
    ledger.submit(reserve("busy", "last", "live_audit")).await.unwrap();
    ledger.submit(commit("busy", "last")).await.unwrap();
    eventually("the last is mailed", async || {
        mails.received().iter().any(|mail| mail["subject"] == "Few credits left (Busy)")
    })
    .await;
    let of = |word: &str| {
        let all = mails.received();
        all.iter().filter(|mail| mail["subject"].as_str().unwrap().contains(word)).count()
    };
    assert_eq!((of("came back"), of("Few credits left"), of("added")), (1, 1, 1));
    let list = listed(&server, "busy").await;
    let held = list.iter().filter(|mail| mail.state() == DeliveryState::HeldBack).count();
    assert_eq!(held, 49, "what was not sent is there to be seen");
    eventually("what became of the others is noted", async || {
        let state = async |account| listed(&server, account).await[0].clone();
        let (later, never) = (state("later").await, state("never").await);
        later.state() == DeliveryState::Waiting
            && later.error.contains("come back later")
            && never.state() == DeliveryState::Failed
            && never.error.contains("no such mailbox")
    })
    .await;
    for account in ["silent", "nowhere"] {
        assert!(listed(&server, account).await.is_empty(), "{account}");
    }
    ledger.close().await;
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn half_a_setting_is_no_setting() {
    let db = TestDb::new().await;
    for (url, from) in [
        (Some("smtp://localhost"), None),
        (None, Some("a@b.example")),
        (Some("http://localhost"), Some("a@b.example")),
        (Some("smtp://localhost"), Some("nobody")),
    ] {
        let settings = Settings {
            smtp_url: url.map(Secret::new),
            mail_from: from.map(str::to_owned),
            ..settings(&db)
        };
        let stop = tokio_util::sync::CancellationToken::new();
        let started = creditgate::server::start(&settings, Clock::Database, stop).await;
        let error = match started {
            Err(error) => error,
            Ok(running) => running.ended().await.unwrap_err(),
        };
        let error = error.to_string();
        assert!(error.contains("smtp_url") || error.contains("mail_from"), "{error}");
    }
    db.finish().await;
}
