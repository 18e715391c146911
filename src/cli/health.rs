//! `creditgate health`: whether a gate takes calls, for probes.

use clap::Args;
use serde_json::json;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use super::{CliError, Connection, Outcome, Output};

/// Options of `health`.
#[derive(Args, Debug)]
#[command(after_help = "Takes no key: health is everybody's. Exits 0 where the gate takes calls, \
1 where it does not.\n\nExamples:\n  creditgate health\n  \
creditgate health --addr https://localhost:50051 --ca-file ca.pem --call-timeout 2s")]
pub(super) struct HealthArgs {
    /// A service by its full name, such as creditgate.v1.GateService [default: the whole].
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    service: String,
}

pub(super) async fn run(
    connection: &Connection,
    out: &Output,
    args: HealthArgs,
) -> Result<Outcome, CliError> {
    let request = HealthCheckRequest { service: args.service };
    let answer = connection.client()?.health(request).await?;
    let is_serving = answer.status() == ServingStatus::Serving;
    let said = if is_serving { "serving" } else { "not serving" };
    out.document(said, &json!({ "serving": is_serving }))?;
    Ok(if is_serving { Outcome::Done } else { Outcome::Code(1) })
}
