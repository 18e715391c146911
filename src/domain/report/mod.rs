//! What a payment provider reports: payments, subscriptions, adjustments. Reports
//! come late, more than once and in any order, and end alike all the same.

mod adjust;
mod mirror;
mod payments;
mod recover;
mod reversed;

pub use recover::{REINSTATEMENT, REVERSAL};

use super::{
    account::{AccountState, Halt},
    command::Outcome,
    context::Context,
    provider::{Effect, ProviderEvent},
};

/// Applies a report, once. One that is refused has no effect and is not noted: it
/// is applied once what it lacks is there.
pub(super) fn apply(
    state: &mut AccountState,
    context: &Context<'_>,
    event: &ProviderEvent,
    actor: &str,
) -> Result<Outcome, Halt> {
    let key = (event.provider.clone(), event.event_id.clone());
    if state.applied_events.contains(&key) {
        return Ok(Outcome::EventApplied { replayed: true });
    }
    let provider = &event.provider;
    match &event.effect {
        Effect::PaymentPending(transaction) => {
            payments::pending(state, context, provider, transaction)?;
        }
        Effect::PaymentCompleted(transaction) => {
            payments::completed(state, context, provider, transaction, actor)?;
        }
        Effect::PaymentCanceled(transaction) => {
            payments::canceled(state, context, provider, transaction)?;
        }
        Effect::SubscriptionChanged(subscription) => {
            mirror::changed(state, context, event, subscription)?;
        }
        Effect::Adjusted(adjustment) => {
            adjust::adjusted(state, context, event, adjustment, actor)?;
        }
    }
    state.applied_events.insert(key);
    Ok(Outcome::EventApplied { replayed: false })
}
