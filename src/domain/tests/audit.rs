//! What must hold of an account at any time, recomputed from its ledger alone.

use std::collections::BTreeMap;

use creditgate::{
    domain::{
        account::Operation,
        command::OperationKind,
        credit::{Balance, Lot, LotPortion, LotSource, total},
        entry::{Entry, EntryKind},
        payment::TopUpStatus,
        reservation::{Reservation, ReservationState},
    },
    ids::{CreditType, LotId, ReservationId},
};

use super::model::{Model, REVERSED_BY_TEST};

/// Panics where anything is wrong.
pub(super) fn audit(model: &Model) {
    for (credit_type, balance) in &model.balances {
        ledger(model, credit_type, balance);
    }
    let mut by_reservation: BTreeMap<&ReservationId, Vec<&Entry>> = BTreeMap::new();
    for entry in &model.entries {
        if let Some(id) = &entry.reservation_id {
            by_reservation.entry(id).or_default().push(entry);
        }
    }
    for reservation in model.reservations.values() {
        let entries = by_reservation.remove(&reservation.reservation_id).unwrap_or_default();
        life(reservation, &entries);
    }
    assert!(by_reservation.is_empty(), "every entry's reservation exists");
    let held = |r: &&Reservation| r.is_held() && r.credits == 0;
    let uncharged = model.reservations.values().filter(held).count();
    assert_eq!(usize::try_from(model.account.held_scans), Ok(uncharged));
    causes(model);
    purchases(model);
}

/// Each grant and each revocation has one cause: its operation, or the return of
/// credits that were owed.
fn causes(model: &Model) {
    let mut causes: BTreeMap<(&CreditType, i64), &Operation> = BTreeMap::new();
    for made in model.operations.values() {
        assert!(causes.insert((&made.credit_type, made.sequence), made).is_none());
    }
    for entry in &model.entries {
        let made = causes.remove(&(&entry.credit_type, entry.sequence));
        let owed = entry.reservation_id.is_some() || entry.reference == REVERSED_BY_TEST;
        match entry.kind {
            EntryKind::Grant => {}
            EntryKind::Revoke if !owed => {}
            _ => {
                assert_eq!(made, None);
                continue;
            }
        }
        let made = made.expect("an operation");
        assert_eq!(made.credits, entry.credits);
        let is_of = |lot: LotId, portion: &LotPortion| {
            let root = model.lots[&portion.lot_id].root();
            portion.lot_id == lot || (made.key.0 == OperationKind::Reversal && root == lot)
        };
        let is_of_lot = |portion: &LotPortion| made.lot_id.is_none_or(|lot| is_of(lot, portion));
        assert!(entry.portions.iter().all(is_of_lot));
    }
    assert!(causes.is_empty(), "{causes:?} moved nothing");
}

/// A lot never owes more than was taken of what it is, nor has more than is left;
/// a purchase is paid where its credits came in, and is then all that it says.
fn purchases(model: &Model) {
    let mut taken: BTreeMap<LotId, i64> = BTreeMap::new();
    let mut bought: BTreeMap<LotId, i64> = BTreeMap::new();
    for purchase in model.billing.purchases.values() {
        assert!((0..=purchase.credits).contains(&purchase.reversed_credits));
        *taken.entry(purchase.lot_id).or_default() += purchase.reversed_credits;
        *bought.entry(purchase.lot_id).or_default() += purchase.credits;
        let made = &model.operations[&purchase.key];
        assert_eq!(made.lot_id, Some(purchase.lot_id));
        let payment = (purchase.provider.clone(), purchase.transaction_id.clone());
        assert!(model.billing.transactions.contains(&payment));
    }
    for (lot_id, credits) in bought {
        assert_eq!(moved_back(model, lot_id), taken[&lot_id]);
        let lot = &model.lots[&lot_id];
        assert_eq!(lot.credits, credits);
        assert!(lot.unrecovered <= taken[&lot_id]);
        assert!(lot.remaining + taken[&lot_id] <= lot.credits);
    }
    for (id, top_up) in &model.billing.top_ups {
        let key = (OperationKind::TopUp, id.clone());
        assert_eq!(top_up.status.is_paid(), model.operations.contains_key(&key), "{top_up:?}");
        assert_eq!(top_up.is_pending(), top_up.settle_time.is_none());
        assert_eq!(top_up.reason.is_empty(), top_up.status != TopUpStatus::Failed);
    }
    for lot in model.lots.values().filter(|lot| lot.remaining > 0) {
        assert!(model.account.lapse_time.is_none_or(|time| lot.create_time > time), "it lapsed");
    }
    for subscription in model.subscriptions.values() {
        assert!(subscription.period_start_time < subscription.period_end_time);
    }
}

/// One credit type: replays its entries, and compares what comes out.
fn ledger(model: &Model, credit_type: &CreditType, balance: &Balance) {
    let mut replayed = Balance::EMPTY;
    let mut made = 0;
    let mut remaining: BTreeMap<LotId, i64> = BTreeMap::new();
    for entry in model.entries.iter().filter(|entry| entry.credit_type == *credit_type) {
        assert_eq!(entry.sequence, replayed.sequence + 1, "no gaps");
        assert!(entry.create_time >= replayed.last_entry_time, "time and sequence agree");
        assert!(entry.credits > 0 && entry.portions.iter().all(|part| part.credits > 0));
        assert_eq!(total(&entry.portions), entry.credits);
        spends_in_burn_order(model, &remaining, entry);

        let effect = entry.kind.effect();
        made += entry.credits * (effect.available + effect.reserved + effect.spent);
        for LotPortion { lot_id, credits } in &entry.portions {
            let left = remaining.entry(*lot_id).or_insert(0);
            *left += effect.available * credits;
            let lot = &model.lots[lot_id];
            assert!((0..=lot.credits).contains(left), "a lot has 0 to what it began with");
            assert_eq!(lot.credit_type, *credit_type);
        }
        let hash = entry.compute_hash(&model.account.account_id, &replayed.last_hash, |part| {
            model.lots.get(&part.lot_id)
        });
        assert_eq!(entry.hash, hash, "the chain is whole");
        let expected = Balance {
            available: replayed.available + effect.available * entry.credits,
            reserved: replayed.reserved + effect.reserved * entry.credits,
            spent: replayed.spent + effect.spent * entry.credits,
            ..entry.balance_after()
        };
        replayed = entry.balance_after();
        assert_eq!(replayed, expected, "each entry adds its effect");
        assert!(replayed.available >= 0 && replayed.reserved >= 0 && replayed.spent >= 0);
    }
    assert_eq!(made, balance.available + balance.reserved + balance.spent);

    let held: Vec<&Reservation> = model
        .reservations
        .values()
        .filter(|r| r.is_held() && r.credits > 0 && r.credit_type.as_ref() == Some(credit_type))
        .collect();
    assert_eq!(balance.reserved, held.iter().map(|r| r.credits).sum::<i64>());
    let held_scans = i64::try_from(held.len()).unwrap();
    assert_eq!(*balance, Balance { held_scans, ..replayed }, "the balance is the last entry");

    let lots: Vec<&Lot> =
        model.lots.values().filter(|lot| lot.credit_type == *credit_type).collect();
    assert_eq!(balance.available, lots.iter().map(|lot| lot.remaining).sum::<i64>());
    for lot in lots {
        assert_eq!(lot.remaining, remaining.get(&lot.lot_id).copied().unwrap_or(0));
        assert!(lot.unrecovered >= 0);
        if let Some(origin) = lot.origin.map(|origin| &model.lots[&origin]) {
            assert_eq!((lot.source, lot.unrecovered), (LotSource::Restored, 0));
            assert_eq!((origin.origin, &origin.credit_type), (None, &lot.credit_type));
        }
    }
}

/// Whatever chooses credits takes the first in burn order, none of them expired.
fn spends_in_burn_order(model: &Model, remaining: &BTreeMap<LotId, i64>, entry: &Entry) {
    if !matches!(entry.kind, EntryKind::Reserve | EntryKind::LateCommit) {
        return;
    }
    let mut open: Vec<(&Lot, i64)> = remaining
        .iter()
        .filter(|(_, left)| **left > 0)
        .map(|(lot_id, left)| (&model.lots[lot_id], *left))
        .collect();
    open.sort_by(|(a, _), (b, _)| a.burn_order(b));
    let mut wanted = entry.credits;
    let mut expected = Vec::new();
    for (lot, left) in open {
        let credits = left.min(wanted);
        if credits > 0 {
            assert!(!lot.has_expired(entry.create_time), "no expired credits are spent");
            expected.push(LotPortion { lot_id: lot.lot_id, credits });
        }
        wanted -= credits;
    }
    assert_eq!(entry.portions, expected);
}

/// The movements of one reservation are those that its state tells of.
fn life(reservation: &Reservation, entries: &[&Entry]) {
    use EntryKind::{Commit, LateCommit, LeaseExpire, Refund, Reserve, Restore};
    let sequences: Vec<i64> = entries.iter().map(|entry| entry.sequence).collect();
    assert_eq!(reservation.entries, sequences, "it knows its entries");
    let moved = |kind| {
        let of_kind = entries.iter().filter(|entry| entry.kind == kind);
        assert!(of_kind.clone().count() <= 1, "{kind:?} happens once");
        of_kind.map(|entry| entry.credits).sum::<i64>()
    };
    let all = reservation.credits;
    let spent = reservation.committed_credits;
    let expected = match (reservation.state, reservation.late) {
        (ReservationState::Held, _) => [0, 0, 0, 0, 0],
        (ReservationState::Released, _) => [0, all, 0, 0, 0],
        (ReservationState::Expired, _) => [0, 0, all, 0, 0],
        (ReservationState::Committed, false) => [spent, all - spent, 0, 0, 0],
        (ReservationState::Refunded, false) => [spent, all - spent, 0, 0, spent],
        (ReservationState::Committed, true) => [0, 0, all, spent, 0],
        (ReservationState::Refunded, true) => [0, 0, all, spent, spent],
    };
    assert_eq!([Commit, Restore, LeaseExpire, LateCommit, Refund].map(moved), expected);
    assert_eq!(moved(Reserve), all);
    assert!((0..=all).contains(&spent) && (0..=spent).contains(&reservation.spent_credits()));
    assert_eq!(reservation.settle_time.is_none(), reservation.is_held());
    let pinned = total(&reservation.portions);
    match reservation.state {
        ReservationState::Held => assert_eq!(pinned, all),
        ReservationState::Committed => assert_eq!(pinned, spent),
        _ => {}
    }
}

/// What the ledger says was taken back of a purchase's lot, with what it still owes.
fn moved_back(model: &Model, lot_id: LotId) -> i64 {
    let mut sum = model.lots[&lot_id].unrecovered;
    for entry in &model.entries {
        if entry.kind == EntryKind::Revoke && entry.reservation_id.is_some() {
            let is_of_it = |portion: &&LotPortion| model.lots[&portion.lot_id].root() == lot_id;
            let of_it = entry.portions.iter().filter(is_of_it);
            sum += of_it.map(|portion| portion.credits).sum::<i64>();
        }
    }
    // Some is reinstated elsewhere: the key names the lot.
    for made in model
        .operations
        .values()
        .filter(|made| made.key.1.as_str().ends_with(&format!(":{lot_id}")))
    {
        match made.key.0 {
            OperationKind::Reversal => sum += made.credits,
            OperationKind::Reinstatement => sum -= made.credits,
            other => panic!("{other:?}"),
        }
    }
    sum
}
