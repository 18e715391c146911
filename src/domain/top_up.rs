//! Purchases as they are opened, confirmed and closed here. A provider's are
//! confirmed by its reports alone: see [`super::report`].

use super::{
    account::{AccountState, Halt},
    catalog::CreditPrice,
    command::{OperationKind, Outcome, Refusal},
    context::Context,
    credit::LotSource,
    grants::{self, NewLot},
    payment::{BeginTopUp, Purchase, TopUp, TopUpStatus},
};
use crate::ids::{CreditType, OperationId};

/// Opens a purchase at today's price, once.
pub(super) fn begin(
    state: &mut AccountState,
    context: &Context<'_>,
    request: &BeginTopUp,
) -> Result<Outcome, Halt> {
    if let Some(made) = state.top_ups.get(&request.top_up_id) {
        let mut top_up = replay(made, request)?;
        close_if_booked(state, context, &mut top_up);
        state.top_ups.insert(top_up.top_up_id.clone(), top_up.clone());
        return Ok(Outcome::TopUpBegun { top_up, replayed: true });
    }
    if !context.catalog.has_credit_type(&request.credit_type) {
        return Err(Refusal::CreditTypeUnknown { name: request.credit_type.to_string() }.into());
    }
    let price = unit_price(state, context, &request.credit_type)?;
    let price_minor =
        price.unit_price_minor.checked_mul(request.credits).ok_or(Refusal::PriceTooLarge)?;
    let mut top_up = TopUp {
        top_up_id: request.top_up_id.clone(),
        credit_type: request.credit_type.clone(),
        credits: request.credits,
        price_minor,
        currency: price.currency.clone(),
        status: TopUpStatus::Pending,
        provider: request.provider.clone(),
        provider_reference: request.provider_reference.clone(),
        reason: String::new(),
        create_time: context.now,
        expire_time: context.now + context.catalog.policy.top_up_lifetime(),
        settle_time: None,
    };
    close_if_booked(state, context, &mut top_up);
    state.top_ups.insert(top_up.top_up_id.clone(), top_up.clone());
    Ok(Outcome::TopUpBegun { top_up, replayed: false })
}

/// Closes a purchase whose payment was completed before it was named here: its
/// credits have come as purchases of the payment's own, and nothing is awaited.
fn close_if_booked(state: &AccountState, context: &Context<'_>, top_up: &mut TopUp) {
    let payment = (top_up.provider.clone(), top_up.provider_reference.clone());
    let is_open = matches!(top_up.status, TopUpStatus::Pending | TopUpStatus::Expired);
    if !is_open || !state.transactions.contains(&payment) {
        return;
    }
    let is_of_it = |bought: &&Purchase| {
        (&bought.provider, &bought.transaction_id) == (&payment.0, &payment.1)
            && bought.credit_type == top_up.credit_type
    };
    let reason = state.purchases.iter().find(is_of_it).map_or_else(
        || "its payment has been booked already".to_owned(),
        |bought| format!("paid as {}", bought.key.1),
    );
    settle(top_up, context, TopUpStatus::Failed, &reason);
}

/// The answer to a repeated request: never at another price. A caller opens the
/// purchase here, then at the provider, and may say only then which payment it
/// is; so what was empty is filled in, and nothing is asked of an empty one.
fn replay(made: &TopUp, request: &BeginTopUp) -> Result<TopUp, Refusal> {
    let sent = &request.provider_reference;
    let field = if made.credit_type != request.credit_type {
        Some("credit type")
    } else if made.credits != request.credits {
        Some("number of credits")
    } else if made.provider != request.provider {
        Some("provider")
    } else if contradicts(made, sent) {
        Some("provider reference")
    } else {
        None
    };
    if let Some(field) = field {
        return Err(Refusal::TopUpIdReused { top_up_id: made.top_up_id.clone(), field });
    }
    let mut top_up = made.clone();
    if top_up.provider_reference.is_empty() {
        top_up.provider_reference.clone_from(sent);
    }
    Ok(top_up)
}

/// True where `reference` names another payment than is known.
fn contradicts(made: &TopUp, reference: &str) -> bool {
    let known = &made.provider_reference;
    !reference.is_empty() && !known.is_empty() && known != reference
}

/// The lowest price among the plans of the live subscriptions; the catalog's own
/// where none of them has one.
fn unit_price<'c>(
    state: &AccountState,
    context: &Context<'c>,
    credit_type: &CreditType,
) -> Result<&'c CreditPrice, Refusal> {
    let catalog = context.catalog;
    let plans = state.live_subscriptions().filter_map(|live| catalog.plan(&live.plan));
    // One currency a type: a catalog that mixes them is refused.
    let lowest = |prices: &mut dyn Iterator<Item = &'c CreditPrice>| {
        prices
            .filter(|price| price.credit_type == *credit_type)
            .min_by_key(|price| price.unit_price_minor)
    };
    lowest(&mut plans.flat_map(|plan| &plan.prices))
        .or_else(|| lowest(&mut catalog.prices.iter()))
        .ok_or_else(|| Refusal::NotForSale { credit_type: credit_type.clone() })
}

/// Confirms a purchase that this service keeps itself, and grants its credits;
/// also one that was given up: the money has come.
pub(super) fn confirm(
    state: &mut AccountState,
    context: &Context<'_>,
    top_up_id: &OperationId,
    provider_reference: &str,
    actor: &str,
) -> Result<Outcome, Halt> {
    let mut top_up = find(state, top_up_id)?;
    if !top_up.is_manual() {
        let (subject, provider) = (format!("top-up {top_up_id}"), top_up.provider);
        return Err(Refusal::ProviderManaged { subject, provider }.into());
    }
    let replayed = top_up.status.is_paid();
    // Once it is paid, there is one payment, if it was named or not.
    let other = !provider_reference.is_empty() && top_up.provider_reference != provider_reference;
    if contradicts(&top_up, provider_reference) || (replayed && other) {
        let (top_up_id, field) = (top_up_id.clone(), "provider reference");
        return Err(Refusal::TopUpIdReused { top_up_id, field }.into());
    }
    if !replayed {
        let new = lot_of(&top_up, top_up.credits);
        if !state.operations.contains_key(&new.key) {
            grants::bring_in(state, context, new, actor)?;
        }
        if top_up.provider_reference.is_empty() {
            provider_reference.clone_into(&mut top_up.provider_reference);
        }
        settle(&mut top_up, context, TopUpStatus::Confirmed, "");
        state.top_ups.insert(top_up_id.clone(), top_up.clone());
    }
    let balance = state.balance(&top_up.credit_type);
    Ok(Outcome::TopUpConfirmed { top_up, balance, replayed })
}

/// Closes a purchase that will not be paid. Should it be after all, it is
/// confirmed all the same.
pub(super) fn fail(
    state: &mut AccountState,
    context: &Context<'_>,
    top_up_id: &OperationId,
    reason: &str,
) -> Result<Outcome, Halt> {
    let mut top_up = find(state, top_up_id)?;
    if top_up.status.is_paid() {
        let (top_up_id, status) = (top_up_id.clone(), top_up.status);
        let advice = "what is paid cannot fail, it can be paid back";
        return Err(Refusal::TopUpSettled { top_up_id, status, advice }.into());
    }
    if top_up.status != TopUpStatus::Failed {
        settle(&mut top_up, context, TopUpStatus::Failed, reason);
        state.top_ups.insert(top_up_id.clone(), top_up.clone());
    }
    Ok(Outcome::TopUpClosed { top_up })
}

/// Gives up waiting for a payment whose time is over.
pub(super) fn expire(
    state: &mut AccountState,
    context: &Context<'_>,
    top_up_id: &OperationId,
) -> Result<Outcome, Halt> {
    let mut top_up = find(state, top_up_id)?;
    if top_up.status == TopUpStatus::Pending && top_up.expire_time <= context.now {
        settle(&mut top_up, context, TopUpStatus::Expired, "");
        state.top_ups.insert(top_up_id.clone(), top_up.clone());
    }
    Ok(Outcome::TopUpClosed { top_up })
}

fn find(state: &AccountState, id: &OperationId) -> Result<TopUp, Refusal> {
    let top_up = state.top_ups.get(id).cloned();
    top_up.ok_or_else(|| Refusal::TopUpNotFound { top_up_id: id.clone() })
}

/// Moves a purchase out of PENDING, or on from where that has led it.
pub(super) fn settle(top_up: &mut TopUp, context: &Context<'_>, status: TopUpStatus, reason: &str) {
    top_up.status = status;
    reason.clone_into(&mut top_up.reason);
    top_up.settle_time = Some(context.now);
}

/// The lot of a purchase: bought credits do not expire by themselves.
pub(super) fn lot_of(top_up: &TopUp, credits: i64) -> NewLot {
    NewLot {
        key: (OperationKind::TopUp, top_up.top_up_id.clone()),
        source: LotSource::TopUp,
        credit_type: top_up.credit_type.clone(),
        credits,
        expire_time: None,
        reference: top_up.top_up_id.to_string(),
        origin: None,
    }
}
