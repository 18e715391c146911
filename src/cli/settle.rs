//! `creditgate extend`, `commit` and `release`.

use std::time::Duration;

use clap::Args;

use super::{CliError, Connection, Outcome, Output, format, parse, verdict};
use crate::proto::{
    Balance, CommitRequest, CommitResponse, Disposition, ExtendRequest, ExtendResponse,
    ReleaseCause, ReleaseRequest, ReleaseResponse,
};

/// Which reservation.
#[derive(Args, Debug)]
struct Target {
    /// The account that holds it.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: String,
    /// The reservation.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    id: String,
}

/// Options of `extend`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  creditgate extend --account acme --id run-123 --lease 30m")]
pub(super) struct ExtendArgs {
    #[command(flatten)]
    target: Target,
    /// The new lease, counted from now; it never shortens the current one.
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    lease: Duration,
}

/// Options of `commit`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  creditgate commit --account acme --id run-123")]
pub(super) struct CommitArgs {
    #[command(flatten)]
    target: Target,
    /// Credits to spend; the rest returns [default: all that are held].
    #[arg(long, value_name = "N", value_parser = parse::credits)]
    credits: Option<i64>,
}

/// Options of `release`.
#[derive(Args, Debug)]
#[command(
    after_help = "Causes: not_started, platform_error, platform_timeout, unsupported_target, \
target_unreachable,\nverification_lapsed, canceled_before_start, canceled_after_start. The catalog's \
policy says which\nof them give the credits back.\n\n\
Example:\n  creditgate release --account acme --id run-123 --cause platform_error --note 'worker lost'"
)]
pub(super) struct ReleaseArgs {
    #[command(flatten)]
    target: Target,
    /// Why the scan did not deliver.
    #[arg(long, value_name = "CAUSE", value_parser = parse::cause)]
    cause: ReleaseCause,
    /// A note for the ledger.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
}

pub(super) async fn extend(
    connection: &Connection,
    out: &Output,
    args: ExtendArgs,
) -> Result<Outcome, CliError> {
    let reservation = connection
        .client()?
        .extend(ExtendRequest {
            account_id: args.target.account,
            reservation_id: args.target.id,
            lease: Some(parse::proto_duration(args.lease)),
        })
        .await?;
    let response = ExtendResponse { reservation: Some(reservation) };
    out.message("ExtendResponse", &response, |response| {
        response
            .reservation
            .as_ref()
            .map(|reservation| {
                let until = format::time(reservation.expire_time.as_ref());
                format!("extended {}: lease ends {until}\n", reservation.reservation_id)
            })
            .unwrap_or_default()
    })?;
    Ok(Outcome::Done)
}

pub(super) async fn commit(
    connection: &Connection,
    out: &Output,
    args: CommitArgs,
) -> Result<Outcome, CliError> {
    let response = connection
        .client()?
        .commit(CommitRequest {
            account_id: args.target.account,
            reservation_id: args.target.id,
            credits: args.credits,
        })
        .await?;
    out.message("CommitResponse", &response, |response| format!("{}\n", committed(response)))?;
    Ok(Outcome::Done)
}

pub(super) async fn release(
    connection: &Connection,
    out: &Output,
    args: ReleaseArgs,
) -> Result<Outcome, CliError> {
    let response = connection
        .client()?
        .release(ReleaseRequest {
            account_id: args.target.account,
            reservation_id: args.target.id,
            cause: args.cause.into(),
            note: args.note,
        })
        .await?;
    out.message("ReleaseResponse", &response, |response| format!("{}\n", released(response)))?;
    Ok(Outcome::Done)
}

/// "committed 1 scan credit: 4 available, 0 reserved, 1 spent".
pub(super) fn committed(response: &CommitResponse) -> String {
    let what = response
        .reservation
        .as_ref()
        .map(|r| format!(" {}", format::credits(r.spent_credits, &r.credit_type)))
        .unwrap_or_default();
    let again = if response.replayed { " before" } else { "" };
    format!("committed{what}{again}{}", balance(response.balance.as_ref()))
}

/// "restored 1 scan credit: 5 available, 0 reserved, 0 spent".
pub(super) fn released(response: &ReleaseResponse) -> String {
    let credit_type =
        response.reservation.as_ref().map_or("", |reservation| &reservation.credit_type);
    let restored = format::credits(response.restored_credits, credit_type);
    let held = response.reservation.as_ref().map_or(0, |reservation| reservation.credits);
    let what = match response.disposition() {
        _ if held == 0 => "released, it held no credits".to_owned(),
        Disposition::Restored => format!("released, restored {restored}"),
        Disposition::Refunded => format!("released, refunded {restored}"),
        Disposition::Consumed => {
            let spent = format::credits(held, credit_type);
            let stay = if held == 1 { "stays" } else { "stay" };
            format!("released, {spent} {stay} spent: the cause is not the platform's")
        }
        Disposition::Unspecified => "released".to_owned(),
    };
    let again = if response.replayed { " before" } else { "" };
    format!("{what}{again}{}", balance(response.balance.as_ref()))
}

fn balance(balance: Option<&Balance>) -> String {
    balance.map(|balance| format!(": {}", verdict::balance_line(balance))).unwrap_or_default()
}
