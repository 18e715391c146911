//! Every cause of release, by default and with the policy turned.

use creditgate::domain::{
    reservation::{
        Disposition::{Consumed, Refunded, Restored},
        ReleaseCause::{self, *},
    },
    subscription::SubscriptionStatus,
};

use super::support::{Gate, scan};

/// The cause, whether it restores by default, and whether the platform is at
/// fault.
const CAUSES: [(ReleaseCause, bool, bool); 8] = [
    (NotStarted, true, true),
    (PlatformError, true, true),
    (PlatformTimeout, true, true),
    (UnsupportedTarget, true, true),
    (TargetUnreachable, false, false),
    (VerificationLapsed, false, false),
    (CanceledBeforeStart, true, false),
    (CanceledAfterStart, false, false),
];

#[test]
fn each_cause_restores_or_consumes_as_the_contract_says_unless_the_policy_differs() {
    assert_eq!(CAUSES.map(|(cause, ..)| cause), ReleaseCause::ALL);
    for (cause, by_default, fault) in CAUSES {
        assert_eq!(cause.is_platforms_fault(), fault, "{cause:?}");
        for turned in [false, true] {
            let restores = by_default != turned;
            let mut gate = Gate::with(5);
            if turned {
                gate.turn(cause);
            }
            gate.hold_credits("held", 2);
            let given = gate.release("held", cause);
            assert_eq!(
                given,
                Ok(if restores { (Restored, 2, false) } else { (Consumed, 0, false) })
            );

            gate.hold_credits("spent", 2);
            gate.commit("spent", None).unwrap();
            let given = gate.release("spent", cause);
            assert_eq!(
                given,
                Ok(if restores { (Refunded, 2, false) } else { (Consumed, 0, true) })
            );
            let spent = if restores { 0 } else { 4 };
            assert_eq!(gate.balance(), [5 - spent, 0, spent], "{cause:?} turned {turned}");
        }
    }
}

#[test]
fn the_ledger_names_the_cause_and_the_note() {
    let mut gate = Gate::with(5);
    gate.subscribe("sub", "pro", SubscriptionStatus::Active);
    gate.hold("a", scan("live_audit"));
    gate.run(creditgate::domain::command::Action::Release {
        reservation_id: super::support::run_id("a"),
        cause: PlatformError,
        note: "node lost".to_owned(),
    })
    .unwrap();
    gate.hold("b", scan("live_audit"));
    gate.release("b", TargetUnreachable).unwrap();
    let references: Vec<&str> = gate.state.entries.iter().map(|e| e.reference.as_str()).collect();
    let expected =
        ["why", "live_audit", "PLATFORM_ERROR: node lost", "live_audit", "TARGET_UNREACHABLE"];
    assert_eq!(references, expected);
    assert!(gate.state.entries.iter().all(|entry| entry.actor == "tester"));
}
