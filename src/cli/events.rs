//! `creditgate events list|watch`: what happened to accounts.

use clap::{Args, Subcommand};

use super::{
    CliError, Connection, Outcome, Output, format,
    ledger::{PageArgs, more},
    parse,
    table::{Column, Table},
};
use crate::proto::{Event, EventKind, ListEventsRequest, ListEventsResponse, WatchEventsRequest};

/// Commands of `events`.
#[derive(Debug, Subcommand)]
pub(super) enum EventsCommand {
    /// List an account's events, the newest first.
    #[command(after_help = "Example:\n  creditgate events list --account acme --limit 10")]
    List(ListArgs),
    /// Print events as they happen, each on a line, until interrupted.
    #[command(after_help = "With --output json each line ends in a cursor: --after goes on \
there, and misses nothing.\n\n\
Examples:\n  \
creditgate events watch --account acme\n  \
creditgate events watch --kind low_balance --kind zero_balance --output json\n  \
creditgate events watch --from-beginning")]
    Watch(WatchArgs),
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
pub(super) struct WatchArgs {
    /// The account [default: all].
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: Option<String>,
    /// Only this kind; may be repeated [default: all].
    #[arg(long = "kind", value_name = "KIND", value_parser = kind)]
    kinds: Vec<EventKind>,
    /// Go on after the event with this cursor [default: with what happens from now on].
    #[arg(long, value_name = "CURSOR", conflicts_with = "from_beginning")]
    after: Option<String>,
    /// Begin with the first event.
    #[arg(long)]
    from_beginning: bool,
    /// End after so many events; 0 for never.
    #[arg(long, value_name = "N", default_value_t = 0)]
    limit: usize,
}

/// A kind by its name, in either case.
pub(super) fn kind(text: &str) -> Result<EventKind, String> {
    let name = format!("EVENT_KIND_{}", text.to_ascii_uppercase());
    EventKind::from_str_name(&name).filter(|kind| *kind != EventKind::Unspecified).ok_or_else(
        || {
            let kinds = (1..).map_while(|number| EventKind::try_from(number).ok());
            let names = kinds.map(|kind| short(kind).to_ascii_lowercase());
            format!("one of {}", names.collect::<Vec<_>>().join(", "))
        },
    )
}

/// Its name in capitals, without what all of them have.
pub(super) fn short(kind: EventKind) -> &'static str {
    format::short(kind.as_str_name(), "EVENT_KIND_")
}

pub(super) async fn run(
    connection: &Connection,
    out: &Output,
    command: EventsCommand,
) -> Result<Outcome, CliError> {
    match command {
        EventsCommand::List(args) => list(connection, out, args).await,
        EventsCommand::Watch(args) => watch(connection, out, args).await,
    }
}

async fn list(connection: &Connection, out: &Output, args: ListArgs) -> Result<Outcome, CliError> {
    let client = connection.client()?;
    let (next_page_token, events) = args
        .page
        .follow(async |page_size, page_token| {
            let answer = client
                .list_events(ListEventsRequest {
                    account_id: args.account.clone(),
                    page_size,
                    page_token,
                })
                .await?;
            Ok((answer.next_page_token, answer.events))
        })
        .await?;
    let all = ListEventsResponse { events, next_page_token };
    out.message("ListEventsResponse", &all, |all| {
        let mut table =
            Table::new([Column::Left("TIME"), Column::Left("KIND"), Column::Left("MESSAGE")]);
        for event in &all.events {
            table.row([
                format::time(event.create_time.as_ref()),
                short(event.kind()).to_owned(),
                event.message.clone(),
            ]);
        }
        table.render_or("no events yet") + &more(&all.next_page_token)
    })?;
    Ok(Outcome::Done)
}

async fn watch(
    connection: &Connection,
    out: &Output,
    args: WatchArgs,
) -> Result<Outcome, CliError> {
    let after_cursor = if args.from_beginning { Some(String::new()) } else { args.after };
    let request = WatchEventsRequest {
        account_id: args.account.unwrap_or_default(),
        kinds: args.kinds.iter().map(|kind| i32::from(*kind)).collect(),
        after_cursor,
    };
    let mut stream = connection.client()?.watch_events(request).await?;
    let mut told = 0;
    loop {
        let event = tokio::select! {
            event = stream.next() => event?,
            _ = tokio::signal::ctrl_c() => return Ok(Outcome::Done),
        };
        out.line("Event", &event, line)?;
        told += 1;
        if told == args.limit {
            return Ok(Outcome::Done);
        }
    }
}

/// An event on a line: kinds have 20 letters at most.
fn line(event: &Event) -> String {
    format!(
        "{}  {:<20}  {}  {}\n",
        format::time(event.create_time.as_ref()),
        short(event.kind()),
        event.account_id,
        event.message
    )
}
