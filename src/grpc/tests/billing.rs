//! Requests about accounts, grants and revocations.

use super::wrong;
use crate::{
    domain::{
        command::{Action, OperationKind},
        credit::{LotSource, MAX_CREDITS},
    },
    grpc::decode,
    proto,
};

fn grant(change: impl FnOnce(&mut proto::GrantCreditsRequest)) -> proto::GrantCreditsRequest {
    let mut request = proto::GrantCreditsRequest {
        grant_id: "gift-1".to_owned(),
        account_id: "acc_1".to_owned(),
        credit_type: "scan".to_owned(),
        credits: 5,
        expire_time: None,
        reason: "a gift".to_owned(),
    };
    change(&mut request);
    request
}

#[test]
fn a_grant_is_an_operators_and_keyed_by_its_id() {
    let command = decode::grant(grant(|_| ()), "ops".to_owned()).unwrap();
    let Action::Grant(grant) = command.action else { panic!("not a grant") };
    assert_eq!((grant.key.0, grant.key.1.as_str()), (OperationKind::Grant, "gift-1"));
    assert_eq!((grant.source, grant.credits), (LotSource::Grant, 5));
}

#[test]
fn each_field_of_a_grant_is_checked() {
    for (request, field) in [
        (grant(|r| r.grant_id.clear()), "grant_id"),
        (grant(|r| r.grant_id = "x".repeat(129)), "grant_id"),
        (grant(|r| r.account_id = "é".to_owned()), "account_id"),
        (grant(|r| r.credit_type.clear()), "credit_type"),
        (grant(|r| r.credits = 0), "credits"),
        (grant(|r| r.credits = i64::MIN), "credits"),
        (grant(|r| r.credits = MAX_CREDITS + 1), "credits"),
        (
            grant(|r| r.expire_time = Some(prost_types::Timestamp { seconds: -1, nanos: 0 })),
            "expire_time",
        ),
        (grant(|r| r.reason.clear()), "reason"),
        (grant(|r| r.reason = " \t ".to_owned()), "reason"),
        (grant(|r| r.reason = "x".repeat(257)), "reason"),
        (grant(|r| r.reason = "two\nlines".to_owned()), "reason"),
    ] {
        assert_eq!(wrong(decode::grant(request, String::new())), [field]);
    }
    assert_eq!(
        wrong(decode::grant(proto::GrantCreditsRequest::default(), String::new())),
        ["grant_id", "account_id", "credit_type", "credits", "reason"]
    );
}

#[test]
fn a_revocation_is_keyed_by_its_id_and_needs_a_reason() {
    let request = proto::RevokeCreditsRequest {
        revocation_id: "back-1".to_owned(),
        account_id: "acc_1".to_owned(),
        credit_type: "scan".to_owned(),
        credits: MAX_CREDITS,
        reason: "x".repeat(256),
    };
    let (credit_type, command) = decode::revoke(request.clone(), "ops".to_owned()).unwrap();
    let Action::Revoke(revoke) = command.action else { panic!("not a revocation") };
    assert_eq!((revoke.key.0, revoke.key.1.as_str()), (OperationKind::Revocation, "back-1"));
    assert_eq!(revoke.credit_type, credit_type);
    let long = proto::RevokeCreditsRequest { revocation_id: "x".repeat(129), ..request };
    assert_eq!(wrong(decode::revoke(long, String::new())), ["revocation_id"]);
    assert_eq!(
        wrong(decode::revoke(proto::RevokeCreditsRequest::default(), String::new())),
        ["revocation_id", "account_id", "credit_type", "credits", "reason"]
    );
}

#[test]
fn an_accounts_address_is_plausible_or_empty() {
    let create = |name: &str, email: &str| {
        decode::create_account(&proto::CreateAccountRequest {
            account_id: "acc_1".to_owned(),
            display_name: name.to_owned(),
            billing_email: email.to_owned(),
        })
    };
    let longest = format!("{}@{}", "x".repeat(64), "y".repeat(255));
    for good in ["", "a@b", "billing+x@example.com", "jörg@exämple.de", &longest] {
        assert!(create("Example Inc.", good).is_ok(), "{good:?}");
    }
    let too_long = format!("{longest}y");
    for bad in [
        "a",
        "@",
        "a@",
        "@b",
        "a@b@c",
        "a b@c",
        "a@b ",
        "a@b\r\nBcc: c@d",
        "a@b\0",
        "a@\u{a0}b",
        &too_long,
    ] {
        assert_eq!(wrong(create("", bad)), ["billing_email"], "{bad:?}");
    }
    assert_eq!(wrong(create(&"x".repeat(257), "")), ["display_name"]);
    assert_eq!(wrong(create("a\u{1b}[31m", "")), ["display_name"]);
}

#[test]
fn a_suspension_needs_a_reason_and_its_end_none() {
    let suspend = |suspended, reason: &str| {
        decode::suspension(&proto::SetAccountSuspensionRequest {
            account_id: "acc_1".to_owned(),
            suspended,
            reason: reason.to_owned(),
        })
    };
    assert!(suspend(true, "dispute").is_ok());
    assert!(suspend(false, "").is_ok());
    assert_eq!(wrong(suspend(true, "")), ["reason"]);
    assert_eq!(wrong(suspend(false, "\0")), ["reason"]);
}

#[test]
fn a_link_is_to_a_customer_of_paddle() {
    let link = |provider: &str, customer: &str| {
        decode::link_provider(&proto::LinkProviderRequest {
            account_id: "acc_1".to_owned(),
            provider: provider.to_owned(),
            customer_id: customer.to_owned(),
        })
    };
    assert!(link("paddle", "ctm_01").is_ok());
    assert!(link("paddle", &"x".repeat(128)).is_ok());
    assert_eq!(wrong(link("Paddle", "ctm_01")), ["provider"]);
    assert_eq!(wrong(link("", "")), ["provider", "customer_id"]);
    for bad in ["ctm 1", "ctm\n", "ctm_ä", &"x".repeat(129)] {
        assert_eq!(wrong(link("paddle", bad)), ["customer_id"]);
    }
}

#[test]
fn a_project_is_assigned_to_an_account() {
    assert_eq!(
        wrong(decode::assignment(&proto::AssignProjectRequest::default())),
        ["project_id", "account_id"]
    );
}
