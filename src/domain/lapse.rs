//! What becomes of credits when an account's last subscription ends.

use super::{account::AccountState, context::Context, due::expire_lots};

const REFERENCE: &str = "last subscription ended";

/// To be called once a subscription has ended: where that was the last live one
/// and the policy says so, all credits lapse.
pub(super) fn after_end(state: &mut AccountState, context: &Context<'_>) {
    if context.catalog.policy.credits_lapse_on_cancel && state.live_subscriptions().next().is_none()
    {
        // Not simply now: two may end in one microsecond, and lots made between
        // them are dated after the first.
        state.account.lapse_time = Some(state.new_lot_time(context.now));
        expire_lots(state, context, REFERENCE, |_| true);
    }
}
