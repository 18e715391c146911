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

/// The most that one page has.
const MAX_PAGE: usize = 1_000;

impl PageArgs {
    /// Asks for one page after the other, of so many and from this token on, until there is
    /// enough. Gives the token of what is left, empty where nothing is, and the items.
    pub(super) async fn follow<T>(
        &self,
        mut ask: impl AsyncFnMut(i32, String) -> Result<(String, Vec<T>), CliError>,
    ) -> Result<(String, Vec<T>), CliError> {
        let mut token = self.page_token.clone();
        let mut all = Vec::new();
        loop {
            let left = match self.limit {
                0 => MAX_PAGE,
                limit => limit.saturating_sub(all.len()).min(MAX_PAGE),
            };
            let Some(size) = i32::try_from(left).ok().filter(|size| *size > 0) else {
                return Ok((token, all));
            };
            let (next, items) = ask(size, token).await?;
            all.extend(items);
            token = next;
            if token.is_empty() {
                return Ok((token, all));
            }
        }
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
    let (next_page_token, entries) = args
        .page
        .follow(async |page_size, page_token| {
            let answer = client
                .list_ledger_entries(ListLedgerEntriesRequest {
                    account_id: args.account.clone(),
                    credit_type: args.credit_type.clone(),
                    reservation_id: args.reservation.clone(),
                    page_size,
                    page_token,
                })
                .await?;
            Ok((answer.next_page_token, answer.entries))
        })
        .await?;
    let all = ListLedgerEntriesResponse { entries, next_page_token };
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
    let (next_page_token, lots) = args
        .page
        .follow(async |page_size, page_token| {
            let answer = client
                .list_lots(ListLotsRequest {
                    account_id: args.account.clone(),
                    credit_type: args.credit_type.clone(),
                    include_empty: args.all,
                    page_size,
                    page_token,
                })
                .await?;
            Ok((answer.next_page_token, answer.lots))
        })
        .await?;
    let all = ListLotsResponse { lots, next_page_token };
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

    /// The sizes that were asked for where pages have so many items, and how it ended.
    async fn followed(pages: &[usize]) -> (Vec<i32>, usize, String) {
        let args = PageArgs { limit: 1_500, page_token: "first".to_owned() };
        let mut sizes = Vec::new();
        let (token, items) = args
            .follow(async |size, token| {
                assert_eq!(token, if sizes.is_empty() { "first" } else { "next" });
                sizes.push(size);
                let is_last = sizes.len() == pages.len();
                let next = if is_last { String::new() } else { "next".to_owned() };
                Ok((next, vec![(); pages[sizes.len() - 1]]))
            })
            .await
            .unwrap();
        (sizes, items.len(), token)
    }

    #[tokio::test]
    async fn pages_are_followed_until_there_is_enough_or_no_more() {
        let enough = followed(&[1_000, 500, 7]).await;
        assert_eq!(enough, (vec![1_000, 500], 1_500, "next".to_owned()));
        let ended = followed(&[1_000, 100]).await;
        assert_eq!(ended, (vec![1_000, 500], 1_100, String::new()), "the list has ended");
    }
}
