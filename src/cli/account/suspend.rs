//! `creditgate account suspend` and `account unsuspend`.

use clap::Args;

use crate::{
    cli::{CliError, Connection, Outcome, Output, parse, table},
    proto::SetAccountSuspensionRequest,
};

/// Options of `account suspend`.
#[derive(Args, Debug)]
#[command(after_help = "Its scans are then blocked with ACCOUNT_SUSPENDED.\n\n\
Example:\n  creditgate account suspend --account acme --reason 'chargeback'")]
pub(in crate::cli) struct SuspendArgs {
    /// The account.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: String,
    /// Why; whoever is blocked by it reads it.
    #[arg(long, value_name = "TEXT", value_parser = parse::id)]
    reason: String,
}

/// Options of `account unsuspend`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  creditgate account unsuspend --account acme")]
pub(in crate::cli) struct UnsuspendArgs {
    /// The account.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: String,
}

pub(super) async fn suspend(
    connection: &Connection,
    out: &Output,
    args: SuspendArgs,
) -> Result<Outcome, CliError> {
    let line = format!("{} is suspended: {}\n", args.account, table::shown(&args.reason));
    let request = SetAccountSuspensionRequest {
        account_id: args.account,
        suspended: true,
        reason: args.reason,
    };
    set(connection, out, request, line).await
}

pub(super) async fn unsuspend(
    connection: &Connection,
    out: &Output,
    args: UnsuspendArgs,
) -> Result<Outcome, CliError> {
    let line = format!("{} is not suspended\n", args.account);
    let request = SetAccountSuspensionRequest {
        account_id: args.account,
        suspended: false,
        reason: String::new(),
    };
    set(connection, out, request, line).await
}

async fn set(
    connection: &Connection,
    out: &Output,
    request: SetAccountSuspensionRequest,
    line: String,
) -> Result<Outcome, CliError> {
    let response = connection.client()?.set_account_suspension(request).await?;
    out.message("SetAccountSuspensionResponse", &response, |_| line)?;
    Ok(Outcome::Done)
}
