//! The command line: what people and scripts type.
//!
//! One file per command or small group. Exit codes: 0 allowed or done,
//! 1 error, 2 usage, 3 blocked; `run` exits with its command's code.

mod account;
mod bench;
mod catalog;
pub mod catalog_file;
mod check;
mod checkpoint;
mod connection;
mod credits;
mod dev;
mod doctor;
mod endpoint;
mod error;
mod events;
mod format;
mod health;
mod import;
mod json;
mod key;
mod ledger;
mod mail;
mod migrate;
mod output;
mod paddle;
mod parse;
mod principal;
mod project;
mod reservations;
mod reserve;
mod rights;
mod run;
mod serve;
mod settle;
mod statement;
mod subscription;
mod table;
mod top_up;
mod verdict;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use connection::Connection;
pub use error::CliError;
pub use output::{Output, OutputFormat};

/// A credit gate between a scan scheduler and a Postgres ledger.
#[derive(Debug, Parser)]
#[command(name = "creditgate", version, max_term_width = 100)]
#[command(
    long_about = "A credit gate between a scan scheduler and a Postgres ledger.\n\n\
    Before a scan runs its credits are reserved; when it is done they are committed; \
    if it did not deliver they are released, with a cause.",
    after_help = "Examples:\n  \
      creditgate catalog apply deploy/catalogs/demo.toml\n  \
      creditgate account create --account acme\n  \
      creditgate credits grant --account acme --type scan --credits 5 --reason welcome\n  \
      creditgate run --account acme --kind live_audit -- nuclei -u https://acme.example\n\n\
    Exit codes: 0 allowed or done, 1 error, 2 usage, 3 blocked."
)]
pub struct Cli {
    #[command(flatten)]
    connection: Connection,
    /// How results are printed.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        help_heading = "Global options"
    )]
    output: OutputFormat,
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    // Operating a gate.
    /// Run a gate with a PostgreSQL of its own, ready to try.
    Dev(dev::DevArgs),
    /// Run a gate on a database that exists.
    Serve(Box<serve::ServeArgs>),
    /// Check settings, database, certificates and callers, and say what to do.
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(Box<serve::ServeArgs>),
    /// Bring a database's schema up to date.
    Migrate(migrate::MigrateArgs),
    /// Recompute the books, or check a statement, and say what does not agree.
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::VerifyArgs),
    /// Write down what all books are now, signed: to be kept elsewhere.
    #[command(after_help = checkpoint::EXAMPLES)]
    Checkpoint(checkpoint::CheckpointArgs),
    /// Write one account's ledger to a file that its owner can check.
    #[command(after_help = statement::EXAMPLES)]
    Statement(statement::StatementArgs),
    /// Measure how fast the gate is, beside what people would use instead.
    #[command(long_about = bench::LONG_ABOUT)]
    Bench(Box<bench::BenchArgs>),
    /// Make, list, rotate or revoke the keys of callers.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Say who may call with a certificate or a token.
    #[command(subcommand)]
    Principal(principal::PrincipalCommand),
    /// Look at what Paddle has sent, or try it again.
    #[command(subcommand)]
    Paddle(paddle::PaddleCommand),
    /// Bring in accounts, projects, credits and subscriptions from a file.
    Import(import::ImportArgs),

    // Calling a gate.
    /// Put a command behind the gate: reserve, run it, settle.
    Run(Box<run::RunArgs>),
    /// Ask whether a gate takes calls.
    Health(health::HealthArgs),
    /// Ask whether a scan would be let through, holding nothing.
    Check(check::CheckArgs),
    /// Hold credits for one scan attempt.
    Reserve(reserve::ReserveArgs),
    /// Prolong the lease of a held reservation.
    Extend(settle::ExtendArgs),
    /// Spend the credits that a reservation holds.
    Commit(settle::CommitArgs),
    /// Report a scan that did not deliver.
    Release(settle::ReleaseArgs),
    /// List reservations, or show one.
    Reservations(reservations::ReservationsArgs),
    /// Show an account's balances.
    Balance(ledger::BalanceArgs),
    /// Show an account's ledger, the newest entry first.
    Ledger(ledger::LedgerArgs),
    /// Show an account's lots of credits, in the order they will be spent.
    Lots(ledger::LotsArgs),
    /// List what happened to an account, or watch what happens.
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// Send events to programs: webhooks, and what became of them.
    #[command(subcommand)]
    Endpoint(endpoint::EndpointCommand),
    /// Say what accounts are mailed, and list what they were.
    #[command(subcommand)]
    Mail(mail::MailCommand),
    /// Grant or revoke credits.
    #[command(subcommand)]
    Credits(credits::CreditsCommand),
    /// Start, renew, change or cancel subscriptions.
    #[command(subcommand, visible_alias = "sub")]
    Subscription(subscription::SubscriptionCommand),
    /// Open, confirm, close or list purchases of credits.
    #[command(subcommand, name = "topup")]
    TopUp(top_up::TopUpCommand),
    /// Create, show, list or suspend accounts.
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Say which account a project belongs to.
    #[command(subcommand)]
    Project(project::ProjectCommand),
    /// Apply or show the catalog of scans and plans.
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
}

/// How a command that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what was asked, or the scan may run.
    Done,
    /// The scan must not run.
    Blocked,
    /// `run`: the code of its command.
    Code(u8),
}

/// Carries out a parsed command line and says how the process should exit.
/// Errors are printed on stderr.
#[must_use]
pub fn dispatch(cli: Cli) -> ExitCode {
    let addr = cli.connection.addr.clone();
    match execute(cli) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Blocked) => ExitCode::from(3),
        Ok(Outcome::Code(code)) => ExitCode::from(code),
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            error.report(&addr);
            ExitCode::from(error.exit_code())
        }
    }
}

fn execute(cli: Cli) -> Result<Outcome, CliError> {
    // What works on the ledger uses all cores; a call of it needs none of its own.
    let mut runtime = match cli.command {
        Command::Dev(_) | Command::Serve(_) | Command::Bench(_) | Command::Import(_) => {
            tokio::runtime::Builder::new_multi_thread()
        }
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime =
        runtime.enable_all().build().map_err(|error| CliError::io("start the runtime", error))?;
    let connection = cli.connection;
    let out = Output::new(cli.output);
    // Boxed: the futures of all commands together are large.
    runtime.block_on(async {
        match cli.command {
            Command::Dev(args) => Box::pin(dev::run(args)).await,
            Command::Serve(args) => Box::pin(serve::run(*args)).await,
            Command::Migrate(args) => Box::pin(migrate::run(&out, args)).await,
            Command::Verify(args) => Box::pin(verify::run(&out, args)).await,
            Command::Checkpoint(args) => Box::pin(checkpoint::run(&out, args)).await,
            Command::Statement(args) => Box::pin(statement::run(&out, args)).await,
            Command::Bench(args) => Box::pin(bench::run(&out, *args)).await,
            Command::Key(command) => Box::pin(key::run(&out, command)).await,
            Command::Principal(command) => Box::pin(principal::run(&out, command)).await,
            Command::Paddle(command) => Box::pin(paddle::run(&out, command)).await,
            Command::Import(args) => Box::pin(import::run(&out, args)).await,
            Command::Run(args) => Box::pin(run::run(&connection, *args)).await,
            Command::Doctor(args) => Box::pin(doctor::run(&out, *args)).await,
            Command::Health(args) => Box::pin(health::run(&connection, &out, args)).await,
            Command::Check(args) => Box::pin(check::run(&connection, &out, args)).await,
            Command::Reserve(args) => Box::pin(reserve::run(&connection, &out, args)).await,
            Command::Extend(args) => Box::pin(settle::extend(&connection, &out, args)).await,
            Command::Commit(args) => Box::pin(settle::commit(&connection, &out, args)).await,
            Command::Release(args) => Box::pin(settle::release(&connection, &out, args)).await,
            Command::Reservations(args) => {
                Box::pin(reservations::run(&connection, &out, args)).await
            }
            Command::Balance(args) => Box::pin(ledger::balance(&connection, &out, args)).await,
            Command::Ledger(args) => Box::pin(ledger::ledger(&connection, &out, args)).await,
            Command::Lots(args) => Box::pin(ledger::lots(&connection, &out, args)).await,
            Command::Events(command) => Box::pin(events::run(&connection, &out, command)).await,
            Command::Endpoint(command) => Box::pin(endpoint::run(&connection, &out, command)).await,
            Command::Mail(command) => Box::pin(mail::run(&connection, &out, command)).await,
            Command::Credits(command) => Box::pin(credits::run(&connection, &out, command)).await,
            Command::Subscription(command) => {
                Box::pin(subscription::run(&connection, &out, command)).await
            }
            Command::TopUp(command) => Box::pin(top_up::run(&connection, &out, command)).await,
            Command::Account(command) => Box::pin(account::run(&connection, &out, command)).await,
            Command::Project(command) => Box::pin(project::run(&connection, &out, command)).await,
            Command::Catalog(command) => Box::pin(catalog::run(&connection, &out, command)).await,
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
