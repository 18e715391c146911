//! How credits return: to the lots they came from, to a new lot where theirs
//! has expired through no fault of the owner's, or at once to nobody.

use std::collections::BTreeMap;

use super::{
    account::{AccountState, Cause},
    context::Context,
    credit::{Lot, LotPortion, LotSource},
    entry::EntryKind,
};
use crate::ids::{CreditType, LotId};

/// The reference of what is taken as soon as it returns, since its purchase was reversed.
pub const OWED: &str = "owed to a reversed purchase";

/// Returns `portions` by an entry of `kind` (RESTORE, LEASE_EXPIRE or REFUND).
///
/// - What a reversed purchase still lacks (`unrecovered`) is revoked at once, also
///   of credits that have moved to another lot since.
/// - What belongs to a lot that has expired becomes a new lot with the policy's
///   lifetime where `platforms_fault`; else it expires at once.
///
/// Gives the sequences of the entries that it made.
pub fn give_back(
    state: &mut AccountState,
    context: &Context<'_>,
    credit_type: &CreditType,
    kind: EntryKind,
    portions: &[LotPortion],
    platforms_fault: bool,
    cause: Cause<'_>,
) -> Vec<i64> {
    let mut returned = Vec::new();
    let mut revoked = Vec::new();
    let mut expired = Vec::new();
    // By the lot that they first came in with: a refund looks for them by it.
    let mut relocated: BTreeMap<LotId, i64> = BTreeMap::new();
    for portion in portions {
        let mut here = 0;
        let mut left = portion.credits;
        let root = state.lots.get(&portion.lot_id).map_or(portion.lot_id, Lot::root);
        if let Some(root) = state.lots.get_mut(&root) {
            let owed = root.unrecovered.min(left);
            if owed > 0 {
                root.unrecovered -= owed;
                here += owed;
                left -= owed;
                revoked.push(LotPortion { credits: owed, ..*portion });
            }
        }
        if let Some(lot) = state.lots.get(&portion.lot_id) {
            let has_expired = state.has_expired(lot, context.now);
            if !has_expired {
                here += left;
                left = 0;
            } else if !platforms_fault && left > 0 {
                here += left;
                expired.push(LotPortion { credits: left, ..*portion });
                left = 0;
            }
        }
        if here > 0 {
            returned.push(LotPortion { credits: here, ..*portion });
        }
        if left > 0 {
            *relocated.entry(root).or_default() += left;
        }
    }
    for (root, credits) in relocated {
        let lot = restored_lot(state, context, credit_type, root, credits, cause);
        returned.push(LotPortion { lot_id: lot.lot_id, credits });
        state.lots.insert(lot.lot_id, lot);
    }

    let mut entries = vec![state.post(credit_type, kind, returned, cause, context.now)];
    if !revoked.is_empty() {
        let cause = Cause { reference: OWED, ..cause };
        entries.push(state.post(credit_type, EntryKind::Revoke, revoked, cause, context.now));
    }
    if !expired.is_empty() {
        let cause = Cause { reference: "returned to an expired lot", ..cause };
        entries.push(state.post(credit_type, EntryKind::LotExpire, expired, cause, context.now));
    }
    entries
}

/// The new lot for credits whose own has expired; `post` fills it.
fn restored_lot(
    state: &AccountState,
    context: &Context<'_>,
    credit_type: &CreditType,
    root: LotId,
    credits: i64,
    cause: Cause<'_>,
) -> Lot {
    let lifetime = context.catalog.policy.restored_credit_lifetime();
    Lot {
        lot_id: (context.new_lot_id)(),
        credit_type: credit_type.clone(),
        source: LotSource::Restored,
        reference: cause.reservation_id.map(ToString::to_string).unwrap_or_default(),
        credits,
        remaining: 0,
        unrecovered: 0,
        expire_time: context.now.checked_add_signed(lifetime),
        create_time: state.new_lot_time(context.now),
        origin: Some(root),
    }
}
