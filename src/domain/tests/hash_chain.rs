//! The chain of hashes: every field of an entry and of its lots is in it, and
//! its form is written down.

use chrono::TimeDelta;
use creditgate::{
    clock::Timestamp,
    domain::{
        credit::{Lot, LotPortion, LotSource},
        entry::{Entry, EntryKind, HASH_VERSION},
    },
    ids::{AccountId, CreditType, LotId},
};
use uuid::Uuid;

use super::support::{Gate, run_id, scan, scan_credits};

fn time(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn lot() -> Lot {
    Lot {
        lot_id: LotId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)),
        credit_type: scan_credits(),
        source: LotSource::TopUp,
        reference: "top-up-1".to_owned(),
        credits: 10,
        remaining: 7,
        unrecovered: 0,
        expire_time: Some(time(1_900_000_000)),
        create_time: time(1_700_000_000),
        origin: None,
    }
}

fn entry() -> Entry {
    Entry {
        credit_type: scan_credits(),
        sequence: 2,
        kind: EntryKind::Reserve,
        credits: 3,
        available_after: 7,
        reserved_after: 3,
        spent_after: 0,
        reservation_id: Some(run_id("run-1")),
        reference: "live_audit".to_owned(),
        actor: "scheduler".to_owned(),
        create_time: time(1_750_000_000) + TimeDelta::microseconds(1),
        portions: vec![LotPortion { lot_id: lot().lot_id, credits: 3 }],
        hash: [0; 32],
        hash_version: HASH_VERSION,
    }
}

fn hash(account: &str, previous: [u8; 32], entry: &Entry, lot: Option<&Lot>) -> String {
    let account = AccountId::new(account).unwrap();
    let hash = entry.compute_hash(&account, &previous, |_| lot);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Ledgers that were written are checked with this form for ever: where this
/// test fails, a new version of the form is due, not a new golden hash.
#[test]
fn the_canonical_form_does_not_drift() {
    for (hash_version, golden) in GOLDEN {
        let entry = Entry { hash_version, ..entry() };
        assert_eq!(hash("acc_42", [7; 32], &entry, Some(&lot())), golden, "{hash_version}");
    }
}

const GOLDEN: [(i16, &str); 2] = [
    (1, "b19bfece0d2b4063125a10a2529bdd9882674fd246aea612c0de28ff55a1d59e"),
    (2, "5b68147c4e68d8f4e12a2893569b6d0c5a26c97395e351415c85f6e3b80d4661"),
];

#[test]
fn every_field_shows_in_the_hash() {
    type EntryChange = fn(&mut Entry);
    let entry_changes: [EntryChange; 13] = [
        |e| e.credit_type = CreditType::new("fix").unwrap(),
        |e| e.sequence += 1,
        |e| e.kind = EntryKind::Commit,
        |e| e.credits += 1,
        |e| e.available_after += 1,
        |e| e.reserved_after += 1,
        |e| e.spent_after += 1,
        |e| e.reservation_id = None,
        |e| e.reference.push('x'),
        |e| e.actor.push('x'),
        |e| e.create_time += TimeDelta::microseconds(1),
        |e| e.portions[0].credits += 1,
        |e| e.portions[0].lot_id = LotId(Uuid::nil()),
    ];
    type LotChange = fn(&mut Lot);
    let lot_changes: [LotChange; 7] = [
        |l| l.source = LotSource::Grant,
        |l| l.credits += 1,
        |l| l.expire_time = None,
        |l| l.expire_time = l.expire_time.map(|time| time + TimeDelta::days(1)),
        |l| l.create_time += TimeDelta::microseconds(1),
        |l| l.reference.push('x'),
        |l| l.origin = Some(LotId(Uuid::from_u128(1))),
    ];
    let mut hashes = vec![
        hash("acc_42", [7; 32], &entry(), Some(&lot())),
        hash("acc_43", [7; 32], &entry(), Some(&lot())),
        hash("acc_42", [8; 32], &entry(), Some(&lot())),
        hash("acc_42", [7; 32], &entry(), None),
    ];
    for change in entry_changes {
        let mut entry = entry();
        change(&mut entry);
        hashes.push(hash("acc_42", [7; 32], &entry, Some(&lot())));
    }
    for change in lot_changes {
        let mut lot = lot();
        change(&mut lot);
        hashes.push(hash("acc_42", [7; 32], &entry(), Some(&lot)));
    }
    // Text that moves from one field to the next is another text.
    let moved =
        Entry { reference: "live_auditsched".to_owned(), actor: "uler".to_owned(), ..entry() };
    hashes.push(hash("acc_42", [7; 32], &moved, Some(&lot())));
    let all = hashes.len();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), all);
}

#[test]
fn what_changes_about_a_lot_by_itself_is_not_in_the_hash() {
    let mut later = lot();
    later.remaining = 0;
    later.unrecovered = 3;
    let before = hash("acc_42", [7; 32], &entry(), Some(&lot()));
    assert_eq!(before, hash("acc_42", [7; 32], &entry(), Some(&later)));
}

#[test]
fn each_entry_is_chained_to_the_one_before() {
    let mut gate = Gate::with(5);
    gate.hold("a", scan("live_audit"));
    gate.commit("a", None).unwrap();
    let mut previous = [0; 32];
    for entry in &gate.state.entries {
        let account = &gate.state.account.account_id;
        let hash = entry.compute_hash(account, &previous, |part| gate.state.lots.get(&part.lot_id));
        assert_eq!(entry.hash, hash);
        previous = hash;
    }
    assert_eq!(gate.state.balance(&scan_credits()).last_hash, previous);
}
