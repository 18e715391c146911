//! Tests on a real PostgreSQL, a database for each. Run by `make test`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod bad_input;
mod bench;
mod cells;
mod harness;
mod histories;
mod http;
mod lanes;
mod partition;
mod plans;
mod program;
mod python_client;
mod reaper;
mod rooms;
mod tampering;
mod wire;
mod write_path;
