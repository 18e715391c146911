//! What has fallen due on an account, applied before every command: so no late
//! worker can leave credits spendable, or a renewal wanting.

use super::{
    account::{AccountState, Cause, Missing},
    calendar::period_end,
    command::OperationKey,
    context::Context,
    credit::{Lot, LotPortion},
    entry::EntryKind,
    lapse, periods,
    subscribe::bring_allowance,
    subscription::Subscription,
};
use crate::clock::Timestamp;

/// The actor of what happens by itself.
pub(super) const ACTOR: &str = "creditgate";

/// Expires lots, ends trials and cancelled subscriptions, and renews manual ones,
/// all that is due, in the order in which it fell due: after a down time each
/// missed period comes in its turn, with its own grant.
///
/// # Errors
///
/// What has to be read before a subscription can be renewed. Nothing has changed
/// then.
pub fn apply(state: &mut AccountState, context: &Context<'_>) -> Result<(), Missing> {
    let mut keys = renewals(state, context);
    keys.retain(|key| !state.operations.contains_key(key) && !state.looked_up.contains(key));
    if !keys.is_empty() {
        // All at once: there may be many, and each round reads and decides anew.
        return Err(Missing::Operations(keys));
    }
    while let Some((time, index)) = next_turn(state, context.now) {
        expire_lots(state, context, "lot expired", |lot| lot.has_expired(time));
        let mut subscription = state.subscriptions[index].clone();
        if subscription.ends_at().is_some() {
            subscription.end(time);
            state.change_subscription(subscription, context.now);
            lapse::after_end(state, context);
        } else {
            subscription.period_start_time = time;
            subscription.period_end_time =
                period_end(subscription.anchor_time, subscription.interval, time);
            if let Some(plan) = context.catalog.plan(&subscription.plan) {
                // What would be more than can be counted is left out: the
                // account must stay usable.
                bring_allowance(state, context, &subscription, plan, ACTOR).ok();
            }
            state.put_subscription(subscription);
        }
    }
    expire_lots(state, context, "lot expired", |lot| lot.has_expired(context.now));
    Ok(())
}

/// The keys of what is brought by the periods that begin by now. A payment of the
/// provider's for a subscription of the same id may have brought some of it.
fn renewals(state: &AccountState, context: &Context<'_>) -> Vec<OperationKey> {
    let mut keys = Vec::new();
    for subscription in &state.subscriptions {
        let Some(mut start) = subscription.renews_at() else { continue };
        let Some(plan) = context.catalog.plan(&subscription.plan) else { continue };
        while start <= context.now {
            keys.extend(periods::keys(&subscription.subscription_id, plan, start));
            start = period_end(subscription.anchor_time, subscription.interval, start);
        }
    }
    keys
}

/// True where [`apply`] would change something.
#[must_use]
pub fn is_pending(state: &AccountState, context: &Context<'_>) -> bool {
    next_turn(state, context.now).is_some()
        || state.lots.values().any(|lot| lot.remaining > 0 && lot.has_expired(context.now))
}

/// The subscription that ends or renews the earliest, and when, if by `now`.
fn next_turn(state: &AccountState, now: Timestamp) -> Option<(Timestamp, usize)> {
    let turn = |subscription: &Subscription| subscription.ends_at().or(subscription.renews_at());
    state
        .subscriptions
        .iter()
        .enumerate()
        .filter_map(|(index, subscription)| Some((turn(subscription)?, index)))
        .filter(|(time, _)| *time <= now)
        .min()
}

/// One entry for each lot, in burn order.
pub(super) fn expire_lots(
    state: &mut AccountState,
    context: &Context<'_>,
    reference: &str,
    is_due: impl Fn(&Lot) -> bool,
) {
    let mut due: Vec<Lot> =
        state.lots.values().filter(|lot| lot.remaining > 0 && is_due(lot)).cloned().collect();
    due.sort_by(Lot::burn_order);
    for lot in due {
        let portions = vec![LotPortion { lot_id: lot.lot_id, credits: lot.remaining }];
        let cause = Cause { reservation_id: None, reference, actor: ACTOR };
        state.post(&lot.credit_type, EntryKind::LotExpire, portions, cause, context.now);
    }
}
