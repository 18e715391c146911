//! What must hold of an account at any time, recomputed from its ledger alone.

use std::collections::BTreeMap;

use creditgate::{
    domain::{
        credit::{Balance, Lot, LotPortion, total},
        entry::{Entry, EntryKind},
        reservation::{Reservation, ReservationState},
    },
    ids::{CreditType, LotId, ReservationId},
};

use super::model::Model;

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
