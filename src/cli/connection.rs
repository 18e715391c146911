//! The options that say which gate to call, and how long to wait for it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::{CliError, parse};
use crate::{
    client::{Client, RetryPolicy},
    config::Secret,
};

/// The variable that may have a key. A scan's process does not get it.
pub(super) const KEY_VARIABLE: &str = "CREDITGATE_KEY";
/// The trace that a call belongs to, as W3C's `traceparent` has it.
const TRACE_VARIABLE: &str = "TRACEPARENT";

/// Which gate to call.
#[derive(Args, Clone, Debug)]
pub struct Connection {
    /// The gate's address: https://..., or with or without http://.
    #[arg(
        long,
        global = true,
        env = "CREDITGATE_ADDR",
        default_value = "http://127.0.0.1:50051",
        value_name = "ADDR",
        help_heading = "Global options"
    )]
    pub addr: String,
    /// How long to go on trying a call that gets no answer, e.g. 5s.
    // Not `--timeout`: that is how long `run` lets its scan take.
    #[arg(
        long,
        global = true,
        env = "CREDITGATE_CALL_TIMEOUT",
        default_value = "10s",
        value_parser = parse::duration,
        value_name = "DURATION",
        help_heading = "Global options"
    )]
    pub call_timeout: Duration,
    /// For https://: a file with the authority that has signed the gate's certificate, as PEM
    /// [default: those that this machine trusts].
    #[arg(
        long,
        global = true,
        env = "CREDITGATE_CA_FILE",
        value_name = "FILE",
        help_heading = "Global options"
    )]
    pub ca_file: Option<PathBuf>,
    /// For https://: a file with the certificate that says who calls, as PEM.
    #[arg(
        long,
        global = true,
        env = "CREDITGATE_CERT_FILE",
        requires = "cert_key_file",
        value_name = "FILE",
        help_heading = "Global options"
    )]
    pub cert_file: Option<PathBuf>,
    /// A file with that certificate's key, as PEM.
    #[arg(
        long,
        global = true,
        env = "CREDITGATE_CERT_KEY_FILE",
        requires = "cert_file",
        value_name = "FILE",
        help_heading = "Global options"
    )]
    pub cert_key_file: Option<PathBuf>,
    /// A file with the key, or the token, to call with. Or CREDITGATE_KEY has it itself.
    #[arg(
        long,
        global = true,
        env = "CREDITGATE_KEY_FILE",
        value_name = "FILE",
        help_heading = "Global options"
    )]
    pub key_file: Option<PathBuf>,
}

impl Connection {
    /// A client that connects at its first call.
    ///
    /// # Errors
    /// Where the address cannot be dialled.
    pub fn client(&self) -> Result<Client, CliError> {
        let policy = RetryPolicy {
            deadline: RetryPolicy::default().deadline.min(self.call_timeout),
            budget: self.call_timeout,
            ..RetryPolicy::default()
        };
        let mut builder = Client::builder(&self.addr).policy(policy);
        if let Some(path) = &self.ca_file {
            builder = builder.authority(&read("the authority", path)?);
        }
        if let (Some(chain), Some(key)) = (&self.cert_file, &self.cert_key_file) {
            let key = Secret::new(read("the certificate's key", key)?);
            builder = builder.certificate(&read("the certificate", chain)?, key.reveal());
        }
        // As programs hand on a trace to those that they start.
        if let Ok(trace) = std::env::var(TRACE_VARIABLE) {
            builder = builder.trace(&trace)?;
        }
        Ok(match self.key()? {
            Some(key) => builder.key(key.reveal())?.lazy()?,
            None => builder.lazy()?,
        })
    }

    /// The key, from the file or the environment: an argument would show in the
    /// list of processes.
    fn key(&self) -> Result<Option<Secret>, CliError> {
        let text = match &self.key_file {
            Some(path) => read("the key", path)?,
            None => std::env::var(KEY_VARIABLE).unwrap_or_default(),
        };
        let key = text.trim();
        Ok((!key.is_empty()).then(|| Secret::new(key)))
    }
}

/// A file's text.
pub(super) fn read(what: &str, path: &Path) -> Result<String, CliError> {
    let failed = |error| CliError::io(format!("read {what} in {}", path.display()), error);
    std::fs::read_to_string(path).map_err(failed)
}
