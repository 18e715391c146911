//! `creditgate subscription start`.

use clap::Args;
use prost_types::Timestamp;

use crate::{
    cli::{CliError, Connection, Outcome, Output, parse},
    proto::{BillingInterval, StartSubscriptionRequest},
};

/// Options of `subscription start`.
#[derive(Args, Debug)]
#[command(
    after_help = "Without --id, an account that has this plan already keeps the one it has.\n\n\
Examples:\n  \
creditgate subscription start --account acme --plan pro --id sub-acme\n  \
creditgate subscription start --account acme --plan pro --interval year\n  \
creditgate subscription start --account acme --plan pro --trial-until 2026-03-14T00:00:00Z \\\n    \
--trial-credits 1"
)]
pub(in crate::cli) struct StartArgs {
    /// The account.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: String,
    /// The plan, of the catalog.
    #[arg(long, value_name = "PLAN", value_parser = parse::id)]
    plan: String,
    /// How often it renews: month or year.
    #[arg(long, value_name = "INTERVAL", value_parser = parse::interval, default_value = "month")]
    interval: BillingInterval,
    /// Your name for it; the same again does nothing twice [default: one is made].
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    id: String,
    /// When its first period began (RFC 3339), not in the future [default: now].
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    start: Option<Timestamp>,
    /// Begin with a trial that ends then (RFC 3339); `renew` makes it a paid one.
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    trial_until: Option<Timestamp>,
    /// Credits to try with, of the plan's first type; they end with the trial.
    #[arg(long, value_name = "N", value_parser = parse::credits, requires = "trial_until")]
    trial_credits: Option<i64>,
}

pub(super) async fn run(
    connection: &Connection,
    out: &Output,
    args: StartArgs,
) -> Result<Outcome, CliError> {
    let response = connection
        .client()?
        .start_subscription(StartSubscriptionRequest {
            account_id: args.account,
            plan: args.plan,
            interval: args.interval.into(),
            start_time: args.start,
            trial_end_time: args.trial_until,
            trial_credits: args.trial_credits.unwrap_or(0),
            subscription_id: args.id,
        })
        .await?;
    out.message("StartSubscriptionResponse", &response, |response| {
        super::granted(response.subscription.as_ref(), &response.balances, response.replayed)
    })?;
    Ok(Outcome::Done)
}
