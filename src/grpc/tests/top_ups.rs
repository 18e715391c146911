//! Requests about purchases, and their answers.

use chrono::TimeDelta;

use super::wrong;
use crate::{
    clock::Timestamp,
    domain::{
        command::Outcome,
        credit::{Balance, MAX_CREDITS},
        payment::{TopUp, TopUpStatus},
    },
    grpc::{billing::key, decode, decode::Invalid, encode},
    ids::{AccountId, CreditType, OperationId},
    ledger::LedgerError,
    proto,
};

fn begin(change: impl FnOnce(&mut proto::BeginTopUpRequest)) -> proto::BeginTopUpRequest {
    let mut request = proto::BeginTopUpRequest {
        top_up_id: "top-1".to_owned(),
        account_id: "acc_1".to_owned(),
        credit_type: "scan".to_owned(),
        credits: 5,
        provider: "paddle".to_owned(),
        provider_reference: "txn_1".to_owned(),
    };
    change(&mut request);
    request
}

#[test]
fn a_purchase_is_of_a_known_provider_whose_payment_may_come_later() {
    let (account_id, request) = decode::begin_top_up(begin(|_| ())).unwrap();
    assert_eq!((account_id.as_str(), request.top_up_id.as_str()), ("acc_1", "top-1"));
    assert_eq!((request.credit_type.as_str(), request.credits), ("scan", 5));
    assert_eq!((&*request.provider, &*request.provider_reference), ("paddle", "txn_1"));
    for good in [
        begin(|r| r.provider = "manual".to_owned()),
        begin(|r| r.provider_reference.clear()),
        begin(|r| r.provider_reference = "~".repeat(128)),
        begin(|r| r.top_up_id = "x".repeat(128)),
        begin(|r| r.credits = MAX_CREDITS),
    ] {
        assert!(decode::begin_top_up(good.clone()).is_ok(), "{good:?}");
    }
}

#[test]
fn each_field_of_a_purchase_is_checked() {
    for (request, field) in [
        (begin(|r| r.top_up_id.clear()), "top_up_id"),
        (begin(|r| r.top_up_id = "x".repeat(129)), "top_up_id"),
        (begin(|r| r.account_id = "a b".to_owned()), "account_id"),
        (begin(|r| r.credit_type.clear()), "credit_type"),
        (begin(|r| r.credits = 0), "credits"),
        (begin(|r| r.credits = -1), "credits"),
        (begin(|r| r.credits = MAX_CREDITS + 1), "credits"),
        (begin(|r| r.provider.clear()), "provider"),
        (begin(|r| r.provider = "Paddle".to_owned()), "provider"),
        (begin(|r| r.provider = "stripe".to_owned()), "provider"),
        (begin(|r| r.provider_reference = "txn 1".to_owned()), "provider_reference"),
        (begin(|r| r.provider_reference = "txn\n".to_owned()), "provider_reference"),
        (begin(|r| r.provider_reference = "txn_\u{e4}".to_owned()), "provider_reference"),
        (begin(|r| r.provider_reference = "x".repeat(129)), "provider_reference"),
    ] {
        assert_eq!(wrong(decode::begin_top_up(request)), [field]);
    }
    assert_eq!(
        wrong(decode::begin_top_up(proto::BeginTopUpRequest::default())),
        ["top_up_id", "account_id", "credit_type", "credits", "provider"]
    );
}

#[test]
fn a_purchase_is_confirmed_or_closed_by_its_id_alone() {
    let confirm = |id: &str, reference: &str| {
        decode::confirm_top_up(&proto::ConfirmTopUpRequest {
            top_up_id: id.to_owned(),
            provider_reference: reference.to_owned(),
        })
    };
    assert_eq!(confirm("top-1", "").unwrap().as_str(), "top-1");
    assert!(confirm("top-1", "invoice/17").is_ok());
    assert_eq!(wrong(confirm("", "two words")), ["top_up_id", "provider_reference"]);
    let fail = |id: &str, reason: &str| {
        decode::fail_top_up(&proto::FailTopUpRequest {
            top_up_id: id.to_owned(),
            reason: reason.to_owned(),
        })
    };
    assert!(fail("top-1", "").is_ok());
    assert!(fail("top-1", &"x".repeat(256)).is_ok());
    assert_eq!(wrong(fail(&"x".repeat(129), "a\nb")), ["top_up_id", "reason"]);
    assert_eq!(wrong(fail("top-1", &"x".repeat(257))), ["reason"]);
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn stamp(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

fn top_up(status: TopUpStatus) -> TopUp {
    TopUp {
        top_up_id: OperationId::new("top-1").unwrap(),
        credit_type: CreditType::new("scan").unwrap(),
        credits: 5,
        price_minor: 14_500,
        currency: "USD".to_owned(),
        status,
        provider: "manual".to_owned(),
        provider_reference: "inv-1".to_owned(),
        reason: "why".to_owned(),
        create_time: at(1),
        expire_time: at(2),
        settle_time: Some(at(3)),
    }
}

fn top_up_sent(status: proto::TopUpStatus) -> proto::TopUp {
    proto::TopUp {
        top_up_id: "top-1".to_owned(),
        account_id: "acc_1".to_owned(),
        credit_type: "scan".to_owned(),
        credits: 5,
        price_minor: 14_500,
        currency: "USD".to_owned(),
        status: status.into(),
        provider: "manual".to_owned(),
        provider_reference: "inv-1".to_owned(),
        create_time: stamp(1),
        settle_time: stamp(3),
        expire_time: stamp(2),
        reason: "why".to_owned(),
    }
}

#[test]
fn every_answer_shows_the_whole_purchase() {
    let account_id = AccountId::new("acc_1").unwrap();
    let begun = Outcome::TopUpBegun { top_up: top_up(TopUpStatus::Pending), replayed: true };
    let begun = encode::top_up_begun(&account_id, begun).unwrap();
    assert_eq!(begun.top_up, Some(top_up_sent(proto::TopUpStatus::Pending)));
    assert!(begun.replayed);
    let paid = Outcome::TopUpConfirmed {
        top_up: top_up(TopUpStatus::Confirmed),
        balance: Balance { available: 5, sequence: 1, ..Balance::EMPTY },
        replayed: true,
    };
    let paid = encode::top_up_confirmed(&account_id, paid).unwrap();
    assert_eq!(paid.top_up, Some(top_up_sent(proto::TopUpStatus::Confirmed)));
    let balance = paid.balance.unwrap();
    assert_eq!((&*balance.credit_type, balance.available, paid.replayed), ("scan", 5, true));
    let closed = Outcome::TopUpClosed { top_up: top_up(TopUpStatus::Failed) };
    let closed = encode::top_up_closed(&account_id, closed).unwrap();
    assert_eq!(closed.top_up, Some(top_up_sent(proto::TopUpStatus::Failed)));
    for error in [
        encode::top_up_begun(&account_id, Outcome::DueApplied).unwrap_err(),
        encode::top_up_confirmed(&account_id, Outcome::DueApplied).unwrap_err(),
        encode::top_up_closed(&account_id, Outcome::DueApplied).unwrap_err(),
    ] {
        assert!(matches!(error, LedgerError::Internal));
    }
}

#[test]
fn a_list_of_purchases_goes_on_after_the_last_one_that_was_sent() {
    let list = |account_id: &str, page_token: &str| {
        decode::top_ups(&proto::ListTopUpsRequest {
            account_id: account_id.to_owned(),
            page_size: 7,
            page_token: page_token.to_owned(),
        })
    };
    let first = list("acc_1", "").unwrap();
    assert_eq!((first.query.after, first.query.limit), (None, 8));
    let last = key(&top_up(TopUpStatus::Pending));
    let token = first.list.token(&last);
    assert_eq!(list("acc_1", &token).unwrap().query.after, Some(last));
    assert_eq!(list("acc_2", &token).unwrap_err(), Invalid::PageToken);
    assert_eq!(wrong(list("", "")), ["account_id"]);
}
