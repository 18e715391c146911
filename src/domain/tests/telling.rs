//! Levels that a balance falls to, subscriptions that end: what is told of them.

use chrono::TimeDelta;
use creditgate::{
    domain::{
        command::Action,
        event::{Event, EventKind, kind_of},
        reservation::ReleaseCause::{PlatformError, TargetUnreachable},
        subscription::SubscriptionStatus,
    },
    ids::{AccountId, SubscriptionId},
};
use proptest::prelude::*;

use super::support::{Gate, scan};

fn told(gate: &Gate) -> Vec<(EventKind, i64)> {
    let levels = gate.notices().into_iter().filter(|notice| notice.sequence.is_some());
    levels.map(|notice| (notice.kind, notice.credits)).collect()
}

#[test]
fn a_balance_that_falls_to_a_level_is_told_once_until_it_has_risen_above_it() {
    let mut gate = Gate::with(3);
    gate.hold_credits("a", 1);
    assert_eq!(told(&gate), [], "what is held is still there");
    gate.commit("a", None).unwrap();
    gate.hold_credits("b", 1);
    gate.commit("b", None).unwrap();
    assert_eq!(told(&gate), [(EventKind::LowBalance, 1)]);
    // Taken and given back, again and again: no news.
    for turn in 0..50 {
        let id = format!("held-{turn}");
        gate.hold_credits(&id, 1);
        gate.release(&id, PlatformError).unwrap();
    }
    assert_eq!(told(&gate).len(), 1);
    gate.hold_credits("c", 1);
    gate.commit("c", None).unwrap();
    assert_eq!(told(&gate)[1..], [(EventKind::ZeroBalance, 0)]);
    // A refund lifts it above 0, not above 1.
    gate.release("c", PlatformError).unwrap();
    gate.hold_credits("d", 1);
    gate.commit("d", None).unwrap();
    assert_eq!(told(&gate)[2..], [(EventKind::ZeroBalance, 0)]);
    gate.grant("g", 2, None);
    gate.hold_credits("e", 2);
    gate.commit("e", None).unwrap();
    let both = [(EventKind::LowBalance, 0), (EventKind::ZeroBalance, 0)];
    assert_eq!(told(&gate)[3..], both, "one fall past both");
}

#[test]
fn the_level_is_the_catalogs_and_0_is_no_warning() {
    for (low, expected) in [
        (Some(5), vec![(EventKind::LowBalance, 4), (EventKind::ZeroBalance, 0)]),
        (Some(0), vec![(EventKind::ZeroBalance, 0)]),
        (None, vec![(EventKind::LowBalance, 0), (EventKind::ZeroBalance, 0)]),
    ] {
        let mut gate = Gate::with(8);
        gate.catalog.policy.low_balance = low;
        for id in ["a", "b"] {
            gate.hold_credits(id, 4);
            gate.commit(id, None).unwrap();
        }
        assert_eq!(told(&gate), expected, "{low:?}");
    }
}

#[test]
fn a_subscription_is_told_of_when_its_end_is_arranged_and_when_it_has_come() {
    let mut gate = Gate::new();
    gate.subscribe("s", "pro", SubscriptionStatus::Active);
    let cancel = |immediately| Action::CancelSubscription {
        subscription_id: Some(SubscriptionId::new("s").unwrap()),
        immediately,
    };
    let words = |gate: &Gate| -> Vec<String> {
        let account_id = || AccountId::new("acme").unwrap();
        let event = |notice| Event::of_notice(account_id(), notice).message();
        gate.notices().into_iter().map(event).collect()
    };
    for immediately in [false, false, true, true] {
        gate.run(cancel(immediately)).unwrap();
    }
    let [arranged, ended] = &words(&gate)[..] else { panic!("{:?}", words(&gate)) };
    assert!(arranged.starts_with("The subscription s will end on 20"), "{arranged}");
    assert!(ended.starts_with("The subscription s ended on 20"), "{ended}");
}

#[test]
fn each_entry_tells_what_its_kind_and_its_cause_say() {
    let mut gate = Gate::with(10);
    gate.hold_credits("rest", 3);
    gate.commit("rest", Some(1)).unwrap();
    gate.hold_credits("released", 2);
    gate.release("released", PlatformError).unwrap();
    gate.hold_credits("consumed", 2);
    gate.release("consumed", TargetUnreachable).unwrap();
    gate.hold("expired", scan("live_audit"));
    gate.wait(TimeDelta::hours(1));
    gate.expire("expired");
    gate.commit("expired", None).unwrap();
    gate.release("expired", PlatformError).unwrap();
    let told: Vec<EventKind> = gate
        .state
        .entries
        .iter()
        .filter_map(|entry| kind_of(entry.kind, &entry.reference, None))
        .collect();
    use EventKind::{CreditGranted, CreditReturned, CreditUsed};
    let expected = [
        CreditGranted,
        CreditUsed,
        CreditReturned,
        CreditUsed,
        CreditReturned,
        CreditUsed,
        CreditReturned,
    ];
    assert_eq!(told, expected);
}

proptest! {
    #[test]
    fn between_two_falls_to_a_level_the_balance_was_above_it(
        steps in prop::collection::vec((0u8..4, 1i64..4), 1..60)
    ) {
        let mut gate = Gate::with(5);
        for (turn, (step, credits)) in steps.into_iter().enumerate() {
            let id = format!("run-{turn}");
            let available = gate.balance()[0];
            match step {
                0 => { gate.grant(&id, credits, None); }
                _ if available < credits => {}
                1 => {
                    gate.hold_credits(&id, credits);
                    gate.commit(&id, None).unwrap();
                }
                2 => {
                    gate.hold_credits(&id, credits);
                    gate.release(&id, PlatformError).unwrap();
                }
                _ => { gate.hold_credits(&id, credits); }
            }
        }
        let notices = gate.notices();
        for (kind, level) in [(EventKind::LowBalance, 1), (EventKind::ZeroBalance, 0)] {
            let falls: Vec<i64> = notices.iter().filter(|notice| notice.kind == kind)
                .filter_map(|notice| notice.sequence).collect();
            let mut above = false;
            let mut expected = Vec::new();
            for entry in &gate.state.entries {
                let total = entry.available_after + entry.reserved_after;
                if above && total <= level {
                    expected.push(entry.sequence);
                }
                above = total > level;
            }
            prop_assert_eq!(falls, expected);
        }
    }
}
