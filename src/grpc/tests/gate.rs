//! The gate's requests.

use chrono::TimeDelta;
use prost_types::Duration;

use super::{why, wrong};
use crate::{
    domain::{command::Action, credit::MAX_CREDITS, reservation::ReleaseCause},
    grpc::decode::{self, Invalid},
    proto,
};

fn actor() -> String {
    "scheduler".to_owned()
}

fn scan() -> proto::Scan {
    proto::Scan {
        account_id: "acc_1".to_owned(),
        project_id: "site".to_owned(),
        scan_kind: "live_audit".to_owned(),
        credits: 0,
    }
}

fn reserve() -> proto::ReserveRequest {
    proto::ReserveRequest {
        reservation_id: "run-1".to_owned(),
        scan: Some(scan()),
        lease: Some(Duration { seconds: 60, nanos: 0 }),
        labels: [("team".to_owned(), "blue".to_owned())].into(),
    }
}

fn with(change: impl FnOnce(&mut proto::ReserveRequest)) -> proto::ReserveRequest {
    let mut request = reserve();
    change(&mut request);
    request
}

fn with_scan(change: impl FnOnce(&mut proto::Scan)) -> proto::ReserveRequest {
    with(|request| change(request.scan.as_mut().unwrap()))
}

#[test]
fn a_good_request_becomes_a_command() {
    let command = decode::reserve(reserve(), actor()).unwrap();
    assert_eq!(command.account_id.as_str(), "acc_1");
    assert_eq!(command.actor, "scheduler");
    let Action::Reserve(reserve) = command.action else { panic!("not a reserve") };
    assert_eq!(reserve.reservation_id.as_str(), "run-1");
    assert_eq!(reserve.scan.project_id.unwrap().as_str(), "site");
    assert_eq!(reserve.lease, Some(TimeDelta::minutes(1)));
    assert_eq!(reserve.labels["team"], "blue");
}

#[test]
fn what_may_be_left_out_may() {
    let request = with(|request| {
        request.lease = None;
        request.labels.clear();
        request.scan.as_mut().unwrap().project_id.clear();
    });
    let Action::Reserve(reserve) = decode::reserve(request, actor()).unwrap().action else {
        panic!("not a reserve")
    };
    assert_eq!((reserve.scan.project_id, reserve.lease), (None, None));
}

#[test]
fn each_field_is_checked() {
    let long = |bytes| "x".repeat(bytes);
    for (request, field) in [
        (with(|r| r.reservation_id.clear()), "reservation_id"),
        (with(|r| r.reservation_id = long(129)), "reservation_id"),
        (with(|r| r.reservation_id = "a\0".to_owned()), "reservation_id"),
        (with(|r| r.scan = None), "scan"),
        (with_scan(|s| s.account_id.clear()), "scan.account_id"),
        (with_scan(|s| s.account_id = long(65)), "scan.account_id"),
        (with_scan(|s| s.account_id = "konto-ä".to_owned()), "scan.account_id"),
        (with_scan(|s| s.project_id = "a b".to_owned()), "scan.project_id"),
        (with_scan(|s| s.project_id = long(129)), "scan.project_id"),
        (with_scan(|s| s.scan_kind.clear()), "scan.scan_kind"),
        (with_scan(|s| s.scan_kind = "a/b".to_owned()), "scan.scan_kind"),
        (with_scan(|s| s.credits = -1), "scan.credits"),
        (with_scan(|s| s.credits = MAX_CREDITS + 1), "scan.credits"),
        (with_scan(|s| s.credits = i64::MIN), "scan.credits"),
        (with_scan(|s| s.credits = i64::MAX), "scan.credits"),
        (with(|r| r.lease = Some(Duration { seconds: 0, nanos: 0 })), "lease"),
        (with(|r| r.labels = (0..17).map(|n| (n.to_string(), String::new())).collect()), "labels"),
        (with(|r| r.labels = [(String::new(), String::new())].into()), "labels"),
        (with(|r| r.labels = [(long(65), String::new())].into()), "labels"),
        (with(|r| r.labels = [("a\nb".to_owned(), String::new())].into()), "labels"),
        (with(|r| r.labels = [("k".to_owned(), long(257))].into()), "labels[\"k\"]"),
        (with(|r| r.labels = [("k".to_owned(), "\u{85}".to_owned())].into()), "labels[\"k\"]"),
    ] {
        assert_eq!(wrong(decode::reserve(request.clone(), actor())), [field], "{request:?}");
    }
}

#[test]
fn limits_themselves_are_allowed() {
    let labels = (0..16).map(|n| (format!("{n:064}"), "ü".repeat(128)));
    let request = with(|r| {
        r.reservation_id = "x".repeat(128);
        r.labels = labels.collect();
        r.scan.as_mut().unwrap().credits = MAX_CREDITS;
    });
    assert!(decode::reserve(request, actor()).is_ok());
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let request = proto::ReserveRequest {
        reservation_id: String::new(),
        scan: Some(proto::Scan { credits: -5, ..proto::Scan::default() }),
        lease: Some(Duration { seconds: i64::MAX, nanos: -1 }),
        labels: [(String::new(), String::new())].into(),
    };
    assert_eq!(
        wrong(decode::reserve(request, actor())),
        ["reservation_id", "scan.account_id", "scan.scan_kind", "scan.credits", "lease", "labels"]
    );
    assert_eq!(
        wrong(decode::check(proto::CheckEligibilityRequest { scan: None }, actor())),
        ["scan"]
    );
}

#[test]
fn a_commit_takes_no_credits_or_at_least_one() {
    let commit = |credits| {
        let request = proto::CommitRequest {
            account_id: "a".to_owned(),
            reservation_id: "r".to_owned(),
            credits,
        };
        decode::commit(request, actor())
    };
    for good in [None, Some(1), Some(MAX_CREDITS)] {
        let Action::Commit { credits, .. } = commit(good).unwrap().action else {
            panic!("not a commit")
        };
        assert_eq!(credits, good);
    }
    for bad in [0, -1, MAX_CREDITS + 1, i64::MIN, i64::MAX] {
        assert_eq!(wrong(commit(Some(bad))), ["credits"]);
    }
    let request = proto::CommitRequest { credits: Some(0), ..proto::CommitRequest::default() };
    assert_eq!(
        wrong(decode::commit(request, actor())),
        ["account_id", "reservation_id", "credits"]
    );
}

#[test]
fn a_release_needs_a_cause_that_exists() {
    let release = |cause, note: &str| {
        let request = proto::ReleaseRequest {
            account_id: "a".to_owned(),
            reservation_id: "r".to_owned(),
            cause,
            note: note.to_owned(),
        };
        decode::release(request, actor())
    };
    for cause in ReleaseCause::ALL {
        let Action::Release { cause: decoded, .. } =
            release(i32::from(cause as i16), "").unwrap().action
        else {
            panic!("not a release")
        };
        assert_eq!(decoded, cause);
    }
    assert_eq!(why(release(0, "")), "is required");
    // 65537 would be 1 if it were cut to 16 bits.
    for bad in [9, -1, 65_537, i32::MIN, i32::MAX] {
        assert_eq!(why(release(bad, "")), format!("has no value {bad}"));
    }
    assert!(release(1, &"x".repeat(256)).is_ok());
    assert!(release(1, "größer, and with \"quotes\"").is_ok());
    for bad in ["x".repeat(257), "a\nb".to_owned(), "\0".to_owned(), "\u{7f}".to_owned()] {
        assert_eq!(wrong(release(1, &bad)), ["note"], "{bad:?}");
    }
}

#[test]
fn an_extension_needs_a_lease() {
    let extend = |lease| {
        let request = proto::ExtendRequest {
            account_id: "a".to_owned(),
            reservation_id: "r".to_owned(),
            lease,
        };
        decode::extend(request, actor())
    };
    assert_eq!(why(extend(None)), "is required");
    assert_eq!(wrong(extend(Some(Duration { seconds: -1, nanos: 0 }))), ["lease"]);
    assert!(extend(Some(Duration { seconds: 1, nanos: 0 })).is_ok());
}

#[test]
fn a_malformed_item_leaves_its_neighbours_alone() {
    let requests = vec![reserve(), with(|r| r.reservation_id.clear()), reserve()];
    let items = decode::batch(proto::BatchReserveRequest { requests }, "scheduler").unwrap();
    let told: Vec<bool> = items.iter().map(Result::is_ok).collect();
    assert_eq!(told, [true, false, true]);
    let invalid = items.into_iter().nth(1).unwrap().unwrap_err();
    let error = proto::ItemError::from(invalid);
    assert_eq!(
        (error.code, &*error.reason, &*error.message),
        (3, "INVALID_REQUEST", "reservation_id is required")
    );
}

#[test]
fn a_batch_has_1_to_1000_items_and_an_answer_that_can_be_sent() {
    let batch = |requests| decode::batch(proto::BatchReserveRequest { requests }, "scheduler");
    assert_eq!(wrong(batch(Vec::new())), ["requests"]);
    assert_eq!(wrong(batch(vec![reserve(); 1001])), ["requests"]);
    assert_eq!(batch(vec![reserve(); 1000]).unwrap().len(), 1000);
    let labels = (0..16).map(|n| (n.to_string(), "x".repeat(256)));
    let large = with(|r| r.labels = labels.collect());
    assert!(why(batch(vec![large; 1000])).contains("bytes"));
}

#[test]
fn a_reservation_is_named_by_two_ids() {
    let request = proto::GetReservationRequest::default();
    assert_eq!(wrong(decode::reservation_name(&request)), ["account_id", "reservation_id"]);
    assert!(matches!(decode::reservation_name(&request), Err(Invalid::Request(_))));
}
