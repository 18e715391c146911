//! What an operator does to a subscription: start, renew, change, cancel, resume.

use super::{
    account::{AccountState, Halt},
    command::{Outcome, Refusal},
    context::Context,
    subscription::{StartSubscription, Subscription},
};
use crate::{
    clock::Timestamp,
    ids::{PlanName, SubscriptionId},
};

pub(super) fn start(
    _state: &mut AccountState,
    _context: &Context<'_>,
    _request: &StartSubscription,
    _actor: &str,
) -> Result<Outcome, Halt> {
    Err(Refusal::SubscriptionNotFound { subscription_id: None }.into())
}

pub(super) fn renew(
    _state: &mut AccountState,
    _context: &Context<'_>,
    subscription_id: Option<&SubscriptionId>,
    _period_start_time: Option<Timestamp>,
    _actor: &str,
) -> Result<Outcome, Halt> {
    Err(Refusal::SubscriptionNotFound { subscription_id: subscription_id.cloned() }.into())
}

pub(super) fn change_plan(
    _state: &mut AccountState,
    _context: &Context<'_>,
    subscription_id: Option<&SubscriptionId>,
    _plan: &PlanName,
) -> Result<Outcome, Halt> {
    Err(Refusal::SubscriptionNotFound { subscription_id: subscription_id.cloned() }.into())
}

pub(super) fn cancel(
    _state: &mut AccountState,
    _context: &Context<'_>,
    subscription_id: Option<&SubscriptionId>,
    _immediately: bool,
) -> Result<Outcome, Halt> {
    Err(Refusal::SubscriptionNotFound { subscription_id: subscription_id.cloned() }.into())
}

pub(super) fn resume(
    _state: &mut AccountState,
    subscription_id: Option<&SubscriptionId>,
) -> Result<Outcome, Halt> {
    Err(Refusal::SubscriptionNotFound { subscription_id: subscription_id.cloned() }.into())
}

pub(super) fn import(
    _state: &mut AccountState,
    _context: &Context<'_>,
    _subscription: &Subscription,
) -> Result<Outcome, Halt> {
    Err(Refusal::SubscriptionNotFound { subscription_id: None }.into())
}
