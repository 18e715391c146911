//! Credits that come in and are taken back outside a scan.

use super::{
    account::{AccountState, Cause, Halt, Operation},
    command::{Grant, Outcome, Refusal, Revoke},
    context::Context,
    credit::{Lot, LotPortion, LotSource},
    entry::EntryKind,
};

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
    // The three parts of a balance only exchange credits among themselves, so
    // none can overflow while their sum does not.
    let balance = state.balance(&grant.credit_type);
    balance
        .available
        .checked_add(balance.reserved)
        .and_then(|sum| sum.checked_add(balance.spent))
        .and_then(|sum| sum.checked_add(grant.credits))
        .ok_or(Refusal::BalanceTooLarge)?;

    let mut lot = Lot {
        lot_id: (context.new_lot_id)(),
        credit_type: grant.credit_type.clone(),
        source: grant.source,
        reference: grant.reason.clone(),
        credits: grant.credits,
        remaining: 0,
        unrecovered: 0,
        expire_time: grant.expire_time,
        create_time: context.now,
    };
    state.lots.insert(lot.lot_id, lot.clone());
    let portions = vec![LotPortion { lot_id: lot.lot_id, credits: grant.credits }];
    let cause = Cause { reservation_id: None, reference: &grant.reason, actor };
    let sequence = state.post(&grant.credit_type, EntryKind::Grant, portions, cause, context.now);
    lot.remaining = grant.credits;
    state
        .operations
        .insert(grant.key.clone(), Operation { lot_id: Some(lot.lot_id), sequence, ..operation });
    Ok(Outcome::Granted { lot, balance: state.balance(&grant.credit_type), replayed: false })
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
