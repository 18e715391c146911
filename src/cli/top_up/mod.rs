//! `creditgate topup`: purchases of credits.

mod begin;
mod list;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

use super::{
    CliError, Connection, Outcome, Output, format, parse,
    table::{self, Column, Table},
    verdict,
};
use crate::proto::{
    ConfirmTopUpRequest, ConfirmTopUpResponse, FailTopUpRequest, FailTopUpResponse, TopUp,
    TopUpStatus,
};

/// Commands of `topup`.
#[derive(Debug, Subcommand)]
pub(super) enum TopUpCommand {
    /// Open a purchase: its payment is awaited from now on.
    Begin(begin::BeginArgs),
    /// Confirm that a purchase is paid, and grant its credits.
    Confirm(ConfirmArgs),
    /// Close a purchase that will not be paid.
    Fail(FailArgs),
    /// List an account's purchases, the newest first.
    List(list::ListArgs),
}

/// Options of `topup confirm`.
#[derive(Args, Debug)]
#[command(after_help = "For purchases with --provider manual; a provider's are confirmed by its \
webhooks.\n\n\
Example:\n  creditgate topup confirm --id top-17 --reference invoice-2026-17")]
pub(super) struct ConfirmArgs {
    /// The purchase.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    id: String,
    /// What the payment is called where it was made.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reference: String,
}

/// Options of `topup fail`.
#[derive(Args, Debug)]
#[command(after_help = "Should it be paid after all, it can still be confirmed.\n\n\
Example:\n  creditgate topup fail --id top-17 --reason 'invoice withdrawn'")]
pub(super) struct FailArgs {
    /// The purchase.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    id: String,
    /// Why.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

pub(super) async fn run(
    connection: &Connection,
    out: &Output,
    command: TopUpCommand,
) -> Result<Outcome, CliError> {
    match command {
        TopUpCommand::Begin(args) => begin::run(connection, out, args).await,
        TopUpCommand::Confirm(args) => confirm(connection, out, args).await,
        TopUpCommand::Fail(args) => fail(connection, out, args).await,
        TopUpCommand::List(args) => list::run(connection, out, args).await,
    }
}

async fn confirm(
    connection: &Connection,
    out: &Output,
    args: ConfirmArgs,
) -> Result<Outcome, CliError> {
    let response = connection
        .client()?
        .confirm_top_up(ConfirmTopUpRequest {
            top_up_id: args.id,
            provider_reference: args.reference,
        })
        .await?;
    out.message("ConfirmTopUpResponse", &response, |response: &ConfirmTopUpResponse| {
        let again = if response.replayed { " before" } else { "" };
        let what = response.top_up.as_ref().map(bought).unwrap_or_default();
        let balance = response.balance.as_ref().map(verdict::balance_line).unwrap_or_default();
        format!("confirmed{again} {what}: {balance}\n")
    })?;
    Ok(Outcome::Done)
}

async fn fail(connection: &Connection, out: &Output, args: FailArgs) -> Result<Outcome, CliError> {
    let response = connection
        .client()?
        .fail_top_up(FailTopUpRequest { top_up_id: args.id, reason: args.reason })
        .await?;
    out.message("FailTopUpResponse", &response, |response: &FailTopUpResponse| {
        format!("closed {}\n", response.top_up.as_ref().map(bought).unwrap_or_default())
    })?;
    Ok(Outcome::Done)
}

/// "top-17, 5 scan credits for USD 145.00".
fn bought(top_up: &TopUp) -> String {
    let credits = format::credits(top_up.credits, &top_up.credit_type);
    format!("{}, {credits} for {}", top_up.top_up_id, price(top_up))
}

fn price(top_up: &TopUp) -> String {
    format::money(top_up.price_minor, &top_up.currency)
}

/// "PENDING", or the number of a status that is newer than this program.
fn status(top_up: &TopUp) -> String {
    TopUpStatus::try_from(top_up.status).map_or_else(
        |_| top_up.status.to_string(),
        |status| format::short(status.as_str_name(), "TOP_UP_STATUS_").to_owned(),
    )
}

/// Payments that are awaited.
pub(super) fn pending_table(top_ups: &[TopUp], now: DateTime<Utc>) -> String {
    let mut table = Table::new([
        Column::Left("PAYMENT PENDING"),
        Column::Right("CREDITS"),
        Column::Left("TYPE"),
        Column::Right("PRICE"),
        Column::Left("AGE"),
        Column::Left("PROVIDER"),
        Column::Left("REFERENCE"),
    ]);
    for top_up in top_ups {
        table.row([
            top_up.top_up_id.clone(),
            top_up.credits.to_string(),
            top_up.credit_type.clone(),
            price(top_up),
            format::age(top_up.create_time.as_ref(), now),
            top_up.provider.clone(),
            top_up.provider_reference.clone(),
        ]);
    }
    table.render_or("no payments pending")
}

/// A purchase, a line for each thing that is known of it.
fn text(top_up: &TopUp) -> Vec<(&'static str, String)> {
    vec![
        ("top-up", top_up.top_up_id.clone()),
        ("status", status(top_up)),
        ("account", top_up.account_id.clone()),
        ("credits", format::credits(top_up.credits, &top_up.credit_type)),
        ("price", price(top_up)),
        ("provider", top_up.provider.clone()),
        ("reference", top_up.provider_reference.clone()),
        ("opened", format::time(top_up.create_time.as_ref())),
        ("awaited until", format::time(top_up.expire_time.as_ref())),
    ]
}
