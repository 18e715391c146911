//! Billing periods of subscriptions: how each is keyed, what it brings, and what
//! is kept of the periods before it.

use super::{
    account::{AccountState, Cause, Halt},
    catalog::{Plan, Rollover},
    command::{OperationKey, OperationKind, Refusal},
    context::Context,
    credit::{Lot, LotPortion, LotSource, split, total},
    entry::EntryKind,
    grants::{self, NewLot},
    subscription::BillingInterval,
};
use crate::{
    clock::Timestamp,
    ids::{CreditType, OperationId, SubscriptionId},
};

/// One period of a subscription.
#[derive(Debug, Clone, Copy)]
pub(super) struct Period<'a> {
    /// Whose.
    pub(super) subscription_id: &'a SubscriptionId,
    /// When it begins: with the subscription, what it is known by.
    pub(super) start: Timestamp,
    /// When the next one begins.
    pub(super) end: Timestamp,
}

/// Credits of one type that a period brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PeriodCredits {
    /// The type.
    pub(super) credit_type: CreditType,
    /// How many, at least 1.
    pub(super) credits: i64,
    /// What is kept of the periods before.
    pub(super) rollover: Rollover,
}

/// The key of a period's credits of one type, without its kind. What is left of
/// a lot is found by it, so it is the lot's reference as well.
pub(super) fn operation_id(
    subscription_id: &SubscriptionId,
    credit_type: &CreditType,
    start: Timestamp,
) -> OperationId {
    OperationId::of_period(subscription_id, credit_type, start)
}

/// The keys of all that a plan brings for a period.
pub(super) fn keys(
    subscription_id: &SubscriptionId,
    plan: &Plan,
    start: Timestamp,
) -> impl Iterator<Item = OperationKey> {
    let types = plan.allowances.iter().map(|allowance| &allowance.credit_type);
    types.map(move |of| (OperationKind::Period, operation_id(subscription_id, of, start)))
}

/// The key of a trial's credits.
pub(super) fn trial_id(subscription_id: &SubscriptionId, credit_type: &CreditType) -> OperationId {
    OperationId::of_trial(subscription_id, credit_type)
}

/// What so many of a plan bring for one period.
pub(super) fn allowances(
    plan: &Plan,
    interval: BillingInterval,
    quantity: i64,
) -> Result<Vec<PeriodCredits>, Refusal> {
    let mut brought = Vec::new();
    for allowance in &plan.allowances {
        let each = match interval {
            BillingInterval::Month => Some(allowance.credits),
            BillingInterval::Year => {
                allowance.credits_per_year.or_else(|| allowance.credits.checked_mul(12))
            }
        };
        let credits =
            each.and_then(|each| each.checked_mul(quantity)).ok_or(Refusal::BalanceTooLarge)?;
        if credits > 0 {
            let (credit_type, rollover) = (allowance.credit_type.clone(), allowance.rollover);
            brought.push(PeriodCredits { credit_type, credits, rollover });
        }
    }
    Ok(brought)
}

/// The key under which a period's credits of this type are still to be granted;
/// `None` where they have been.
pub(super) fn outstanding_key(
    state: &AccountState,
    period: &Period<'_>,
    credit_type: &CreditType,
) -> Result<Option<OperationKey>, Halt> {
    let id = operation_id(period.subscription_id, credit_type, period.start);
    let key = (OperationKind::Period, id);
    Ok(state.operation(&key)?.is_none().then_some(key))
}

/// Makes a period's lot, under a key that is outstanding: once per (subscription,
/// period start, credit type). Where it is one of several, the caller has seen that
/// there is room for all of them.
pub(super) fn bring(
    state: &mut AccountState,
    context: &Context<'_>,
    period: &Period<'_>,
    key: OperationKey,
    brought: &PeriodCredits,
    actor: &str,
) -> Result<Lot, Refusal> {
    let new = NewLot {
        reference: key.1.to_string(),
        key,
        source: LotSource::Plan,
        credit_type: brought.credit_type.clone(),
        credits: brought.credits,
        expire_time: match brought.rollover {
            Rollover::None => Some(period.end),
            Rollover::Capped(_) | Rollover::Unlimited => None,
        },
        origin: None,
    };
    grants::check_room(state, [(&new.credit_type, new.credits)])?;
    roll_over(state, context, period, brought, actor);
    grants::bring_in(state, context, new, actor)
}

/// Expires what is not kept of the subscription's earlier periods, the first in
/// burn order. A period that comes late, after its successor, finds that done.
fn roll_over(
    state: &mut AccountState,
    context: &Context<'_>,
    period: &Period<'_>,
    brought: &PeriodCredits,
    actor: &str,
) {
    let kept = match brought.rollover {
        Rollover::Unlimited => return,
        Rollover::Capped(kept) => kept,
        Rollover::None => 0,
    };
    let credit_type = &brought.credit_type;
    let this = operation_id(period.subscription_id, credit_type, period.start);
    let mut earlier = Vec::new();
    for lot in state.open_lots(credit_type) {
        if lot.source != LotSource::Plan || !this.is_same_but_for_time(&lot.reference) {
            continue;
        }
        // Times of one length sort as text.
        if lot.reference.as_str() > this.as_str() {
            return;
        }
        earlier.push(LotPortion { lot_id: lot.lot_id, credits: lot.remaining });
    }
    let excess = total(&earlier) - kept;
    if excess > 0 {
        let (portions, _) = split(&earlier, excess);
        let cause = Cause { reservation_id: None, reference: "rollover", actor };
        state.post(credit_type, EntryKind::LotExpire, portions, cause, context.now);
    }
}
