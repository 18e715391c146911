//! The edges of 64 bits: refused, or exact, never wrapped.

use chrono::TimeDelta;
use creditgate::{
    clock::Timestamp,
    domain::{
        command::{Action, Refusal},
        reservation::{ReleaseCause, Scan},
        verdict::{BlockReason, Remedy},
    },
};

use super::support::{Gate, grant, scan};

#[test]
fn an_account_holds_all_credits_that_can_be_counted_and_not_one_more() {
    type Step = fn(&mut Gate);
    let steps: [Step; 4] = [
        |_| {},
        |gate| assert_eq!(gate.hold_credits("a", i64::MAX - 1).credits, i64::MAX - 1),
        |gate| assert_eq!(gate.commit("a", Some(i64::MAX - 2)), Ok(false)),
        |gate| assert!(gate.release("a", ReleaseCause::PlatformError).is_ok()),
    ];
    let mut gate = Gate::with(i64::MAX);
    for (index, step) in steps.iter().enumerate() {
        step(&mut gate);
        let refused = gate.run(Action::Grant(grant(&format!("more-{index}"), 1, None)));
        assert_eq!(refused, Err(Refusal::BalanceTooLarge));
        let parts: i128 = gate.balance().map(i128::from).iter().sum();
        assert_eq!(parts, i128::from(i64::MAX));
    }
    assert_eq!(gate.balance(), [i64::MAX, 0, 0]);
}

#[test]
fn a_grant_up_to_the_edge_is_made() {
    let mut gate = Gate::with(i64::MAX - 1);
    assert!(gate.run(Action::Grant(grant("one", 1, None))).is_ok());
    assert_eq!(gate.balance(), [i64::MAX, 0, 0]);
}

#[test]
fn a_scan_of_any_size_gets_a_verdict() {
    for (granted, held, remedy) in [
        (1, 0, Remedy::TopUp),
        (i64::MAX - 1, 0, Remedy::TopUp),
        (i64::MAX - 1, i64::MAX - 1, Remedy::TopUp),
        (i64::MAX, i64::MAX, Remedy::WaitForRunningScan),
        (i64::MAX, 1, Remedy::WaitForRunningScan),
    ] {
        let mut gate = Gate::with(granted);
        if held > 0 {
            gate.hold_credits("running", held);
        }
        let block = gate.block(Scan { credits: i64::MAX, ..scan("live_audit") });
        assert_eq!((block.reason, block.remedy), (BlockReason::Exhausted, remedy));
    }
}

#[test]
fn credits_restored_at_the_end_of_time_never_expire() {
    let mut gate = Gate::new();
    gate.grant("gone", 1, Some(TimeDelta::hours(1)));
    gate.hold_credits("a", 1);
    gate.now = Timestamp::MAX_UTC - TimeDelta::days(1);
    gate.release("a", ReleaseCause::PlatformError).unwrap();
    let restored: Vec<_> = gate.state.lots.values().filter(|lot| lot.remaining > 0).collect();
    assert_eq!(restored.len(), 1);
    assert_eq!(restored[0].expire_time, None);
}
