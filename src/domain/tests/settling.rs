//! The settling table, cell by cell: what becomes of a hold.

use chrono::TimeDelta;
use creditgate::domain::{
    command::{Action, Outcome, Refusal},
    entry::EntryKind::{self, Commit, LateCommit, LeaseExpire, Refund, Reserve, Restore},
    event::EventKind,
    reservation::{
        Disposition::{Consumed, Refunded, Restored},
        ReleaseCause::{PlatformError, TargetUnreachable},
        ReservationState::{self, Committed, Expired, Held, Released},
    },
    subscription::SubscriptionStatus,
};

use super::support::{Gate, Given, run_id, scan};

/// A gate whose reservation "a", of 3 out of 10 credits, stands in `state`.
fn gate_in(state: ReservationState) -> Gate {
    let mut gate = Gate::with(10);
    gate.hold_credits("a", 3);
    match state {
        Held => {}
        Committed => assert_eq!(gate.commit("a", None), Ok(false)),
        Released => assert!(gate.release("a", PlatformError).is_ok()),
        Expired => {
            gate.wait(TimeDelta::hours(1));
            assert!(gate.expire("a"));
        }
        ReservationState::Refunded => {
            gate.commit("a", None).unwrap();
            gate.release("a", PlatformError).unwrap();
        }
    }
    gate.forget();
    assert_eq!(gate.state_of("a"), state);
    gate
}

fn settled(result: Result<impl std::fmt::Debug, Refusal>) {
    assert!(matches!(result, Err(Refusal::ReservationSettled { .. })), "{result:?}");
}

/// The state before, credits sent, whether replayed (`None`: refused), the
/// state after, the movements and the balance.
#[test]
fn commit() {
    type Row = (
        ReservationState,
        Option<i64>,
        Option<bool>,
        ReservationState,
        &'static [(EntryKind, i64)],
        [i64; 3],
    );
    let rows: [Row; 12] = [
        (Held, None, Some(false), Committed, &[(Commit, 3)], [7, 0, 3]),
        (Held, Some(3), Some(false), Committed, &[(Commit, 3)], [7, 0, 3]),
        (Held, Some(1), Some(false), Committed, &[(Commit, 1), (Restore, 2)], [9, 0, 1]),
        (Held, Some(4), None, Held, &[], [7, 3, 0]),
        (Committed, None, Some(true), Committed, &[], [7, 0, 3]),
        (Committed, Some(3), Some(true), Committed, &[], [7, 0, 3]),
        (Committed, Some(2), None, Committed, &[], [7, 0, 3]),
        (Released, None, None, Released, &[], [10, 0, 0]),
        (Expired, None, Some(false), Committed, &[(LateCommit, 3)], [7, 0, 3]),
        (Expired, Some(1), Some(false), Committed, &[(LateCommit, 1)], [9, 0, 1]),
        (Expired, Some(4), None, Expired, &[], [10, 0, 0]),
        (ReservationState::Refunded, None, None, ReservationState::Refunded, &[], [10, 0, 0]),
    ];
    for (before, credits, replayed, after, movements, balance) in rows {
        let mut gate = gate_in(before);
        let result = gate.commit("a", credits);
        match (&result, replayed) {
            (Ok(actual), Some(expected)) => assert_eq!(*actual, expected),
            (Err(Refusal::CreditsExceedHold { held: 3 }), None) => assert_eq!(credits, Some(4)),
            _ => {
                assert_eq!(replayed, None, "{before:?} {credits:?}");
                settled(result);
            }
        }
        let made = gate.reservation("a").clone();
        assert_eq!(
            (made.state, gate.movements(), gate.balance()),
            (after, movements.to_vec(), balance)
        );
        assert_eq!(made.late, before == Expired && after == Committed);
        assert_eq!(made.settle_time.is_some(), after != Held);
    }
}

#[test]
fn commit_sent_again_says_what_the_first_one_did() {
    for credits in [None, Some(2)] {
        for state in [Held, Expired] {
            let mut gate = gate_in(state);
            assert_eq!(gate.commit("a", credits), Ok(false));
            assert_eq!(gate.commit("a", credits), Ok(true));
        }
        let mut gate = gate_in(Held);
        gate.commit("a", Some(2)).unwrap();
        settled(gate.commit("a", None));
    }
}

/// The state before, what a cause that restores gives, and after it the state,
/// the movements and the balance.
#[test]
fn release_for_a_cause_that_restores() {
    type Row = (ReservationState, Given, ReservationState, &'static [(EntryKind, i64)], [i64; 3]);
    let refunded = ReservationState::Refunded;
    let rows: [Row; 5] = [
        (Held, (Restored, 3, false), Released, &[(Restore, 3)], [10, 0, 0]),
        (Committed, (Refunded, 3, false), refunded, &[(Refund, 3)], [10, 0, 0]),
        (Released, (Restored, 3, true), Released, &[], [10, 0, 0]),
        (Expired, (Restored, 0, false), Expired, &[], [10, 0, 0]),
        (refunded, (Refunded, 3, true), refunded, &[], [10, 0, 0]),
    ];
    for (before, given, after, movements, balance) in rows {
        let mut gate = gate_in(before);
        assert_eq!(gate.release("a", PlatformError), Ok(given), "{before:?}");
        assert_eq!(gate.movements(), movements);
        assert_eq!((gate.state_of("a"), gate.balance()), (after, balance));
        assert_eq!(gate.reservation("a").spent_credits(), 0);
        let cause = (after != Expired).then_some(PlatformError);
        assert_eq!(gate.reservation("a").release_cause, cause);
    }
}

#[test]
fn release_for_a_cause_that_consumes() {
    type Row = (ReservationState, Option<Given>, ReservationState, &'static [(EntryKind, i64)]);
    let rows: [Row; 5] = [
        (Held, Some((Consumed, 0, false)), Committed, &[(Commit, 3)]),
        (Committed, Some((Consumed, 0, true)), Committed, &[]),
        (Released, None, Released, &[]),
        (Expired, Some((Consumed, 0, false)), Committed, &[(LateCommit, 3)]),
        (ReservationState::Refunded, None, ReservationState::Refunded, &[]),
    ];
    for (before, given, after, movements) in rows {
        let mut gate = gate_in(before);
        match (gate.release("a", TargetUnreachable), given) {
            (result, None) => settled(result),
            (result, Some(given)) => assert_eq!(result, Ok(given), "{before:?}"),
        }
        assert_eq!((gate.state_of("a"), gate.movements()), (after, movements.to_vec()));
        let caused = matches!(before, Held | Expired).then_some(TargetUnreachable);
        if after == Committed {
            assert_eq!(gate.reservation("a").release_cause, caused);
            assert_eq!(gate.balance(), [7, 0, 3]);
        }
    }
}

#[test]
fn the_lease_ends_a_hold_and_nothing_else_and_not_before_its_time() {
    for state in [Held, Committed, Released, Expired, ReservationState::Refunded] {
        let mut gate = gate_in(state);
        gate.now = gate.reservation("a").expire_time - TimeDelta::microseconds(1);
        assert!(!gate.expire("a"), "{state:?}: too early");
        gate.wait(TimeDelta::microseconds(1));
        assert_eq!(gate.expire("a"), state == Held);
        assert!(!gate.expire("a"), "once");
        let movements = if state == Held { vec![(LeaseExpire, 3)] } else { vec![] };
        assert_eq!(gate.movements(), movements);
    }
    assert!(!Gate::new().expire("unknown"));
}

#[test]
fn time_alone_frees_no_hold_and_a_commit_that_finds_it_wins() {
    let mut gate = gate_in(Held);
    gate.wait(TimeDelta::days(3));
    assert_eq!(gate.balance(), [7, 3, 0]);
    assert_eq!(gate.commit("a", None), Ok(false));
    assert!(!gate.reservation("a").late);
    assert!(!gate.expire("a"));
}

#[test]
fn a_late_commit_without_credits_stays_unbilled_and_is_told_once() {
    for late in [
        |gate: &mut Gate| gate.commit("a", None).map(|_| ()),
        |gate: &mut Gate| gate.release("a", TargetUnreachable).map(|_| ()),
    ] {
        let mut gate = gate_in(Expired);
        gate.hold_credits("b", 8);
        gate.forget();
        let refusal = Refusal::ReservationExpired { reservation_id: run_id("a"), available: 2 };
        assert_eq!(late(&mut gate), Err(refusal.clone()));
        assert_eq!(late(&mut gate), Err(refusal));
        assert_eq!((gate.movements(), gate.state_of("a")), (vec![], Expired));
        let [notice] = &gate.state.notices[..] else { panic!("{:?}", gate.state.notices) };
        assert_eq!((notice.kind, notice.credits), (EventKind::UnbilledScan, 3));
        assert_eq!((notice.key.as_str(), notice.subject.as_str()), ("unbilled:a", "a"));
        // Fewer would do; or more credits come.
        assert_eq!(gate.commit("a", Some(2)), Ok(false));
        assert_eq!(gate.balance(), [0, 8, 2]);
    }
}

#[test]
fn a_late_commit_can_be_refunded() {
    let mut gate = gate_in(Expired);
    gate.commit("a", Some(2)).unwrap();
    assert_eq!(gate.release("a", PlatformError), Ok((Refunded, 2, false)));
    assert_eq!(gate.movements(), [(LateCommit, 2), (Refund, 2)]);
    assert!(gate.reservation("a").late);
}

#[test]
fn a_refund_gives_back_what_was_spent_and_not_what_was_held() {
    let mut gate = gate_in(Held);
    gate.commit("a", Some(2)).unwrap();
    assert_eq!(gate.release("a", PlatformError), Ok((Refunded, 2, false)));
    assert_eq!(gate.movements(), [(Commit, 2), (Restore, 1), (Refund, 2)]);
    assert_eq!(gate.reservation("a").committed_credits, 2, "kept for the record");
}

#[test]
fn a_hold_without_credits_settles_alike_and_moves_nothing() {
    for kind in ["quick_scan", "live_audit"] {
        let start = || {
            let mut gate = Gate::new();
            gate.subscribe("sub", "monitor", SubscriptionStatus::Active);
            gate.hold("a", scan(kind));
            assert_eq!(gate.state.held_scans(), 1);
            gate
        };
        let mut gate = start();
        assert_eq!(gate.commit("a", Some(1)), Err(Refusal::CreditsExceedHold { held: 0 }));
        assert_eq!(gate.commit("a", None), Ok(false));
        assert_eq!(gate.commit("a", None), Ok(true));
        assert_eq!(gate.release("a", PlatformError), Ok((Refunded, 0, false)));

        let mut other = start();
        assert_eq!(other.release("a", PlatformError), Ok((Restored, 0, false)));
        let mut late = start();
        late.wait(TimeDelta::hours(1));
        assert!(late.expire("a"));
        assert_eq!(late.release("a", PlatformError), Ok((Restored, 0, false)));
        assert_eq!(late.commit("a", None), Ok(false));
        assert!(late.reservation("a").late);
        for gate in [gate, other, late] {
            assert_eq!((gate.movements(), gate.state.held_scans()), (vec![], 0));
            assert_eq!(gate.state.notices, []);
        }
    }
}

#[test]
fn a_lease_is_prolonged_from_now_never_shortened_and_only_while_held() {
    let mut gate = gate_in(Held);
    let first = gate.reservation("a").expire_time;
    let extend = |gate: &mut Gate, minutes| {
        let lease = TimeDelta::minutes(minutes);
        gate.run(Action::Extend { reservation_id: run_id("a"), lease })
    };
    assert!(matches!(extend(&mut gate, 10), Ok(Outcome::Extended { .. })));
    assert_eq!(gate.reservation("a").expire_time, first);
    // Run out but not freed yet: as good as any.
    gate.wait(TimeDelta::hours(2));
    extend(&mut gate, 10).unwrap();
    assert_eq!(gate.reservation("a").expire_time, gate.now + TimeDelta::minutes(10));
    let too_long = extend(&mut gate, 24 * 60 + 1);
    assert_eq!(too_long, Err(Refusal::LeaseTooLong { max: TimeDelta::hours(24) }));
    assert_eq!(gate.movements(), []);
    for state in [Committed, Released, Expired, ReservationState::Refunded] {
        settled(extend(&mut gate_in(state), 10));
    }
    let unknown = extend(&mut Gate::new(), 10);
    assert_eq!(unknown, Err(Refusal::ReservationNotFound { reservation_id: run_id("a") }));
}

#[test]
fn a_hold_reserves_and_its_entries_are_its_own() {
    let mut gate = Gate::with(10);
    gate.hold_credits("a", 3);
    gate.hold_credits("b", 2);
    gate.commit("a", Some(1)).unwrap();
    let expected = [(EntryKind::Grant, 10), (Reserve, 3), (Reserve, 2), (Commit, 1), (Restore, 2)];
    assert_eq!(gate.movements(), expected);
    assert_eq!(gate.reservation("a").entries, [2, 4, 5]);
    assert_eq!(gate.reservation("b").entries, [3]);
}
