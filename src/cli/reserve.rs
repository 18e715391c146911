//! `creditgate reserve`.

use std::time::Duration;

use clap::Args;

use super::{CliError, Connection, Outcome, Output, check::ScanArgs, parse, verdict};
use crate::{
    client::Verdict,
    proto::{ReserveRequest, ReserveResponse, reserve_response},
};

/// The hold that is asked for, beside its scan.
#[derive(Args, Clone, Debug)]
pub(super) struct HoldArgs {
    #[command(flatten)]
    pub(super) scan: ScanArgs,
    /// Your name for this scan attempt, such as a run id; the same again
    /// does nothing twice [default: a new UUID].
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    pub(super) id: Option<String>,
    /// How long the hold lasts unless extended [default: the catalog's].
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    pub(super) lease: Option<Duration>,
    /// A label to keep with it, key=value; may be repeated.
    #[arg(long = "label", value_name = "K=V", value_parser = parse::label)]
    pub(super) labels: Vec<(String, String)>,
}

impl HoldArgs {
    /// The request, under a new id where none was given.
    pub(super) fn request(&self) -> ReserveRequest {
        ReserveRequest {
            reservation_id: parse::id_or_new(self.id.clone()),
            scan: Some(self.scan.scan()),
            lease: self.lease.map(parse::proto_duration),
            labels: self.labels.iter().cloned().collect(),
        }
    }
}

/// Options of `reserve`.
#[derive(Args, Debug)]
#[command(
    after_help = "Settle the reservation with `commit` or `release`; else its credits come back \
when its lease ends.\n\n\
Exits 0 where the credits are held, 3 where the scan is blocked.\n\n\
Examples:\n  \
creditgate reserve --account acme --kind live_audit --id scan-run-123-attempt-1\n  \
creditgate reserve --account acme --kind auto_fix --credits 4 --lease 2h --label pr=17"
)]
pub(super) struct ReserveArgs {
    #[command(flatten)]
    hold: HoldArgs,
}

pub(super) async fn run(
    connection: &Connection,
    out: &Output,
    args: ReserveArgs,
) -> Result<Outcome, CliError> {
    let request = args.hold.request();
    let id = request.reservation_id.clone();
    let verdict = match connection.client()?.reserve(request).await {
        Ok(verdict) => verdict,
        Err(error) => {
            // An id that we made up is the only way to find out what became
            // of the call.
            if args.hold.id.is_none() && error.outcome_unknown() {
                super::output::note(&format!("the reservation was asked for as --id {id}"));
            }
            return Err(error.into());
        }
    };
    let (response, outcome) = match verdict {
        Verdict::Held(held) => (
            ReserveResponse {
                verdict: Some(reserve_response::Verdict::Reservation(held.reservation)),
                balance: held.balance,
                replayed: held.replayed,
            },
            Outcome::Done,
        ),
        Verdict::Blocked(blocked) => (
            ReserveResponse {
                verdict: Some(reserve_response::Verdict::Block(blocked.block)),
                balance: blocked.balance,
                replayed: false,
            },
            Outcome::Blocked,
        ),
    };
    out.message("ReserveResponse", &response, text)?;
    Ok(outcome)
}

fn text(response: &ReserveResponse) -> String {
    match &response.verdict {
        Some(reserve_response::Verdict::Block(block)) => verdict::block_text(block),
        Some(reserve_response::Verdict::Reservation(reservation)) => {
            let mut text = verdict::reservation_text(reservation);
            if let Some(balance) = &response.balance {
                text.push_str(&format!("balance      {}\n", verdict::balance_line(balance)));
            }
            if response.replayed {
                text.push_str("replayed     an earlier call had already made it\n");
            }
            text
        }
        None => String::new(),
    }
}
