//! Subscriptions that end, and what becomes of the credits.

use creditgate::domain::{
    command::{Action, Outcome, Refusal},
    credit::LotSource,
    reservation::ReleaseCause,
    subscription::{BillingInterval::Month, Subscription, SubscriptionStatus::Canceled},
    verdict::BlockReason,
};

use super::{
    renewals::{asks, at, on, start, status, sub, until},
    support::{Gate, run_id, scan},
};

fn cancel(gate: &mut Gate, id: &str, immediately: bool) -> Subscription {
    let action = Action::CancelSubscription { subscription_id: Some(sub(id)), immediately };
    match gate.run(action) {
        Ok(Outcome::SubscriptionChanged { subscription }) => subscription,
        other => panic!("{other:?}"),
    }
}

#[test]
fn cancelled_at_period_end_everything_lapses_then_and_not_before() {
    let mut gate = on("2026-01-10");
    start(&mut gate, "s", asks("pro", Month));
    gate.grant("bought", 5, None);
    gate.now = at("2026-01-20");
    assert!(cancel(&mut gate, "s", false).cancel_at_period_end);
    assert!(cancel(&mut gate, "s", false).cancel_at_period_end, "again");
    until(&mut gate, "2026-02-09");
    assert_eq!(gate.balance(), [8, 0, 0]);
    until(&mut gate, "2026-02-10");
    assert_eq!((gate.balance(), status(&gate, "s")), ([0, 0, 0], Canceled));
    assert_eq!(gate.state.subscription(&sub("s")).unwrap().end_time, Some(at("2026-02-10")));
    assert_eq!(gate.block(scan("live_audit")).reason, BlockReason::Exhausted);
    // What comes later is as good as ever.
    gate.grant("later", 1, None);
    until(&mut gate, "2027-01-01");
    assert_eq!(gate.balance(), [1, 0, 0]);
}

#[test]
fn a_cancellation_can_be_taken_back_until_it_is_done() {
    let mut gate = on("2026-01-10");
    start(&mut gate, "s", asks("pro", Month));
    cancel(&mut gate, "s", false);
    gate.run(Action::ResumeSubscription { subscription_id: None }).unwrap();
    until(&mut gate, "2026-02-10");
    assert_eq!(gate.balance(), [6, 0, 0]);
    let ended = cancel(&mut gate, "s", true);
    assert_eq!((ended.status, ended.end_time), (Canceled, Some(at("2026-02-10"))));
    assert_eq!(gate.balance(), [0, 0, 0]);
    assert_eq!(cancel(&mut gate, "s", true), ended, "again");
    let resume = Action::ResumeSubscription { subscription_id: Some(sub("s")) };
    let refused = Err(Refusal::SubscriptionEnded { subscription_id: sub("s") });
    assert_eq!(gate.run(resume), refused);
}

#[test]
fn credits_lapse_with_the_last_live_subscription_only_and_where_the_policy_says_so() {
    for (lapses, left) in [(true, 0), (false, 6)] {
        let mut gate = on("2026-01-10");
        gate.catalog.policy.credits_lapse_on_cancel = lapses;
        start(&mut gate, "plan", asks("pro", Month));
        start(&mut gate, "add-on", asks("small", Month));
        cancel(&mut gate, "plan", true);
        assert_eq!(gate.balance(), [6, 0, 0]);
        cancel(&mut gate, "add-on", true);
        assert_eq!(gate.balance(), [left, 0, 0]);
    }
}

#[test]
fn a_running_scan_survives_the_lapse_and_settles_by_the_rules() {
    let lapsed = || {
        let mut gate = on("2026-01-10");
        start(&mut gate, "s", asks("pro", Month));
        gate.hold_credits("a", 2);
        cancel(&mut gate, "s", true);
        assert_eq!(gate.balance(), [0, 2, 0]);
        gate
    };
    let mut spent = lapsed();
    spent.commit("a", None).unwrap();
    assert_eq!(spent.balance(), [0, 0, 2]);
    // What it did not need lapses as the rest did.
    let mut spent = lapsed();
    spent.commit("a", Some(1)).unwrap();
    assert_eq!(spent.balance(), [0, 0, 1]);
    // The platform's fault: credits of their own, for a while.
    let mut failed = lapsed();
    failed.release("a", ReleaseCause::PlatformError).unwrap();
    assert_eq!(failed.balance(), [2, 0, 0]);
    let lot = failed.state.lots.values().find(|lot| lot.source == LotSource::Restored).unwrap();
    assert_eq!(lot.expire_time, Some(at("2026-02-09")));
    // A new subscription of the same moment is not touched by the old one's end.
    let mut again = lapsed();
    start(&mut again, "t", asks("pro", Month));
    again.hold_credits("b", 3);
    again.release("b", ReleaseCause::PlatformError).unwrap();
    assert_eq!(again.balance(), [3, 2, 0]);
    assert_eq!(again.reservation("b").reservation_id, run_id("b"));
}
