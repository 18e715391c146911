//! Every error, as a client sees it.

use chrono::TimeDelta;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    billing::BillingError,
    domain::{catalog_check::Violation, command::Refusal, reservation::ReservationState},
    grpc::decode::Invalid,
    ids::{AccountId, OperationId, PlanName, ReservationId},
    ledger::LedgerError,
    proto,
};

pub(super) struct Row {
    status: Status,
    code: Code,
    reason: &'static str,
    metadata: &'static [(&'static str, &'static str)],
    field: Option<&'static str>,
    retry_millis: Option<u128>,
}

fn row(status: impl Into<Status>, code: Code, reason: &'static str) -> Row {
    let status = status.into();
    Row { status, code, reason, metadata: &[], field: None, retry_millis: None }
}

pub(super) fn refused(refusal: Refusal, code: Code, reason: &'static str) -> Row {
    row(LedgerError::Refused(refusal), code, reason)
}

impl Row {
    pub(super) fn metadata(self, metadata: &'static [(&'static str, &'static str)]) -> Self {
        Self { metadata, ..self }
    }

    pub(super) fn field(self, field: &'static str) -> Self {
        Self { field: Some(field), ..self }
    }

    pub(super) fn retry(self, millis: u128) -> Self {
        Self { retry_millis: Some(millis), ..self }
    }

    pub(super) fn check(&self) {
        let (status, reason) = (&self.status, self.reason);
        assert_eq!(status.code(), self.code, "{reason}");
        assert!(!status.message().is_empty(), "{reason}");
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((&*info.reason, &*info.domain), (reason, "creditgate"));
        let mut metadata: Vec<(&str, &str)> =
            info.metadata.iter().map(|(key, value)| (&**key, &**value)).collect();
        metadata.sort_unstable();
        assert_eq!(metadata, self.metadata, "{reason}");
        let fields: Vec<String> = details.bad_request().map_or_else(Vec::new, |bad| {
            bad.field_violations.iter().map(|violation| violation.field.clone()).collect()
        });
        assert_eq!(fields.first().map(String::as_str), self.field, "{reason}");
        let delay = details.retry_info().and_then(|retry| retry.retry_delay);
        assert_eq!(delay.map(|delay| delay.as_millis()), self.retry_millis, "{reason}");
        let header = status.metadata().get("grpc-retry-pushback-ms");
        let header = header.map(|millis| millis.to_str().unwrap().parse().unwrap());
        assert_eq!(header, self.retry_millis, "{reason}");
        let may_retry = matches!(self.code, Code::Unavailable | Code::ResourceExhausted);
        assert_eq!(may_retry, self.retry_millis.is_some(), "{reason}");
    }
}

fn operation_id() -> OperationId {
    OperationId::new("gift-1").unwrap()
}

fn reservation_id() -> ReservationId {
    ReservationId::new("run-1").unwrap()
}

fn account_id() -> AccountId {
    AccountId::new("acc_1").unwrap()
}

fn violation(field: &str) -> Violation {
    Violation { field: field.to_owned(), description: "is required".to_owned() }
}

#[test]
fn every_refusal_of_a_reservation_has_a_code_a_reason_and_what_a_program_needs() {
    use Code::{FailedPrecondition, InvalidArgument, NotFound};
    let name = || "audit".to_owned();
    for row in [
        refused(
            Refusal::AccountNotFound { account_id: account_id() },
            NotFound,
            "ACCOUNT_NOT_FOUND",
        )
        .metadata(&[("account_id", "acc_1")]),
        refused(
            Refusal::ReservationNotFound { reservation_id: reservation_id() },
            NotFound,
            "RESERVATION_NOT_FOUND",
        )
        .metadata(&[("reservation_id", "run-1")]),
        refused(
            Refusal::ReservationIdReused { reservation_id: reservation_id(), field: "lease" },
            InvalidArgument,
            "RESERVATION_ID_REUSED",
        )
        .metadata(&[("differs", "lease"), ("reservation_id", "run-1")])
        .field("reservation_id"),
        refused(
            Refusal::ReservationSettled {
                reservation_id: reservation_id(),
                state: ReservationState::Committed,
                advice: "a new attempt needs a new id",
            },
            FailedPrecondition,
            "RESERVATION_SETTLED",
        )
        .metadata(&[("reservation_id", "run-1"), ("state", "COMMITTED")]),
        refused(
            Refusal::ReservationExpired { reservation_id: reservation_id(), available: 2 },
            FailedPrecondition,
            "RESERVATION_EXPIRED",
        )
        .metadata(&[("available", "2"), ("reservation_id", "run-1")]),
        refused(Refusal::CreditsExceedHold { held: 3 }, InvalidArgument, "CREDITS_EXCEED_HOLD")
            .metadata(&[("held", "3")])
            .field("credits"),
        refused(Refusal::ScanKindUnknown { name: name() }, InvalidArgument, "SCAN_KIND_UNKNOWN")
            .metadata(&[("scan_kind", "audit")])
            .field("scan.scan_kind"),
        refused(Refusal::CreditsRequired { name: name() }, InvalidArgument, "CREDITS_REQUIRED")
            .metadata(&[("scan_kind", "audit")])
            .field("scan.credits"),
        refused(Refusal::CreditsNotTaken { name: name() }, InvalidArgument, "CREDITS_NOT_TAKEN")
            .metadata(&[("scan_kind", "audit")])
            .field("scan.credits"),
        refused(
            Refusal::LeaseTooLong { max: TimeDelta::hours(24) },
            InvalidArgument,
            "LEASE_TOO_LONG",
        )
        .metadata(&[("max_lease_seconds", "86400")])
        .field("lease"),
    ] {
        row.check();
    }
}

#[test]
fn every_refusal_of_an_operation_has_a_code_and_a_reason() {
    use Code::{DataLoss, FailedPrecondition, InvalidArgument};
    for row in [
        refused(
            Refusal::CreditTypeUnknown { name: "fix".to_owned() },
            InvalidArgument,
            "CREDIT_TYPE_UNKNOWN",
        )
        .metadata(&[("credit_type", "fix")])
        .field("credit_type"),
        refused(
            Refusal::OperationIdReused { operation_id: operation_id(), field: "reason" },
            InvalidArgument,
            "OPERATION_ID_REUSED",
        )
        .metadata(&[("differs", "reason"), ("operation_id", "gift-1")]),
        refused(Refusal::LotMissing { operation_id: operation_id() }, DataLoss, "LOT_MISSING")
            .metadata(&[("operation_id", "gift-1")]),
        refused(Refusal::ExpiryInPast, InvalidArgument, "EXPIRY_IN_PAST").field("expire_time"),
        refused(
            Refusal::InsufficientCredits { available: 1 },
            FailedPrecondition,
            "INSUFFICIENT_CREDITS",
        )
        .metadata(&[("available", "1")]),
        refused(Refusal::BalanceTooLarge, FailedPrecondition, "BALANCE_TOO_LARGE"),
    ] {
        row.check();
    }
}

#[test]
fn outages_say_when_to_come_back_and_nothing_else_does() {
    for row in [
        row(LedgerError::Overloaded, Code::ResourceExhausted, "OVERLOADED").retry(100),
        row(LedgerError::Unavailable, Code::Unavailable, "UNAVAILABLE").retry(500),
        row(LedgerError::Closed, Code::Unavailable, "SHUTTING_DOWN").retry(100),
        row(LedgerError::Internal, Code::Internal, "INTERNAL"),
        row(BillingError::Ledger(LedgerError::Unavailable), Code::Unavailable, "UNAVAILABLE")
            .retry(500),
    ] {
        row.check();
    }
    let status = Status::from(LedgerError::Unavailable);
    assert!(status.message().contains("unknown") && status.message().contains("same id"));
}

#[test]
fn every_error_of_a_use_case_or_a_request_has_a_code_and_a_reason() {
    use Code::{AlreadyExists, FailedPrecondition, InvalidArgument};
    let plans = vec![PlanName::new("pro").unwrap(), PlanName::new("agency").unwrap()];
    for row in [
        row(
            BillingError::AccountExists(account_id(), "billing_email"),
            AlreadyExists,
            "ACCOUNT_EXISTS",
        )
        .metadata(&[("account_id", "acc_1"), ("differs", "billing_email")]),
        row(
            BillingError::CatalogInvalid(vec![violation("catalog.plans[1].name")]),
            InvalidArgument,
            "CATALOG_INVALID",
        )
        .field("catalog.plans[1].name"),
        row(
            BillingError::PaymentClaimed {
                provider: "paddle".to_owned(),
                transaction_id: "txn_1".to_owned(),
            },
            InvalidArgument,
            "PAYMENT_CLAIMED",
        )
        .metadata(&[("provider", "paddle"), ("provider_reference", "txn_1")])
        .field("provider_reference"),
        row(BillingError::PlansInUse(plans), FailedPrecondition, "PLANS_IN_USE")
            .metadata(&[("plans", "pro,agency")]),
        row(Invalid::Request(vec![violation("scan")]), InvalidArgument, "INVALID_REQUEST")
            .field("scan"),
        row(Invalid::PageToken, InvalidArgument, "PAGE_TOKEN_INVALID").field("page_token"),
    ] {
        row.check();
    }
}

#[test]
fn the_message_names_the_first_mistakes_and_counts_the_rest() {
    let violations = |count| (0..count).map(|n| violation(&format!("f{n}"))).collect();
    assert_eq!(
        Status::from(Invalid::Request(violations(2))).message(),
        "f0 is required; f1 is required"
    );
    assert_eq!(
        Status::from(Invalid::Request(violations(5))).message(),
        "f0 is required; f1 is required; f2 is required; and 2 more"
    );
}

/// Clients of some languages read 8 KiB of headers at most, in which details
/// are base64.
#[test]
fn an_error_fits_in_a_header() {
    let long = |text: &str| Violation { field: text.repeat(10), description: text.repeat(20) };
    let violations: Vec<Violation> = (0..100).map(|_| long("catalog")).collect();
    let plans = (0..1000).map(|n| PlanName::new(&format!("{n:060}")).unwrap()).collect();
    for status in [
        Status::from(Invalid::Request(violations.clone())),
        Status::from(BillingError::CatalogInvalid(violations)),
        Status::from(BillingError::PlansInUse(plans)),
    ] {
        let size = status.details().len() * 4 / 3 + status.message().len();
        assert!(size < 7_500, "{size} bytes");
        let details = status.get_error_details();
        assert!(details.bad_request().is_none_or(|bad| !bad.field_violations.is_empty()));
    }
}

#[test]
fn an_item_carries_the_same_code_and_reason() {
    let error = proto::ItemError::from(LedgerError::Unavailable);
    assert_eq!((error.code, &*error.reason), (14, "UNAVAILABLE"));
    let refusal = Refusal::AccountNotFound { account_id: account_id() };
    let error = proto::ItemError::from(LedgerError::Refused(refusal));
    assert_eq!((error.code, &*error.reason), (5, "ACCOUNT_NOT_FOUND"));
    assert!(error.message.contains("acc_1"));
}
