//! What a command is refused with, on the wire: the code, a reason for programs,
//! and the field of the request that is at fault, where one is.

use tonic::Code;

use super::Problem;
use crate::domain::command::Refusal;

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        let problem = |code, reason| Self::new(code, reason, refusal.to_string());
        match refusal {
            Refusal::AccountNotFound { account_id } => {
                problem(Code::NotFound, "ACCOUNT_NOT_FOUND").with("account_id", account_id)
            }
            Refusal::ReservationNotFound { reservation_id } => {
                problem(Code::NotFound, "RESERVATION_NOT_FOUND")
                    .with("reservation_id", reservation_id)
            }
            Refusal::ReservationIdReused { reservation_id, field } => {
                problem(Code::InvalidArgument, "RESERVATION_ID_REUSED")
                    .with("reservation_id", reservation_id)
                    .with("differs", field)
                    .field("reservation_id")
            }
            Refusal::ReservationSettled { reservation_id, state, advice: _ } => {
                problem(Code::FailedPrecondition, "RESERVATION_SETTLED")
                    .with("reservation_id", reservation_id)
                    .with("state", state.name())
            }
            Refusal::ReservationExpired { reservation_id, available } => {
                problem(Code::FailedPrecondition, "RESERVATION_EXPIRED")
                    .with("reservation_id", reservation_id)
                    .with("available", available)
            }
            Refusal::CreditsExceedHold { held } => {
                problem(Code::InvalidArgument, "CREDITS_EXCEED_HOLD")
                    .with("held", held)
                    .field("credits")
            }
            Refusal::ScanKindUnknown { name } => {
                problem(Code::InvalidArgument, "SCAN_KIND_UNKNOWN")
                    .with("scan_kind", name)
                    .field("scan.scan_kind")
            }
            Refusal::CreditsRequired { name } => problem(Code::InvalidArgument, "CREDITS_REQUIRED")
                .with("scan_kind", name)
                .field("scan.credits"),
            Refusal::CreditsNotTaken { name } => {
                problem(Code::InvalidArgument, "CREDITS_NOT_TAKEN")
                    .with("scan_kind", name)
                    .field("scan.credits")
            }
            Refusal::LeaseTooLong { max } => problem(Code::InvalidArgument, "LEASE_TOO_LONG")
                .with("max_lease_seconds", max.num_seconds())
                .field("lease"),
            Refusal::CreditTypeUnknown { name } => {
                problem(Code::InvalidArgument, "CREDIT_TYPE_UNKNOWN")
                    .with("credit_type", name)
                    .field("credit_type")
            }
            // Which field the id came in depends on the call: the metadata says
            // what differs, the message names the id.
            Refusal::OperationIdReused { operation_id, field } => {
                problem(Code::InvalidArgument, "OPERATION_ID_REUSED")
                    .with("operation_id", operation_id)
                    .with("differs", field)
            }
            Refusal::LotMissing { operation_id } => {
                problem(Code::DataLoss, "LOT_MISSING").with("operation_id", operation_id)
            }
            Refusal::ExpiryInPast => {
                problem(Code::InvalidArgument, "EXPIRY_IN_PAST").field("expire_time")
            }
            Refusal::InsufficientCredits { available } => {
                problem(Code::FailedPrecondition, "INSUFFICIENT_CREDITS")
                    .with("available", available)
            }
            Refusal::BalanceTooLarge => problem(Code::FailedPrecondition, "BALANCE_TOO_LARGE"),
            Refusal::PlanUnknown { name } => {
                problem(Code::InvalidArgument, "PLAN_UNKNOWN").with("plan", name).field("plan")
            }
            Refusal::SubscriptionNotFound { subscription_id } => {
                let problem = problem(Code::NotFound, "SUBSCRIPTION_NOT_FOUND");
                match subscription_id {
                    Some(id) => problem.with("subscription_id", id),
                    None => problem,
                }
            }
            Refusal::SubscriptionAmbiguous { count } => {
                problem(Code::InvalidArgument, "SUBSCRIPTION_AMBIGUOUS")
                    .with("live_subscriptions", count)
                    .field("subscription_id")
            }
            Refusal::SubscriptionEnded { subscription_id } => {
                problem(Code::FailedPrecondition, "SUBSCRIPTION_ENDED")
                    .with("subscription_id", subscription_id)
            }
            Refusal::SubscriptionIdReused { subscription_id, field } => {
                problem(Code::InvalidArgument, "SUBSCRIPTION_ID_REUSED")
                    .with("subscription_id", subscription_id)
                    .with("differs", field)
                    .field("subscription_id")
            }
            Refusal::ProviderManaged { subject: _, provider } => {
                problem(Code::FailedPrecondition, "PROVIDER_MANAGED").with("provider", provider)
            }
            Refusal::StartInFuture => {
                problem(Code::InvalidArgument, "START_IN_FUTURE").field("start_time")
            }
            Refusal::StartTooEarly => {
                problem(Code::InvalidArgument, "START_TOO_EARLY").field("start_time")
            }
            Refusal::TrialEndInvalid => {
                problem(Code::InvalidArgument, "TRIAL_END_INVALID").field("trial_end_time")
            }
            Refusal::TrialWithoutCredits { plan } => {
                problem(Code::InvalidArgument, "TRIAL_WITHOUT_CREDITS")
                    .with("plan", plan)
                    .field("trial_credits")
            }
            Refusal::PeriodNotDue { due } => problem(Code::FailedPrecondition, "PERIOD_NOT_DUE")
                .with("period_start_time", due.to_rfc3339()),
            Refusal::PeriodUnknown { next } => problem(Code::InvalidArgument, "PERIOD_UNKNOWN")
                .with("period_start_time", next.to_rfc3339())
                .field("period_start_time"),
            Refusal::NotForSale { credit_type } => {
                problem(Code::FailedPrecondition, "NOT_FOR_SALE").with("credit_type", credit_type)
            }
            Refusal::PriceTooLarge => {
                problem(Code::InvalidArgument, "PRICE_TOO_LARGE").field("credits")
            }
            Refusal::TopUpNotFound { top_up_id } => {
                problem(Code::NotFound, "TOP_UP_NOT_FOUND").with("top_up_id", top_up_id)
            }
            Refusal::TopUpIdReused { top_up_id, field } => {
                problem(Code::InvalidArgument, "TOP_UP_ID_REUSED")
                    .with("top_up_id", top_up_id)
                    .with("differs", field)
                    .field("top_up_id")
            }
            Refusal::TopUpSettled { top_up_id, status, advice: _ } => {
                problem(Code::FailedPrecondition, "TOP_UP_SETTLED")
                    .with("top_up_id", top_up_id)
                    .with("status", status.name())
            }
            // Of a provider's reports: no call of this contract makes one.
            Refusal::TransactionUnknown { transaction_id } => {
                problem(Code::FailedPrecondition, "TRANSACTION_UNKNOWN")
                    .with("transaction_id", transaction_id)
            }
            Refusal::PriceUnknown { price_id } => {
                problem(Code::FailedPrecondition, "PRICE_UNKNOWN").with("price_id", price_id)
            }
            Refusal::ReportNotUnderstood { .. } => {
                problem(Code::InvalidArgument, "REPORT_NOT_UNDERSTOOD")
            }
        }
    }
}
