//! Accounts and their subscriptions.

use super::{subscription, time};
use crate::{
    domain::{account::Account, subscription::Subscription},
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
