//! The client and the command line against a gate that follows a script: what
//! they make of outages, hung calls and refusals. What a real gate decides is
//! tested elsewhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod billing;
mod cli;
mod client;
mod gate;
mod program;
mod run;
mod run_faults;
