//! Subscriptions.

use super::{balance, time, unexpected};
use crate::{
    domain::{command::Outcome, subscription::Subscription},
    ids::AccountId,
    ledger::LedgerError,
    proto,
};

pub(in crate::grpc) fn subscription(
    account_id: &AccountId,
    subscription: Subscription,
) -> proto::Subscription {
    proto::Subscription {
        subscription_id: subscription.subscription_id.to_string(),
        account_id: account_id.to_string(),
        plan: subscription.plan.to_string(),
        status: i32::from(subscription.status as i16),
        period_start_time: Some(time(subscription.period_start_time)),
        period_end_time: Some(time(subscription.period_end_time)),
        cancel_at_period_end: subscription.cancel_at_period_end,
        interval: i32::from(subscription.interval as i16),
        provider: subscription.provider,
        create_time: Some(time(subscription.create_time)),
        end_time: subscription.end_time.map(time),
    }
}

pub(in crate::grpc) fn start(
    account_id: &AccountId,
    outcome: Outcome,
) -> Result<proto::StartSubscriptionResponse, LedgerError> {
    let (subscription, balances, replayed) = subscribed(account_id, outcome)?;
    Ok(proto::StartSubscriptionResponse { subscription: Some(subscription), balances, replayed })
}

pub(in crate::grpc) fn renew(
    account_id: &AccountId,
    outcome: Outcome,
) -> Result<proto::RenewSubscriptionResponse, LedgerError> {
    let (subscription, balances, replayed) = subscribed(account_id, outcome)?;
    Ok(proto::RenewSubscriptionResponse { subscription: Some(subscription), balances, replayed })
}

fn subscribed(
    account_id: &AccountId,
    outcome: Outcome,
) -> Result<(proto::Subscription, Vec<proto::Balance>, bool), LedgerError> {
    match outcome {
        Outcome::Subscribed { subscription: begun, balances, replayed } => {
            let balances = balances
                .iter()
                .map(|(credit_type, after)| balance(account_id, credit_type, after))
                .collect();
            Ok((subscription(account_id, begun), balances, replayed))
        }
        other => Err(unexpected(&other)),
    }
}

/// The subscription after a change.
pub(in crate::grpc) fn changed(
    account_id: &AccountId,
    outcome: Outcome,
) -> Result<Option<proto::Subscription>, LedgerError> {
    match outcome {
        Outcome::SubscriptionChanged { subscription: changed } => {
            Ok(Some(subscription(account_id, changed)))
        }
        other => Err(unexpected(&other)),
    }
}
