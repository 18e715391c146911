//! Hostile requests over the wire: each is refused with its code and reason,
//! and nothing is written.

use creditgate::proto;
use prost_types::{Duration, Timestamp};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    harness::{TestDb, TestServer, catalog},
    wire::{reserve, scan},
};

/// What must not change: rows, and versions of rows.
pub const FINGERPRINT: &str = "
    SELECT ((SELECT count(*) FROM accounts) * 1000003 + (SELECT count(*) FROM balances) * 10007
         + (SELECT coalesce(sum(version), 0) FROM accounts) * 101
         + (SELECT coalesce(sum(sequence), 0) FROM balances) * 1009
         + (SELECT count(*) FROM reservations) * 100003 + (SELECT count(*) FROM ledger_entries) * 31
         + (SELECT count(*) FROM operations) * 17 + (SELECT count(*) FROM projects) * 13
         + (SELECT count(*) FROM catalogs) * 7 + (SELECT count(*) FROM lots) * 5
         + (SELECT count(*) FROM notices) + (SELECT count(*) FROM subscriptions) * 19
         + (SELECT count(*) FROM top_ups) * 23)::bigint";

/// A code, and the reason that programs read.
fn said(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().map(|info| info.reason).unwrap_or_default())
}

/// Refused, with this code and reason.
pub fn expect<T: std::fmt::Debug>(
    what: &str,
    answer: Result<tonic::Response<T>, Status>,
    code: Code,
    reason: &str,
) {
    let status = answer.expect_err(what);
    assert_eq!(said(&status), (code, reason.to_owned()), "{what}: {status:?}");
    assert!(!status.message().is_empty(), "{what}");
    if code == Code::InvalidArgument && reason == "INVALID_REQUEST" {
        let violations = status.get_details_bad_request().expect(what).field_violations;
        assert!(!violations.is_empty(), "{what}");
    }
}

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

#[tokio::test]
async fn a_malformed_reserve_is_refused_and_writes_nothing() {
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 10).await;
    let before = db.count(FINGERPRINT).await;
    let long = "x".repeat(129);
    let id = |id: &str| reserve("a", id, "live_audit");
    let with = |change: &dyn Fn(&mut proto::ReserveRequest)| {
        let mut request = id("r");
        change(&mut request);
        request
    };
    let of =
        |change: &dyn Fn(&mut proto::Scan)| with(&|request| change(request.scan.as_mut().unwrap()));
    let invalid = (Code::InvalidArgument, "INVALID_REQUEST");
    let labels = |count: usize, key: usize, value: usize| {
        with(&|request| {
            request.labels =
                (0..count).map(|n| (format!("{n:0key$}"), "v".repeat(value))).collect();
        })
    };
    let table = [
        ("no id", id(""), invalid),
        ("a long id", id(&long), invalid),
        ("an id beyond ASCII", id("scän"), invalid),
        ("an id with a NUL", id("a\0b"), invalid),
        ("an id with a line break", id("a\nb"), invalid),
        ("no scan", with(&|request| request.scan = None), invalid),
        ("no account", of(&|scan| scan.account_id.clear()), invalid),
        ("a long account", of(&|scan| scan.account_id = "x".repeat(65)), invalid),
        ("a bad project", of(&|scan| scan.project_id = "a b".to_owned()), invalid),
        ("no kind", of(&|scan| scan.scan_kind.clear()), invalid),
        (
            "an unknown kind",
            of(&|scan| scan.scan_kind = "no_such".to_owned()),
            (Code::InvalidArgument, "SCAN_KIND_UNKNOWN"),
        ),
        (
            "an unknown account",
            of(&|scan| scan.account_id = "nobody".to_owned()),
            (Code::NotFound, "ACCOUNT_NOT_FOUND"),
        ),
        ("negative credits", of(&|scan| scan.credits = -1), invalid),
        ("the fewest credits", of(&|scan| scan.credits = i64::MIN), invalid),
        ("the most credits", of(&|scan| scan.credits = i64::MAX), invalid),
        (
            "credits for a free kind",
            of(&|scan| {
                scan.scan_kind = "quick_scan".to_owned();
                scan.credits = 1;
            }),
            (Code::InvalidArgument, "CREDITS_NOT_TAKEN"),
        ),
        (
            "no credits where no price is set",
            of(&|scan| scan.scan_kind = "auto_fix".to_owned()),
            (Code::InvalidArgument, "CREDITS_REQUIRED"),
        ),
        ("a lease of 0", with(&|request| request.lease = seconds(0)), invalid),
        ("a negative lease", with(&|request| request.lease = seconds(-5)), invalid),
        ("an endless lease", with(&|request| request.lease = seconds(i64::MAX)), invalid),
        (
            "a torn lease",
            with(&|request| request.lease = Some(Duration { seconds: 1, nanos: -1 })),
            invalid,
        ),
        (
            "a lease beyond the kind's",
            with(&|request| request.lease = seconds(90_000)),
            (Code::InvalidArgument, "LEASE_TOO_LONG"),
        ),
        ("17 labels", labels(17, 3, 1), invalid),
        ("a long label key", labels(1, 65, 1), invalid),
        ("a long label value", labels(1, 3, 257), invalid),
    ];
    for (what, request, (code, reason)) in table {
        expect(what, server.gate().reserve(request).await, code, reason);
    }
    assert_eq!(db.count(FINGERPRINT).await, before);
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn malformed_settlements_lists_and_batches_are_refused_and_write_nothing() {
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 10).await;
    let (mut gate, mut ledger) = (server.gate(), server.ledger());
    gate.reserve(reserve("a", "r1", "deep_audit")).await.unwrap();
    gate.reserve(reserve("a", "r2", "deep_audit")).await.unwrap();
    let before = db.count(FINGERPRINT).await;
    let invalid = "INVALID_REQUEST";

    for (what, credits, code, reason) in [
        ("0 credits", 0, Code::InvalidArgument, invalid),
        ("negative credits", -1, Code::InvalidArgument, invalid),
        ("too many credits", 4, Code::InvalidArgument, "CREDITS_EXCEED_HOLD"),
        ("the most credits", i64::MAX, Code::InvalidArgument, invalid),
    ] {
        let request = proto::CommitRequest {
            account_id: "a".to_owned(),
            reservation_id: "r1".to_owned(),
            credits: Some(credits),
        };
        expect(what, gate.commit(request).await, code, reason);
    }
    let release = |cause: i32, note: &str| proto::ReleaseRequest {
        account_id: "a".to_owned(),
        reservation_id: "r1".to_owned(),
        cause,
        note: note.to_owned(),
    };
    for (what, cause, note) in [
        ("no cause", 0, String::new()),
        ("an unknown cause", 99, String::new()),
        ("a negative cause", -1, String::new()),
        ("a long note", 2, "n".repeat(257)),
        ("a note with an escape", 2, "\u{1b}[31m".to_owned()),
    ] {
        let answer = gate.release(release(cause, &note)).await;
        expect(what, answer, Code::InvalidArgument, invalid);
    }
    let missing = proto::ReleaseRequest { reservation_id: "r9".to_owned(), ..release(2, "") };
    expect("no such hold", gate.release(missing).await, Code::NotFound, "RESERVATION_NOT_FOUND");
    for (what, lease, reason) in [
        ("no lease", None, invalid),
        ("a lease of 0", seconds(0), invalid),
        ("a long lease", seconds(90_000), "LEASE_TOO_LONG"),
    ] {
        let request = proto::ExtendRequest {
            account_id: "a".to_owned(),
            reservation_id: "r1".to_owned(),
            lease,
        };
        expect(what, gate.extend(request).await, Code::InvalidArgument, reason);
    }

    for count in [0, 1_001] {
        let requests = vec![reserve("a", "r", "live_audit"); count];
        let answer = gate.batch_reserve(proto::BatchReserveRequest { requests }).await;
        expect("a batch of a wrong size", answer, Code::InvalidArgument, invalid);
    }

    let list = |page_token: &str, state: i32| proto::ListReservationsRequest {
        account_id: "a".to_owned(),
        page_size: 1,
        page_token: page_token.to_owned(),
        state,
        ..Default::default()
    };
    let page = gate.list_reservations(list("", 0)).await.unwrap().into_inner();
    let token = page.next_page_token;
    assert!(gate.list_reservations(list(&token, 0)).await.is_ok());
    let entries = |page_token: &str| proto::ListLedgerEntriesRequest {
        account_id: "a".to_owned(),
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    let bad = "PAGE_TOKEN_INVALID";
    let code = Code::InvalidArgument;
    expect("of another filter", gate.list_reservations(list(&token, 1)).await, code, bad);
    expect("of another list", ledger.list_ledger_entries(entries(&token)).await, code, bad);
    expect("garbage", ledger.list_ledger_entries(entries("../../etc")).await, code, bad);
    expect("an unknown state", gate.list_reservations(list("", 77)).await, code, invalid);
    let negative = proto::ListReservationsRequest { page_size: -1, ..list("", 0) };
    expect("a negative page", gate.list_reservations(negative).await, code, invalid);
    let nobody = proto::ListLedgerEntriesRequest { account_id: "nobody".to_owned(), ..entries("") };
    let answer = ledger.list_ledger_entries(nobody).await;
    expect("an unknown account", answer, Code::NotFound, "ACCOUNT_NOT_FOUND");
    let as_of = proto::GetBalanceRequest {
        account_id: "a".to_owned(),
        as_of: Some(Timestamp { seconds: i64::MAX, nanos: 0 }),
        ..Default::default()
    };
    expect("a time beyond time", ledger.get_balance(as_of).await, code, invalid);

    assert_eq!(db.count(FINGERPRINT).await, before);
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn malformed_billing_is_refused_and_no_sum_overflows() {
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 10).await;
    let mut billing = server.billing();
    let before = db.count(FINGERPRINT).await;
    let grant = |id: &str, credits: i64| proto::GrantCreditsRequest {
        grant_id: id.to_owned(),
        account_id: "a".to_owned(),
        credit_type: "scan".to_owned(),
        credits,
        expire_time: None,
        reason: "why".to_owned(),
    };
    let invalid = (Code::InvalidArgument, "INVALID_REQUEST");
    let past = Some(Timestamp { seconds: 1, nanos: 0 });
    let table = [
        ("0", grant("g", 0), invalid),
        ("negative", grant("g", -5), invalid),
        ("too many", grant("g", i64::MAX), invalid),
        ("no id", grant("", 1), invalid),
        (
            "no reason",
            proto::GrantCreditsRequest { reason: String::new(), ..grant("g", 1) },
            invalid,
        ),
        (
            "an unknown type",
            proto::GrantCreditsRequest { credit_type: "gold".to_owned(), ..grant("g", 1) },
            (Code::InvalidArgument, "CREDIT_TYPE_UNKNOWN"),
        ),
        (
            "a past expiry",
            proto::GrantCreditsRequest { expire_time: past, ..grant("g", 1) },
            (Code::InvalidArgument, "EXPIRY_IN_PAST"),
        ),
        (
            "an unknown account",
            proto::GrantCreditsRequest { account_id: "nobody".to_owned(), ..grant("g", 1) },
            (Code::NotFound, "ACCOUNT_NOT_FOUND"),
        ),
    ];
    for (what, request, (code, reason)) in table {
        expect(what, billing.grant_credits(request).await, code, reason);
    }
    let revoke = proto::RevokeCreditsRequest {
        revocation_id: "v".to_owned(),
        account_id: "a".to_owned(),
        credit_type: "scan".to_owned(),
        credits: 11,
        reason: "why".to_owned(),
    };
    let answer = billing.revoke_credits(revoke).await;
    expect("more than is available", answer, Code::FailedPrecondition, "INSUFFICIENT_CREDITS");
    assert_eq!(db.count(FINGERPRINT).await, before);

    // At the very edge of 64 bits: the balance is put there by hand.
    db.execute("UPDATE balances SET spent = 9223372036854775807 - 1000000000000 - available + 1")
        .await;
    let answer = billing.grant_credits(grant("g2", 1_000_000_000_000)).await;
    expect("an overflow", answer, Code::FailedPrecondition, "BALANCE_TOO_LARGE");
    db.execute("UPDATE balances SET spent = 0").await;
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn accounts_and_catalogs_are_checked_and_the_same_again_changes_nothing() {
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 0).await;
    let mut accounts = server.accounts();
    let create = |id: &str, name: &str, email: &str| proto::CreateAccountRequest {
        account_id: id.to_owned(),
        display_name: name.to_owned(),
        billing_email: email.to_owned(),
    };
    accounts.create_account(create("b", "B", "b@example.com")).await.unwrap();
    accounts.create_account(create("b", "B", "b@example.com")).await.unwrap();
    let before = db.count(FINGERPRINT).await;
    let answer = accounts.create_account(create("b", "C", "b@example.com")).await;
    expect("another name", answer, Code::AlreadyExists, "ACCOUNT_EXISTS");
    for (what, request) in [
        ("an id", create("b b", "", "")),
        ("a name", create("c", "line\nbreak", "")),
        ("an address", create("c", "", "nowhere")),
    ] {
        let answer = accounts.create_account(request).await;
        expect(what, answer, Code::InvalidArgument, "INVALID_REQUEST");
    }
    let assign =
        proto::AssignProjectRequest { project_id: "p".to_owned(), account_id: "nobody".to_owned() };
    let answer = accounts.assign_project(assign).await;
    expect("to nobody", answer, Code::NotFound, "ACCOUNT_NOT_FOUND");

    let mut catalogs = server.catalog();
    let apply = |catalog, validate_only| proto::ApplyCatalogRequest {
        catalog: Some(catalog),
        validate_only,
    };
    let again = catalogs.apply_catalog(apply(catalog(), false)).await.unwrap().into_inner();
    assert_eq!((again.revision, again.changes), (1, vec![]));
    let mut dearer = catalog();
    dearer.scan_kinds[1].credits = 2;
    let preview = catalogs.apply_catalog(apply(dearer, true)).await.unwrap().into_inner();
    assert_eq!(preview.revision, 1);
    assert_eq!(preview.changes, ["scan kind live_audit: credits 1 -> 2"]);
    let mut twice = catalog();
    twice.scan_kinds.push(twice.scan_kinds[0].clone());
    let answer = catalogs.apply_catalog(apply(twice, false)).await;
    expect("a kind twice", answer, Code::InvalidArgument, "CATALOG_INVALID");
    assert_eq!(db.count(FINGERPRINT).await, before);
    let check = proto::CheckEligibilityRequest { scan: Some(scan("nobody", "live_audit")) };
    let answer = server.gate().check_eligibility(check).await;
    expect("an unknown account", answer, Code::NotFound, "ACCOUNT_NOT_FOUND");
    server.finish().await;
    db.finish().await;
}
