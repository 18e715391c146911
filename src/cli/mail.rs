//! `creditgate mail ...`: what accounts are mailed, and were.

use clap::{Args, Subcommand};

use super::{
    CliError, Connection, Outcome, Output,
    events::{kind, short},
    format,
    ledger::{PageArgs, more},
    parse,
    table::{Column, Table},
};
use crate::proto::{
    EventKind, ListMailsRequest, ListMailsResponse, SetMailKindsRequest, SetMailKindsResponse,
};

/// Commands of `mail`.
#[derive(Debug, Subcommand)]
pub(super) enum MailCommand {
    /// List an account's mails, the newest first.
    List(ListArgs),
    /// Say which events an account is mailed.
    #[command(after_help = "Examples:\n  \
creditgate mail kinds --account acme --kind low_balance --kind zero_balance\n  \
creditgate mail kinds --account acme --none")]
    Kinds(KindsArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// The account.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: String,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Debug, Args)]
pub(super) struct KindsArgs {
    /// The account.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: String,
    /// This kind; may be repeated.
    #[arg(
        long = "kind",
        value_name = "KIND",
        value_parser = kind,
        required_unless_present_any = ["none", "usual"]
    )]
    kinds: Vec<EventKind>,
    /// No mail at all.
    #[arg(long, conflicts_with_all = ["kinds", "usual"])]
    none: bool,
    /// Whatever is usual.
    #[arg(long, conflicts_with = "kinds")]
    usual: bool,
}

pub(super) async fn run(
    connection: &Connection,
    out: &Output,
    command: MailCommand,
) -> Result<Outcome, CliError> {
    let client = connection.client()?;
    match command {
        MailCommand::List(args) => {
            let (next_page_token, mails) = args
                .page
                .follow(async |page_size, page_token| {
                    let request = ListMailsRequest {
                        account_id: args.account.clone(),
                        page_size,
                        page_token,
                    };
                    let answer = client.list_mails(request).await?;
                    Ok((answer.next_page_token, answer.mails))
                })
                .await?;
            let all = ListMailsResponse { mails, next_page_token };
            out.message("ListMailsResponse", &all, table)?;
        }
        MailCommand::Kinds(args) => {
            let request = SetMailKindsRequest {
                account_id: args.account,
                kinds: args.kinds.iter().map(|kind| i32::from(*kind)).collect(),
                usual: args.usual,
            };
            let chosen = client.set_mail_kinds(request).await?;
            out.message("SetMailKindsResponse", &chosen, kinds)?;
        }
    }
    Ok(Outcome::Done)
}

fn kinds(chosen: &SetMailKindsResponse) -> String {
    let kinds: Vec<String> = chosen.kinds().map(|kind| short(kind).to_ascii_lowercase()).collect();
    if kinds.is_empty() {
        "no mails\n".to_owned()
    } else {
        format!("mailed: {}\n", kinds.join(", "))
    }
}

fn table(list: &ListMailsResponse) -> String {
    let mut table = Table::new([
        Column::Left("TIME"),
        Column::Left("KIND"),
        Column::Left("TO"),
        Column::Left("SUBJECT"),
        Column::Left("STATE"),
        Column::Right("ATTEMPTS"),
        Column::Left("ERROR"),
    ]);
    for mail in &list.mails {
        table.row([
            format::time(mail.create_time.as_ref()),
            short(mail.kind()).to_owned(),
            mail.recipient.clone(),
            mail.subject.clone(),
            format::short(mail.state().as_str_name(), "DELIVERY_STATE_").to_owned(),
            mail.attempts.to_string(),
            mail.error.clone(),
        ]);
    }
    table.render_or("no mails yet") + &more(&list.next_page_token)
}
