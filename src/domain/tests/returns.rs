//! How credits return: to their lot, to a new one, or to nobody.

use chrono::TimeDelta;
use creditgate::{
    domain::{
        credit::{Lot, LotSource},
        entry::EntryKind::{self, LeaseExpire, LotExpire, Refund, Restore, Revoke},
        reservation::ReleaseCause::{self, *},
    },
    ids::LotId,
};

use super::support::Gate;

/// A gate with a lot of 5 credits that has expired, 3 of them held by "a"; a
/// further lot of 2, of which one is held too, lives on.
fn held_past_expiry() -> (Gate, LotId, LotId) {
    let mut gate = Gate::new();
    let gone = gate.grant("gone", 3, Some(TimeDelta::hours(1)));
    let kept = gate.grant("kept", 2, None);
    gate.hold_credits("a", 4);
    gate.wait(TimeDelta::hours(1));
    gate.forget();
    (gate, gone, kept)
}

fn restored_lots(gate: &Gate) -> Vec<&Lot> {
    gate.state.lots.values().filter(|lot| lot.source == LotSource::Restored).collect()
}

#[test]
fn credits_return_to_the_lots_they_came_from() {
    let mut gate = Gate::new();
    let soon = gate.grant("soon", 3, Some(TimeDelta::days(1)));
    let never = gate.grant("never", 3, None);
    gate.hold_credits("a", 5);
    gate.release("a", NotStarted).unwrap();
    assert_eq!([gate.left(soon), gate.left(never)], [3, 3]);
    assert_eq!(restored_lots(&gate), Vec::<&Lot>::new());
}

/// What returns to an expired lot lives on where the platform is at fault; the
/// contract tells the credits that returned all the same.
#[test]
fn each_cause_to_an_expired_lot() {
    let all = ReleaseCause::ALL.into_iter();
    for cause in all.filter(|cause| cause.restores_by_default()) {
        let (mut gate, gone, kept) = held_past_expiry();
        let (_, restored, _) = gate.release("a", cause).unwrap();
        assert_eq!(restored, 4);
        assert_eq!(gate.left(gone), 0);
        assert_eq!(gate.left(kept), 2);
        if cause.is_platforms_fault() {
            assert_eq!(gate.movements(), [(Restore, 4)], "{cause:?}");
            assert_eq!(gate.balance(), [5, 0, 0]);
            let lot = restored_lots(&gate)[0];
            assert_eq!((lot.credits, lot.remaining, lot.reference.as_str()), (3, 3, "a"));
            assert_eq!(lot.expire_time, Some(gate.now + TimeDelta::days(30)));
        } else {
            assert_eq!(gate.movements(), [(Restore, 4), (LotExpire, 3)], "{cause:?}");
            assert_eq!(gate.balance(), [2, 0, 0]);
            assert_eq!(restored_lots(&gate), Vec::<&Lot>::new());
        }
    }
}

#[test]
fn a_cause_that_the_policy_lets_restore_is_no_fault_of_the_platform() {
    let (mut gate, ..) = held_past_expiry();
    gate.turn(TargetUnreachable);
    gate.release("a", TargetUnreachable).unwrap();
    assert_eq!(gate.movements(), [(Restore, 4), (LotExpire, 3)]);
}

#[test]
fn a_lease_that_runs_out_is_the_platforms_fault() {
    let (mut gate, ..) = held_past_expiry();
    assert!(gate.expire("a"));
    assert_eq!(gate.movements(), [(LeaseExpire, 4)]);
    assert_eq!(restored_lots(&gate)[0].remaining, 3);
}

#[test]
fn the_unspent_rest_of_a_commit_expires_with_its_lot() {
    let (mut gate, ..) = held_past_expiry();
    gate.commit("a", Some(1)).unwrap();
    assert_eq!(gate.movements(), [(EntryKind::Commit, 1), (Restore, 3), (LotExpire, 2)]);
    assert_eq!(gate.balance(), [2, 0, 1]);
}

#[test]
fn a_refund_lives_on_for_as_long_as_the_policy_says() {
    let (mut gate, gone, _) = held_past_expiry();
    gate.catalog.policy.restored_credit_lifetime = Some(TimeDelta::hours(2));
    gate.commit("a", None).unwrap();
    gate.release("a", PlatformTimeout).unwrap();
    assert_eq!(gate.movements(), [(EntryKind::Commit, 4), (Refund, 4)]);
    let lot = restored_lots(&gate)[0].clone();
    assert_eq!(lot.expire_time, Some(gate.now + TimeDelta::hours(2)));
    assert_eq!(gate.left(gone), 0);
    gate.wait(TimeDelta::hours(2));
    gate.release("a", PlatformTimeout).unwrap();
    assert_eq!(gate.left(lot.lot_id), 0, "replayed; and what was due is gone");
}

/// Credits that a lot still owes, and what returns to it.
#[test]
fn what_a_reversed_purchase_lacks_is_revoked_as_it_returns() {
    // Of 4: 2 owed before, owed after, available after.
    for (owed, after, available) in [(0, 0, 4), (1, 0, 3), (4, 0, 0), (6, 2, 0)] {
        let mut gate = Gate::new();
        let lot = gate.grant("bought", 4, None);
        gate.hold_credits("a", 4);
        gate.forget();
        gate.state.lots.get_mut(&lot).unwrap().unrecovered = owed;
        gate.release("a", CanceledBeforeStart).unwrap();
        let revoked = owed - after;
        let mut expected = vec![(Restore, 4)];
        expected.extend((revoked > 0).then_some((Revoke, revoked)));
        assert_eq!(gate.movements(), expected);
        assert_eq!(gate.state.lots[&lot].unrecovered, after);
        assert_eq!(gate.balance(), [available, 0, 0]);
    }
}

#[test]
fn of_an_expired_and_reversed_lot_only_what_is_not_owed_lives_on() {
    let owing = |fault| {
        let (mut gate, gone, _) = held_past_expiry();
        gate.state.lots.get_mut(&gone).unwrap().unrecovered = 2;
        gate.release("a", if fault { PlatformError } else { CanceledBeforeStart }).unwrap();
        (gate.movements(), gate.balance(), gate.state.lots[&gone].unrecovered)
    };
    assert_eq!(owing(true), (vec![(Restore, 4), (Revoke, 2)], [3, 0, 0], 0));
    assert_eq!(owing(false), (vec![(Restore, 4), (Revoke, 2), (LotExpire, 1)], [2, 0, 0], 0));
}
