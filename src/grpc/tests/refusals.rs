//! What is refused of subscriptions and purchases, as a client sees it.

use chrono::TimeDelta;
use tonic::Code::{FailedPrecondition, InvalidArgument, NotFound};

use super::status::refused;
use crate::{
    clock::Timestamp,
    domain::{command::Refusal, payment::TopUpStatus},
    ids::{CreditType, OperationId, PlanName, SubscriptionId},
};

fn subscription_id() -> SubscriptionId {
    SubscriptionId::new("s-1").unwrap()
}

fn top_up_id() -> OperationId {
    OperationId::new("top-1").unwrap()
}

fn time() -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::days(1)
}

#[test]
fn every_refusal_of_a_subscription_has_a_code_and_a_reason() {
    for row in [
        refused(Refusal::PlanUnknown { name: "pro".to_owned() }, InvalidArgument, "PLAN_UNKNOWN")
            .metadata(&[("plan", "pro")])
            .field("plan"),
        refused(
            Refusal::SubscriptionNotFound { subscription_id: Some(subscription_id()) },
            NotFound,
            "SUBSCRIPTION_NOT_FOUND",
        )
        .metadata(&[("subscription_id", "s-1")]),
        refused(
            Refusal::SubscriptionNotFound { subscription_id: None },
            NotFound,
            "SUBSCRIPTION_NOT_FOUND",
        ),
        refused(
            Refusal::SubscriptionAmbiguous { count: 2 },
            InvalidArgument,
            "SUBSCRIPTION_AMBIGUOUS",
        )
        .metadata(&[("live_subscriptions", "2")])
        .field("subscription_id"),
        refused(
            Refusal::SubscriptionEnded { subscription_id: subscription_id() },
            FailedPrecondition,
            "SUBSCRIPTION_ENDED",
        )
        .metadata(&[("subscription_id", "s-1")]),
        refused(
            Refusal::SubscriptionIdReused { subscription_id: subscription_id(), field: "plan" },
            InvalidArgument,
            "SUBSCRIPTION_ID_REUSED",
        )
        .metadata(&[("differs", "plan"), ("subscription_id", "s-1")])
        .field("subscription_id"),
        refused(
            Refusal::ProviderManaged {
                subject: "subscription s-1".to_owned(),
                provider: "paddle".to_owned(),
            },
            FailedPrecondition,
            "PROVIDER_MANAGED",
        )
        .metadata(&[("provider", "paddle")]),
        refused(Refusal::StartInFuture, InvalidArgument, "START_IN_FUTURE").field("start_time"),
        refused(Refusal::StartTooEarly, InvalidArgument, "START_TOO_EARLY").field("start_time"),
        refused(Refusal::TrialEndInvalid, InvalidArgument, "TRIAL_END_INVALID")
            .field("trial_end_time"),
        refused(
            Refusal::TrialWithoutCredits { plan: PlanName::new("pro").unwrap() },
            InvalidArgument,
            "TRIAL_WITHOUT_CREDITS",
        )
        .metadata(&[("plan", "pro")])
        .field("trial_credits"),
        refused(Refusal::PeriodNotDue { due: time() }, FailedPrecondition, "PERIOD_NOT_DUE")
            .metadata(&[("period_start_time", "1970-01-02T00:00:00+00:00")]),
        refused(Refusal::PeriodUnknown { next: time() }, InvalidArgument, "PERIOD_UNKNOWN")
            .metadata(&[("period_start_time", "1970-01-02T00:00:00+00:00")])
            .field("period_start_time"),
    ] {
        row.check();
    }
}

#[test]
fn every_refusal_of_a_purchase_has_a_code_and_a_reason() {
    for row in [
        refused(
            Refusal::NotForSale { credit_type: CreditType::new("fix").unwrap() },
            FailedPrecondition,
            "NOT_FOR_SALE",
        )
        .metadata(&[("credit_type", "fix")]),
        refused(Refusal::PriceTooLarge, InvalidArgument, "PRICE_TOO_LARGE").field("credits"),
        refused(Refusal::TopUpNotFound { top_up_id: top_up_id() }, NotFound, "TOP_UP_NOT_FOUND")
            .metadata(&[("top_up_id", "top-1")]),
        refused(
            Refusal::TopUpIdReused { top_up_id: top_up_id(), field: "account" },
            InvalidArgument,
            "TOP_UP_ID_REUSED",
        )
        .metadata(&[("differs", "account"), ("top_up_id", "top-1")])
        .field("top_up_id"),
        refused(
            Refusal::TopUpSettled {
                top_up_id: top_up_id(),
                status: TopUpStatus::Confirmed,
                advice: "it can be paid back",
            },
            FailedPrecondition,
            "TOP_UP_SETTLED",
        )
        .metadata(&[("status", "CONFIRMED"), ("top_up_id", "top-1")]),
    ] {
        row.check();
    }
}

/// No call of the contract makes a report; they still come out as errors.
#[test]
fn every_refusal_of_a_report_has_a_code_and_a_reason() {
    for row in [
        refused(
            Refusal::TransactionUnknown { transaction_id: "txn_1".to_owned() },
            FailedPrecondition,
            "TRANSACTION_UNKNOWN",
        )
        .metadata(&[("transaction_id", "txn_1")]),
        refused(
            Refusal::PriceUnknown { price_id: "pri_1".to_owned() },
            FailedPrecondition,
            "PRICE_UNKNOWN",
        )
        .metadata(&[("price_id", "pri_1")]),
        refused(
            Refusal::ReportNotUnderstood { what: "no items" },
            InvalidArgument,
            "REPORT_NOT_UNDERSTOOD",
        ),
    ] {
        row.check();
    }
}
