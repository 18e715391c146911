//! `creditgate account list`.

use clap::Args;

use crate::{
    cli::{
        CliError, Connection, Outcome, Output, format,
        ledger::{PageArgs, more},
        subscription,
        table::{Column, Table},
    },
    proto::{Account, ListAccountsRequest, ListAccountsResponse},
};

/// Options of `account list`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  creditgate account list --limit 0 --output json")]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    page: PageArgs,
}

pub(super) async fn run(
    connection: &Connection,
    out: &Output,
    args: ListArgs,
) -> Result<Outcome, CliError> {
    let client = connection.client()?;
    let (next_page_token, accounts) = args
        .page
        .follow(async |page_size, page_token| {
            let answer =
                client.list_accounts(ListAccountsRequest { page_size, page_token }).await?;
            Ok((answer.next_page_token, answer.accounts))
        })
        .await?;
    let all = ListAccountsResponse { accounts, next_page_token };
    out.message("ListAccountsResponse", &all, |all| {
        text(&all.accounts) + &more(&all.next_page_token)
    })?;
    Ok(Outcome::Done)
}

fn text(accounts: &[Account]) -> String {
    let mut table = Table::new([
        Column::Left("ACCOUNT"),
        Column::Left("NAME"),
        Column::Left("PLANS"),
        Column::Left("SUSPENDED"),
        Column::Left("EMAIL"),
        Column::Left("CREATED"),
    ]);
    for account in accounts {
        table.row([
            account.account_id.clone(),
            account.display_name.clone(),
            subscription::live_plans(&account.subscriptions),
            super::suspended(account),
            account.billing_email.clone(),
            format::time(account.create_time.as_ref()),
        ]);
    }
    table.render_or("no accounts")
}
