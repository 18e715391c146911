//! `creditgate account create|show` and `project assign|unassign`.

use clap::{Args, Subcommand};

use super::{
    CliError, Connection, Outcome, Output, format, parse,
    table::{self, Column, Table},
};
use crate::proto::{
    Account, AssignProjectRequest, CreateAccountRequest, GetAccountRequest, UnassignProjectRequest,
};

/// Commands of `account`.
#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// Create an account; the same again changes nothing.
    #[command(after_help = "Example:\n  \
        creditgate account create --account acme --name 'Acme Ltd' --email billing@acme.example")]
    Create(CreateArgs),
    /// Show an account with its subscriptions.
    #[command(after_help = "Example:\n  creditgate account show --account acme")]
    Show(ShowArgs),
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
pub(super) struct ShowArgs {
    /// The account.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: String,
}

/// Commands of `project`.
#[derive(Debug, Subcommand)]
pub(super) enum ProjectCommand {
    /// Give a project to an account, taking it from the one that has it.
    #[command(after_help = "Example:\n  creditgate project assign --project shop --account acme")]
    Assign(AssignArgs),
    /// Take a project from its account.
    #[command(after_help = "Example:\n  creditgate project unassign --project shop")]
    Unassign(UnassignArgs),
}

#[derive(Args, Debug)]
pub(super) struct AssignArgs {
    /// The project.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    project: String,
    /// Its account from now on.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: String,
}

#[derive(Args, Debug)]
pub(super) struct UnassignArgs {
    /// The project.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    project: String,
}

pub(super) async fn account(
    connection: &Connection,
    out: &Output,
    command: AccountCommand,
) -> Result<Outcome, CliError> {
    let client = connection.client()?;
    match command {
        AccountCommand::Create(args) => {
            let response = client
                .create_account(CreateAccountRequest {
                    account_id: args.account,
                    display_name: args.name,
                    billing_email: args.email,
                })
                .await?;
            out.message("CreateAccountResponse", &response, |response| {
                response.account.as_ref().map(text).unwrap_or_default()
            })?;
        }
        AccountCommand::Show(args) => {
            let response =
                client.get_account(GetAccountRequest { account_id: args.account }).await?;
            out.message("GetAccountResponse", &response, |response| {
                response.account.as_ref().map(text).unwrap_or_default()
            })?;
        }
    }
    Ok(Outcome::Done)
}

pub(super) async fn project(
    connection: &Connection,
    out: &Output,
    command: ProjectCommand,
) -> Result<Outcome, CliError> {
    let client = connection.client()?;
    match command {
        ProjectCommand::Assign(args) => {
            let line = format!("{} belongs to {}", args.project, args.account);
            let response = client
                .assign_project(AssignProjectRequest {
                    project_id: args.project,
                    account_id: args.account,
                })
                .await?;
            out.message("AssignProjectResponse", &response, |response| {
                match response.previous_account_id.as_str() {
                    "" => format!("{line}\n"),
                    before => format!("{line}, no longer to {before}\n"),
                }
            })?;
        }
        ProjectCommand::Unassign(args) => {
            let project = args.project.clone();
            let response = client
                .unassign_project(UnassignProjectRequest { project_id: args.project })
                .await?;
            out.message("UnassignProjectResponse", &response, |response| {
                match response.previous_account_id.as_str() {
                    "" => format!("{project} belonged to no account\n"),
                    before => format!("{project} no longer belongs to {before}\n"),
                }
            })?;
        }
    }
    Ok(Outcome::Done)
}

fn text(account: &Account) -> String {
    let suspended = match (account.suspended, account.suspension_reason.as_str()) {
        (false, _) => "no".to_owned(),
        (true, "") => "yes".to_owned(),
        (true, reason) => format!("yes: {reason}"),
    };
    let mut text = table::block(&[
        ("account", account.account_id.clone()),
        ("name", account.display_name.clone()),
        ("email", account.billing_email.clone()),
        ("suspended", suspended),
        ("created", format::time(account.create_time.as_ref())),
    ]);
    if account.subscriptions.is_empty() {
        return text;
    }
    let mut table = Table::new([
        Column::Left("SUBSCRIPTION"),
        Column::Left("PLAN"),
        Column::Left("STATUS"),
        Column::Left("INTERVAL"),
        Column::Left("PERIOD BEGAN"),
        Column::Left("PERIOD ENDS"),
        Column::Left("THEN ENDS"),
        Column::Left("PROVIDER"),
    ]);
    for subscription in &account.subscriptions {
        let status = subscription.status().as_str_name();
        let interval = subscription.interval().as_str_name();
        table.row([
            subscription.subscription_id.clone(),
            subscription.plan.clone(),
            format::short(status, "SUBSCRIPTION_STATUS_").to_owned(),
            format::short(interval, "BILLING_INTERVAL_").to_owned(),
            format::time(subscription.period_start_time.as_ref()),
            format::time(subscription.period_end_time.as_ref()),
            format::yes(subscription.cancel_at_period_end),
            subscription.provider.clone(),
        ]);
    }
    text.push('\n');
    text.push_str(&table.render());
    text
}
