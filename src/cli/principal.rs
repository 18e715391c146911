//! `creditgate principal add|list|remove`: who may call with a certificate or a token.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    CliError, Outcome, Output,
    format::{precise, seconds},
    migrate::DatabaseArgs,
    rights::{ACTOR, RightsArgs, failed, open},
    table::{Column, Table},
};
use crate::server::access::{Principal, StoredPrincipal};

/// Commands of `principal`. They work on the database directly, as its owner.
#[derive(Debug, Subcommand)]
pub(super) enum PrincipalCommand {
    /// Let a caller in whom somebody else vouches for.
    #[command(
        after_help = "Principals:\n  certificate:NAME  a name in a client's certificate, of an \
authority in --tls-client-ca:\n                    a SPIFFE id (spiffe://...), or else a DNS name\n  \
token:SUBJECT     the subject (sub) of a token of --token-issuer\n\n\
Examples:\n  \
creditgate principal add certificate:spiffe://example.org/scheduler --name scheduler \
--scope scheduler\n  \
creditgate principal add token:system:serviceaccount:scans:runner --name runner --scope scheduler"
    )]
    Add(AddArgs),
    /// List those that are let in, by name.
    List(ListArgs),
    /// Let callers in no longer: every replica refuses them within seconds.
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Who it is.
    #[arg(value_name = "PRINCIPAL", value_parser = principal)]
    principal: Principal,
    #[command(flatten)]
    rights: RightsArgs,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Who they are.
    #[arg(value_name = "PRINCIPAL", required = true, value_parser = principal)]
    principals: Vec<Principal>,
}

pub(super) async fn run(out: &Output, command: PrincipalCommand) -> Result<Outcome, CliError> {
    match command {
        PrincipalCommand::Add(args) => {
            let AddArgs { database, principal, rights } = args;
            let access = open(&database).await?;
            let added = access.add_principal(&principal, &rights.into(), ACTOR).await;
            access.close().await;
            added.map_err(failed)?;
            let said = format!("let in: {principal}");
            out.document(&said, &json!({ "principal": principal.as_str() }))?;
        }
        PrincipalCommand::List(args) => {
            let access = open(&args.database).await?;
            let principals = access.principals().await;
            access.close().await;
            let principals = principals.map_err(failed)?;
            let list: Vec<_> = principals.iter().map(json_of).collect();
            out.document(text(&principals).trim_end(), &json!({ "principals": list }))?;
        }
        PrincipalCommand::Remove(args) => {
            let access = open(&args.database).await?;
            for principal in &args.principals {
                access.remove_principal(principal, ACTOR).await.map_err(failed)?;
            }
            access.close().await;
            let removed: Vec<&str> = args.principals.iter().map(Principal::as_str).collect();
            let said = format!("let in no longer: {}", removed.join(", "));
            out.document(&said, &json!({ "removed": removed }))?;
        }
    }
    Ok(Outcome::Done)
}

fn text(principals: &[StoredPrincipal]) -> String {
    let mut table = Table::new([
        Column::Left("PRINCIPAL"),
        Column::Left("NAME"),
        Column::Left("SCOPES"),
        Column::Left("ACCOUNTS"),
        Column::Left("CREATED"),
        Column::Left("LAST USED"),
    ]);
    for stored in principals {
        table.row([
            stored.principal.clone(),
            stored.name.clone(),
            stored.scopes.join(","),
            stored.account_ids.as_ref().map_or_else(|| "all".to_owned(), |ids| ids.join(",")),
            seconds(stored.create_time),
            stored.last_use_time.map_or_else(|| "never".to_owned(), seconds),
        ]);
    }
    table.render_or("nobody: `creditgate principal add` lets somebody in")
}

fn json_of(stored: &StoredPrincipal) -> serde_json::Value {
    json!({
        "principal": stored.principal,
        "name": stored.name,
        "scopes": stored.scopes,
        "account_ids": stored.account_ids,
        "create_time": precise(stored.create_time),
        "last_use_time": stored.last_use_time.map(precise),
    })
}

fn principal(text: &str) -> Result<Principal, String> {
    let wrong = || {
        "certificate: or token:, and 1 to 200 visible characters of ASCII, such as \
         certificate:spiffe://example.org/scheduler"
            .to_owned()
    };
    Principal::new(text).ok_or_else(wrong)
}
