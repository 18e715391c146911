//! Hostile requests about subscriptions and purchases: each is refused with its
//! code and reason, and nothing is written.

use creditgate::proto;
use prost_types::Timestamp;
use tonic::Code::{self, FailedPrecondition, InvalidArgument, NotFound};

use crate::{
    bad_input::{FINGERPRINT, expect},
    billing::{begin, open, start},
    harness::TestDb,
};

const INVALID: (Code, &str) = (InvalidArgument, "INVALID_REQUEST");

fn seconds(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

#[tokio::test]
async fn a_malformed_start_is_refused_and_writes_nothing() {
    let db = TestDb::new().await;
    let server = open(&db, "a").await;
    let mut billing = server.billing();
    let before = db.count(FINGERPRINT).await;
    let with = |change: &dyn Fn(&mut proto::StartSubscriptionRequest)| {
        let mut request = start("a", "s", "pro");
        change(&mut request);
        request
    };
    let table = [
        ("no account", with(&|r| r.account_id.clear()), INVALID),
        ("no plan", with(&|r| r.plan.clear()), INVALID),
        ("a long id", with(&|r| r.subscription_id = "x".repeat(129)), INVALID),
        ("an unknown interval", with(&|r| r.interval = 9), INVALID),
        ("a time before time", with(&|r| r.start_time = seconds(-1)), INVALID),
        ("a time beyond time", with(&|r| r.trial_end_time = seconds(i64::MAX)), INVALID),
        ("credits without a trial", with(&|r| r.trial_credits = 1), INVALID),
        (
            "an unknown plan",
            with(&|r| r.plan = "gold".to_owned()),
            (InvalidArgument, "PLAN_UNKNOWN"),
        ),
        (
            "tomorrow",
            with(&|r| r.start_time = seconds(now() + 86_400)),
            (InvalidArgument, "START_IN_FUTURE"),
        ),
        (
            "long ago",
            with(&|r| r.start_time = seconds(now() - 40 * 86_400)),
            (InvalidArgument, "START_TOO_EARLY"),
        ),
        (
            "a trial that is over",
            with(&|r| r.trial_end_time = seconds(now() - 1)),
            (InvalidArgument, "TRIAL_END_INVALID"),
        ),
        (
            "a trial of credits that the plan has none of",
            with(&|r| {
                r.plan = "monitor".to_owned();
                r.trial_end_time = seconds(now() + 60);
                r.trial_credits = 1;
            }),
            (InvalidArgument, "TRIAL_WITHOUT_CREDITS"),
        ),
        (
            "an unknown account",
            with(&|r| r.account_id = "nobody".to_owned()),
            (NotFound, "ACCOUNT_NOT_FOUND"),
        ),
    ];
    for (what, request, (code, reason)) in table {
        expect(what, billing.start_subscription(request).await, code, reason);
    }
    assert_eq!(db.count(FINGERPRINT).await, before);
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn a_subscription_that_is_not_there_or_not_meant_is_not_changed() {
    let db = TestDb::new().await;
    let server = open(&db, "a").await;
    let mut billing = server.billing();
    let missing = (NotFound, "SUBSCRIPTION_NOT_FOUND");
    let account_id = || "a".to_owned();
    for (subscriptions, id, (code, reason)) in [
        (0, "", missing),
        (0, "s1", missing),
        (1, "s9", missing),
        (2, "", (InvalidArgument, "SUBSCRIPTION_AMBIGUOUS")),
        (2, "s 1", INVALID),
    ] {
        for number in 1..=subscriptions {
            let request = start("a", &format!("s{number}"), "pro");
            billing.start_subscription(request).await.unwrap();
        }
        let before = db.count(FINGERPRINT).await;
        let subscription_id = || id.to_owned();
        let renew = proto::RenewSubscriptionRequest {
            account_id: account_id(),
            period_start_time: None,
            subscription_id: subscription_id(),
        };
        expect("renew", billing.renew_subscription(renew).await, code, reason);
        let change = proto::ChangePlanRequest {
            account_id: account_id(),
            plan: "agency".to_owned(),
            subscription_id: subscription_id(),
        };
        expect("change", billing.change_plan(change).await, code, reason);
        let cancel = proto::CancelSubscriptionRequest {
            account_id: account_id(),
            immediately: true,
            subscription_id: subscription_id(),
        };
        expect("cancel", billing.cancel_subscription(cancel).await, code, reason);
        let resume = proto::ResumeSubscriptionRequest {
            account_id: account_id(),
            subscription_id: subscription_id(),
        };
        expect("resume", billing.resume_subscription(resume).await, code, reason);
        assert_eq!(db.count(FINGERPRINT).await, before);
    }
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn a_malformed_purchase_is_refused_and_writes_nothing() {
    let db = TestDb::new().await;
    let server = open(&db, "a").await;
    let mut billing = server.billing();
    let before = db.count(FINGERPRINT).await;
    let with = |change: &dyn Fn(&mut proto::BeginTopUpRequest)| {
        let mut request = begin("a", "t", 5);
        change(&mut request);
        request
    };
    let table = [
        ("no id", with(&|r| r.top_up_id.clear()), INVALID),
        ("a long id", with(&|r| r.top_up_id = "x".repeat(129)), INVALID),
        ("no account", with(&|r| r.account_id.clear()), INVALID),
        ("no type", with(&|r| r.credit_type.clear()), INVALID),
        ("no credits", with(&|r| r.credits = 0), INVALID),
        ("negative credits", with(&|r| r.credits = i64::MIN), INVALID),
        ("too many credits", with(&|r| r.credits = 1_000_000_000_001), INVALID),
        ("no provider", with(&|r| r.provider.clear()), INVALID),
        ("another provider", with(&|r| r.provider = "stripe".to_owned()), INVALID),
        ("a payment with a NUL", with(&|r| r.provider_reference = "t\0".to_owned()), INVALID),
        (
            "an unknown type",
            with(&|r| r.credit_type = "gold".to_owned()),
            (InvalidArgument, "CREDIT_TYPE_UNKNOWN"),
        ),
        (
            "a type without a price",
            with(&|r| r.credit_type = "fix".to_owned()),
            (FailedPrecondition, "NOT_FOR_SALE"),
        ),
        (
            "an unknown account",
            with(&|r| r.account_id = "nobody".to_owned()),
            (NotFound, "ACCOUNT_NOT_FOUND"),
        ),
    ];
    for (what, request, (code, reason)) in table {
        expect(what, billing.begin_top_up(request).await, code, reason);
    }
    for (what, id, reference, (code, reason)) in [
        ("no id", "", "", INVALID),
        ("a reference with a space", "t", "a b", INVALID),
        ("not opened", "never", "", (NotFound, "TOP_UP_NOT_FOUND")),
        // Its id was taken by a purchase that was then refused.
        ("refused when it was opened", "t", "", (NotFound, "TOP_UP_NOT_FOUND")),
    ] {
        let request = proto::ConfirmTopUpRequest {
            top_up_id: id.to_owned(),
            provider_reference: reference.to_owned(),
        };
        expect(what, billing.confirm_top_up(request).await, code, reason);
    }
    for (what, id, why, (code, reason)) in [
        ("no id", "", "", INVALID),
        ("a reason with an escape", "t", "\u{1b}[31m", INVALID),
        ("not opened", "never", "", (NotFound, "TOP_UP_NOT_FOUND")),
    ] {
        let request = proto::FailTopUpRequest { top_up_id: id.to_owned(), reason: why.to_owned() };
        expect(what, billing.fail_top_up(request).await, code, reason);
    }
    for (what, account_id, page_token, (code, reason)) in [
        ("no account", "", "", INVALID),
        ("garbage", "a", "../../etc", (InvalidArgument, "PAGE_TOKEN_INVALID")),
        ("an unknown account", "nobody", "", (NotFound, "ACCOUNT_NOT_FOUND")),
    ] {
        let request = proto::ListTopUpsRequest {
            account_id: account_id.to_owned(),
            page_token: page_token.to_owned(),
            page_size: 0,
        };
        expect(what, billing.list_top_ups(request).await, code, reason);
    }
    assert_eq!(db.count(FINGERPRINT).await, before);
    server.finish().await;
    db.finish().await;
}
