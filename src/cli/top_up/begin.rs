//! `creditgate topup begin`.

use clap::Args;

use super::table;
use crate::{
    cli::{CliError, Connection, Outcome, Output, credits, parse},
    proto::{BeginTopUpRequest, BeginTopUpResponse},
};

/// Options of `topup begin`.
#[derive(Args, Debug)]
#[command(after_help = "The price is the plan's. Until the purchase is confirmed, fails or \
expires, scans that lack its\ncredits are blocked with PAYMENT_PENDING, so that nobody pays \
twice.\n\n\
Examples:\n  \
creditgate topup begin --account acme --credits 5 --id top-17\n  \
creditgate topup begin --account acme --credits 5 --provider paddle --reference txn_01hv8wptq8987q")]
pub(in crate::cli) struct BeginArgs {
    /// The account.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: String,
    /// The type of credits, such as scan.
    #[arg(long = "type", value_name = "TYPE", default_value = "scan")]
    credit_type: String,
    /// How many.
    #[arg(long, value_name = "N", value_parser = parse::credits)]
    credits: i64,
    /// Who confirms the payment: manual (you do) or paddle.
    #[arg(long, value_name = "NAME", default_value = "manual")]
    provider: String,
    /// The provider's id of the payment, where it is known; it may be added later.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reference: String,
    /// Your name for it; the same again does nothing twice [default: a new UUID].
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    id: Option<String>,
}

pub(super) async fn run(
    connection: &Connection,
    out: &Output,
    args: BeginArgs,
) -> Result<Outcome, CliError> {
    let id = parse::id_or_new(args.id.clone());
    let response = connection
        .client()?
        .begin_top_up(BeginTopUpRequest {
            top_up_id: id.clone(),
            account_id: args.account,
            credit_type: args.credit_type,
            credits: args.credits,
            provider: args.provider,
            provider_reference: args.reference,
        })
        .await
        .inspect_err(|error| credits::name_new_id(args.id.as_deref(), &id, error))?;
    out.message("BeginTopUpResponse", &response, |response: &BeginTopUpResponse| {
        let mut pairs = response.top_up.as_ref().map(super::text).unwrap_or_default();
        if response.replayed {
            pairs.push(("replayed", "yes: it had been opened before".to_owned()));
        }
        table::block(&pairs)
    })?;
    Ok(Outcome::Done)
}
