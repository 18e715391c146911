//! The services over real sockets: a scan's life, blocks, health, drain.

use creditgate::proto::{self, reserve_response::Verdict};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt;

use crate::harness::{TestDb, TestServer, eventually, settings};

pub fn reserve(account_id: &str, id: &str, kind: &str) -> proto::ReserveRequest {
    proto::ReserveRequest {
        reservation_id: id.to_owned(),
        scan: Some(scan(account_id, kind)),
        ..proto::ReserveRequest::default()
    }
}

pub fn scan(account_id: &str, kind: &str) -> proto::Scan {
    proto::Scan {
        account_id: account_id.to_owned(),
        scan_kind: kind.to_owned(),
        ..proto::Scan::default()
    }
}

fn commit(account_id: &str, id: &str) -> proto::CommitRequest {
    proto::CommitRequest {
        account_id: account_id.to_owned(),
        reservation_id: id.to_owned(),
        credits: None,
    }
}

fn release(account_id: &str, id: &str, cause: proto::ReleaseCause) -> proto::ReleaseRequest {
    proto::ReleaseRequest {
        account_id: account_id.to_owned(),
        reservation_id: id.to_owned(),
        cause: cause.into(),
        note: String::new(),
    }
}

fn block(response: proto::ReserveResponse) -> proto::Block {
    match response.verdict {
        Some(Verdict::Block(block)) => block,
        other => panic!("{other:?}"),
    }
}

async fn balance(server: &TestServer) -> (i64, i64, i64) {
    let request = proto::GetBalanceRequest { account_id: "a".to_owned(), ..Default::default() };
    let response = server.ledger().get_balance(request).await.unwrap().into_inner();
    let balance = &response.balances[0];
    (balance.available, balance.reserved, balance.spent)
}

#[tokio::test]
async fn a_scans_life_is_told_by_the_balance_and_the_ledger() {
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 5).await;
    let mut gate = server.gate();

    let response = gate.reserve(reserve("a", "r1", "deep_audit")).await.unwrap().into_inner();
    assert!(matches!(response.verdict, Some(Verdict::Reservation(r)) if r.credits == 3));
    assert_eq!(balance(&server).await, (2, 3, 0));
    let again = gate.reserve(reserve("a", "r1", "deep_audit")).await.unwrap().into_inner();
    assert!(again.replayed);

    let partial = proto::CommitRequest { credits: Some(2), ..commit("a", "r1") };
    let response = gate.commit(partial.clone()).await.unwrap().into_inner();
    assert_eq!(response.reservation.unwrap().spent_credits, 2);
    assert_eq!(balance(&server).await, (3, 0, 2));
    assert!(gate.commit(partial).await.unwrap().into_inner().replayed);

    let cause = proto::ReleaseCause::PlatformError;
    let response = gate.release(release("a", "r1", cause)).await.unwrap().into_inner();
    assert_eq!(response.disposition(), proto::Disposition::Refunded);
    assert_eq!(response.restored_credits, 2);
    assert_eq!(balance(&server).await, (5, 0, 0));

    let late = gate.reserve(reserve("a", "r1", "deep_audit")).await.unwrap_err();
    assert_eq!(late.code(), Code::FailedPrecondition);
    let info = late.get_details_error_info().unwrap();
    assert_eq!(info.reason, "RESERVATION_SETTLED");
    assert_eq!(info.metadata["state"], "REFUNDED");

    let request = proto::ListLedgerEntriesRequest {
        account_id: "a".to_owned(),
        reservation_id: "r1".to_owned(),
        ..Default::default()
    };
    let entries = server.ledger().list_ledger_entries(request).await.unwrap().into_inner().entries;
    let kinds: Vec<_> = entries.iter().map(|entry| entry.kind().as_str_name()).collect();
    let name = |kind: &str| format!("LEDGER_ENTRY_KIND_{kind}");
    assert_eq!(kinds, ["REFUND", "RESTORE", "COMMIT", "RESERVE"].map(name));
    let request = proto::VerifyLedgerRequest { account_id: "a".to_owned() };
    let report = server.ledger().verify_ledger(request).await.unwrap().into_inner();
    assert_eq!((report.entries, report.findings), (5, vec![]));
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn a_block_says_what_stands_in_the_way_and_what_would_clear_it() {
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 0).await;
    let mut gate = server.gate();

    let first = block(gate.reserve(reserve("a", "r", "live_audit")).await.unwrap().into_inner());
    assert_eq!(first.reason(), proto::BlockReason::CreditRequired);
    assert_eq!(first.remedy(), proto::Remedy::TopUp);

    server.grant("a", "g", "scan", 4).await;
    gate.reserve(reserve("a", "r1", "deep_audit")).await.unwrap();
    let busy = block(gate.reserve(reserve("a", "r2", "deep_audit")).await.unwrap().into_inner());
    assert_eq!(busy.reason(), proto::BlockReason::Exhausted);
    assert_eq!(busy.remedy(), proto::Remedy::WaitForRunningScan);
    assert_eq!((busy.required_credits, busy.available_credits, busy.reserved_credits), (3, 1, 3));
    assert_eq!(busy.holding_reservation_ids, ["r1"]);
    assert!(busy.earliest_return_time.is_some());

    gate.commit(commit("a", "r1")).await.unwrap();
    let broke = block(gate.reserve(reserve("a", "r2", "deep_audit")).await.unwrap().into_inner());
    assert_eq!(broke.remedy(), proto::Remedy::TopUp);
    assert!(!broke.message.is_empty());

    // A purchase that is not confirmed: better to wait than to pay twice.
    db.execute(
        "INSERT INTO top_ups VALUES ('a', 't1', 'scan', 10, 9000, 'USD', 1, 'paddle', 'txn_1',
                                     now() - interval '1 minute', now() + interval '1 hour')",
    )
    .await;
    let response = gate.reserve(reserve("a", "r2", "deep_audit")).await.unwrap().into_inner();
    let pending = block(response);
    assert_eq!(pending.reason(), proto::BlockReason::PaymentPending);
    assert_eq!(pending.pending_payment.unwrap().top_up_id, "t1");

    let request = proto::SetAccountSuspensionRequest {
        account_id: "a".to_owned(),
        suspended: true,
        reason: "chargeback".to_owned(),
    };
    server.accounts().set_account_suspension(request).await.unwrap();
    let suspended =
        block(gate.reserve(reserve("a", "r3", "live_audit")).await.unwrap().into_inner());
    assert_eq!(suspended.reason(), proto::BlockReason::AccountSuspended);

    let mut foreign = reserve("a", "r4", "live_audit");
    foreign.scan.as_mut().unwrap().project_id = "not-mine".to_owned();
    let wrong = block(gate.reserve(foreign).await.unwrap().into_inner());
    assert_eq!(wrong.reason(), proto::BlockReason::WrongAccount);
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn in_a_batch_each_item_has_its_own_verdict() {
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 2).await;
    let requests = vec![
        reserve("a", "r1", "live_audit"),
        reserve("a", "bad id", "live_audit"),
        reserve("nobody", "r2", "live_audit"),
        reserve("a", "r3", "live_audit"),
        reserve("a", "r4", "live_audit"),
    ];
    let request = proto::BatchReserveRequest { requests };
    let results = server.gate().batch_reserve(request).await.unwrap().into_inner().results;
    let shown: Vec<String> = results
        .into_iter()
        .map(|result| match result.result.unwrap() {
            proto::batch_reserve_result::Result::Error(error) => error.reason,
            proto::batch_reserve_result::Result::Response(response) => match response.verdict {
                Some(Verdict::Reservation(held)) => held.reservation_id,
                Some(Verdict::Block(block)) => block.reason().as_str_name().to_owned(),
                None => "nothing".to_owned(),
            },
        })
        .collect();
    assert_eq!(
        shown,
        ["r1", "INVALID_REQUEST", "ACCOUNT_NOT_FOUND", "r3", "BLOCK_REASON_EXHAUSTED"]
    );
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn health_is_told_of_the_whole_and_of_each_service() {
    let db = TestDb::new().await;
    let server = TestServer::start(&db).await;
    let mut health = HealthClient::new(server.channel());
    for service in ["", "creditgate.v1.GateService", "creditgate.v1.LedgerService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let unknown = HealthCheckRequest { service: "creditgate.v1.Nothing".to_owned() };
    assert_eq!(health.check(unknown).await.unwrap_err().code(), Code::NotFound);
    let request = HealthCheckRequest { service: String::new() };
    let mut watch = health.watch(request).await.unwrap().into_inner();
    let first = watch.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    server.stop();
    let next = watch.message().await.unwrap().unwrap();
    assert_eq!(next.status(), ServingStatus::NotServing);
    server.finish().await;
    db.finish().await;
}

/// SIGTERM in the middle of many calls: each is answered or was never taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_answers_what_was_accepted() {
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 100_000).await;
    let mut calls = tokio::task::JoinSet::new();
    for caller in 0..16 {
        let mut gate = server.gate();
        calls.spawn(async move {
            let mut held = 0_i64;
            for call in 0..10_000 {
                let id = format!("r-{caller}-{call}");
                match gate.reserve(reserve("a", &id, "live_audit")).await {
                    Ok(_) => held += 1,
                    Err(status) => {
                        // What the server itself answers has its reason; a stream
                        // that was never accepted fails in the client's transport,
                        // which names a GOAWAY as it likes.
                        let reason = status.get_details_error_info().map(|info| info.reason);
                        assert!(
                            reason.is_none() || reason.as_deref() == Some("SHUTTING_DOWN"),
                            "{status:?}"
                        );
                        break;
                    }
                }
            }
            held
        });
    }
    let held = "SELECT count(*) FROM reservations";
    eventually("calls are under way", async || db.count(held).await > 100).await;
    server.finish().await;
    let acknowledged: i64 = calls.join_all().await.into_iter().sum();
    assert_eq!(db.count(held).await, acknowledged);
    db.finish().await;
}

#[tokio::test]
async fn a_server_does_not_start_on_a_database_without_the_schema() {
    let db = TestDb::empty().await;
    let stop = tokio_util::sync::CancellationToken::new();
    let mut settings = settings(&db);
    let free = std::net::TcpListener::bind(settings.http_addr).unwrap();
    settings.http_addr = free.local_addr().unwrap();
    drop(free);
    let error = creditgate::server::start(&settings, creditgate::clock::Clock::Database, stop)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("creditgate migrate"), "{error}");
    eventually("no HTTP is left behind", async || {
        tokio::net::TcpStream::connect(settings.http_addr).await.is_err()
    })
    .await;
}

/// Many clients still ask for the old reflection; both list what is served.
#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    use tonic_reflection::pb::{v1, v1alpha};

    let db = TestDb::new().await;
    let server = TestServer::start(&db).await;
    let mut new = v1::server_reflection_client::ServerReflectionClient::new(server.channel());
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let answers = new.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let Some(v1::server_reflection_response::MessageResponse::ListServicesResponse(list)) =
        answer.message_response
    else {
        panic!("no list")
    };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    assert!(names.contains(&"creditgate.v1.GateService".to_owned()), "{names:?}");
    assert!(names.contains(&"creditgate.v1.EventService".to_owned()), "{names:?}");

    let mut old = v1alpha::server_reflection_client::ServerReflectionClient::new(server.channel());
    let symbol = "creditgate.v1.GateService".to_owned();
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(symbol),
        ),
    };
    let answers = old.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    assert!(matches!(
        answer.message_response,
        Some(v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(_))
    ));
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn pages_of_the_ledger_follow_each_other_without_a_gap_or_a_repeat() {
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 40).await;
    server.grant("a", "g2", "fix", 40).await;
    let requests = (0..30)
        .map(|n| {
            let mut request = reserve("a", &format!("r{n}"), "live_audit");
            if n % 3 == 0 {
                let scan = request.scan.as_mut().unwrap();
                (scan.scan_kind, scan.credits) = ("auto_fix".to_owned(), 1);
            }
            request
        })
        .collect();
    // In few batches: many entries of both types share one time.
    server.gate().batch_reserve(proto::BatchReserveRequest { requests }).await.unwrap();
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = proto::ListLedgerEntriesRequest {
            account_id: "a".to_owned(),
            page_size: 7,
            page_token,
            ..Default::default()
        };
        let page = server.ledger().list_ledger_entries(request).await.unwrap().into_inner();
        seen.extend(page.entries.into_iter().map(|entry| (entry.credit_type, entry.sequence)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 32);
    for (credit_type, count) in [("scan", 21), ("fix", 11)] {
        let sequences: Vec<i64> =
            seen.iter().filter(|(name, _)| name == credit_type).map(|(_, s)| *s).collect();
        assert_eq!(sequences, (1..=count).rev().collect::<Vec<i64>>(), "{credit_type}");
    }
    server.finish().await;
    db.finish().await;
}
