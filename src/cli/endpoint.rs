//! `creditgate endpoint ...`: where webhooks go, and what was sent.

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
    CreateEndpointRequest, DeleteEndpointRequest, DeliveryState, DisableEndpointRequest,
    EnableEndpointRequest, Endpoint, EventKind, ListDeliveriesRequest, ListDeliveriesResponse,
    ListEndpointsRequest, ReplayDeliveriesRequest, RotateEndpointSecretRequest,
};

/// Commands of `endpoint`.
#[derive(Debug, Subcommand)]
pub(super) enum EndpointCommand {
    /// Add an endpoint; prints what signs, once.
    #[command(after_help = "Example:\n  \
creditgate endpoint add https://hooks.example/credits --kind low_balance --kind zero_balance")]
    Add(AddArgs),
    /// List the endpoints.
    List,
    /// Send to an endpoint again, what waits for it first.
    Enable(IdArgs),
    /// Send nothing more to an endpoint.
    Disable(DisableArgs),
    /// Remove an endpoint for good.
    Remove(IdArgs),
    /// Sign with a new secret, and for a day with the old one as well.
    Rotate(IdArgs),
    /// List what was sent to an endpoint, or waits, the newest first.
    #[command(after_help = "Example:\n  creditgate endpoint deliveries ep_0198 --state failed")]
    Deliveries(DeliveriesArgs),
    /// Send again: the named events, or all that have failed.
    Replay(ReplayArgs),
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Where: https, and a public address.
    #[arg(value_name = "URL")]
    url: String,
    /// Only this account's events [default: all].
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: Option<String>,
    /// Only this kind; may be repeated [default: all].
    #[arg(long = "kind", value_name = "KIND", value_parser = kind)]
    kinds: Vec<EventKind>,
}

#[derive(Debug, Args)]
pub(super) struct IdArgs {
    /// The endpoint.
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
}

#[derive(Debug, Args)]
pub(super) struct DisableArgs {
    /// The endpoint.
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// Why.
    #[arg(long, value_name = "TEXT", default_value = "turned off")]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct DeliveriesArgs {
    /// The endpoint.
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// Only those that are waiting, delivered or failed.
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<DeliveryState>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// The endpoint.
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// These events.
    #[arg(value_name = "EVENT", required_unless_present = "failed")]
    events: Vec<String>,
    /// All that have failed.
    #[arg(long, conflicts_with = "events")]
    failed: bool,
}

fn state(text: &str) -> Result<DeliveryState, String> {
    let name = format!("DELIVERY_STATE_{}", text.to_ascii_uppercase());
    let known = [DeliveryState::Waiting, DeliveryState::Delivered, DeliveryState::Failed];
    DeliveryState::from_str_name(&name)
        .filter(|state| known.contains(state))
        .ok_or_else(|| "one of waiting, delivered, failed".to_owned())
}

pub(super) async fn run(
    connection: &Connection,
    out: &Output,
    command: EndpointCommand,
) -> Result<Outcome, CliError> {
    let client = connection.client()?;
    match command {
        EndpointCommand::Add(args) => {
            let request = CreateEndpointRequest {
                account_id: args.account.unwrap_or_default(),
                url: args.url,
                kinds: args.kinds.iter().map(|kind| i32::from(*kind)).collect(),
            };
            let added = client.create_endpoint(request).await?;
            out.message("CreateEndpointResponse", &added, |added| {
                format!(
                    "endpoint {}\nsecret   {}\n\nThe secret is shown this once.\n",
                    added.endpoint_id, added.secret
                )
            })?;
        }
        EndpointCommand::List => {
            let list = client.list_endpoints(ListEndpointsRequest {}).await?;
            out.message("ListEndpointsResponse", &list, |list| endpoints(&list.endpoints))?;
        }
        EndpointCommand::Enable(args) => {
            let request = EnableEndpointRequest { endpoint_id: args.endpoint };
            let done = client.enable_endpoint(request).await?;
            out.message("EnableEndpointResponse", &done, |_| "enabled\n".to_owned())?;
        }
        EndpointCommand::Disable(args) => {
            let request =
                DisableEndpointRequest { endpoint_id: args.endpoint, reason: args.reason };
            let done = client.disable_endpoint(request).await?;
            out.message("DisableEndpointResponse", &done, |_| "disabled\n".to_owned())?;
        }
        EndpointCommand::Remove(args) => {
            let request = DeleteEndpointRequest { endpoint_id: args.endpoint };
            let done = client.delete_endpoint(request).await?;
            out.message("DeleteEndpointResponse", &done, |_| "removed\n".to_owned())?;
        }
        EndpointCommand::Rotate(args) => {
            let request = RotateEndpointSecretRequest { endpoint_id: args.endpoint };
            let rotated = client.rotate_endpoint_secret(request).await?;
            out.message("RotateEndpointSecretResponse", &rotated, |rotated| {
                format!(
                    "secret {}\n\nIt is shown this once; the old one signs as well for a day.\n",
                    rotated.secret
                )
            })?;
        }
        EndpointCommand::Deliveries(args) => {
            let (next_page_token, deliveries) = args
                .page
                .follow(async |page_size, page_token| {
                    let request = ListDeliveriesRequest {
                        endpoint_id: args.endpoint.clone(),
                        state: args.state.map_or(0, i32::from),
                        page_size,
                        page_token,
                    };
                    let answer = client.list_deliveries(request).await?;
                    Ok((answer.next_page_token, answer.deliveries))
                })
                .await?;
            let all = ListDeliveriesResponse { deliveries, next_page_token };
            out.message("ListDeliveriesResponse", &all, delivery_table)?;
        }
        EndpointCommand::Replay(args) => {
            let request =
                ReplayDeliveriesRequest { endpoint_id: args.endpoint, event_ids: args.events };
            let again = client.replay_deliveries(request).await?;
            out.message("ReplayDeliveriesResponse", &again, |again| {
                format!("{} sent again\n", again.deliveries)
            })?;
        }
    }
    Ok(Outcome::Done)
}

fn endpoints(endpoints: &[Endpoint]) -> String {
    let mut table = Table::new([
        Column::Left("ENDPOINT"),
        Column::Left("ACCOUNT"),
        Column::Left("URL"),
        Column::Left("KINDS"),
        Column::Right("WAITING"),
        Column::Right("FAILURES"),
        Column::Left("NEXT ATTEMPT"),
        Column::Left("DISABLED"),
    ]);
    for endpoint in endpoints {
        let kinds: Vec<String> =
            endpoint.kinds().map(|kind| short(kind).to_ascii_lowercase()).collect();
        table.row([
            endpoint.endpoint_id.clone(),
            endpoint.account_id.clone(),
            endpoint.url.clone(),
            if kinds.is_empty() { "all".to_owned() } else { kinds.join(",") },
            endpoint.waiting.to_string(),
            endpoint.failures.to_string(),
            format::time(endpoint.next_attempt_time.as_ref()),
            endpoint.disable_reason.clone(),
        ]);
    }
    table.render_or("no endpoints yet")
}

fn delivery_table(list: &ListDeliveriesResponse) -> String {
    let mut table = Table::new([
        Column::Left("TIME"),
        Column::Left("EVENT"),
        Column::Left("ACCOUNT"),
        Column::Left("KIND"),
        Column::Left("STATE"),
        Column::Right("ATTEMPTS"),
        Column::Right("STATUS"),
        Column::Left("ERROR"),
    ]);
    for delivery in &list.deliveries {
        let status = delivery.response_status;
        table.row([
            format::time(delivery.create_time.as_ref()),
            delivery.event_id.clone(),
            delivery.account_id.clone(),
            short(delivery.kind()).to_owned(),
            format::short(delivery.state().as_str_name(), "DELIVERY_STATE_").to_owned(),
            delivery.attempts.to_string(),
            if status == 0 { String::new() } else { status.to_string() },
            delivery.error.clone(),
        ]);
    }
    table.render_or("nothing was sent yet") + &more(&list.next_page_token)
}
