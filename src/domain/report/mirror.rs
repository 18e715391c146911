//! A provider's subscriptions: kept here as it last said they stand. They never
//! grant by themselves; the payment of a period does.

use chrono::TimeDelta;

use crate::{
    clock::Timestamp,
    domain::{
        account::{AccountState, Halt},
        catalog::PriceMeaning,
        command::Refusal,
        context::Context,
        due, lapse,
        provider::{ProviderEvent, ProviderSubscription},
        subscription::{BillingInterval, Subscription, SubscriptionStatus},
    },
    ids::PlanName,
};

/// Of two reports the one of the later happening holds, whichever comes first.
pub(super) fn changed(
    state: &mut AccountState,
    context: &Context<'_>,
    event: &ProviderEvent,
    reported: &ProviderSubscription,
) -> Result<(), Halt> {
    let known = state.subscription(&reported.subscription_id).cloned();
    if let Some(known) = &known {
        if known.provider != event.provider {
            return Err(not_understood("its subscription is not the provider's").into());
        }
        if known.provider_time.is_some_and(|time| time >= event.occurred_at) {
            return Ok(());
        }
    }
    let (plan, interval) = plan(context, event, reported, known.as_ref())?;
    let (period_start_time, period_end_time) = period(event, reported, known.as_ref())?;
    let ended = reported.status == SubscriptionStatus::Canceled;
    let was_live = known.as_ref().is_none_or(Subscription::is_live);
    let end_time = || reported.canceled_at.map_or(context.now, |time| time.min(context.now));
    let known_end = known.as_ref().and_then(|known| known.end_time);
    let mirrored = Subscription {
        subscription_id: reported.subscription_id.clone(),
        plan,
        status: reported.status,
        interval,
        provider: event.provider.clone(),
        period_start_time,
        period_end_time,
        cancel_at_period_end: reported.cancel_at_period_end,
        anchor_time: known.as_ref().map_or_else(
            || reported.started_at.unwrap_or(period_start_time),
            |known| known.anchor_time,
        ),
        create_time: known.as_ref().map_or(context.now, |known| known.create_time),
        // It ends once: here it may have ended before the provider said so.
        end_time: ended.then(|| known_end.unwrap_or_else(end_time)),
        sent: known.and_then(|known| known.sent),
        provider_time: Some(event.occurred_at),
    };
    state.change_subscription(mirrored, context.now);
    if ended && was_live {
        lapse::after_end(state, context);
    }
    // One that was to end with a period which is over has ended.
    due::apply(state, context).map_err(Halt::Missing)?;
    Ok(())
}

/// The plan of the first price that is one's, and how often it is billed. What
/// ends needs no price that the catalog still has.
fn plan(
    context: &Context<'_>,
    event: &ProviderEvent,
    reported: &ProviderSubscription,
    known: Option<&Subscription>,
) -> Result<(PlanName, BillingInterval), Refusal> {
    let meaning = |price_id: &String| match context.catalog.meaning(&event.provider, price_id) {
        Some(PriceMeaning::Plan { plan, interval }) => Some((plan.name.clone(), interval)),
        _ => None,
    };
    if let Some(found) = reported.price_ids.iter().find_map(meaning) {
        return Ok(found);
    }
    match (known, reported.price_ids.first()) {
        (Some(known), None) => Ok((known.plan.clone(), known.interval)),
        (Some(known), _) if reported.status == SubscriptionStatus::Canceled => {
            Ok((known.plan.clone(), known.interval))
        }
        (_, Some(price_id)) => Err(Refusal::PriceUnknown { price_id: price_id.clone() }),
        (None, None) => Err(not_understood("a subscription has no price")),
    }
}

/// The current period. A subscription that is paused or has ended has none at the
/// provider: the known one is kept, or, where it was never heard of, the time that
/// it has been there.
fn period(
    event: &ProviderEvent,
    reported: &ProviderSubscription,
    known: Option<&Subscription>,
) -> Result<(Timestamp, Timestamp), Refusal> {
    if let Some((start, end)) = reported.period.filter(|(start, end)| start < end) {
        return Ok((start, end));
    }
    if let Some(known) = known {
        return Ok((known.period_start_time, known.period_end_time));
    }
    match reported.status {
        SubscriptionStatus::Trialing | SubscriptionStatus::Active => {
            Err(not_understood("a live subscription has no period"))
        }
        SubscriptionStatus::PastDue | SubscriptionStatus::Paused | SubscriptionStatus::Canceled => {
            let end = reported.canceled_at.unwrap_or(event.occurred_at);
            let start = reported.started_at.unwrap_or(end);
            Ok((start, end.max(start + TimeDelta::microseconds(1))))
        }
    }
}

fn not_understood(what: &'static str) -> Refusal {
    Refusal::ReportNotUnderstood { what }
}
