//! Reservations: what each says of itself against what the ledger says of it.

use std::collections::BTreeMap;

use crate::{
    domain::{
        entry::{Entry, EntryKind},
        reservation::{Reservation, ReservationState},
    },
    ids::{CreditType, ReservationId},
    store::queries::AccountBooks,
};

/// Credits that the ledger moved for one reservation, by kind of entry.
type Moved = BTreeMap<i16, i64>;

pub(super) fn check(
    books: &AccountBooks,
    by_type: &BTreeMap<&CreditType, Vec<&Entry>>,
    findings: &mut Vec<String>,
) {
    let mut entries: BTreeMap<&ReservationId, Vec<&Entry>> = BTreeMap::new();
    for entry in by_type.values().flatten() {
        if let Some(reservation_id) = &entry.reservation_id {
            entries.entry(reservation_id).or_default().push(entry);
        }
    }
    for reservation in &books.reservations {
        let made = entries.remove(&reservation.reservation_id).unwrap_or_default();
        one(reservation, &made, findings);
    }
    for (reservation_id, made) in entries {
        let count = made.len();
        findings.push(format!("reservation {reservation_id}: {count} entries, and no such row"));
    }
    held(books, findings);
}

/// Held reservations = reserved credits, and the counts of slots.
fn held(books: &AccountBooks, findings: &mut Vec<String>) {
    let held = || books.reservations.iter().filter(|reservation| reservation.is_held());
    for (credit_type, balance) in &books.balances {
        let of_type = || {
            held().filter(|reservation| {
                reservation.credits > 0 && reservation.credit_type.as_ref() == Some(credit_type)
            })
        };
        let credits =
            of_type().fold(0_i64, |sum, reservation| sum.saturating_add(reservation.credits));
        if credits != balance.reserved {
            let reserved = balance.reserved;
            findings.push(format!(
                "{credit_type}: {reserved} credits are reserved, reservations hold {credits}"
            ));
        }
        count(
            &format!("{credit_type}: the balance"),
            balance.held_scans,
            of_type().count(),
            findings,
        );
    }
    let free = held().filter(|reservation| reservation.credits == 0).count();
    count("the account", books.account.held_scans, free, findings);
}

fn count(who: &str, says: i64, are: usize, findings: &mut Vec<String>) {
    if i64::try_from(are).ok() != Some(says) {
        findings.push(format!("{who} counts {says} held scans, there are {are}"));
    }
}

fn one(reservation: &Reservation, made: &[&Entry], findings: &mut Vec<String>) {
    let mut say = |what: String| {
        findings.push(format!("reservation {}: {what}", reservation.reservation_id));
    };
    let sequences: Vec<i64> = made.iter().map(|entry| entry.sequence).collect();
    if sequences != reservation.entries {
        say(format!("its entries are {sequences:?}, it lists {:?}", reservation.entries));
    }
    if made.iter().any(|entry| Some(&entry.credit_type) != reservation.credit_type.as_ref()) {
        say("has entries of another credit type".to_owned());
    }
    // Where its credits return to, or returned from, is decided by these.
    let taken = made.iter().rev().find(|entry| match reservation.state {
        ReservationState::Held | ReservationState::Released | ReservationState::Expired => {
            entry.kind == EntryKind::Reserve
        }
        ReservationState::Committed | ReservationState::Refunded => {
            matches!(entry.kind, EntryKind::Commit | EntryKind::LateCommit)
        }
    });
    if taken.map_or(&[][..], |entry| entry.portions.as_slice()) != reservation.portions {
        say("holds credits of other lots than its entries moved".to_owned());
    }
    let mut moved = Moved::new();
    for entry in made {
        if repeated(&moved, entry.kind) {
            say(format!("has a second {:?} entry", entry.kind));
        }
        let credits = moved.entry(entry.kind as i16).or_default();
        *credits = credits.saturating_add(entry.credits);
    }
    let expected = expected(reservation);
    for kind in EntryKind::ALL {
        // What returned may be revoked or expire at once; that is the lots' affair.
        if matches!(kind, EntryKind::Revoke | EntryKind::LotExpire) {
            continue;
        }
        let is = moved.get(&(kind as i16)).copied().unwrap_or(0);
        let should = expected.get(&(kind as i16)).copied().unwrap_or(0);
        if is != should {
            let state = reservation.state.name();
            say(format!("is {state}, and {kind:?} moved {is} credits instead of {should}"));
        }
    }
}

fn repeated(moved: &Moved, kind: EntryKind) -> bool {
    !matches!(kind, EntryKind::Revoke | EntryKind::LotExpire) && moved.contains_key(&(kind as i16))
}

/// What must have moved for a reservation in its state.
fn expected(reservation: &Reservation) -> Moved {
    let held = reservation.credits;
    let committed = reservation.committed_credits;
    let mut moved = vec![(EntryKind::Reserve, held)];
    match reservation.state {
        ReservationState::Held => {}
        ReservationState::Released => moved.push((EntryKind::Restore, held)),
        ReservationState::Expired => moved.push((EntryKind::LeaseExpire, held)),
        ReservationState::Committed | ReservationState::Refunded => {
            if reservation.late {
                moved.push((EntryKind::LeaseExpire, held));
                moved.push((EntryKind::LateCommit, committed));
            } else {
                moved.push((EntryKind::Commit, committed));
                moved.push((EntryKind::Restore, held - committed));
            }
            if reservation.state == ReservationState::Refunded {
                moved.push((EntryKind::Refund, committed));
            }
        }
    }
    moved.into_iter().map(|(kind, credits)| (kind as i16, credits)).collect()
}
