//! `creditgate credits grant` and `credits revoke`.

use clap::{Args, Subcommand};
use prost_types::Timestamp;

use super::{CliError, Connection, Outcome, Output, format, output, parse, verdict};
use crate::{
    client::ClientError,
    proto::{
        Balance, GrantCreditsRequest, GrantCreditsResponse, RevokeCreditsRequest,
        RevokeCreditsResponse,
    },
};

/// Commands of `credits`.
#[derive(Debug, Subcommand)]
pub(super) enum CreditsCommand {
    /// Give an account credits.
    Grant(GrantArgs),
    /// Take available credits back.
    Revoke(RevokeArgs),
}

#[derive(Args, Debug)]
struct AmountArgs {
    /// The account.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: String,
    /// The type of credits, such as scan.
    #[arg(long = "type", value_name = "TYPE", default_value = "scan")]
    credit_type: String,
    /// How many.
    #[arg(long, value_name = "N", value_parser = parse::credits)]
    credits: i64,
    /// Why; it stands in the ledger.
    #[arg(long, value_name = "TEXT", value_parser = parse::id)]
    reason: String,
    /// Your name for it; the same again does nothing twice [default: a new UUID].
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    id: Option<String>,
}

/// Options of `credits grant`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  \
creditgate credits grant --account acme --credits 5 --reason 'welcome' --id welcome-acme")]
pub(super) struct GrantArgs {
    #[command(flatten)]
    amount: AmountArgs,
    /// When what is left of them expires (RFC 3339) [default: never].
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    expires: Option<Timestamp>,
}

/// Options of `credits revoke`.
#[derive(Args, Debug)]
#[command(after_help = "More than is available is refused.\n\n\
Example:\n  creditgate credits revoke --account acme --credits 2 --reason 'granted by mistake'")]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    amount: AmountArgs,
}

pub(super) async fn run(
    connection: &Connection,
    out: &Output,
    command: CreditsCommand,
) -> Result<Outcome, CliError> {
    match command {
        CreditsCommand::Grant(args) => grant(connection, out, args).await,
        CreditsCommand::Revoke(args) => revoke(connection, out, args).await,
    }
}

async fn grant(
    connection: &Connection,
    out: &Output,
    args: GrantArgs,
) -> Result<Outcome, CliError> {
    let amount = args.amount;
    let id = parse::id_or_new(amount.id.clone());
    let response = connection
        .client()?
        .grant_credits(GrantCreditsRequest {
            grant_id: id.clone(),
            account_id: amount.account,
            credit_type: amount.credit_type,
            credits: amount.credits,
            expire_time: args.expires,
            reason: amount.reason,
        })
        .await
        .inspect_err(|error| name_new_id(amount.id.as_deref(), &id, error))?;
    out.message("GrantCreditsResponse", &response, |response: &GrantCreditsResponse| {
        let lot = response.lot.as_ref();
        let granted =
            lot.map(|lot| format::credits(lot.credits, &lot.credit_type)).unwrap_or_default();
        let again = if response.replayed { " before" } else { "" };
        format!("granted {granted}{again} as {id}{}\n", balance(response.balance.as_ref()))
    })?;
    Ok(Outcome::Done)
}

async fn revoke(
    connection: &Connection,
    out: &Output,
    args: RevokeArgs,
) -> Result<Outcome, CliError> {
    let amount = args.amount;
    let id = parse::id_or_new(amount.id.clone());
    let what = format::credits(amount.credits, &amount.credit_type);
    let response = connection
        .client()?
        .revoke_credits(RevokeCreditsRequest {
            revocation_id: id.clone(),
            account_id: amount.account,
            credit_type: amount.credit_type,
            credits: amount.credits,
            reason: amount.reason,
        })
        .await
        .inspect_err(|error| name_new_id(amount.id.as_deref(), &id, error))?;
    out.message("RevokeCreditsResponse", &response, |response: &RevokeCreditsResponse| {
        let again = if response.replayed { " before" } else { "" };
        format!("revoked {what}{again} as {id}{}\n", balance(response.balance.as_ref()))
    })?;
    Ok(Outcome::Done)
}

/// Where it is not known whether the call was carried out, the id that was
/// made up for it is what makes a second try harmless.
pub(super) fn name_new_id(given: Option<&str>, id: &str, error: &ClientError) {
    if given.is_none() && error.outcome_unknown() {
        output::note(&format!("it was asked for as --id {id}"));
    }
}

fn balance(balance: Option<&Balance>) -> String {
    balance.map(|balance| format!(": {}", verdict::balance_line(balance))).unwrap_or_default()
}
