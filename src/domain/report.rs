//! What a payment provider reports: payments, subscriptions, adjustments.

use super::{
    account::{AccountState, Halt},
    command::{Outcome, Refusal},
    context::Context,
    provider::ProviderEvent,
};

pub(super) fn apply(
    _state: &mut AccountState,
    _context: &Context<'_>,
    _event: &ProviderEvent,
    _actor: &str,
) -> Result<Outcome, Halt> {
    Err(Refusal::ReportNotUnderstood { what: "nothing is" }.into())
}
