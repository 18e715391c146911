//! Credits that are taken back with the money that bought them, as far as their
//! lot still has them, and given again where that was wrong.

use std::collections::BTreeMap;

use crate::{
    domain::{
        account::{AccountState, Cause, Operation},
        command::{OperationKey, OperationKind, Refusal},
        context::Context,
        credit::{Lot, LotPortion, LotSource, take, total},
        entry::EntryKind,
        grants::{self, NewLot},
        provider::ProviderEvent,
    },
    ids::{CreditType, LotId, OperationId},
};

/// How the reference of what a reversed payment took back begins.
pub const REVERSAL: &str = "reversal of ";
/// How the reference of what was given again begins, where the reversal was reversed.
pub const REINSTATEMENT: &str = "reinstatement of ";

/// What is to happen to one lot.
#[derive(Debug)]
pub(super) struct Move {
    lot_id: LotId,
    pub(super) credit_type: CreditType,
    key: OperationKey,
    what: What,
}

#[derive(Debug)]
enum What {
    /// These of what is left, and so many once they return.
    Take { revoked: Vec<LotPortion>, owed: i64 },
    /// So many are no longer owed, and so many come again.
    Give { forgiven: i64, granted: i64 },
}

/// Decides what happens to each lot of which `changes` more credits are to be
/// taken back, or fewer. Nothing moves.
pub(super) fn plan(
    state: &AccountState,
    event: &ProviderEvent,
    changes: &BTreeMap<LotId, i64>,
) -> Result<Vec<Move>, Refusal> {
    let mut moves = Vec::new();
    for (lot_id, change) in changes.iter().filter(|(_, change)| **change != 0) {
        let operation_id = OperationId::new(&format!("{}:{lot_id}", event.event_id))
            .map_err(|_| Refusal::ReportNotUnderstood { what: "the event's id is no id" })?;
        let Some(lot) = state.lots.get(lot_id) else {
            return Err(Refusal::LotMissing { operation_id });
        };
        let (kind, what) = if *change > 0 {
            let revoked = what_is_left(state, lot, *change);
            let owed = change - total(&revoked);
            (OperationKind::Reversal, What::Take { revoked, owed })
        } else {
            let forgiven = lot.unrecovered.min(-change);
            (OperationKind::Reinstatement, What::Give { forgiven, granted: -change - forgiven })
        };
        let credit_type = lot.credit_type.clone();
        moves.push(Move { lot_id: *lot_id, credit_type, key: (kind, operation_id), what });
    }
    let granted = moves.iter().map(|change| match &change.what {
        What::Take { .. } => (&change.credit_type, 0),
        What::Give { granted, .. } => (&change.credit_type, *granted),
    });
    grants::check_room(state, granted)?;
    Ok(moves)
}

/// Up to so many of the credits that a lot still has, and of those that live on
/// elsewhere since it expired.
fn what_is_left(state: &AccountState, root: &Lot, credits: i64) -> Vec<LotPortion> {
    let mut open = state.open_lots(&root.credit_type);
    open.retain(|lot| lot.root() == root.lot_id);
    open.sort_by_key(|lot| lot.origin.is_some());
    take(open, credits)
}

impl Move {
    /// Credits that it takes back, now or once they return.
    pub(super) fn taken(&self) -> i64 {
        match &self.what {
            What::Take { revoked, owed } => total(revoked) + owed,
            What::Give { .. } => 0,
        }
    }

    /// Does it.
    pub(super) fn carry_out(
        self,
        state: &mut AccountState,
        context: &Context<'_>,
        transaction_id: &str,
        actor: &str,
    ) -> Result<(), Refusal> {
        let Some(lot) = state.lots.get_mut(&self.lot_id) else { return Ok(()) };
        let (kind, portions, reference) = match self.what {
            What::Take { revoked, owed } => {
                lot.unrecovered += owed;
                (EntryKind::Revoke, revoked, format!("{REVERSAL}{transaction_id}"))
            }
            What::Give { forgiven, granted } => {
                lot.unrecovered -= forgiven;
                let portion = LotPortion { lot_id: lot.lot_id, credits: granted };
                (EntryKind::Grant, vec![portion], format!("{REINSTATEMENT}{transaction_id}"))
            }
        };
        let lot = lot.clone();
        let credits = total(&portions);
        if credits == 0 {
            return Ok(());
        }
        if kind == EntryKind::Grant && state.has_expired(&lot, context.now) {
            let new = restored(context, self.key, &lot, credits, reference);
            return grants::bring_in(state, context, new, actor).map(|_| ());
        }
        let cause = Cause { reservation_id: None, reference: &reference, actor };
        let sequence = state.post(&lot.credit_type, kind, portions, cause, context.now);
        let operation = Operation {
            key: self.key.clone(),
            credit_type: lot.credit_type,
            credits,
            expire_time: None,
            reason: reference,
            lot_id: Some(lot.lot_id),
            sequence,
            create_time: context.now,
        };
        state.operations.insert(self.key, operation);
        Ok(())
    }
}

/// Credits of a lot that has expired since they were taken: that was no fault
/// of the account's, so they live on for as long as the policy says.
fn restored(
    context: &Context<'_>,
    key: OperationKey,
    lot: &Lot,
    credits: i64,
    reference: String,
) -> NewLot {
    let lifetime = context.catalog.policy.restored_credit_lifetime();
    NewLot {
        key,
        source: LotSource::Restored,
        credit_type: lot.credit_type.clone(),
        credits,
        expire_time: context.now.checked_add_signed(lifetime),
        reference,
        origin: Some(lot.root()),
    }
}
