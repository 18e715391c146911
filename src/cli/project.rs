//! `creditgate project assign` and `project unassign`.

use clap::{Args, Subcommand};

use super::{CliError, Connection, Outcome, Output, parse};
use crate::proto::{AssignProjectRequest, UnassignProjectRequest};

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

pub(super) async fn run(
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
