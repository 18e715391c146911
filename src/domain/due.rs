//! What has fallen due on an account, applied before every command: so no late
//! worker can leave credits spendable.

use super::{
    account::{AccountState, Cause},
    context::Context,
    credit::{Lot, LotPortion},
    entry::EntryKind,
    lapse,
    subscription::SubscriptionStatus,
};

/// Expires lots, and ends trials and cancelled subscriptions, that are due.
pub fn apply(state: &mut AccountState, context: &Context<'_>) {
    expire_lots(state, context, "lot expired", |lot| lot.has_expired(context.now));
    end_subscriptions(state, context);
}

/// True where [`apply`] would change something.
#[must_use]
pub fn is_pending(state: &AccountState, context: &Context<'_>) -> bool {
    state.lots.values().any(|lot| lot.remaining > 0 && lot.has_expired(context.now))
        || state
            .subscriptions
            .iter()
            .any(|subscription| subscription.ends_at().is_some_and(|time| time <= context.now))
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
        let cause = Cause { reservation_id: None, reference, actor: "creditgate" };
        state.post(&lot.credit_type, EntryKind::LotExpire, portions, cause, context.now);
    }
}

fn end_subscriptions(state: &mut AccountState, context: &Context<'_>) {
    let mut ended = false;
    for subscription in &mut state.subscriptions {
        if subscription.ends_at().is_some_and(|time| time <= context.now) {
            subscription.status = SubscriptionStatus::Canceled;
            ended = true;
        }
    }
    if ended {
        state.account.subscriptions += 1;
        lapse::after_end(state, context);
    }
}
