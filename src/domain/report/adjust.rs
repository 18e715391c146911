//! Money that goes back, or is disputed: what is known of a payment's adjustments,
//! and what follows from all of them together.

use std::collections::BTreeMap;

use super::{
    payments::key,
    recover::{self, Move},
    reversed::{is_disputed, standing},
};
use crate::{
    domain::{
        account::{Account, AccountState, Halt, Notice},
        command::{OperationKind, Refusal},
        context::Context,
        event::EventKind,
        payment::{KnownAdjustment, Purchase, TopUpStatus},
        provider::{Adjustment, AdjustmentAction, AdjustmentStatus, ProviderEvent},
    },
    ids::LotId,
};

/// Applies what is known of an adjustment now, where that is news.
pub(super) fn adjusted(
    state: &mut AccountState,
    context: &Context<'_>,
    event: &ProviderEvent,
    adjustment: &Adjustment,
    actor: &str,
) -> Result<(), Halt> {
    let (provider, transaction_id) = (&event.provider, &adjustment.transaction_id);
    if !state.transactions.contains(&key(provider, transaction_id)) {
        return Err(Refusal::TransactionUnknown { transaction_id: transaction_id.clone() }.into());
    }
    let id = (provider.clone(), adjustment.adjustment_id.clone());
    let is_news = |known: &KnownAdjustment| {
        (event.occurred_at, adjustment.status) > (known.occurred_at, known.adjustment.status)
    };
    if !state.adjustments.get(&id).is_none_or(is_news) {
        return Ok(());
    }
    let is_of_it = |purchase: &Purchase| {
        purchase.provider == *provider && purchase.transaction_id == *transaction_id
    };
    let mut purchases: Vec<Purchase> =
        state.purchases.iter().filter(|purchase| is_of_it(purchase)).cloned().collect();
    purchases.sort_by(|a, b| (&a.item_id, &a.credit_type).cmp(&(&b.item_id, &b.credit_type)));

    let before = known_of(state, provider, transaction_id);
    let others = before.iter().filter(|other| other.adjustment_id != adjustment.adjustment_id);
    let known: Vec<Adjustment> = others.chain([adjustment]).cloned().collect();
    let mut changes: BTreeMap<LotId, i64> = BTreeMap::new();
    for purchase in &purchases {
        let change = standing(&known, purchase).credits - purchase.reversed_credits;
        *changes.entry(purchase.lot_id).or_default() += change;
    }
    // All that may be refused is refused here, before anything moves.
    let moves = recover::plan(state, event, &changes)?;

    notify(state, context, adjustment, &purchases, &moves);
    for change in moves {
        change.carry_out(state, context, transaction_id, actor)?;
    }
    for purchase in state.purchases.iter_mut().filter(|purchase| is_of_it(purchase)) {
        let standing = standing(&known, purchase);
        purchase.reversed_credits = standing.credits;
        let (kind, top_up_id) = &purchase.key;
        if *kind == OperationKind::TopUp
            && let Some(top_up) = state.top_ups.get_mut(top_up_id)
            && top_up.status.is_paid()
        {
            top_up.status = match (standing.is_disputed, standing.is_reversed) {
                (true, _) => TopUpStatus::Disputed,
                (false, true) => TopUpStatus::Refunded,
                (false, false) => TopUpStatus::Confirmed,
            };
        }
    }
    match (is_disputed(&before, &purchases), is_disputed(&known, &purchases)) {
        (false, true) => suspend(&mut state.account, transaction_id),
        (true, false) => lift(&mut state.account, transaction_id),
        _ => {}
    }
    let (adjustment, occurred_at) = (adjustment.clone(), event.occurred_at);
    state.adjustments.insert(id, KnownAdjustment { adjustment, occurred_at });
    Ok(())
}

/// All that is known of a payment's adjustments.
fn known_of(state: &AccountState, provider: &str, transaction_id: &str) -> Vec<Adjustment> {
    let of_it = state.adjustments.iter().filter(|((of, _), known)| {
        of == provider && known.adjustment.transaction_id == transaction_id
    });
    of_it.map(|(_, known)| known.adjustment.clone()).collect()
}

/// How a suspension says that disputes caused it, and nothing else did.
const DISPUTES: &str = "chargeback of ";

/// Suspends an account until the dispute is over. Where another dispute has done
/// so, both have to be.
fn suspend(account: &mut Account, transaction_id: &str) {
    if !account.suspended {
        account.suspended = true;
        account.suspension_reason = format!("{DISPUTES}{transaction_id}");
    } else if let Some(disputed) = account.suspension_reason.strip_prefix(DISPUTES)
        && disputed.split(", ").all(|other| other != transaction_id)
    {
        account.suspension_reason.push_str(", ");
        account.suspension_reason.push_str(transaction_id);
    }
}

/// Takes a dispute back. What an operator has suspended stays so.
fn lift(account: &mut Account, transaction_id: &str) {
    let disputed = account.suspension_reason.strip_prefix(DISPUTES);
    if let Some(disputed) = disputed.filter(|_| account.suspended)
        && disputed.split(", ").any(|other| other == transaction_id)
    {
        let others: Vec<&str> =
            disputed.split(", ").filter(|other| *other != transaction_id).collect();
        account.suspended = !others.is_empty();
        account.suspension_reason = match others.as_slice() {
            [] => String::new(),
            others => format!("{DISPUTES}{}", others.join(", ")),
        };
    }
}

/// Tells, once each, of money that went back and of a dispute that is announced.
fn notify(
    state: &mut AccountState,
    context: &Context<'_>,
    adjustment: &Adjustment,
    purchases: &[Purchase],
    moves: &[Move],
) {
    let about = match adjustment.action {
        AdjustmentAction::Refund | AdjustmentAction::Credit | AdjustmentAction::Chargeback => {
            "reversed"
        }
        AdjustmentAction::ChargebackWarning => "dispute",
        AdjustmentAction::CreditReverse
        | AdjustmentAction::ChargebackReverse
        | AdjustmentAction::ChargebackWarningReverse => return,
    };
    let key = format!("{about}:{}", adjustment.adjustment_id);
    let told = state.notices.iter().any(|notice| notice.key == key);
    if adjustment.status != AdjustmentStatus::Approved || told {
        return;
    }
    let first = purchases.first();
    let top_up = purchases.iter().find(|purchase| purchase.key.0 == OperationKind::TopUp);
    let credit_type = first.map(|purchase| purchase.credit_type.clone());
    let of_type = moves.iter().filter(|change| Some(&change.credit_type) == credit_type.as_ref());
    let credits = of_type.map(Move::taken).sum();
    state.notices.push(Notice {
        key,
        kind: EventKind::PaymentReversed,
        credits,
        subject: top_up
            .map_or_else(|| adjustment.transaction_id.clone(), |top_up| top_up.key.1.to_string()),
        detail: String::new(),
        sequence: None,
        available: credit_type.as_ref().map(|of| state.balance(of).available - credits),
        credit_type,
        create_time: context.now,
    });
}
