//! Tests on a real PostgreSQL, a database for each. Run by `make test`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod bad_billing;
mod bad_input;
mod bench;
mod billing;
mod billing_books;
mod billing_page;
mod billing_races;
mod billing_rows;
mod bound_keys;
mod cells;
mod checkpoints;
mod harness;
mod histories;
mod http;
mod import;
mod keys;
mod lanes;
mod one_index;
mod paddle;
mod pages;
mod partition;
mod plan_race;
mod plans;
mod pool;
mod program;
mod python_client;
mod reaper;
mod renewals;
mod rooms;
mod tampering;
mod tls;
mod upgrade;
mod wire;
mod write_path;
