//! Credits that come in and are taken back outside a scan.

use std::collections::BTreeMap;

use super::{
    account::{AccountState, Cause, Halt, Operation},
    command::{Grant, OperationKey, Outcome, Refusal, Revoke},
    context::Context,
    credit::{Lot, LotPortion, LotSource},
    entry::EntryKind,
};
use crate::{
    clock::Timestamp,
    ids::{CreditType, LotId},
};

/// Credits that are to come in as one lot.
#[derive(Debug, Clone)]
pub(super) struct NewLot {
    /// The idempotency key.
    pub(super) key: OperationKey,
    /// Where they come from.
    pub(super) source: LotSource,
    /// Their type.
    pub(super) credit_type: CreditType,
    /// How many, at least 1.
    pub(super) credits: i64,
    /// When what is left expires.
    pub(super) expire_time: Option<Timestamp>,
    /// What caused it, for people.
    pub(super) reference: String,
    /// The lot whose credits live on in it, where there is one.
    pub(super) origin: Option<LotId>,
}

/// Brings credits in as a new lot, once per key.
pub(super) fn grant(
    state: &mut AccountState,
    context: &Context<'_>,
    grant: &Grant,
    actor: &str,
) -> Result<Outcome, Halt> {
    let operation = Operation {
        key: grant.key.clone(),
        credit_type: grant.credit_type.clone(),
        credits: grant.credits,
        expire_time: grant.expire_time,
        reason: grant.reason.clone(),
        lot_id: None,
        sequence: 0,
        create_time: context.now,
    };
    if let Some(earlier) = replayed(state, &operation)? {
        let lot = earlier.lot_id.and_then(|id| state.lots.get(&id)).cloned();
        let lot = lot.ok_or_else(|| Refusal::LotMissing { operation_id: grant.key.1.clone() })?;
        let balance = state.balance(&grant.credit_type);
        return Ok(Outcome::Granted { lot, balance, replayed: true });
    }
    // What was paid for is granted, whatever has become of the catalog.
    if grant.source == LotSource::Grant && !context.catalog.has_credit_type(&grant.credit_type) {
        return Err(Refusal::CreditTypeUnknown { name: grant.credit_type.to_string() }.into());
    }
    if grant.expire_time.is_some_and(|time| time <= context.now) {
        return Err(Refusal::ExpiryInPast.into());
    }
    let lot = NewLot {
        key: grant.key.clone(),
        source: grant.source,
        credit_type: grant.credit_type.clone(),
        credits: grant.credits,
        expire_time: grant.expire_time,
        reference: grant.reason.clone(),
        origin: None,
    };
    let lot = bring_in(state, context, lot, actor)?;
    Ok(Outcome::Granted { lot, balance: state.balance(&grant.credit_type), replayed: false })
}

/// Makes a lot, grants its credits, and notes the operation that did so. The
/// caller has seen that there is no such operation. An expiry in the past is
/// none of its concern: what is granted late expires with the next command.
pub(super) fn bring_in(
    state: &mut AccountState,
    context: &Context<'_>,
    new: NewLot,
    actor: &str,
) -> Result<Lot, Refusal> {
    check_room(state, [(&new.credit_type, new.credits)])?;
    let mut lot = Lot {
        lot_id: (context.new_lot_id)(),
        credit_type: new.credit_type.clone(),
        source: new.source,
        reference: new.reference.clone(),
        credits: new.credits,
        remaining: 0,
        unrecovered: 0,
        expire_time: new.expire_time,
        create_time: state.new_lot_time(context.now),
        origin: new.origin,
    };
    state.lots.insert(lot.lot_id, lot.clone());
    let portions = vec![LotPortion { lot_id: lot.lot_id, credits: new.credits }];
    let cause = Cause { reservation_id: None, reference: &new.reference, actor };
    let sequence = state.post(&new.credit_type, EntryKind::Grant, portions, cause, context.now);
    lot.remaining = new.credits;
    let operation = Operation {
        key: new.key.clone(),
        credit_type: new.credit_type,
        credits: new.credits,
        expire_time: new.expire_time,
        reason: new.reference,
        lot_id: Some(lot.lot_id),
        sequence,
        create_time: context.now,
    };
    state.operations.insert(new.key, operation);
    Ok(lot)
}

/// Whether so many more credits can be counted, all of them together: to be asked
/// before the first of several moves.
pub(super) fn check_room<'a>(
    state: &AccountState,
    credits: impl IntoIterator<Item = (&'a CreditType, i64)>,
) -> Result<(), Refusal> {
    // The three parts of a balance only exchange credits among themselves, so
    // none can overflow while their sum does not.
    let mut sums: BTreeMap<&CreditType, i64> = BTreeMap::new();
    for (credit_type, credits) in credits {
        let sum = match sums.get(credit_type) {
            Some(sum) => *sum,
            None => state.balance(credit_type).total().ok_or(Refusal::BalanceTooLarge)?,
        };
        sums.insert(credit_type, sum.checked_add(credits).ok_or(Refusal::BalanceTooLarge)?);
    }
    Ok(())
}

/// Takes available credits back, in burn order, once per key. More than is
/// available is refused.
pub(super) fn revoke(
    state: &mut AccountState,
    context: &Context<'_>,
    revoke: &Revoke,
    actor: &str,
) -> Result<Outcome, Halt> {
    let operation = Operation {
        key: revoke.key.clone(),
        credit_type: revoke.credit_type.clone(),
        credits: revoke.credits,
        expire_time: None,
        reason: revoke.reason.clone(),
        lot_id: None,
        sequence: 0,
        create_time: context.now,
    };
    let balance = state.balance(&revoke.credit_type);
    if replayed(state, &operation)?.is_some() {
        return Ok(Outcome::Revoked { balance, replayed: true });
    }
    if balance.available < revoke.credits {
        return Err(Refusal::InsufficientCredits { available: balance.available }.into());
    }
    let portions = state.pick(&revoke.credit_type, revoke.credits);
    let cause = Cause { reservation_id: None, reference: &revoke.reason, actor };
    let sequence = state.post(&revoke.credit_type, EntryKind::Revoke, portions, cause, context.now);
    state.operations.insert(revoke.key.clone(), Operation { sequence, ..operation });
    Ok(Outcome::Revoked { balance: state.balance(&revoke.credit_type), replayed: false })
}

/// The operation that an earlier command made under this key, where its payload
/// was the same.
fn replayed<'a>(
    state: &'a AccountState,
    asked: &Operation,
) -> Result<Option<&'a Operation>, Refusal> {
    let Some(made) = state.operations.get(&asked.key) else { return Ok(None) };
    let field = if made.credit_type != asked.credit_type {
        "credit type"
    } else if made.credits != asked.credits {
        "number of credits"
    } else if made.expire_time != asked.expire_time {
        "expiry"
    } else if made.reason != asked.reason {
        "reason"
    } else {
        return Ok(Some(made));
    };
    Err(Refusal::OperationIdReused { operation_id: asked.key.1.clone(), field })
}
