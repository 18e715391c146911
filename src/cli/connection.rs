//! The options that say which gate to call, and how long to wait for it.

use std::time::Duration;

use clap::Args;

use super::{CliError, parse};
use crate::client::{Client, RetryPolicy};

/// Which gate to call.
#[derive(Args, Clone, Debug)]
pub struct Connection {
    /// The gate's address, with or without http://.
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
        Ok(Client::builder(&self.addr).policy(policy).lazy()?)
    }
}
