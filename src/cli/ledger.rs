//! `creditgate balance`, `ledger` and `lots`.

use clap::Args;
use prost_types::Timestamp;

use super::{
    CliError, Connection, Outcome, Output, format, parse,
    table::{Column, Table},
};
use crate::proto::{
    Balance, GetBalanceRequest, LedgerEntry, ListLedgerEntriesRequest, ListLedgerEntriesResponse,
    ListLotsRequest, ListLotsResponse, Lot,
};

/// How much of a long list.
#[derive(Args, Clone, Debug)]
pub(super) struct PageArgs {
    /// At most this many; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Go on where an earlier list ended.
    #[arg(long, value_name = "TOKEN", default_value = "")]
    page_token: String,
}

impl PageArgs {
    pub(super) fn start(&self) -> Pages {
        Pages { limit: self.limit, token: self.page_token.clone(), started: false }
    }
}

/// Follows page tokens until there is enough.
pub(super) struct Pages {
    limit: usize,
    token: String,
    started: bool,
}

impl Pages {
    /// The size of the next page, or none where the list is done.
    pub(super) fn next_size(&self, have: usize) -> Option<i32> {
        if self.started && self.token.is_empty() {
            return None;
        }
        match self.limit {
            0 => Some(1_000),
            limit if have >= limit => None,
            limit => i32::try_from((limit - have).min(1_000)).ok(),
        }
    }

    pub(super) fn token(&self) -> String {
        self.token.clone()
    }

    pub(super) fn turn(&mut self, next: String) {
        self.started = true;
        self.token = next;
    }
}

/// How to see the rest; empty where there is none.
pub(super) fn more(next_page_token: &str) -> String {
    if next_page_token.is_empty() {
        return String::new();
    }
    format!("more: --page-token {next_page_token}\n")
}

/// Options of `balance`.
#[derive(Args, Debug)]
#[command(after_help = "Only available credits can start another scan; running scans hold the \
reserved ones.\n\n\
Examples:\n  \
creditgate balance --account acme\n  \
creditgate balance --account acme --as-of 2026-01-31T00:00:00Z --output json")]
pub(super) struct BalanceArgs {
    /// The account.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: String,
    /// Only this type of credits.
    #[arg(long = "type", value_name = "TYPE", default_value = "")]
    credit_type: String,
    /// As it was at this time (RFC 3339) [default: now].
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    as_of: Option<Timestamp>,
}

/// Options of `ledger`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
creditgate ledger --account acme --limit 10\n  \
creditgate ledger --account acme --reservation run-123")]
pub(super) struct LedgerArgs {
    /// The account.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: String,
    /// Only this type of credits.
    #[arg(long = "type", value_name = "TYPE", default_value = "")]
    credit_type: String,
    /// Only this reservation's entries.
    #[arg(long, value_name = "ID", default_value = "")]
    reservation: String,
    #[command(flatten)]
    page: PageArgs,
}

/// Options of `lots`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  creditgate lots --account acme --all")]
pub(super) struct LotsArgs {
    /// The account.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: String,
    /// Only this type of credits.
    #[arg(long = "type", value_name = "TYPE", default_value = "")]
    credit_type: String,
    /// Spent and expired ones too.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    page: PageArgs,
}

pub(super) async fn balance(
    connection: &Connection,
    out: &Output,
    args: BalanceArgs,
) -> Result<Outcome, CliError> {
    let response = connection
        .client()?
        .get_balance(GetBalanceRequest {
            account_id: args.account,
            credit_type: args.credit_type,
            as_of: args.as_of,
        })
        .await?;
    out.message("GetBalanceResponse", &response, |response| balance_table(&response.balances))?;
    Ok(Outcome::Done)
}

pub(super) fn balance_table(balances: &[Balance]) -> String {
    let mut table = Table::new([
        Column::Left("TYPE"),
        Column::Right("AVAILABLE"),
        Column::Right("RESERVED"),
        Column::Right("SPENT"),
    ]);
    for balance in balances {
        table.row([
            balance.credit_type.clone(),
            balance.available.to_string(),
            balance.reserved.to_string(),
            balance.spent.to_string(),
        ]);
    }
    table.render_or("no credits yet")
}

pub(super) async fn ledger(
    connection: &Connection,
    out: &Output,
    args: LedgerArgs,
) -> Result<Outcome, CliError> {
    let client = connection.client()?;
    let mut all = ListLedgerEntriesResponse::default();
    let mut page = args.page.start();
    while let Some(page_size) = page.next_size(all.entries.len()) {
        let answer = client
            .list_ledger_entries(ListLedgerEntriesRequest {
                account_id: args.account.clone(),
                credit_type: args.credit_type.clone(),
                reservation_id: args.reservation.clone(),
                page_size,
                page_token: page.token(),
            })
            .await?;
        all.entries.extend(answer.entries);
        page.turn(answer.next_page_token);
    }
    all.next_page_token = page.token();
    out.message("ListLedgerEntriesResponse", &all, |all| {
        entry_table(&all.entries) + &more(&all.next_page_token)
    })?;
    Ok(Outcome::Done)
}

pub(super) fn entry_table(entries: &[LedgerEntry]) -> String {
    let mut table = Table::new([
        Column::Left("TIME"),
        Column::Left("TYPE"),
        Column::Right("SEQ"),
        Column::Left("KIND"),
        Column::Right("CREDITS"),
        Column::Right("AVAILABLE"),
        Column::Right("RESERVED"),
        Column::Right("SPENT"),
        Column::Left("RESERVATION"),
        Column::Left("REFERENCE"),
        Column::Left("ACTOR"),
    ]);
    for entry in entries {
        table.row([
            format::time(entry.create_time.as_ref()),
            entry.credit_type.clone(),
            entry.sequence.to_string(),
            format::short(entry.kind().as_str_name(), "LEDGER_ENTRY_KIND_").to_owned(),
            entry.credits.to_string(),
            entry.available_after.to_string(),
            entry.reserved_after.to_string(),
            entry.spent_after.to_string(),
            entry.reservation_id.clone(),
            entry.reference.clone(),
            entry.actor.clone(),
        ]);
    }
    table.render_or("no entries")
}

pub(super) async fn lots(
    connection: &Connection,
    out: &Output,
    args: LotsArgs,
) -> Result<Outcome, CliError> {
    let client = connection.client()?;
    let mut all = ListLotsResponse::default();
    let mut page = args.page.start();
    while let Some(page_size) = page.next_size(all.lots.len()) {
        let answer = client
            .list_lots(ListLotsRequest {
                account_id: args.account.clone(),
                credit_type: args.credit_type.clone(),
                include_empty: args.all,
                page_size,
                page_token: page.token(),
            })
            .await?;
        all.lots.extend(answer.lots);
        page.turn(answer.next_page_token);
    }
    all.next_page_token = page.token();
    out.message("ListLotsResponse", &all, |all| {
        lot_table(&all.lots) + &more(&all.next_page_token)
    })?;
    Ok(Outcome::Done)
}

pub(super) fn lot_table(lots: &[Lot]) -> String {
    let mut table = Table::new([
        Column::Left("LOT"),
        Column::Left("TYPE"),
        Column::Left("SOURCE"),
        Column::Right("CREDITS"),
        Column::Right("REMAINING"),
        Column::Left("EXPIRES"),
        Column::Left("GRANTED"),
        Column::Left("REFERENCE"),
    ]);
    for lot in lots {
        table.row([
            lot.lot_id.clone(),
            lot.credit_type.clone(),
            format::short(lot.source().as_str_name(), "LOT_SOURCE_").to_owned(),
            lot.credits.to_string(),
            lot.remaining.to_string(),
            format::time(lot.expire_time.as_ref()),
            format::time(lot.create_time.as_ref()),
            lot.reference.clone(),
        ]);
    }
    table.render_or("no lots")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_followed_until_there_is_enough_or_no_more() {
        let args = PageArgs { limit: 1_500, page_token: String::new() };
        let mut pages = args.start();
        assert_eq!(pages.next_size(0), Some(1_000));
        pages.turn("next".into());
        assert_eq!(pages.next_size(1_000), Some(500));
        assert_eq!(pages.next_size(1_500), None);
        pages.turn(String::new());
        assert_eq!(pages.next_size(1_100), None, "the list has ended");
    }
}
