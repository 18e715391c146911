//! What an operator does to a subscription: start, renew, change, cancel, resume,
//! take over. Renewals that are due happen by themselves: see [`super::due`].

use super::{
    account::{AccountState, Halt},
    calendar::period_end,
    catalog::Plan,
    command::{OperationKind, Outcome, PROVIDER_MANUAL, Refusal},
    context::Context,
    credit::LotSource,
    grants::{self, NewLot},
    lapse,
    periods::{self, Period},
    subscription::{SentSubscription, StartSubscription, Subscription, SubscriptionStatus, Trial},
};
use crate::{
    clock::Timestamp,
    ids::{PlanName, SubscriptionId},
};

/// Starts a subscription or a trial, once, and grants its first credits.
pub(super) fn start(
    state: &mut AccountState,
    context: &Context<'_>,
    request: &StartSubscription,
    actor: &str,
) -> Result<Outcome, Halt> {
    if let Some(made) = started_before(state, request)? {
        return Ok(subscribed(state, made.clone(), true));
    }
    let sent = &request.sent;
    let plan = known_plan(context, &sent.plan)?;
    let start = sent.start_time.unwrap_or(context.now);
    if start > context.now {
        return Err(Refusal::StartInFuture.into());
    }
    let end = match sent.trial {
        Some(trial) if trial.end_time <= context.now => return Err(Refusal::TrialEndInvalid.into()),
        Some(trial) => trial.end_time,
        None => period_end(start, sent.interval, start),
    };
    if end <= context.now {
        return Err(Refusal::StartTooEarly.into());
    }
    let generated = || SubscriptionId::new(&format!("sub_{}", (context.new_lot_id)().0.simple()));
    let subscription_id = match &request.subscription_id {
        Some(id) => id.clone(),
        None => generated().map_err(|_| Refusal::SubscriptionNotFound { subscription_id: None })?,
    };
    let subscription = Subscription {
        subscription_id,
        plan: sent.plan.clone(),
        status: match sent.trial {
            Some(_) => SubscriptionStatus::Trialing,
            None => SubscriptionStatus::Active,
        },
        interval: sent.interval,
        provider: PROVIDER_MANUAL.to_owned(),
        period_start_time: start,
        period_end_time: end,
        cancel_at_period_end: false,
        anchor_time: start,
        create_time: context.now,
        end_time: None,
        sent: Some(sent.clone()),
        provider_time: None,
    };
    if request.subscription_id.is_none() {
        // Nothing can be known of an id that was just made, and it is another one
        // each time that this is decided.
        let keys = periods::keys(&subscription.subscription_id, plan, start);
        state.looked_up.extend(keys);
    }
    match sent.trial {
        Some(trial) => try_out(state, context, &subscription, plan, trial, actor)?,
        None => bring_allowance(state, context, &subscription, plan, actor)?,
    }
    state.put_subscription(subscription.clone());
    Ok(subscribed(state, subscription, false))
}

/// The subscription that an earlier call with the same key has started.
fn started_before<'s>(
    state: &'s AccountState,
    request: &StartSubscription,
) -> Result<Option<&'s Subscription>, Refusal> {
    let Some(id) = &request.subscription_id else {
        let alike = |made: &&Subscription| {
            made.plan == request.sent.plan && made.interval == request.sent.interval
        };
        return Ok(state.live_subscriptions().find(alike));
    };
    let Some(made) = state.subscription(id) else { return Ok(None) };
    let asked = &request.sent;
    let field = match &made.sent {
        None => "origin",
        Some(sent) if sent.plan != asked.plan => "plan",
        Some(sent) if sent.interval != asked.interval => "interval",
        Some(sent) if sent.start_time != asked.start_time => "start",
        Some(sent) if sent.trial != asked.trial => "trial",
        Some(SentSubscription { .. }) => return Ok(Some(made)),
    };
    Err(Refusal::SubscriptionIdReused { subscription_id: id.clone(), field })
}

/// The credits of a trial: they end with it.
fn try_out(
    state: &mut AccountState,
    context: &Context<'_>,
    subscription: &Subscription,
    plan: &Plan,
    trial: Trial,
    actor: &str,
) -> Result<(), Halt> {
    if trial.credits == 0 {
        return Ok(());
    }
    let Some(allowance) = plan.allowances.first() else {
        return Err(Refusal::TrialWithoutCredits { plan: plan.name.clone() }.into());
    };
    let (id, credit_type) = (&subscription.subscription_id, &allowance.credit_type);
    let operation_id = periods::trial_id(id, credit_type);
    let lot = NewLot {
        reference: operation_id.to_string(),
        key: (OperationKind::Period, operation_id),
        source: LotSource::Trial,
        credit_type: credit_type.clone(),
        credits: trial.credits,
        expire_time: Some(trial.end_time),
        origin: None,
    };
    grants::bring_in(state, context, lot, actor)?;
    Ok(())
}

/// Turns a trial, or one that is not paid, into a paid period that begins now or
/// at `start`. What is due has been renewed before any command: for an active
/// one this only tells how it stands.
pub(super) fn renew(
    state: &mut AccountState,
    context: &Context<'_>,
    id: Option<&SubscriptionId>,
    start: Option<Timestamp>,
    actor: &str,
) -> Result<Outcome, Halt> {
    let mut subscription = live_manual(state, id)?;
    let next = subscription.period_end_time;
    let earliest = subscription.period_start_time;
    if subscription.status == SubscriptionStatus::Active {
        return match start {
            None => Ok(subscribed(state, subscription, true)),
            Some(start)
                if start == earliest || was_granted(state, &subscription, context, start)? =>
            {
                Ok(subscribed(state, subscription, true))
            }
            Some(start) if start == next => Err(Refusal::PeriodNotDue { due: next }.into()),
            Some(_) => Err(Refusal::PeriodUnknown { next }.into()),
        };
    }
    let plan = known_plan(context, &subscription.plan)?;
    let start = start.unwrap_or(context.now);
    let end = period_end(start, subscription.interval, start);
    if start > context.now {
        return Err(Refusal::PeriodNotDue { due: start }.into());
    }
    let is_known = start < earliest
        || (start == earliest && subscription.status != SubscriptionStatus::Trialing);
    if is_known || end <= context.now {
        return Err(Refusal::PeriodUnknown { next: context.now }.into());
    }
    subscription.status = SubscriptionStatus::Active;
    subscription.anchor_time = start;
    subscription.period_start_time = start;
    subscription.period_end_time = end;
    bring_allowance(state, context, &subscription, plan, actor)?;
    state.put_subscription(subscription.clone());
    Ok(subscribed(state, subscription, false))
}

/// Whether an earlier period of it began at `start` and brought something.
fn was_granted(
    state: &AccountState,
    subscription: &Subscription,
    context: &Context<'_>,
    start: Timestamp,
) -> Result<bool, Halt> {
    if start > subscription.period_start_time {
        return Ok(false);
    }
    let plan = known_plan(context, &subscription.plan)?;
    for allowance in &plan.allowances {
        let id = &subscription.subscription_id;
        let key = (OperationKind::Period, periods::operation_id(id, &allowance.credit_type, start));
        if state.operation(&key)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The rules of the new plan hold at once, its allowance from the next period.
pub(super) fn change_plan(
    state: &mut AccountState,
    context: &Context<'_>,
    id: Option<&SubscriptionId>,
    plan: &PlanName,
) -> Result<Outcome, Halt> {
    let subscription = live_manual(state, id)?;
    known_plan(context, plan)?;
    let changed = Subscription { plan: plan.clone(), ..subscription.clone() };
    Ok(change(state, context, &subscription, changed))
}

/// Ends it with its period, or now.
pub(super) fn cancel(
    state: &mut AccountState,
    context: &Context<'_>,
    id: Option<&SubscriptionId>,
    immediately: bool,
) -> Result<Outcome, Halt> {
    if let Some(ended) = id.and_then(|id| state.subscription(id)).filter(|s| !s.is_live()) {
        return Ok(Outcome::SubscriptionChanged { subscription: ended.clone() });
    }
    let subscription = live_manual(state, id)?;
    let mut changed = Subscription { cancel_at_period_end: true, ..subscription.clone() };
    if immediately {
        changed.end(context.now);
    }
    let outcome = change(state, context, &subscription, changed);
    if immediately {
        lapse::after_end(state, context);
    }
    Ok(outcome)
}

/// Takes a scheduled cancellation back.
pub(super) fn resume(
    state: &mut AccountState,
    context: &Context<'_>,
    id: Option<&SubscriptionId>,
) -> Result<Outcome, Halt> {
    let subscription = live_manual(state, id)?;
    let changed = Subscription { cancel_at_period_end: false, ..subscription.clone() };
    Ok(change(state, context, &subscription, changed))
}

/// Takes a subscription over as it stands, once. Grants nothing: its credits are
/// imported as lots, and its next period brings the next ones.
pub(super) fn import(
    state: &mut AccountState,
    context: &Context<'_>,
    subscription: &Subscription,
) -> Result<Outcome, Halt> {
    known_plan(context, &subscription.plan)?;
    let id = &subscription.subscription_id;
    if let Some(made) = state.subscription(id) {
        // What has happened to it since is no difference.
        if made.sent.is_none()
            && made.anchor_time == subscription.anchor_time
            && made.provider == subscription.provider
            && made.interval == subscription.interval
        {
            return Ok(subscribed(state, made.clone(), true));
        }
        let subscription_id = id.clone();
        return Err(Refusal::SubscriptionIdReused { subscription_id, field: "origin" }.into());
    }
    let imported = Subscription { create_time: context.now, sent: None, ..subscription.clone() };
    state.put_subscription(imported.clone());
    Ok(subscribed(state, imported, false))
}

/// The live subscription that is meant, where this service keeps it.
fn live_manual(state: &AccountState, id: Option<&SubscriptionId>) -> Result<Subscription, Refusal> {
    let found = match id {
        Some(id) => state.subscription(id),
        None => {
            let count = state.live_subscriptions().count();
            if count > 1 {
                return Err(Refusal::SubscriptionAmbiguous { count });
            }
            state.live_subscriptions().next()
        }
    };
    let subscription =
        found.ok_or_else(|| Refusal::SubscriptionNotFound { subscription_id: id.cloned() })?;
    let id = &subscription.subscription_id;
    if !subscription.is_live() {
        return Err(Refusal::SubscriptionEnded { subscription_id: id.clone() });
    }
    if subscription.provider != PROVIDER_MANUAL {
        let provider = subscription.provider.clone();
        return Err(Refusal::ProviderManaged { subject: format!("subscription {id}"), provider });
    }
    Ok(subscription.clone())
}

fn known_plan<'c>(context: &Context<'c>, name: &PlanName) -> Result<&'c Plan, Refusal> {
    context.catalog.plan(name).ok_or_else(|| Refusal::PlanUnknown { name: name.to_string() })
}

/// The allowance of its current period, which has just begun: what of it has not
/// been granted under another subscription of its id, a provider's.
pub(super) fn bring_allowance(
    state: &mut AccountState,
    context: &Context<'_>,
    subscription: &Subscription,
    plan: &Plan,
    actor: &str,
) -> Result<(), Halt> {
    let period = Period {
        subscription_id: &subscription.subscription_id,
        start: subscription.period_start_time,
        end: subscription.period_end_time,
    };
    let mut brought = Vec::new();
    for credits in periods::allowances(plan, subscription.interval, 1)? {
        if let Some(key) = periods::outstanding_key(state, &period, &credits.credit_type)? {
            brought.push((key, credits));
        }
    }
    grants::check_room(state, brought.iter().map(|(_, b)| (&b.credit_type, b.credits)))?;
    for (key, credits) in brought {
        periods::bring(state, context, &period, key, &credits, actor)?;
    }
    Ok(())
}

/// Keeps a change, where there is one.
fn change(
    state: &mut AccountState,
    context: &Context<'_>,
    old: &Subscription,
    new: Subscription,
) -> Outcome {
    if *old != new {
        state.change_subscription(new.clone(), context.now);
    }
    Outcome::SubscriptionChanged { subscription: new }
}

fn subscribed(state: &AccountState, subscription: Subscription, replayed: bool) -> Outcome {
    let balances =
        state.balances.iter().map(|(name, balance)| (name.clone(), balance.clone())).collect();
    Outcome::Subscribed { subscription, balances, replayed }
}
