//! `creditgate account`: make one, look at it, suspend it.

mod list;
mod show;
mod suspend;

use clap::{Args, Subcommand};

use super::{CliError, Connection, Outcome, Output, format, parse, table};
use crate::proto::{Account, CreateAccountRequest, LinkProviderRequest};

/// Commands of `account`.
#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// Create an account; the same again changes nothing.
    #[command(after_help = "Example:\n  \
        creditgate account create --account acme --name 'Acme Ltd' --email billing@acme.example")]
    Create(CreateArgs),
    /// Show what an account has: subscriptions, balances, payments, its latest movements.
    Show(show::ShowArgs),
    /// List accounts, by id.
    List(list::ListArgs),
    /// Let no scan of an account begin; running ones may still settle.
    Suspend(suspend::SuspendArgs),
    /// Lift a suspension.
    Unsuspend(suspend::UnsuspendArgs),
    /// Say which account a payment provider's customer is.
    #[command(
        after_help = "Webhooks find their account by it; those that came before are applied \
        now.\n\nExample:\n  creditgate account link --account acme --customer ctm_01h8441jn5pcwrfhwh78jqt8hk"
    )]
    Link(LinkArgs),
}

#[derive(Args, Debug)]
pub(super) struct CreateArgs {
    /// Its id, of your choice.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: String,
    /// Its name, for people.
    #[arg(long, value_name = "TEXT", default_value = "")]
    name: String,
    /// Where its notifications are mailed.
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    email: String,
}

#[derive(Args, Debug)]
pub(super) struct LinkArgs {
    /// The account.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: String,
    /// The provider.
    #[arg(long, value_name = "NAME", default_value = "paddle")]
    provider: String,
    /// The provider's id of the customer.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    customer: String,
}

pub(super) async fn run(
    connection: &Connection,
    out: &Output,
    command: AccountCommand,
) -> Result<Outcome, CliError> {
    match command {
        AccountCommand::Create(args) => create(connection, out, args).await,
        AccountCommand::Show(args) => show::run(connection, out, args).await,
        AccountCommand::List(args) => list::run(connection, out, args).await,
        AccountCommand::Suspend(args) => suspend::suspend(connection, out, args).await,
        AccountCommand::Unsuspend(args) => suspend::unsuspend(connection, out, args).await,
        AccountCommand::Link(args) => link(connection, out, args).await,
    }
}

async fn create(
    connection: &Connection,
    out: &Output,
    args: CreateArgs,
) -> Result<Outcome, CliError> {
    let response = connection
        .client()?
        .create_account(CreateAccountRequest {
            account_id: args.account,
            display_name: args.name,
            billing_email: args.email,
        })
        .await?;
    out.message("CreateAccountResponse", &response, |response| {
        response.account.as_ref().map(text).unwrap_or_default()
    })?;
    Ok(Outcome::Done)
}

async fn link(connection: &Connection, out: &Output, args: LinkArgs) -> Result<Outcome, CliError> {
    let line = format!("{} customer {} is {}", args.provider, args.customer, args.account);
    let response = connection
        .client()?
        .link_provider(LinkProviderRequest {
            account_id: args.account,
            provider: args.provider,
            customer_id: args.customer,
        })
        .await?;
    out.message("LinkProviderResponse", &response, |response| {
        match response.previous_account_id.as_str() {
            "" => format!("{line}\n"),
            before => format!("{line}, no longer {before}\n"),
        }
    })?;
    Ok(Outcome::Done)
}

/// The account itself.
fn text(account: &Account) -> String {
    table::block(&[
        ("account", account.account_id.clone()),
        ("name", account.display_name.clone()),
        ("email", account.billing_email.clone()),
        ("suspended", suspended(account)),
        ("created", format::time(account.create_time.as_ref())),
    ])
}

/// "no", or "yes" and why.
fn suspended(account: &Account) -> String {
    match (account.suspended, account.suspension_reason.as_str()) {
        (false, _) => "no".to_owned(),
        (true, "") => "yes".to_owned(),
        (true, reason) => format!("yes: {reason}"),
    }
}
