//! The `creditgate` program: parse, dispatch, exit code.

use std::process::ExitCode;

use clap::Parser;
use creditgate::cli;

/// A tenth of all CPU time under load went to the system's allocator. No huge pages:
/// they double the memory of an idle server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::dispatch(cli::Cli::parse())
}
