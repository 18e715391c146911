//! `creditgate reservations`, and `reservations show`.

use clap::{Args, Subcommand};
use prost_types::Timestamp;

use super::{
    CliError, Connection, Outcome, Output, format,
    ledger::PageArgs,
    parse,
    table::{Column, Table},
    verdict,
};
use crate::proto::{
    GetReservationRequest, GetReservationResponse, ListReservationsRequest,
    ListReservationsResponse, ReservationState,
};

/// Options of `reservations`.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "With --account: that account's, the newest first. Without: everybody's that are \
held, the earliest\nlease first, which is what a reconciler sweeps.\n\n\
Examples:\n  \
creditgate reservations --account acme --state held\n  \
creditgate reservations show run-123 --account acme"
)]
pub(super) struct ReservationsArgs {
    #[command(subcommand)]
    command: Option<ReservationsCommand>,
    /// Only this account's.
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Only those in this state.
    #[arg(long, value_name = "STATE", value_parser = parse::state)]
    state: Option<ReservationState>,
    /// Only those whose lease ends before this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    expire_before: Option<Timestamp>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Debug, Subcommand)]
enum ReservationsCommand {
    /// Show one reservation.
    Show(ShowArgs),
}

#[derive(Args, Debug)]
struct ShowArgs {
    /// The reservation.
    #[arg(value_name = "ID", value_parser = parse::id)]
    id: String,
    /// The account that holds it.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: String,
}

pub(super) async fn run(
    connection: &Connection,
    out: &Output,
    args: ReservationsArgs,
) -> Result<Outcome, CliError> {
    match args.command {
        Some(ReservationsCommand::Show(show)) => self::show(connection, out, show).await,
        None => list(connection, out, args).await,
    }
}

async fn show(connection: &Connection, out: &Output, args: ShowArgs) -> Result<Outcome, CliError> {
    let reservation = connection
        .client()?
        .get_reservation(GetReservationRequest {
            account_id: args.account,
            reservation_id: args.id,
        })
        .await?;
    let response = GetReservationResponse { reservation: Some(reservation) };
    out.message("GetReservationResponse", &response, |response| {
        response.reservation.as_ref().map(verdict::reservation_text).unwrap_or_default()
    })?;
    Ok(Outcome::Done)
}

async fn list(
    connection: &Connection,
    out: &Output,
    args: ReservationsArgs,
) -> Result<Outcome, CliError> {
    let client = connection.client()?;
    let (next_page_token, reservations) = args
        .page
        .follow(async |page_size, page_token| {
            let answer = client
                .list_reservations(ListReservationsRequest {
                    account_id: args.account.clone().unwrap_or_default(),
                    state: args.state.unwrap_or_default().into(),
                    expire_before: args.expire_before,
                    page_size,
                    page_token,
                })
                .await?;
            Ok((answer.next_page_token, answer.reservations))
        })
        .await?;
    let all = ListReservationsResponse { reservations, next_page_token };
    out.message("ListReservationsResponse", &all, text)?;
    Ok(Outcome::Done)
}

fn text(response: &ListReservationsResponse) -> String {
    let mut table = Table::new([
        Column::Left("RESERVATION"),
        Column::Left("ACCOUNT"),
        Column::Left("PROJECT"),
        Column::Left("KIND"),
        Column::Left("STATE"),
        Column::Right("CREDITS"),
        Column::Right("SPENT"),
        Column::Left("TYPE"),
        Column::Left("CREATED"),
        Column::Left("LEASE ENDS"),
        Column::Left("CAUSE"),
    ]);
    for reservation in &response.reservations {
        table.row([
            reservation.reservation_id.clone(),
            reservation.account_id.clone(),
            reservation.project_id.clone(),
            reservation.scan_kind.clone(),
            verdict::state(reservation),
            reservation.credits.to_string(),
            reservation.spent_credits.to_string(),
            reservation.credit_type.clone(),
            format::time(reservation.create_time.as_ref()),
            format::time(reservation.expire_time.as_ref()),
            verdict::cause(reservation),
        ]);
    }
    let more = super::ledger::more(&response.next_page_token);
    table.render_or("no reservations") + &more
}
