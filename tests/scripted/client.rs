//! The client's retries.

use std::time::{Duration, Instant};

use creditgate::{
    client::{Client, ClientError, RetryPolicy, Verdict},
    proto::{CommitRequest, GetReservationRequest, ReserveRequest, Scan},
};
use tonic::{Code, Status, metadata::MetadataValue};

use crate::gate::{Call, Gate, Step, refusal, shed};

fn client(gate: &Gate) -> Client {
    let policy = RetryPolicy {
        deadline: Duration::from_secs(5),
        budget: Duration::from_secs(10),
        first_backoff: Duration::from_millis(5),
        ..RetryPolicy::default()
    };
    Client::builder(&gate.url()).policy(policy).lazy().unwrap()
}

fn request() -> ReserveRequest {
    ReserveRequest {
        reservation_id: "r1".into(),
        scan: Some(Scan {
            account_id: "acme".into(),
            scan_kind: "live_audit".into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn commit() -> CommitRequest {
    CommitRequest { account_id: "acme".into(), reservation_id: "r1".into(), credits: None }
}

#[tokio::test]
async fn an_outage_is_retried_with_the_same_id() {
    let gate = Gate::start().await;
    gate.next("reserve", Step::Fail(Status::unavailable("starting")))
        .next("reserve", Step::Fail(Status::unavailable("starting")));
    let verdict = client(&gate).reserve(request()).await.unwrap();
    assert!(matches!(verdict, Verdict::Held(held) if held.reservation.reservation_id == "r1"));
    let ids: Vec<String> = gate
        .calls()
        .into_iter()
        .filter_map(|call| match call {
            Call::Reserve(request) => Some(request.reservation_id),
            _ => None,
        })
        .collect();
    assert_eq!(ids, ["r1", "r1", "r1"]);
}

#[tokio::test]
async fn every_attempt_tells_the_gate_its_deadline() {
    let gate = Gate::start().await;
    client(&gate).commit(commit()).await.unwrap();
    // tonic writes it in the unit that fits: 5 s are 5000000u.
    assert_eq!(gate.timeouts(), ["5000000u"]);
}

#[tokio::test]
async fn a_shed_call_waits_as_long_as_the_gate_says() {
    let gate = Gate::start().await;
    gate.next("commit", Step::Fail(shed(Duration::from_millis(300))));
    let began = Instant::now();
    client(&gate).commit(commit()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(gate.methods(), ["commit", "commit"]);
}

#[tokio::test]
async fn a_pushback_in_the_trailers_is_kept_too() {
    let gate = Gate::start().await;
    let mut status = Status::unavailable("draining");
    let wait = MetadataValue::from_static("200");
    status.metadata_mut().insert("grpc-retry-pushback-ms", wait);
    gate.next("commit", Step::Fail(status));
    let began = Instant::now();
    client(&gate).commit(commit()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_negative_pushback_means_do_not_retry() {
    let gate = Gate::start().await;
    let mut status = Status::unavailable("gone");
    let never = MetadataValue::from_static("-1");
    status.metadata_mut().insert("grpc-retry-pushback-ms", never);
    gate.always("commit", Step::Fail(status));
    client(&gate).commit(commit()).await.unwrap_err();
    assert_eq!(gate.methods(), ["commit"]);
}

#[tokio::test]
async fn a_wait_that_the_budget_has_no_room_for_is_not_begun() {
    let gate = Gate::start().await;
    gate.always("commit", Step::Fail(shed(Duration::from_secs(60))));
    let began = Instant::now();
    let error = client(&gate).commit(commit()).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5));
    // Shed before it was carried out: nothing was changed.
    assert!(matches!(error, ClientError::Unavailable(_)), "{error}");
    assert_eq!(gate.methods(), ["commit"]);
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_comes_decoded() {
    let gate = Gate::start().await;
    let refused = refusal(Code::FailedPrecondition, "RESERVATION_SETTLED");
    gate.always("commit", Step::Fail(refused));
    let error = client(&gate).commit(commit()).await.unwrap_err();
    let rejection = error.rejection().unwrap();
    assert_eq!(rejection.code, Code::FailedPrecondition);
    assert_eq!(rejection.reason, "RESERVATION_SETTLED");
    assert!(!error.outcome_unknown());
    assert_eq!(gate.methods(), ["commit"], "it is not asked again");
}

#[tokio::test]
async fn a_quota_without_a_time_to_come_back_is_not_retried() {
    let gate = Gate::start().await;
    let status = Status::resource_exhausted("too large");
    gate.always("commit", Step::Fail(status));
    let error = client(&gate).commit(commit()).await.unwrap_err();
    assert!(matches!(error, ClientError::Rejected(_)), "{error}");
    assert_eq!(gate.methods(), ["commit"]);
}

#[tokio::test]
async fn an_attempt_that_hangs_is_made_again_while_the_budget_has_room() {
    let gate = Gate::start().await;
    gate.next("commit", Step::Hang);
    let client = client(&gate).with_policy(RetryPolicy {
        deadline: Duration::from_millis(200),
        ..RetryPolicy::default()
    });
    client.commit(commit()).await.unwrap();
    assert_eq!(gate.methods(), ["commit", "commit"]);
}

#[tokio::test]
async fn a_change_whose_answer_never_came_is_unknown_not_failed() {
    let gate = Gate::start().await;
    gate.always("commit", Step::Hang);
    let client = client(&gate).with_policy(RetryPolicy::once(Duration::from_millis(200)));
    let error = client.commit(commit()).await.unwrap_err();
    assert!(error.outcome_unknown(), "{error}");
}

#[tokio::test]
async fn a_gate_that_is_not_there_has_done_nothing() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = nobody.local_addr().unwrap();
    drop(nobody);
    let policy = RetryPolicy {
        max_attempts: 2,
        first_backoff: Duration::from_millis(5),
        ..RetryPolicy::default()
    };
    let client = Client::builder(&free.to_string()).policy(policy).lazy().unwrap();
    let error = client.reserve(request()).await.unwrap_err();
    let ClientError::Unavailable(exhausted) = error else {
        panic!("{error}");
    };
    assert_eq!(exhausted.attempts, 2);
    assert!(exhausted.last.not_sent);
    assert!(exhausted.last.message.contains("refused"), "{exhausted}");
    assert!(Client::connect(&free.to_string()).await.is_err());
}

#[tokio::test]
async fn a_read_without_an_answer_is_unavailable_since_nothing_can_have_changed() {
    let gate = Gate::start().await;
    gate.always("get", Step::Hang);
    let client = client(&gate).with_policy(RetryPolicy::once(Duration::from_millis(200)));
    let read = client
        .get_reservation(GetReservationRequest {
            account_id: "acme".into(),
            reservation_id: "r1".into(),
        })
        .await;
    let error = read.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn an_answer_without_a_verdict_lets_nothing_through() {
    let gate = Gate::start().await;
    gate.next("reserve", Step::NoVerdict);
    let error = client(&gate).reserve(request()).await.unwrap_err();
    assert!(matches!(error, ClientError::Malformed(_)), "{error}");
}
