//! Errors on the wire: the one place where a [`Status`] is built.
//!
//! Every error has one `ErrorInfo` with a reason for programs; a message for
//! people; a `BadRequest` where fields of the request are at fault; and, where
//! the same call may do better later, a `RetryInfo` with its header for clients
//! that know only gRPC's own retries.

mod refusal;

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status, metadata::MetadataMap};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::decode::Invalid;
use crate::{
    auth::{AccessError, Denied},
    billing::BillingError,
    delivery::DeliveryError,
    domain::catalog_check::Violation,
    events::WatchError,
    ids::PlanName,
    ledger::LedgerError,
    proto,
};

const DOMAIN: &str = "creditgate";
/// Asks clients to wait so long before they try again.
const PUSHBACK: &str = "grpc-retry-pushback-ms";
/// The queue empties within milliseconds.
const RETRY_OVERLOADED: Duration = Duration::from_millis(100);
/// A database that fails over is away for longer.
const RETRY_UNAVAILABLE: Duration = Duration::from_millis(500);
/// Another replica may answer at once.
const RETRY_SHUTTING_DOWN: Duration = Duration::from_millis(100);
/// Details travel in a header, which some clients limit to 8 KiB, and in
/// base64: so violations and lists are cut at so many bytes.
const MAX_DETAIL_BYTES: usize = 2_000;
/// A message names so many violations; the details have the rest.
const MAX_MESSAGE_VIOLATIONS: usize = 3;

/// An error before it is a status or an item's error.
#[derive(Debug)]
struct Problem {
    code: Code,
    reason: &'static str,
    message: String,
    metadata: Vec<(&'static str, String)>,
    violations: Vec<Violation>,
    retry: Option<Duration>,
}

impl Problem {
    fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            metadata: Vec::new(),
            violations: Vec::new(),
            retry: None,
        }
    }

    fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }

    /// The message is what is wrong with this field.
    fn field(mut self, field: &str) -> Self {
        let description = self.message.clone();
        self.violations.push(Violation { field: field.to_owned(), description });
        self
    }

    fn retry(mut self, delay: Duration) -> Self {
        self.retry = Some(delay);
        self
    }
}

impl From<&LedgerError> for Problem {
    fn from(error: &LedgerError) -> Self {
        match error {
            LedgerError::Refused(refusal) => refusal.into(),
            LedgerError::Overloaded => {
                let message = "too many requests are waiting: nothing was done, try again";
                Self::new(Code::ResourceExhausted, "OVERLOADED", message).retry(RETRY_OVERLOADED)
            }
            LedgerError::Unavailable => {
                let message = "the ledger's database is unavailable: it is unknown whether the \
                               call took effect, send it again with the same id";
                Self::new(Code::Unavailable, "UNAVAILABLE", message).retry(RETRY_UNAVAILABLE)
            }
            LedgerError::Closed => {
                let message = "this server is shutting down: nothing was done, try again";
                Self::new(Code::Unavailable, "SHUTTING_DOWN", message).retry(RETRY_SHUTTING_DOWN)
            }
            // What went wrong is in the log: it helps no caller.
            LedgerError::Internal => Self::new(Code::Internal, "INTERNAL", "internal error"),
        }
    }
}

impl From<&WatchError> for Problem {
    fn from(error: &WatchError) -> Self {
        let words = error.to_string();
        match error {
            WatchError::Ledger(error) => error.into(),
            WatchError::OtherList => {
                let message = format!("{words}: watch that account with it");
                Self::new(Code::InvalidArgument, "CURSOR_OF_OTHER_LIST", message)
                    .field("after_cursor")
            }
            WatchError::Ahead => {
                Self::new(Code::OutOfRange, "CURSOR_AHEAD", words).field("after_cursor")
            }
        }
    }
}

impl From<&DeliveryError> for Problem {
    fn from(error: &DeliveryError) -> Self {
        match error {
            DeliveryError::Ledger(error) => error.into(),
            DeliveryError::Url(_) => {
                Self::new(Code::InvalidArgument, "ENDPOINT_URL_INVALID", error.to_string())
                    .field("url")
            }
            DeliveryError::AccountRequired => {
                Self::new(Code::InvalidArgument, "ACCOUNT_REQUIRED", error.to_string())
                    .field("account_id")
            }
            DeliveryError::NotFound(endpoint_id) => {
                Self::new(Code::NotFound, "ENDPOINT_NOT_FOUND", error.to_string())
                    .with("endpoint_id", endpoint_id)
            }
        }
    }
}

impl From<&BillingError> for Problem {
    fn from(error: &BillingError) -> Self {
        match error {
            BillingError::Ledger(error) => error.into(),
            BillingError::AccountExists(account_id, field) => {
                Self::new(Code::AlreadyExists, "ACCOUNT_EXISTS", error.to_string())
                    .with("account_id", account_id)
                    .with("differs", field)
            }
            BillingError::PaymentClaimed { provider, transaction_id } => {
                Self::new(Code::InvalidArgument, "PAYMENT_CLAIMED", error.to_string())
                    .with("provider", provider)
                    .with("provider_reference", transaction_id)
                    .field("provider_reference")
            }
            BillingError::CatalogInvalid(violations) => Self {
                violations: violations.clone(),
                ..Self::new(
                    Code::InvalidArgument,
                    "CATALOG_INVALID",
                    format!("{error}: {}", summary(violations)),
                )
            },
            BillingError::PlansInUse(plans) => {
                let plans = names(plans);
                let message = format!("{error}: {plans}");
                Self::new(Code::FailedPrecondition, "PLANS_IN_USE", message).with("plans", plans)
            }
        }
    }
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        let words = error.to_string();
        match error {
            AccessError::NoKey(key_id) => {
                Self::new(Code::NotFound, "KEY_NOT_FOUND", words).with("key_id", key_id)
            }
            AccessError::NoPrincipal(principal) => {
                Self::new(Code::NotFound, "PRINCIPAL_NOT_FOUND", words).with("principal", principal)
            }
            AccessError::PrincipalExists(principal) => {
                Self::new(Code::AlreadyExists, "PRINCIPAL_EXISTS", words)
                    .with("principal", principal)
            }
            AccessError::Store(error) => (&LedgerError::from(error)).into(),
        }
    }
}

impl From<AccessError> for Status {
    fn from(error: AccessError) -> Self {
        Problem::from(error).into()
    }
}

impl From<&Denied> for Problem {
    fn from(denied: &Denied) -> Self {
        let unauthenticated =
            |reason, message: &str| Self::new(Code::Unauthenticated, reason, message);
        match denied {
            Denied::NoKey => unauthenticated(
                "KEY_REQUIRED",
                "this gate takes keys: send `authorization: Bearer cg_...`; an operator makes one \
                 with `creditgate key create`",
            ),
            Denied::Unknown => unauthenticated("KEY_UNKNOWN", "the key is none of this gate's"),
            Denied::Token(why) => {
                unauthenticated("TOKEN_INVALID", &format!("the token is not taken: {why}"))
            }
            Denied::Stranger { principal } => Self::new(
                Code::PermissionDenied,
                "PRINCIPAL_UNKNOWN",
                format!(
                    "{principal} is believed, but not let in: an operator does that with \
                     `creditgate principal add`"
                ),
            )
            .with("principal", principal),
            Denied::Expired => unauthenticated(
                "KEY_EXPIRED",
                "the key has run out: an operator makes another with `creditgate key rotate`",
            ),
            Denied::Revoked => unauthenticated("KEY_REVOKED", "the key was revoked"),
            Denied::Bound => Self::new(
                Code::PermissionDenied,
                "KEY_BOUND",
                "the key sees some accounts alone: it can only make calls that name one of them",
            ),
            Denied::TooFast { wait } => Self::new(
                Code::ResourceExhausted,
                "RATE_LIMITED",
                "the key has called too often: nothing was done, try again",
            )
            .retry(*wait),
            Denied::Scope { wanted } => {
                let names: Vec<&str> = wanted.iter().map(|scope| scope.name()).collect();
                let wanted = names.join(", ");
                let message = format!("the key is for other calls: this one takes {wanted}");
                Self::new(Code::PermissionDenied, "SCOPE_MISSING", message)
                    .with("wanted_scopes", wanted)
            }
        }
    }
}

impl From<&Invalid> for Problem {
    fn from(invalid: &Invalid) -> Self {
        match invalid {
            Invalid::Request(violations) => Self {
                violations: violations.clone(),
                ..Self::new(Code::InvalidArgument, "INVALID_REQUEST", summary(violations))
            },
            Invalid::PageToken => {
                let violations = vec![Violation {
                    field: "page_token".to_owned(),
                    description: "is not of this list: send the next_page_token of its last page, \
                                  with the same filters"
                        .to_owned(),
                }];
                let message = summary(&violations);
                Self {
                    violations,
                    ..Self::new(Code::InvalidArgument, "PAGE_TOKEN_INVALID", message)
                }
            }
        }
    }
}

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let metadata: HashMap<String, String> =
            problem.metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let mut details = ErrorDetails::with_error_info(problem.reason, DOMAIN, metadata);
        if !problem.violations.is_empty() {
            details.set_bad_request(fields(problem.violations));
        }
        let mut headers = MetadataMap::new();
        if let Some(delay) = problem.retry {
            details.set_retry_info(Some(delay));
            let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            headers.insert(PUSHBACK, millis.into());
        }
        Self::with_error_details_and_metadata(problem.code, problem.message, details, headers)
    }
}

macro_rules! into_status {
    ($($error:ty),*) => {$(
        impl From<$error> for Status {
            fn from(error: $error) -> Self {
                Problem::from(&error).into()
            }
        }
    )*};
}
into_status!(LedgerError, BillingError, Denied, Invalid, WatchError, DeliveryError);

impl From<Problem> for proto::ItemError {
    fn from(problem: Problem) -> Self {
        Self {
            code: problem.code.into(),
            message: problem.message,
            reason: problem.reason.to_owned(),
        }
    }
}

impl From<LedgerError> for proto::ItemError {
    fn from(error: LedgerError) -> Self {
        Problem::from(&error).into()
    }
}

impl From<Invalid> for proto::ItemError {
    fn from(invalid: Invalid) -> Self {
        Problem::from(&invalid).into()
    }
}

/// The first violations in words.
fn summary(violations: &[Violation]) -> String {
    let first: Vec<String> = violations
        .iter()
        .take(MAX_MESSAGE_VIOLATIONS)
        .map(|violation| format!("{} {}", violation.field, violation.description))
        .collect();
    let more = violations.len().saturating_sub(MAX_MESSAGE_VIOLATIONS);
    let rest = if more == 0 { String::new() } else { format!("; and {more} more") };
    first.join("; ") + &rest
}

/// As many violations as fit.
fn fields(violations: Vec<Violation>) -> Vec<FieldViolation> {
    let mut bytes = 0;
    violations
        .into_iter()
        .take_while(|violation| {
            bytes += violation.field.len() + violation.description.len();
            bytes <= MAX_DETAIL_BYTES
        })
        .map(|violation| FieldViolation::new(violation.field, violation.description))
        .collect()
}

/// As many names as fit, divided by commas.
fn names(plans: &[PlanName]) -> String {
    let mut names = String::new();
    for plan in plans {
        if names.len() + plan.as_str().len() > MAX_DETAIL_BYTES / 2 {
            names.push_str(",...");
            break;
        }
        if !names.is_empty() {
            names.push(',');
        }
        names.push_str(plan.as_str());
    }
    names
}
