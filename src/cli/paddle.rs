//! `creditgate paddle events|replay`: what Paddle has sent, and trying it again.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    CliError, Outcome, Output,
    format::{precise, seconds},
    migrate::DatabaseArgs,
    table::{Column, Table},
};
use crate::{
    ids::AccountId,
    server::{self, InboxEvent, InboxState, Replay},
};

/// Commands of `paddle`. They work on the database directly.
#[derive(Debug, Subcommand)]
pub(super) enum PaddleCommand {
    /// List the events that came, the newest first.
    #[command(after_help = "States: new (not applied yet), parked (waits for its account or \
payment), applied,\nignored (changes nothing here), failed.\n\n\
Example:\n  creditgate paddle events --state failed")]
    Events(EventsArgs),
    /// Try events again, whatever became of them; an event has its effect once.
    #[command(after_help = "Examples:\n  \
        creditgate paddle replay evt_01h8bzakzx3hm2fmen703n5q45\n  \
        creditgate paddle replay --failed")]
    Replay(ReplayArgs),
}

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Only those in this state.
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<InboxState>,
    /// At most so many.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 50,
        value_parser = clap::value_parser!(i64).range(1..=10_000)
    )]
    limit: i64,
}

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// These events.
    #[arg(value_name = "EVENT_ID", required_unless_present_any = ["failed", "parked"])]
    event_ids: Vec<String>,
    /// All that have failed.
    #[arg(long, conflicts_with_all = ["event_ids", "parked"])]
    failed: bool,
    /// All that wait for their account or payment.
    #[arg(long, conflicts_with = "event_ids")]
    parked: bool,
}

pub(super) async fn run(out: &Output, command: PaddleCommand) -> Result<Outcome, CliError> {
    match command {
        PaddleCommand::Events(args) => events(out, args).await,
        PaddleCommand::Replay(args) => replay(out, args).await,
    }
}

/// A state by its name, in either case.
fn state(text: &str) -> Result<InboxState, String> {
    let names = || InboxState::ALL.map(InboxState::name).join(", ");
    InboxState::ALL
        .into_iter()
        .find(|state| state.name() == text.to_ascii_lowercase())
        .ok_or_else(|| format!("one of {}", names()))
}

async fn events(out: &Output, args: EventsArgs) -> Result<Outcome, CliError> {
    let settings = args.database.settings()?;
    let events = server::inbox_events(&settings, args.state, args.limit).await?;
    let list: Vec<_> = events.iter().map(json_of).collect();
    out.document(text(&events).trim_end(), &json!({ "events": list }))?;
    Ok(Outcome::Done)
}

fn text(events: &[InboxEvent]) -> String {
    let mut table = Table::new([
        Column::Left("EVENT"),
        Column::Left("TYPE"),
        Column::Left("STATE"),
        Column::Left("ACCOUNT"),
        Column::Left("OCCURRED"),
        Column::Left("RECEIVED"),
        Column::Right("ATTEMPTS"),
        Column::Left("NEXT ATTEMPT"),
        Column::Left("ERROR"),
    ]);
    for event in events {
        table.row([
            event.event_id.clone(),
            event.event_type.clone(),
            event.state.name().to_uppercase(),
            event.account_id.as_ref().map(AccountId::to_string).unwrap_or_default(),
            seconds(event.occurred_at),
            seconds(event.receive_time),
            event.attempts.to_string(),
            event.next_attempt_time.map(seconds).unwrap_or_default(),
            event.error.clone(),
        ]);
    }
    table.render_or("no events")
}

fn json_of(event: &InboxEvent) -> serde_json::Value {
    json!({
        "event_id": event.event_id,
        "event_type": event.event_type,
        "state": event.state.name().to_uppercase(),
        "account_id": event.account_id.as_ref().map(AccountId::as_str),
        "occurred_at": precise(event.occurred_at),
        "receive_time": precise(event.receive_time),
        "attempts": event.attempts,
        "next_attempt_time": event.next_attempt_time.map(precise),
        "error": event.error,
    })
}

async fn replay(out: &Output, args: ReplayArgs) -> Result<Outcome, CliError> {
    let settings = args.database.settings()?;
    let what = match (args.failed, args.parked) {
        (true, _) => Replay::All(InboxState::Failed),
        (_, true) => Replay::All(InboxState::Parked),
        _ => Replay::Events(args.event_ids),
    };
    let replayed = server::replay(&settings, &what).await?;
    let mut text = format!(
        "{} event{} to be tried again, by a running server within a second",
        replayed.events,
        if replayed.events == 1 { " is" } else { "s are" }
    );
    for event_id in &replayed.missing {
        text.push_str(&format!("\nthere is no event {event_id}"));
    }
    out.document(&text, &json!({ "events": replayed.events, "missing": replayed.missing }))?;
    Ok(if replayed.missing.is_empty() { Outcome::Done } else { Outcome::Code(1) })
}
