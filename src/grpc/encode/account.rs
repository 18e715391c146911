//! Accounts and their subscriptions.

use super::time;
use crate::{
    domain::{account::Account, subscription::Subscription},
    ids::AccountId,
    proto,
};

pub(in crate::grpc) fn account(
    (account, subscriptions): (Account, Vec<Subscription>),
) -> proto::Account {
    let account_id = &account.account_id;
    let subscriptions = subscriptions.into_iter().map(|s| subscription(account_id, s)).collect();
    proto::Account {
        account_id: account_id.to_string(),
        subscriptions,
        display_name: account.display_name,
        billing_email: account.billing_email,
        suspended: account.suspended,
        suspension_reason: account.suspension_reason,
        create_time: Some(time(account.create_time)),
    }
}

fn subscription(account_id: &AccountId, subscription: Subscription) -> proto::Subscription {
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
    }
}
