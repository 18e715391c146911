//! `creditgate check`.

use clap::Args;

use super::{CliError, Connection, Outcome, Output, format, parse, verdict};
use crate::{
    client::Eligibility,
    proto::{CheckEligibilityResponse, Scan, check_eligibility_response::Verdict},
};

/// The scan in question.
#[derive(Args, Clone, Debug)]
pub(super) struct ScanArgs {
    /// The account that pays.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    pub(super) account: String,
    /// The project to be scanned; without it ownership is not checked.
    #[arg(long, value_name = "ID")]
    pub(super) project: Option<String>,
    /// The kind of scan, as the catalog names it.
    #[arg(long, value_name = "KIND", value_parser = parse::id)]
    pub(super) kind: String,
    /// Credits that the scan needs [default: the catalog's price].
    #[arg(long, value_name = "N", value_parser = parse::credits)]
    pub(super) credits: Option<i64>,
}

impl ScanArgs {
    pub(super) fn scan(&self) -> Scan {
        Scan {
            account_id: self.account.clone(),
            project_id: self.project.clone().unwrap_or_default(),
            scan_kind: self.kind.clone(),
            credits: self.credits.unwrap_or_default(),
        }
    }
}

/// Options of `check`.
#[derive(Args, Debug)]
#[command(after_help = "Holds nothing: only `reserve` guarantees the credits.\n\n\
Exits 0 where the scan would be let through, 3 where it would be blocked.\n\n\
Example:\n  creditgate check --account acme --project shop --kind live_audit")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    scan: ScanArgs,
}

pub(super) async fn run(
    connection: &Connection,
    out: &Output,
    args: CheckArgs,
) -> Result<Outcome, CliError> {
    let (verdict, balance, outcome) = match connection.client()?.check(args.scan.scan()).await? {
        Eligibility::Eligible { eligible, balance } => {
            (Verdict::Eligible(eligible), balance, Outcome::Done)
        }
        Eligibility::Blocked(blocked) => {
            (Verdict::Block(blocked.block), blocked.balance, Outcome::Blocked)
        }
    };
    let response = CheckEligibilityResponse { verdict: Some(verdict), balance };
    out.message("CheckEligibilityResponse", &response, |response| match &response.verdict {
        Some(Verdict::Block(block)) => verdict::block_text(block),
        Some(Verdict::Eligible(eligible)) => {
            let takes = format::credits(eligible.credits, &eligible.credit_type);
            let has = response
                .balance
                .as_ref()
                .map(|balance| format!(" ({})", verdict::balance_line(balance)))
                .unwrap_or_default();
            format!("allowed: would take {takes}{has}\n")
        }
        None => String::new(),
    })?;
    Ok(outcome)
}
