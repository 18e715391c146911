//! `creditgate subscription`: start, renew, change, cancel, resume.

mod start;

use clap::{Args, Subcommand};
use prost_types::Timestamp;

use super::{
    CliError, Connection, Outcome, Output, format, parse,
    table::{self, Column, Table},
    verdict,
};
use crate::proto::{
    Balance, CancelSubscriptionRequest, ChangePlanRequest, RenewSubscriptionRequest,
    ResumeSubscriptionRequest, Subscription, SubscriptionStatus,
};

/// Commands of `subscription`.
#[derive(Debug, Subcommand)]
pub(super) enum SubscriptionCommand {
    /// Start a subscription or a trial, and grant its first credits.
    Start(start::StartArgs),
    /// Turn a trial into a paid period, or begin one for a subscription that was not paid.
    Renew(RenewArgs),
    /// Move a subscription to another plan.
    ChangePlan(ChangePlanArgs),
    /// Cancel a subscription at the end of its period, or now.
    Cancel(CancelArgs),
    /// Take a scheduled cancellation back.
    Resume(ResumeArgs),
}

/// Which subscription.
#[derive(Args, Debug)]
struct Target {
    /// The account.
    #[arg(long, value_name = "ID", value_parser = parse::id)]
    account: String,
    /// The subscription [default: the live one, where there is only one].
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    id: String,
}

/// Options of `subscription renew`.
#[derive(Args, Debug)]
#[command(after_help = "An active subscription renews by itself: of that, this only tells how it \
stands.\n\n\
Example:\n  creditgate subscription renew --account acme")]
pub(super) struct RenewArgs {
    #[command(flatten)]
    target: Target,
    /// When the paid period begins (RFC 3339); the same again does nothing twice [default: now].
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    period_start: Option<Timestamp>,
}

/// Options of `subscription change-plan`.
#[derive(Args, Debug)]
#[command(
    after_help = "The new plan's rules hold at once; its credits come with the next period.\n\n\
Example:\n  creditgate subscription change-plan --account acme --plan agency"
)]
pub(super) struct ChangePlanArgs {
    #[command(flatten)]
    target: Target,
    /// The new plan, of the catalog.
    #[arg(long, value_name = "PLAN", value_parser = parse::id)]
    plan: String,
}

/// Options of `subscription cancel`.
#[derive(Args, Debug)]
#[command(after_help = "What it has paid for stays until its period ends; where the catalog lets \
credits lapse, what is\nleft of them lapses then.\n\n\
Example:\n  creditgate subscription cancel --account acme")]
pub(super) struct CancelArgs {
    #[command(flatten)]
    target: Target,
    /// End it now, not at the end of its period.
    #[arg(long)]
    now: bool,
}

/// Options of `subscription resume`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  creditgate subscription resume --account acme")]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(
    connection: &Connection,
    out: &Output,
    command: SubscriptionCommand,
) -> Result<Outcome, CliError> {
    let client = connection.client()?;
    match command {
        SubscriptionCommand::Start(args) => return start::run(connection, out, args).await,
        SubscriptionCommand::Renew(args) => {
            let response = client
                .renew_subscription(RenewSubscriptionRequest {
                    account_id: args.target.account,
                    period_start_time: args.period_start,
                    subscription_id: args.target.id,
                })
                .await?;
            out.message("RenewSubscriptionResponse", &response, |response| {
                granted(response.subscription.as_ref(), &response.balances, response.replayed)
            })?;
        }
        SubscriptionCommand::ChangePlan(args) => {
            let response = client
                .change_plan(ChangePlanRequest {
                    account_id: args.target.account,
                    plan: args.plan,
                    subscription_id: args.target.id,
                })
                .await?;
            out.message("ChangePlanResponse", &response, |response| {
                text(response.subscription.as_ref())
            })?;
        }
        SubscriptionCommand::Cancel(args) => {
            let response = client
                .cancel_subscription(CancelSubscriptionRequest {
                    account_id: args.target.account,
                    immediately: args.now,
                    subscription_id: args.target.id,
                })
                .await?;
            out.message("CancelSubscriptionResponse", &response, |response| {
                text(response.subscription.as_ref())
            })?;
        }
        SubscriptionCommand::Resume(args) => {
            let response = client
                .resume_subscription(ResumeSubscriptionRequest {
                    account_id: args.target.account,
                    subscription_id: args.target.id,
                })
                .await?;
            out.message("ResumeSubscriptionResponse", &response, |response| {
                text(response.subscription.as_ref())
            })?;
        }
    }
    Ok(Outcome::Done)
}

fn text(subscription: Option<&Subscription>) -> String {
    subscription.map(|subscription| table::block(&pairs(subscription))).unwrap_or_default()
}

/// A subscription that has brought credits.
fn granted(subscription: Option<&Subscription>, balances: &[Balance], replayed: bool) -> String {
    let Some(subscription) = subscription else { return String::new() };
    let mut pairs = pairs(subscription);
    for balance in balances {
        pairs.push((balance.credit_type.as_str(), verdict::balance_line(balance)));
    }
    if replayed {
        pairs.push(("replayed", "yes: nothing was changed".to_owned()));
    }
    table::block(&pairs)
}

fn pairs(subscription: &Subscription) -> Vec<(&str, String)> {
    vec![
        ("subscription", subscription.subscription_id.clone()),
        ("account", subscription.account_id.clone()),
        ("plan", subscription.plan.clone()),
        ("status", status(subscription)),
        ("interval", interval(subscription)),
        ("period since", format::time(subscription.period_start_time.as_ref())),
        ("then", then(subscription)),
        ("provider", subscription.provider.clone()),
    ]
}

/// An account's subscriptions.
pub(super) fn table(subscriptions: &[Subscription]) -> String {
    let mut table = Table::new([
        Column::Left("SUBSCRIPTION"),
        Column::Left("PLAN"),
        Column::Left("STATUS"),
        Column::Left("INTERVAL"),
        Column::Left("PERIOD SINCE"),
        Column::Left("THEN"),
        Column::Left("PROVIDER"),
    ]);
    for subscription in subscriptions {
        table.row([
            subscription.subscription_id.clone(),
            subscription.plan.clone(),
            status(subscription),
            interval(subscription),
            format::time(subscription.period_start_time.as_ref()),
            then(subscription),
            subscription.provider.clone(),
        ]);
    }
    table.render_or("no subscriptions")
}

/// The plans of the live ones.
pub(super) fn live_plans(subscriptions: &[Subscription]) -> String {
    let live = subscriptions.iter().filter(|s| s.status() != SubscriptionStatus::Canceled);
    live.map(|subscription| subscription.plan.as_str()).collect::<Vec<_>>().join(", ")
}

/// "ACTIVE", or the number of a status that is newer than this program.
fn status(subscription: &Subscription) -> String {
    SubscriptionStatus::try_from(subscription.status).map_or_else(
        |_| subscription.status.to_string(),
        |status| format::short(status.as_str_name(), "SUBSCRIPTION_STATUS_").to_owned(),
    )
}

fn interval(subscription: &Subscription) -> String {
    format::short(subscription.interval().as_str_name(), "BILLING_INTERVAL_").to_owned()
}

/// What comes after its period: "renews", "ends" or "ended", and when.
fn then(subscription: &Subscription) -> String {
    let end = subscription.period_end_time.as_ref();
    let (what, when) = match subscription.status() {
        SubscriptionStatus::Canceled => ("ended", subscription.end_time.as_ref()),
        SubscriptionStatus::Trialing => ("ends", end),
        _ if subscription.cancel_at_period_end => ("ends", end),
        SubscriptionStatus::Active => ("renews", end),
        // Nothing comes until somebody pays.
        _ => ("unpaid, to", end),
    };
    format!("{what} {}", format::time(when))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_next_is_said_of_every_status() {
        let stamp = |seconds| Some(Timestamp { seconds, nanos: 0 });
        for (status, canceled, shown) in [
            (SubscriptionStatus::Active, false, "renews 1970-01-01T00:01:00Z"),
            (SubscriptionStatus::Active, true, "ends 1970-01-01T00:01:00Z"),
            (SubscriptionStatus::Trialing, false, "ends 1970-01-01T00:01:00Z"),
            (SubscriptionStatus::PastDue, false, "unpaid, to 1970-01-01T00:01:00Z"),
            (SubscriptionStatus::PastDue, true, "ends 1970-01-01T00:01:00Z"),
            (SubscriptionStatus::Canceled, true, "ended 1970-01-01T00:00:30Z"),
        ] {
            let subscription = Subscription {
                status: status.into(),
                period_end_time: stamp(60),
                end_time: stamp(30),
                cancel_at_period_end: canceled,
                ..Default::default()
            };
            assert_eq!(then(&subscription), shown);
        }
    }
}
