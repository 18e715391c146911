//! Errors for people: what happened, and what to do next.

use std::io;

use tonic::Code;

use super::catalog_file::CatalogFileError;
use crate::{
    bench::BenchError, client::ClientError, dev::DevError, server::ServerError,
    telemetry::TelemetryError,
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A call to the gate gave no result.
    #[error(transparent)]
    Gate(#[from] ClientError),
    /// A catalog file cannot be used.
    #[error(transparent)]
    CatalogFile(#[from] CatalogFileError),
    /// Options that do not go together.
    #[error("{0}")]
    Usage(String),
    /// Reading or writing failed.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was being done, such as "write to stdout".
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The server does not start, or ended.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The PostgreSQL that `dev` manages.
    #[error(transparent)]
    Dev(#[from] DevError),
    /// A bench gave no figures.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// Anything else, said in full.
    #[error("{0}")]
    Other(String),
}

impl From<TelemetryError> for CliError {
    fn from(error: TelemetryError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl CliError {
    /// An I/O error, and what was being done.
    pub fn io(doing: impl Into<String>, source: io::Error) -> Self {
        Self::Io { doing: doing.into(), source }
    }

    /// The process's exit code: 1, or 2 for usage.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Bench(BenchError::Usage(_)) => 2,
            _ => 1,
        }
    }

    /// True where whoever read our output has gone away: no error.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Prints the error, and what to do next, on stderr. `addr` is the gate's.
    pub fn report(&self, addr: &str) {
        let what = match self {
            Self::Gate(error) => describe(error, addr),
            other => other.to_string(),
        };
        super::output::note(&format!("error: {what}"));
        if let Self::Gate(error) = self
            && let Some(next) = advice(error)
        {
            super::output::note(&format!("  {next}"));
        }
    }
}

/// What happened, in a line or a few.
pub(super) fn describe(error: &ClientError, addr: &str) -> String {
    match error {
        ClientError::Unavailable(exhausted) if exhausted.last.not_sent => {
            format!("cannot reach the gate at {addr}: {}", exhausted.last)
        }
        ClientError::Unavailable(exhausted) => {
            format!("the gate at {addr} is not available: {exhausted}")
        }
        ClientError::OutcomeUnknown(exhausted) => format!(
            "the gate at {addr} gave no clear answer, so it is not known whether it did it: \
             {exhausted}"
        ),
        ClientError::Rejected(rejection) => {
            let mut text = if rejection.message.is_empty() {
                rejection.code.description().to_owned()
            } else {
                rejection.message.clone()
            };
            if !rejection.reason.is_empty() {
                text.push_str(&format!(" ({})", rejection.reason));
            }
            for violation in &rejection.fields {
                text.push_str(&format!("\n  {}: {}", violation.field, violation.description));
            }
            text
        }
        ClientError::Endpoint(_) | ClientError::Malformed(_) => error.to_string(),
    }
}

/// What to do next, where that is known.
fn advice(error: &ClientError) -> Option<&'static str> {
    match error {
        ClientError::Unavailable(exhausted) if exhausted.last.not_sent => {
            Some("is it running? `creditgate dev` starts one; --addr or CREDITGATE_ADDR says where")
        }
        ClientError::Unavailable(_) => Some("nothing was changed; try again later"),
        ClientError::OutcomeUnknown(_) => {
            Some("the same command with the same --id finds out, and does nothing twice")
        }
        ClientError::Rejected(rejection) => match (rejection.code, rejection.reason.as_str()) {
            (Code::Unauthenticated | Code::PermissionDenied, _) => {
                Some("the credential does not allow this; ask whoever runs the gate")
            }
            (Code::Unimplemented, _) => {
                Some("the gate is of another version than this program, or --addr is no gate")
            }
            (_, "ACCOUNT_NOT_FOUND") => Some("`creditgate account create --account ID` makes one"),
            (_, "SCAN_KIND_UNKNOWN" | "CREDIT_TYPE_UNKNOWN" | "PLAN_UNKNOWN") => {
                Some("`creditgate catalog show` lists them, `catalog apply FILE` sets them")
            }
            (_, "RESERVATION_SETTLED") => Some("a new attempt needs a new --id"),
            (_, "RESERVATION_ID_REUSED") => {
                Some("this --id names another scan; a new attempt needs a new --id")
            }
            (_, "SUBSCRIPTION_AMBIGUOUS" | "SUBSCRIPTION_NOT_FOUND") => {
                Some("`creditgate account show` lists them; --id says which one")
            }
            (_, "TOP_UP_ID_REUSED") => {
                Some("this --id names another purchase; a new one needs a new --id")
            }
            (_, "NOT_FOR_SALE") => {
                Some("`creditgate catalog show` tells the prices, of plans and without one")
            }
            _ => None,
        },
        ClientError::Endpoint(_) => Some("--addr takes host:port or http://host:port"),
        ClientError::Malformed(_) => Some("the gate may be of another version than this program"),
    }
}
