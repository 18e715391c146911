//! The `creditgate` program: parse, dispatch, exit code.

use std::process::ExitCode;

use clap::Parser;
use creditgate::cli;

fn main() -> ExitCode {
    cli::dispatch(cli::Cli::parse())
}
