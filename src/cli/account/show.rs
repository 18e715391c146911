//! `creditgate account show`: what a billing page shows.

use chrono::Utc;
use clap::Args;
use serde_json::{Map, Value};

use crate::{
    cli::{CliError, Connection, Outcome, Output, json, ledger, parse, subscription, top_up},
    client::Client,
    proto::{
        Account, Balance, GetAccountRequest, GetBalanceRequest, LedgerEntry,
        ListLedgerEntriesRequest, ListLotsRequest, ListTopUpsRequest, Lot, TopUp, TopUpStatus,
    },
};

/// The latest movements that are shown.
const ENTRIES: i32 = 10;
/// Purchases that are looked through for pending ones, which are young.
const TOP_UPS: i32 = 1_000;
/// Lots that are shown.
const LOTS: i32 = 1_000;

/// Options of `account show`.
#[derive(Args, Debug)]
#[command(
    after_help = "`balance`, `lots`, `ledger` and `topup list` show each of these in full.\n\n\
Examples:\n  \
creditgate account show --account acme\n  \
creditgate account show --account acme --lots --output json"
)]
pub(in crate::cli) struct ShowArgs {
    /// The account.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: String,
    /// Its lots of credits too, in the order they will be spent.
    #[arg(long)]
    lots: bool,
}

/// What is shown of an account.
struct Page {
    account: Account,
    balances: Vec<Balance>,
    lots: Option<Vec<Lot>>,
    pending: Vec<TopUp>,
    entries: Vec<LedgerEntry>,
}

pub(super) async fn run(
    connection: &Connection,
    out: &Output,
    args: ShowArgs,
) -> Result<Outcome, CliError> {
    let page = read(&connection.client()?, args).await?;
    out.document(text(&page).trim_end(), &document(&page)?)?;
    Ok(Outcome::Done)
}

async fn read(client: &Client, args: ShowArgs) -> Result<Page, CliError> {
    let account_id = args.account;
    let request = GetAccountRequest { account_id: account_id.clone() };
    let account = client.get_account(request).await?.account.unwrap_or_default();
    let request = GetBalanceRequest { account_id: account_id.clone(), ..Default::default() };
    let balances = client.get_balance(request).await?.balances;
    let lots = if args.lots {
        let request = ListLotsRequest {
            account_id: account_id.clone(),
            page_size: LOTS,
            ..Default::default()
        };
        Some(client.list_lots(request).await?.lots)
    } else {
        None
    };
    let request = ListTopUpsRequest {
        account_id: account_id.clone(),
        page_size: TOP_UPS,
        ..Default::default()
    };
    let mut pending = client.list_top_ups(request).await?.top_ups;
    pending.retain(|top_up| top_up.status() == TopUpStatus::Pending);
    let request = ListLedgerEntriesRequest { account_id, page_size: ENTRIES, ..Default::default() };
    let entries = client.list_ledger_entries(request).await?.entries;
    Ok(Page { account, balances, lots, pending, entries })
}

/// One part below the other, those that there are.
fn text(page: &Page) -> String {
    let mut parts = vec![super::text(&page.account)];
    if !page.account.subscriptions.is_empty() {
        parts.push(subscription::table(&page.account.subscriptions));
    }
    parts.push(ledger::balance_table(&page.balances));
    if !page.pending.is_empty() {
        parts.push(top_up::pending_table(&page.pending, Utc::now()));
    }
    if let Some(lots) = &page.lots {
        parts.push(ledger::lot_table(lots));
    }
    if !page.entries.is_empty() {
        parts.push(ledger::entry_table(&page.entries));
    }
    parts.join("\n")
}

fn document(page: &Page) -> Result<Value, CliError> {
    let mut document = Map::new();
    document.insert("account".to_owned(), json::from_message("Account", &page.account)?);
    document.insert("balances".to_owned(), json::from_messages("Balance", &page.balances)?);
    document.insert("pending_top_ups".to_owned(), json::from_messages("TopUp", &page.pending)?);
    if let Some(lots) = &page.lots {
        document.insert("lots".to_owned(), json::from_messages("Lot", lots)?);
    }
    document.insert("entries".to_owned(), json::from_messages("LedgerEntry", &page.entries)?);
    Ok(Value::Object(document))
}
