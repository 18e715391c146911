//! What is worth telling and no entry of the ledger shows by itself: a balance that
//! fell to a level, a subscription that will end.

use super::{
    account::{AccountState, Notice},
    context::Context,
    entry::Entry,
    event::EventKind,
    subscription::Subscription,
};
use crate::clock::Timestamp;

/// Notes the levels that the entries of a batch have made balances fall to.
pub(super) fn tell(state: &mut AccountState, context: &Context<'_>) {
    let low = context.catalog.policy.low_balance();
    let fallen: Vec<Notice> =
        state.entries.iter().flat_map(|entry| crossings(entry, low)).collect();
    state.notices.extend(fallen);
}

/// The levels that an entry made the balance fall to. What is reserved counts: a
/// hold that is taken, and comes back, is no news. So a level latches by itself: it
/// is fallen to again only after the balance has risen above it.
fn crossings(entry: &Entry, low: i64) -> impl Iterator<Item = Notice> {
    let effect = entry.kind.effect();
    let after = entry.available_after.saturating_add(entry.reserved_after);
    let change = (effect.available + effect.reserved).saturating_mul(entry.credits);
    let before = after.saturating_sub(change);
    // A warning level of 0 is no warning.
    let levels = [(EventKind::LowBalance, low), (EventKind::ZeroBalance, 0)];
    let levels = levels.into_iter().filter(move |(kind, level)| {
        (*level > 0 || *kind == EventKind::ZeroBalance) && before > *level && after <= *level
    });
    levels.map(move |(kind, _)| Notice {
        key: format!("{}:{}:{}", kind.name(), entry.credit_type, entry.sequence),
        kind,
        credit_type: Some(entry.credit_type.clone()),
        // What is left, and not what moved: the entry tells that.
        credits: after,
        subject: entry
            .reservation_id
            .as_ref()
            .map_or_else(|| entry.reference.clone(), ToString::to_string),
        detail: String::new(),
        sequence: Some(entry.sequence),
        available: Some(entry.available_after),
        create_time: entry.create_time,
    })
}

/// That a subscription has ended, or that it was arranged that it will.
pub(super) fn ending(
    known: Option<&Subscription>,
    now: &Subscription,
    time: Timestamp,
) -> Option<Notice> {
    let id = &now.subscription_id;
    let ended = |s: &Subscription| !s.is_live();
    let (key, detail) = if ended(now) && !known.is_some_and(ended) {
        let at = now.end_time.unwrap_or(time);
        (format!("ended:{id}"), format!("ended on {}", at.format("%Y-%m-%d")))
    } else if now.is_live()
        && now.cancel_at_period_end
        && !known.is_some_and(|known| known.cancel_at_period_end)
    {
        let end = now.period_end_time;
        (
            format!("ending:{id}:{}", end.timestamp_micros()),
            format!("will end on {}", end.format("%Y-%m-%d")),
        )
    } else {
        return None;
    };
    Some(Notice {
        key,
        kind: EventKind::SubscriptionEnding,
        credit_type: None,
        credits: 0,
        subject: id.to_string(),
        detail,
        sequence: None,
        available: None,
        create_time: time,
    })
}
