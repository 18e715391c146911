//! Payments: awaited, completed, given up. What a payment brings is the catalog's
//! to say, by price and quantity; nothing that a browser sent counts.

mod basket;

use basket::{Basket, Extra, extras};

use crate::domain::{
    account::{AccountState, Halt},
    context::Context,
    due, grants, lapse,
    payment::{Purchase, TopUp, TopUpStatus},
    periods,
    provider::{Origin, Transaction},
    top_up,
};

/// True where a payment brings credits. Payments of nothing are made to change a
/// card, others to change a plan in the middle of a period: their lines name prices
/// all the same.
fn brings_credits(transaction: &Transaction) -> bool {
    let origin = match transaction.origin {
        Origin::Web | Origin::Api | Origin::SubscriptionRecurring | Origin::SubscriptionCharge => {
            true
        }
        Origin::Other => false,
    };
    origin && transaction.total_minor > 0
}

/// The key of a payment in the account's state.
pub(super) fn key(provider: &str, transaction_id: &str) -> (String, String) {
    (provider.to_owned(), transaction_id.to_owned())
}

/// A payment has begun, or its money is captured: its purchases are awaited.
pub(super) fn pending(
    state: &mut AccountState,
    context: &Context<'_>,
    provider: &str,
    transaction: &Transaction,
) -> Result<(), Halt> {
    let completed = state.transactions.contains(&key(provider, &transaction.transaction_id));
    if completed || !brings_credits(transaction) {
        return Ok(());
    }
    for extra in extras(state, context, provider, transaction)? {
        let mut top_up = purchase_of(state, context, provider, transaction, &extra);
        // A payment that was canceled stays so: this was said before that.
        let is_canceled = top_up.reason == CANCELED;
        if matches!(top_up.status, TopUpStatus::Failed | TopUpStatus::Expired) && !is_canceled {
            top_up.status = TopUpStatus::Pending;
            top_up.reason.clear();
            top_up.settle_time = None;
            top_up.expire_time = context.now + context.catalog.policy.top_up_lifetime();
        }
        keep(state, context, top_up, &extra);
    }
    Ok(())
}

/// A payment is complete: the one report that grants.
pub(super) fn completed(
    state: &mut AccountState,
    context: &Context<'_>,
    provider: &str,
    transaction: &Transaction,
    actor: &str,
) -> Result<(), Halt> {
    let key = key(provider, &transaction.transaction_id);
    if state.transactions.contains(&key) {
        return Ok(());
    }
    if brings_credits(transaction) {
        // All that may be refused is refused here, before anything moves.
        let basket = Basket::of(state, context, provider, transaction)?;
        grants::check_room(state, basket.sizes())?;
        bring(state, context, provider, transaction, basket, actor)?;
    }
    state.transactions.insert(key);
    Ok(())
}

/// Why a purchase failed whose payment the provider has canceled. Nothing but its
/// completion makes it anything else: see [`pending`].
const CANCELED: &str = "canceled by the provider";

/// A payment will not come. What it would have brought is kept as failed, be it
/// heard of for the first time: that it was awaited may be said later.
pub(super) fn canceled(
    state: &mut AccountState,
    context: &Context<'_>,
    provider: &str,
    transaction: &Transaction,
) -> Result<(), Halt> {
    let completed = state.transactions.contains(&key(provider, &transaction.transaction_id));
    if completed || !brings_credits(transaction) {
        return Ok(());
    }
    for extra in extras(state, context, provider, transaction)? {
        let mut top_up = purchase_of(state, context, provider, transaction, &extra);
        if !top_up.status.is_paid() && top_up.reason != CANCELED {
            top_up::settle(&mut top_up, context, TopUpStatus::Failed, CANCELED);
        }
        if let Some(own) = state.top_ups.get_mut(&extra.own) {
            give_up(own, context, CANCELED);
        }
        keep(state, context, top_up, &extra);
    }
    Ok(())
}

/// Closes a purchase that is not paid; one that has failed keeps its reason.
fn give_up(top_up: &mut TopUp, context: &Context<'_>, reason: &str) {
    if !top_up.status.is_paid() && top_up.status != TopUpStatus::Failed {
        top_up::settle(top_up, context, TopUpStatus::Failed, reason);
    }
}

/// The purchase that a line belongs to, with what the payment says of it: the one
/// that was opened here, or one of its own.
fn purchase_of(
    state: &AccountState,
    context: &Context<'_>,
    provider: &str,
    transaction: &Transaction,
    extra: &Extra<'_>,
) -> TopUp {
    let known = state.top_ups.get(extra.top_up_id()).cloned();
    let of_its_own = || TopUp {
        top_up_id: extra.own.clone(),
        credit_type: extra.credit_type.clone(),
        credits: extra.credits,
        price_minor: extra.item.total_minor.max(0),
        currency: transaction.currency.clone(),
        status: TopUpStatus::Pending,
        provider: provider.to_owned(),
        provider_reference: String::new(),
        reason: String::new(),
        create_time: context.now,
        expire_time: context.now + context.catalog.policy.top_up_lifetime(),
        settle_time: None,
    };
    let top_up = match known {
        // The catalog, or the payment, may have changed since it was awaited.
        Some(known) if extra.opened.is_none() => TopUp {
            status: known.status,
            reason: known.reason,
            create_time: known.create_time,
            expire_time: known.expire_time,
            settle_time: known.settle_time,
            ..of_its_own()
        },
        Some(known) => known,
        None => of_its_own(),
    };
    TopUp { provider_reference: transaction.transaction_id.clone(), ..top_up }
}

/// Keeps a line's purchase. Where it is one that was opened here, but was not
/// known to be when the payment was first awaited, the line had one of its own.
fn keep(state: &mut AccountState, context: &Context<'_>, top_up: TopUp, extra: &Extra<'_>) {
    if extra.opened.is_some()
        && let Some(own) = state.top_ups.get_mut(&extra.own)
    {
        give_up(own, context, &format!("paid as {}", top_up.top_up_id));
    }
    state.top_ups.insert(top_up.top_up_id.clone(), top_up);
}

/// Moves all that a payment brings.
fn bring(
    state: &mut AccountState,
    context: &Context<'_>,
    provider: &str,
    transaction: &Transaction,
    basket: Basket<'_>,
    actor: &str,
) -> Result<(), Halt> {
    let transaction_id = &transaction.transaction_id;
    for extra in basket.extras {
        let mut top_up = purchase_of(state, context, provider, transaction, &extra);
        if !extra.is_granted {
            let new = top_up::lot_of(&top_up, extra.credits);
            let lot = grants::bring_in(state, context, new.clone(), actor)?;
            state.purchases.push(Purchase {
                provider: provider.to_owned(),
                transaction_id: transaction_id.clone(),
                item_id: extra.item.item_id.clone(),
                credit_type: lot.credit_type,
                key: new.key,
                lot_id: lot.lot_id,
                credits: lot.credits,
                paid_minor: extra.item.total_minor.max(0),
                reversed_credits: 0,
            });
        }
        if !top_up.status.is_paid() {
            top_up::settle(&mut top_up, context, TopUpStatus::Confirmed, "");
        }
        keep(state, context, top_up, &extra);
    }
    let Some(period) = basket.period else { return Ok(()) };
    for brought in basket.due {
        let (key, credits) = (brought.key.clone(), &brought.credits);
        let lot = periods::bring(state, context, &period, key, credits, actor)?;
        // Credits that end with a period which is over already come and go.
        due::expire_lots(state, context, "lot expired", |made| {
            made.lot_id == lot.lot_id && made.has_expired(context.now)
        });
        // In the other order they would have lapsed with it.
        if state.subscription(period.subscription_id).is_some_and(|known| !known.is_live()) {
            lapse::at_once(state, context, &lot);
        }
        for (item, credits) in brought.shares {
            state.purchases.push(Purchase {
                provider: provider.to_owned(),
                transaction_id: transaction_id.clone(),
                item_id: item.item_id.clone(),
                credit_type: lot.credit_type.clone(),
                key: brought.key.clone(),
                lot_id: lot.lot_id,
                credits,
                paid_minor: item.total_minor.max(0),
                reversed_credits: 0,
            });
        }
    }
    Ok(())
}
