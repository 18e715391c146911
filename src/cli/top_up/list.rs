//! `creditgate topup list`.

use clap::Args;

use super::{Column, Table, price, status};
use crate::{
    cli::{
        CliError, Connection, Outcome, Output, format,
        ledger::{PageArgs, more},
        parse,
    },
    proto::{ListTopUpsRequest, ListTopUpsResponse, TopUp},
};

/// Options of `topup list`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  creditgate topup list --account acme")]
pub(in crate::cli) struct ListArgs {
    /// The account.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: String,
    #[command(flatten)]
    page: PageArgs,
}

pub(super) async fn run(
    connection: &Connection,
    out: &Output,
    args: ListArgs,
) -> Result<Outcome, CliError> {
    let client = connection.client()?;
    let (next_page_token, top_ups) = args
        .page
        .follow(async |page_size, page_token| {
            let answer = client
                .list_top_ups(ListTopUpsRequest {
                    account_id: args.account.clone(),
                    page_size,
                    page_token,
                })
                .await?;
            Ok((answer.next_page_token, answer.top_ups))
        })
        .await?;
    let all = ListTopUpsResponse { top_ups, next_page_token };
    out.message("ListTopUpsResponse", &all, |all| {
        text(&all.top_ups) + &more(&all.next_page_token)
    })?;
    Ok(Outcome::Done)
}

fn text(top_ups: &[TopUp]) -> String {
    let mut table = Table::new([
        Column::Left("TOP-UP"),
        Column::Left("STATUS"),
        Column::Right("CREDITS"),
        Column::Left("TYPE"),
        Column::Right("PRICE"),
        Column::Left("OPENED"),
        Column::Left("SETTLED"),
        Column::Left("PROVIDER"),
        Column::Left("REFERENCE"),
        Column::Left("REASON"),
    ]);
    for top_up in top_ups {
        table.row([
            top_up.top_up_id.clone(),
            status(top_up),
            top_up.credits.to_string(),
            top_up.credit_type.clone(),
            price(top_up),
            format::time(top_up.create_time.as_ref()),
            format::time(top_up.settle_time.as_ref()),
            top_up.provider.clone(),
            top_up.provider_reference.clone(),
            top_up.reason.clone(),
        ]);
    }
    table.render_or("no purchases")
}
