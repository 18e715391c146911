//! What subscriptions allow: covered, past due, paused, on trial, several at
//! once, none at all; and how many scans at once.

use chrono::TimeDelta;
use creditgate::domain::{
    command::Action,
    entry::EntryKind,
    reservation::{ReleaseCause, Scan},
    subscription::SubscriptionStatus::{self, Active, Canceled, PastDue, Paused, Trialing},
    verdict::{BlockReason, Remedy},
};

use super::support::{Gate, project, run_id, scan};

#[test]
fn a_plan_covers_while_it_is_in_good_standing_and_includes_while_it_lives() {
    // The credits that a live audit takes, or why it is blocked.
    let rows: [(SubscriptionStatus, Result<i64, BlockReason>); 5] = [
        (Trialing, Ok(0)),
        (Active, Ok(0)),
        (PastDue, Ok(1)),
        (Paused, Ok(1)),
        (Canceled, Err(BlockReason::PlanExcludes)),
    ];
    for (status, expected) in rows {
        let mut gate = Gate::with(5);
        gate.catalog.policy.planless_accounts_may_spend = false;
        gate.subscribe("sub", "monitor", status);
        let actual = match expected {
            Ok(_) => Ok(gate.hold("a", scan("live_audit")).credits),
            Err(_) => Err(gate.block(scan("live_audit")).reason),
        };
        assert_eq!(actual, expected, "{status:?}");
    }
}

#[test]
fn a_covered_scan_takes_a_slot_and_no_credits() {
    let mut gate = Gate::new();
    gate.subscribe("sub", "monitor", Active);
    for id in ["a", "b", "c"] {
        gate.hold(id, scan("live_audit"));
    }
    let block = gate.block(scan("live_audit"));
    assert_eq!(block.reason, BlockReason::ConcurrencyLimit);
    assert_eq!(block.required_credits, 0, "covered: it needs none");
    assert_eq!(block.holding_reservation_ids, ["a", "b", "c"].map(run_id));
    assert_eq!(gate.commit("a", None), Ok(false));
    gate.hold("d", scan("live_audit"));
    assert_eq!(gate.movements(), []);
}

/// The plans, the scan, and the credits it takes or `None` where excluded.
#[test]
fn several_subscriptions_allow_what_one_of_them_allows() {
    type Row = (&'static [(&'static str, SubscriptionStatus)], &'static str, i64, Option<i64>);
    let rows: [Row; 12] = [
        (&[("pro", Active)], "live_audit", 0, Some(1)),
        (&[("pro", Active)], "deep_audit", 0, Some(3)),
        (&[("pro", Active)], "deep_audit", 5, Some(5)),
        (&[("pro", Active)], "deep_audit", 6, None),
        (&[("small", Active)], "deep_audit", 0, None),
        (&[("small", Active), ("pro", Active)], "deep_audit", 0, Some(3)),
        (&[("pro", Active), ("monitor", Active)], "live_audit", 0, Some(0)),
        (&[("monitor", PastDue), ("pro", Active)], "live_audit", 0, Some(1)),
        (&[("monitor", Active)], "deep_audit", 0, None),
        (&[("monitor", Active), ("pro", Paused)], "deep_audit", 0, Some(3)),
        (&[("small", Canceled), ("monitor", Active)], "deep_audit", 0, None),
        // A plan that the catalog has lost allows nothing.
        (&[("gone", Active)], "live_audit", 0, None),
    ];
    for (plans, kind, credits, expected) in rows {
        let mut gate = Gate::with(10);
        for (index, (plan, status)) in plans.iter().enumerate() {
            gate.subscribe(&format!("sub-{index}"), plan, *status);
        }
        let asked = Scan { credits, ..scan(kind) };
        if let Some(credits) = expected {
            assert_eq!(gate.hold("a", asked).credits, credits, "{plans:?} {kind}");
        } else {
            let block = gate.block(asked);
            assert_eq!(block.reason, BlockReason::PlanExcludes, "{plans:?} {kind}");
            let live = plans.iter().filter(|(_, status)| *status != Canceled);
            let names: Vec<_> = live.map(|(plan, _)| *plan).collect();
            assert_eq!(block.plans.iter().map(|plan| plan.as_str()).collect::<Vec<_>>(), names);
        }
    }
}

#[test]
fn a_scan_too_large_for_the_plan_is_told_so() {
    let mut gate = Gate::with(10);
    gate.subscribe("sub", "pro", Active);
    let block = gate.block(Scan { credits: 6, ..scan("deep_audit") });
    assert!(block.message.contains("takes 6 credits"), "{}", block.message);
    gate.catalog.plans[0].scans.remove(1);
    let block = gate.block(scan("deep_audit"));
    assert!(block.message.contains("scans of kind deep_audit"), "{}", block.message);
}

/// Without a plan: what the account has, and what the policy makes of it.
#[test]
fn an_account_without_a_plan_spends_where_the_policy_lets_it() {
    for (granted, held, may_spend, expected) in [
        (0, 0, false, Some((BlockReason::CreditRequired, Remedy::TopUp))),
        (0, 0, true, Some((BlockReason::CreditRequired, Remedy::TopUp))),
        (2, 0, true, None),
        (2, 0, false, Some((BlockReason::PlanExcludes, Remedy::ChangePlan))),
        (2, 2, true, Some((BlockReason::Exhausted, Remedy::WaitForRunningScan))),
        // What is held comes back, and then the plan is missing all the same.
        (2, 2, false, Some((BlockReason::PlanExcludes, Remedy::ChangePlan))),
    ] {
        let mut gate = if granted > 0 { Gate::with(granted) } else { Gate::new() };
        if held > 0 {
            gate.hold_credits("running", held);
        }
        gate.catalog.policy.planless_accounts_may_spend = may_spend;
        match expected {
            None => assert_eq!(gate.hold("a", scan("live_audit")).credits, 1),
            Some(expected) => {
                let block = gate.block(scan("live_audit"));
                assert_eq!((block.reason, block.remedy), expected, "{granted} {held} {may_spend}");
            }
        }
    }
}

#[test]
fn a_live_plan_makes_a_shortage_exhausted_and_tells_when_credits_come() {
    for (status, comes) in [(Active, true), (PastDue, false), (Paused, false), (Trialing, false)] {
        let mut gate = Gate::new();
        gate.subscribe("sub", "pro", status);
        let block = gate.block(scan("live_audit"));
        assert_eq!((block.reason, block.remedy), (BlockReason::Exhausted, Remedy::TopUp));
        assert_eq!(block.next_grant_time, comes.then(|| gate.now + TimeDelta::days(30)));
    }
    let mut gate = Gate::new();
    gate.subscribe("sub", "pro", Active);
    gate.state.subscriptions[0].cancel_at_period_end = true;
    assert_eq!(gate.block(scan("live_audit")).next_grant_time, None);
}

#[test]
fn limits_on_scans_at_once_add_up_and_one_without_a_limit_lifts_them() {
    for (plans, limit) in [
        (vec!["small"], Some(1)),
        (vec!["small", "small"], Some(2)),
        (vec!["small", "monitor"], Some(4)),
        (vec!["small", "endless"], None),
        (vec![], None),
    ] {
        let mut gate = Gate::with(20);
        let mut endless = gate.catalog.plans[0].clone();
        endless.name = creditgate::ids::PlanName::new("endless").unwrap();
        endless.max_concurrent_scans = 0;
        gate.catalog.plans.push(endless);
        for (index, plan) in plans.iter().enumerate() {
            gate.subscribe(&format!("sub-{index}"), plan, PastDue);
        }
        for n in 0..limit.unwrap_or(12) {
            gate.hold(&format!("run-{n}"), scan("live_audit"));
        }
        if limit.is_some() {
            let block = gate.block(scan("live_audit"));
            assert_eq!(block.reason, BlockReason::ConcurrencyLimit, "{plans:?}");
            assert_eq!(block.remedy, Remedy::WaitForRunningScan);
        }
    }
}

#[test]
fn a_project_has_its_own_slots_and_each_end_of_a_run_gives_one_back() {
    let of = |name| Scan { project_id: Some(project(name)), ..scan("live_audit") };
    type End = fn(&mut Gate);
    let ends: [End; 4] = [
        |gate| assert_eq!(gate.commit("a", None), Ok(false)),
        |gate| assert!(gate.release("a", ReleaseCause::PlatformError).is_ok()),
        |gate| assert!(gate.release("a", ReleaseCause::TargetUnreachable).is_ok()),
        |gate| {
            gate.wait(TimeDelta::hours(1));
            assert!(gate.expire("a"));
        },
    ];
    for end in ends {
        let mut gate = Gate::with(20).policy(3);
        gate.hold("a", of("project-1"));
        gate.hold("b", of("project-1"));
        let block = gate.block(of("project-1"));
        assert_eq!(block.reason, BlockReason::ConcurrencyLimit);
        assert_eq!(block.holding_reservation_ids, ["a", "b"].map(run_id));
        gate.hold("c", of("project-2"));
        gate.hold("d", scan("live_audit"));
        end(&mut gate);
        gate.hold("e", of("project-1"));
        assert_eq!(gate.block(of("project-1")).reason, BlockReason::ConcurrencyLimit);
    }
}

#[test]
fn a_trial_ends_by_itself_and_a_cancelled_period_too() {
    for (status, cancel, ends) in [
        (Trialing, false, true),
        (Active, true, true),
        (PastDue, true, true),
        (Active, false, false),
    ] {
        let mut gate = Gate::with(5);
        gate.catalog.policy.planless_accounts_may_spend = false;
        gate.subscribe("sub", "pro", status);
        gate.state.subscriptions[0].cancel_at_period_end = cancel;
        gate.wait(TimeDelta::days(30) - TimeDelta::microseconds(1));
        gate.hold("before", scan("live_audit"));
        gate.wait(TimeDelta::microseconds(1));
        if ends {
            assert_eq!(gate.block(scan("live_audit")).reason, BlockReason::PlanExcludes);
            assert_eq!(gate.state.subscriptions[0].status, Canceled);
            assert_eq!(gate.state.account.subscriptions, 1, "the change is counted, once");
        } else {
            gate.hold("after", scan("live_audit"));
        }
    }
}

#[test]
fn credits_lapse_when_the_last_live_subscription_ends_and_the_policy_says_so() {
    let ended = |lapse: bool, other: Option<SubscriptionStatus>| {
        let mut gate = Gate::with(5);
        gate.catalog.policy.credits_lapse_on_cancel = lapse;
        gate.subscribe("sub", "pro", Active);
        gate.state.subscriptions[0].cancel_at_period_end = true;
        if let Some(status) = other {
            gate.subscribe("other", "monitor", status);
        }
        gate.hold_credits("running", 2);
        gate.wait(TimeDelta::days(30));
        gate.forget();
        gate.run(Action::ApplyDue).unwrap();
        gate
    };
    let gate = ended(true, None);
    assert_eq!(gate.balance(), [0, 2, 0]);
    assert_eq!(gate.movements(), [(EntryKind::LotExpire, 3)]);
    assert_eq!(ended(true, Some(Canceled)).balance(), [0, 2, 0]);
    assert_eq!(ended(true, Some(PastDue)).balance(), [3, 2, 0], "another one lives on");
    assert_eq!(ended(false, None).balance(), [3, 2, 0], "the policy lets them be");
}
