//! Which subscriptions are there already, and what is in the way of others.

use std::collections::HashMap;

use super::{CHUNK, Found, Known, sift};
use crate::{
    billing::Billing,
    domain::{command::PROVIDER_MANUAL, subscription::Subscription},
    ids::{AccountId, SubscriptionId},
    import::{
        ImportError,
        input::Input,
        record::{AccountSubscription, PROVIDER_PADDLE},
        report::Report,
    },
};

/// Compares the file's subscriptions with the database's.
pub(super) async fn check(
    input: &mut Input,
    billing: &Billing,
    known: &Known,
    report: &mut Report,
) -> Result<(), ImportError> {
    let owners = owners(input, billing).await?;
    sift(&mut input.subscriptions, &mut report.subscriptions, &mut report.bad, |wanted| {
        let id = &wanted.subscription.subscription_id;
        let there = known.subscriptions.get(&wanted.account_id);
        let there = there.and_then(|all| all.iter().find(|one| one.subscription_id == *id));
        match there {
            None => new(wanted, owners.get(id), known),
            Some(there) => match difference(&wanted.subscription, there) {
                None => Found::There,
                Some(what) => Found::Bad(format!("subscription {id} exists with another {what}")),
            },
        }
    });
    Ok(())
}

/// Whose those are that a provider keeps: its reports may have said so before.
async fn owners(
    input: &Input,
    billing: &Billing,
) -> Result<HashMap<SubscriptionId, AccountId>, ImportError> {
    let provided = input.subscriptions.iter().map(|at| &at.record.subscription);
    let provided: Vec<SubscriptionId> = provided
        .filter(|subscription| subscription.provider != PROVIDER_MANUAL)
        .map(|subscription| subscription.subscription_id.clone())
        .collect();
    let mut owners = HashMap::new();
    for chunk in provided.chunks(CHUNK) {
        owners.extend(billing.subscription_owners(PROVIDER_PADDLE, chunk.to_vec()).await?);
    }
    Ok(owners)
}

fn new(wanted: &AccountSubscription, owner: Option<&AccountId>, known: &Known) -> Found {
    let subscription = &wanted.subscription;
    let mut wrong: Vec<String> = known.lacks(&wanted.account_id).into_iter().collect();
    if known.catalog.plan(&subscription.plan).is_none() {
        wrong.push(format!("the catalog has no plan {:?}", subscription.plan.as_str()));
    }
    if subscription.period_start_time > known.now {
        wrong.push("period_start_time lies in the future".to_owned());
    }
    if let Some(end) = subscription.ends_at().filter(|end| *end <= known.now) {
        wrong.push(format!("the subscription has ended, at {}: leave it out", end.to_rfc3339()));
    }
    if let Some(owner) = owner.filter(|owner| **owner != wanted.account_id) {
        wrong.push(claimed(&subscription.subscription_id, owner));
    }
    if wrong.is_empty() { Found::New } else { Found::Bad(wrong.join("; ")) }
}

/// What to say of a subscription that is another account's.
pub(in crate::import) fn claimed(subscription_id: &SubscriptionId, owner: &AccountId) -> String {
    format!("subscription {subscription_id} belongs to account {owner}")
}

/// In what a subscription is not the one that is meant. What has happened to it
/// since is no difference, here as for the rule that takes it over: it may have
/// been renewed, or moved to another plan.
fn difference(wanted: &Subscription, there: &Subscription) -> Option<&'static str> {
    if there.sent.is_some() {
        Some("origin")
    } else if wanted.provider != there.provider {
        Some("provider")
    } else if wanted.interval != there.interval {
        Some("interval")
    } else if wanted.anchor_time != there.anchor_time {
        Some("anchor_time")
    } else {
        None
    }
}
