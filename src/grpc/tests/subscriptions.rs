//! Requests about subscriptions, and their answers.

use chrono::TimeDelta;

use super::{why, wrong};
use crate::{
    clock::Timestamp,
    domain::{
        command::{Action, Outcome},
        credit::{Balance, MAX_CREDITS},
        subscription::{BillingInterval, Subscription, SubscriptionStatus, Trial},
    },
    grpc::{decode, encode},
    ids::{AccountId, CreditType, PlanName, SubscriptionId},
    ledger::LedgerError,
    proto,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn stamp(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

fn start(
    change: impl FnOnce(&mut proto::StartSubscriptionRequest),
) -> proto::StartSubscriptionRequest {
    let mut request = proto::StartSubscriptionRequest {
        account_id: "acc_1".to_owned(),
        plan: "pro".to_owned(),
        ..proto::StartSubscriptionRequest::default()
    };
    change(&mut request);
    request
}

fn started(
    request: &proto::StartSubscriptionRequest,
) -> crate::domain::subscription::StartSubscription {
    match decode::start_subscription(request, "ops".to_owned()).unwrap().action {
        Action::StartSubscription(start) => start,
        other => panic!("not a start: {other:?}"),
    }
}

#[test]
fn what_is_left_out_of_a_start_is_a_paid_month_from_now_under_an_id_of_ours() {
    let plain = started(&start(|_| ()));
    assert_eq!(plain.subscription_id, None);
    assert_eq!((plain.sent.plan.as_str(), plain.sent.interval), ("pro", BillingInterval::Month));
    assert_eq!((plain.sent.start_time, plain.sent.trial), (None, None));
}

#[test]
fn a_trial_is_a_start_with_an_end() {
    let trial = started(&start(|r| {
        r.interval = 2;
        r.start_time = stamp(5);
        r.trial_end_time = stamp(10);
        r.trial_credits = 3;
        r.subscription_id = "s-1".to_owned();
    }));
    assert_eq!(trial.subscription_id, Some(SubscriptionId::new("s-1").unwrap()));
    assert_eq!((trial.sent.interval, trial.sent.start_time), (BillingInterval::Year, Some(at(5))));
    assert_eq!(trial.sent.trial, Some(Trial { end_time: at(10), credits: 3 }));
    let nothing_to_spend = started(&start(|r| r.trial_end_time = stamp(10)));
    assert_eq!(nothing_to_spend.sent.trial, Some(Trial { end_time: at(10), credits: 0 }));
}

#[test]
fn each_field_of_a_start_is_checked_and_all_that_is_wrong_is_told() {
    for (request, field) in [
        (start(|r| r.account_id.clear()), "account_id"),
        (start(|r| r.plan.clear()), "plan"),
        (start(|r| r.plan = "no plan".to_owned()), "plan"),
        (start(|r| r.interval = 3), "interval"),
        (start(|r| r.interval = -1), "interval"),
        (start(|r| r.start_time = stamp(-1)), "start_time"),
        (start(|r| r.trial_end_time = stamp(253_402_300_800)), "trial_end_time"),
        (start(|r| r.subscription_id = "x".repeat(129)), "subscription_id"),
        (start(|r| r.trial_credits = -1), "trial_credits"),
        (start(|r| r.trial_credits = 1), "trial_end_time"),
    ] {
        let result = decode::start_subscription(&request, String::new());
        assert_eq!(wrong(result), [field], "{request:?}");
    }
    let both = start(|r| {
        r.trial_credits = MAX_CREDITS + 1;
        r.trial_end_time = stamp(-1);
    });
    let fields = wrong(decode::start_subscription(&both, String::new()));
    assert_eq!(fields, ["trial_end_time", "trial_credits"]);
    let credits = start(|r| r.trial_credits = 7);
    let said = why(decode::start_subscription(&credits, String::new()));
    assert!(said.contains("trial_credits"), "{said}");
}

#[test]
fn a_change_names_the_account_and_may_name_the_subscription() {
    let actor = String::new;
    let of = |account_id: &str, subscription_id: &str| {
        (account_id.to_owned(), subscription_id.to_owned())
    };
    for (ids, expected) in [
        (of("acc_1", ""), Ok(None)),
        (of("acc_1", "s-1"), Ok(Some(SubscriptionId::new("s-1").unwrap()))),
        (of("", "s 1"), Err(["account_id", "subscription_id"])),
    ] {
        let ((account_id, subscription_id), immediately) = (ids.clone(), true);
        let cancel = proto::CancelSubscriptionRequest { account_id, immediately, subscription_id };
        let cancel = decode::cancel_subscription(&cancel, actor());
        let (account_id, subscription_id) = ids.clone();
        let resume = proto::ResumeSubscriptionRequest { account_id, subscription_id };
        let resume = decode::resume_subscription(&resume, actor());
        let (account_id, subscription_id) = ids.clone();
        let plan = "pro".to_owned();
        let change = proto::ChangePlanRequest { account_id, plan, subscription_id };
        let change = decode::change_plan(&change, actor());
        let (account_id, subscription_id) = ids;
        let period_start_time = stamp(9);
        let renew =
            proto::RenewSubscriptionRequest { account_id, period_start_time, subscription_id };
        let renew = decode::renew_subscription(&renew, actor());
        match expected {
            Ok(id) => {
                let actions =
                    [cancel, resume, change, renew].map(|command| command.unwrap().action);
                let (plan, period_start_time) = (PlanName::new("pro").unwrap(), Some(at(9)));
                let wanted = [
                    Action::CancelSubscription { subscription_id: id.clone(), immediately },
                    Action::ResumeSubscription { subscription_id: id.clone() },
                    Action::ChangePlan { subscription_id: id.clone(), plan },
                    Action::RenewSubscription { subscription_id: id, period_start_time },
                ];
                assert_eq!(actions, wanted);
            }
            Err(fields) => {
                for result in [cancel, resume, change, renew] {
                    assert_eq!(wrong(result), fields);
                }
            }
        }
    }
    let renew = proto::RenewSubscriptionRequest {
        period_start_time: stamp(i64::MAX),
        ..proto::RenewSubscriptionRequest::default()
    };
    let fields = wrong(decode::renew_subscription(&renew, actor()));
    assert_eq!(fields, ["account_id", "period_start_time"]);
    let change = proto::ChangePlanRequest::default();
    assert_eq!(wrong(decode::change_plan(&change, actor())), ["account_id", "plan"]);
}

fn subscription() -> Subscription {
    Subscription {
        subscription_id: SubscriptionId::new("s-1").unwrap(),
        plan: PlanName::new("pro").unwrap(),
        status: SubscriptionStatus::Canceled,
        interval: BillingInterval::Year,
        provider: "manual".to_owned(),
        period_start_time: at(1),
        period_end_time: at(2),
        cancel_at_period_end: true,
        anchor_time: at(3),
        create_time: at(4),
        end_time: Some(at(5)),
        sent: None,
        provider_time: None,
    }
}

fn subscription_sent() -> proto::Subscription {
    proto::Subscription {
        subscription_id: "s-1".to_owned(),
        account_id: "acc_1".to_owned(),
        plan: "pro".to_owned(),
        status: proto::SubscriptionStatus::Canceled.into(),
        period_start_time: stamp(1),
        period_end_time: stamp(2),
        cancel_at_period_end: true,
        interval: proto::BillingInterval::Year.into(),
        provider: "manual".to_owned(),
        create_time: stamp(4),
        end_time: stamp(5),
    }
}

#[test]
fn a_started_or_renewed_subscription_comes_with_all_balances() {
    let account_id = AccountId::new("acc_1").unwrap();
    let outcome = || {
        let balance = |available| Balance { available, sequence: 1, ..Balance::EMPTY };
        let named = |name: &str, available| (CreditType::new(name).unwrap(), balance(available));
        let balances = vec![named("fix", 1), named("scan", 10)];
        Outcome::Subscribed { subscription: subscription(), balances, replayed: true }
    };
    let started = encode::subscription_started(&account_id, outcome()).unwrap();
    let renewed = encode::subscription_renewed(&account_id, outcome()).unwrap();
    assert_eq!(started.subscription, Some(subscription_sent()));
    let balances: Vec<(&str, i64)> =
        started.balances.iter().map(|b| (b.credit_type.as_str(), b.available)).collect();
    assert_eq!(balances, [("fix", 1), ("scan", 10)]);
    assert!(started.replayed && renewed.replayed);
    assert_eq!((started.subscription, started.balances), (renewed.subscription, renewed.balances));
}

#[test]
fn a_changed_subscription_is_shown_as_it_is_now() {
    let account_id = AccountId::new("acc_1").unwrap();
    let outcome = Outcome::SubscriptionChanged { subscription: subscription() };
    let changed = encode::subscription_changed(&account_id, outcome).unwrap();
    assert_eq!(changed, Some(subscription_sent()));
    for error in [
        encode::subscription_changed(&account_id, Outcome::DueApplied).unwrap_err(),
        encode::subscription_started(&account_id, Outcome::DueApplied).unwrap_err(),
        encode::subscription_renewed(&account_id, Outcome::DueApplied).unwrap_err(),
    ] {
        assert!(matches!(error, LedgerError::Internal));
    }
}
