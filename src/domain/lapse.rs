//! What becomes of credits when an account's last subscription ends.

use super::{account::AccountState, context::Context, credit::Lot, due::expire_lots};

const REFERENCE: &str = "last subscription ended";

/// To be called once a subscription has ended: where that was the last live one
/// and the policy says so, all credits lapse.
pub(super) fn after_end(state: &mut AccountState, context: &Context<'_>) {
    if lapses(state, context) {
        // Not simply now: two may end in one microsecond, and lots made between
        // them are dated after the first.
        state.account.lapse_time = Some(state.new_lot_time(context.now));
        expire_lots(state, context, REFERENCE, |_| true);
    }
}

/// A lot that comes in after the subscription that it belongs to has ended: it
/// lapses like those that were there before, so that the order does not matter.
pub(super) fn at_once(state: &mut AccountState, context: &Context<'_>, late: &Lot) {
    if lapses(state, context) {
        expire_lots(state, context, REFERENCE, |lot| lot.lot_id == late.lot_id);
    }
}

fn lapses(state: &AccountState, context: &Context<'_>) -> bool {
    context.catalog.policy.credits_lapse_on_cancel && state.live_subscriptions().next().is_none()
}
