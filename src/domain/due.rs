//! What has fallen due on an account, applied before every command: so no late
//! worker can leave credits spendable, or a renewal wanting.

use super::{
    account::{AccountState, Cause},
    calendar::period_end,
    context::Context,
    credit::{Lot, LotPortion},
    entry::EntryKind,
    lapse,
    subscribe::bring_allowance,
    subscription::Subscription,
};
use crate::clock::Timestamp;

/// The actor of what happens by itself.
pub(super) const ACTOR: &str = "creditgate";

/// Expires lots, ends trials and cancelled subscriptions, and renews manual ones,
/// all that is due, in the order in which it fell due: after a down time each
/// missed period comes in its turn, with its own grant.
pub fn apply(state: &mut AccountState, context: &Context<'_>) {
    while let Some((time, index)) = next_turn(state, context.now) {
        expire_lots(state, context, "lot expired", |lot| lot.has_expired(time));
        let mut subscription = state.subscriptions[index].clone();
        if subscription.ends_at().is_some() {
            subscription.end(time);
            state.put_subscription(subscription);
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
