//! What can go wrong with a call, and whether it may have done something.

use std::{collections::BTreeMap, error::Error, fmt, time::Duration};

use tonic::{Code, ConnectError, Status};
use tonic_types::StatusExt;

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address cannot be dialled.
    #[error("not a gate's address: {0}")]
    Endpoint(String),
    /// The gate answered, and refused: nothing was changed.
    #[error("{0}")]
    Rejected(Box<Rejection>),
    /// No answer within the budget, and nothing was changed: the gate was not
    /// reached, shed the call, or the call only reads.
    #[error("the gate is unavailable: {0}")]
    Unavailable(Box<Exhausted>),
    /// No answer within the budget, and it is not known whether the gate did
    /// what was asked. The same call with the same id finds out.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(Box<Exhausted>),
    /// The gate answered with something this client does not understand. A
    /// scan must not start on it.
    #[error("the gate's answer makes no sense: {0}")]
    Malformed(&'static str),
}

impl ClientError {
    /// The gate's refusal, where it is one.
    #[must_use]
    pub fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Rejected(rejection) => Some(rejection),
            _ => None,
        }
    }

    /// The `ErrorInfo` reason of a refusal, such as `RESERVATION_SETTLED`;
    /// empty for none.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.rejection().map_or("", |rejection| rejection.reason.as_str())
    }

    /// True where the call may have been carried out without our hearing it.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown(_) | Self::Malformed(_))
    }

    /// The gate's status where there is one, or what the transport said.
    #[must_use]
    pub fn last_status(&self) -> Option<&Rejection> {
        match self {
            Self::Rejected(rejection) => Some(rejection),
            Self::Unavailable(exhausted) | Self::OutcomeUnknown(exhausted) => Some(&exhausted.last),
            Self::Endpoint(_) | Self::Malformed(_) => None,
        }
    }
}

/// A budget that is used up.
#[derive(Debug)]
pub struct Exhausted {
    /// Attempts made.
    pub attempts: u32,
    /// How long they took, waits between them included.
    pub elapsed: Duration,
    /// Why the last of them failed.
    pub last: Rejection,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.attempts == 1 { "" } else { "s" };
        write!(f, "{} ({} attempt{plural})", self.last, self.attempts)
    }
}

/// A gRPC status, decoded.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// The gRPC code.
    pub code: Code,
    /// The `ErrorInfo` reason, for programs; empty for none.
    pub reason: String,
    /// The `ErrorInfo` metadata, such as `state` with `RESERVATION_SETTLED`.
    pub metadata: BTreeMap<String, String>,
    /// For people.
    pub message: String,
    /// What is wrong with which field of the request.
    pub fields: Vec<FieldViolation>,
    /// True where the gate said it; false where the connection failed.
    pub from_gate: bool,
    /// True where no connection was made, so the call never left.
    pub not_sent: bool,
    /// The wait that the gate asked for before a retry, where it did.
    pub retry_after: Option<Duration>,
    /// True where the gate asked for no retry.
    pub no_retry: bool,
}

/// One field of a request, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// The field's path, such as `scan.account_id`.
    pub field: String,
    /// What is wrong, for people.
    pub description: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            f.write_str(self.code.description())?;
        } else {
            f.write_str(&self.message)?;
        }
        if !self.reason.is_empty() {
            write!(f, " ({})", self.reason)?;
        }
        for violation in &self.fields {
            write!(f, "; {}: {}", violation.field, violation.description)?;
        }
        Ok(())
    }
}

impl Rejection {
    /// Decodes a status.
    pub(super) fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let (pushback, no_retry) = pushback(status);
        let asked = details.retry_info().and_then(|info| info.retry_delay);
        let source = Error::source(status);
        Self {
            code: status.code(),
            reason: info.map(|info| info.reason.clone()).unwrap_or_default(),
            metadata: info
                .map(|info| info.metadata.clone().into_iter().collect())
                .unwrap_or_default(),
            message: source.map_or_else(|| status.message().to_owned(), root_cause),
            fields: details
                .bad_request()
                .map(|bad| &bad.field_violations[..])
                .unwrap_or_default()
                .iter()
                .map(|violation| FieldViolation {
                    field: violation.field.clone(),
                    description: violation.description.clone(),
                })
                .collect(),
            // A status that came over the wire has no source: one that tonic
            // made out of a broken connection has.
            from_gate: source.is_none(),
            not_sent: source.is_some_and(never_connected),
            retry_after: pushback.max(asked),
            no_retry,
        }
    }

    /// A connection that could not be made.
    pub(super) fn unreachable(error: &tonic::transport::Error) -> Self {
        Self { not_sent: true, ..Self::transport(Code::Unavailable, root_cause(error)) }
    }

    /// An attempt whose deadline passed.
    pub(super) fn deadline(limit: Duration) -> Self {
        let limit = Duration::from_millis(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        Self::transport(
            Code::DeadlineExceeded,
            format!("no answer within {}", humantime::format_duration(limit)),
        )
    }

    fn transport(code: Code, message: String) -> Self {
        Self {
            code,
            reason: String::new(),
            metadata: BTreeMap::new(),
            message,
            fields: Vec::new(),
            from_gate: false,
            not_sent: false,
            retry_after: None,
            no_retry: false,
        }
    }
}

/// `grpc-retry-pushback-ms`: a wait, or, negative or unreadable, "do not".
fn pushback(status: &Status) -> (Option<Duration>, bool) {
    let Some(value) = status.metadata().get("grpc-retry-pushback-ms") else {
        return (None, false);
    };
    match value.to_str().ok().and_then(|text| text.parse().ok()) {
        Some(millis) => (Some(Duration::from_millis(millis)), false),
        None => (None, true),
    }
}

fn never_connected(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(<dyn Error>::is::<ConnectError>)
}

/// The innermost error: "Connection refused", not "transport error".
fn root_cause(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map_or_else(String::new, ToString::to_string)
}

pub(super) fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}
