//! Which lots are spent, what a hold pins, and what falls due.

use chrono::TimeDelta;
use creditgate::{
    domain::{
        command::{Action, OperationKind, Refusal, Revoke},
        credit::LotPortion,
        entry::EntryKind,
        verdict::BlockReason,
    },
    ids::LotId,
};

use super::support::{Gate, operation, scan, scan_credits};

fn of(lot_id: LotId, credits: i64) -> LotPortion {
    LotPortion { lot_id, credits }
}

/// Three lots of two credits: never expiring, in two days, in one day.
fn three_lots() -> (Gate, [LotId; 3]) {
    let mut gate = Gate::new();
    let never = gate.grant("never", 2, None);
    let late = gate.grant("late", 2, Some(TimeDelta::days(2)));
    let soon = gate.grant("soon", 2, Some(TimeDelta::days(1)));
    gate.forget();
    (gate, [soon, late, never])
}

fn revoke(id: &str, credits: i64) -> Action {
    Action::Revoke(Revoke {
        key: operation(OperationKind::Revocation, id),
        credit_type: scan_credits(),
        credits,
        reason: "why".to_owned(),
    })
}

#[test]
fn holds_late_commits_and_revocations_take_the_earliest_expiry_first() {
    let (mut gate, [soon, late, never]) = three_lots();
    assert_eq!(gate.hold_credits("a", 3).portions, [of(soon, 2), of(late, 1)]);
    assert_eq!(gate.hold_credits("b", 2).portions, [of(late, 1), of(never, 1)]);

    let (mut gate, [soon, late, never]) = three_lots();
    gate.run(revoke("r", 5)).unwrap();
    assert_eq!([soon, late, never].map(|lot| gate.left(lot)), [0, 0, 1]);
    assert_eq!(gate.run(revoke("s", 2)), Err(Refusal::InsufficientCredits { available: 1 }));

    let (mut gate, [soon, late, _]) = three_lots();
    gate.hold_credits("a", 3);
    gate.wait(TimeDelta::hours(1));
    assert!(gate.expire("a"));
    gate.hold_credits("b", 1);
    gate.commit("a", None).unwrap();
    assert_eq!(gate.reservation("a").portions, [of(soon, 1), of(late, 2)], "its own are others'");
}

#[test]
fn among_equals_the_oldest_lot_goes_first() {
    let mut gate = Gate::new();
    let old = gate.grant("old", 1, None);
    gate.wait(TimeDelta::days(1));
    gate.grant("young", 1, None);
    assert_eq!(gate.hold_credits("a", 1).portions, [of(old, 1)]);
}

#[test]
fn a_part_is_spent_of_the_first_pinned_lots_and_the_rest_returns_to_the_last() {
    let (mut gate, [soon, late, never]) = three_lots();
    gate.hold_credits("a", 6);
    gate.commit("a", Some(3)).unwrap();
    assert_eq!(gate.reservation("a").portions, [of(soon, 2), of(late, 1)]);
    assert_eq!([soon, late, never].map(|lot| gate.left(lot)), [0, 1, 2]);
}

#[test]
fn a_hold_pins_its_credits_past_their_expiry() {
    let (mut gate, [soon, ..]) = three_lots();
    gate.hold_credits("a", 1);
    gate.wait(TimeDelta::days(1));
    assert_eq!(gate.commit("a", None), Ok(false));
    assert_eq!(gate.balance(), [4, 0, 1]);
    assert_eq!(gate.left(soon), 0);
    let expected = [(EntryKind::Reserve, 1), (EntryKind::LotExpire, 1), (EntryKind::Commit, 1)];
    assert_eq!(gate.movements(), expected);
}

#[test]
fn what_is_due_comes_before_any_command_whatever_becomes_of_it() {
    let commands: [Action; 3] = [
        Action::ApplyDue,
        Action::Check(scan("unknown")),
        Action::ExpireLease { reservation_id: super::support::run_id("unknown") },
    ];
    for command in commands {
        let (mut gate, [soon, late, never]) = three_lots();
        gate.wait(TimeDelta::days(2) - TimeDelta::microseconds(1));
        let _: Result<_, _> = gate.run(command.clone());
        assert_eq!([soon, late, never].map(|lot| gate.left(lot)), [0, 2, 2]);
        gate.wait(TimeDelta::microseconds(1));
        let _: Result<_, _> = gate.run(command);
        assert_eq!([soon, late, never].map(|lot| gate.left(lot)), [0, 0, 2]);
        assert_eq!(gate.movements(), [(EntryKind::LotExpire, 2), (EntryKind::LotExpire, 2)]);
    }
}

#[test]
fn lots_that_fall_due_together_expire_one_entry_each_in_burn_order() {
    let (mut gate, [soon, late, _]) = three_lots();
    gate.wait(TimeDelta::days(3));
    gate.run(Action::ApplyDue).unwrap();
    let lots: Vec<LotId> = gate.state.entries.iter().map(|e| e.portions[0].lot_id).collect();
    assert_eq!(lots, [soon, late]);
    assert_eq!(gate.balance(), [2, 0, 0]);
}

#[test]
fn expired_credits_start_no_scan() {
    let mut gate = Gate::new();
    gate.grant("trial", 3, Some(TimeDelta::days(14)));
    gate.wait(TimeDelta::days(14));
    let block = gate.block(scan("live_audit"));
    assert_eq!((block.reason, block.available_credits), (BlockReason::Exhausted, 0));
}
