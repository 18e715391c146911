//! Every verdict in its order: one row each, and each wins over the next.

use chrono::TimeDelta;
use creditgate::domain::{
    command::{Action, OperationKind, Outcome, Refusal},
    credit::LotSource,
    reservation::Scan,
    subscription::SubscriptionStatus,
    verdict::{BlockReason, Remedy},
};

use super::support::{Gate, grant, operation, payment, project, reserve, run_id, scan};

/// Each row puts one more obstacle in the way, the weakest first: the verdict
/// is always the one put last.
#[test]
fn the_first_reason_that_holds_is_the_verdict() {
    type Row = (BlockReason, Remedy, fn(&mut Gate));
    let rows: [Row; 7] = [
        (BlockReason::CreditRequired, Remedy::TopUp, |_| {}),
        (BlockReason::Exhausted, Remedy::TopUp, |gate| {
            gate.grant("one", 1, None);
            gate.hold("spent", scan("live_audit"));
            gate.commit("spent", None).unwrap();
        }),
        (BlockReason::PaymentPending, Remedy::WaitForPayment, |gate| {
            gate.pending.push(payment("top-up", "scan"));
        }),
        (BlockReason::ConcurrencyLimit, Remedy::WaitForRunningScan, |gate| {
            gate.subscribe("sub", "small", SubscriptionStatus::Active);
            gate.hold("running", scan("quick_scan"));
        }),
        (BlockReason::PlanExcludes, Remedy::ChangePlan, |gate| {
            for plan in &mut gate.catalog.plans {
                plan.scans.clear();
            }
        }),
        (BlockReason::AccountSuspended, Remedy::ContactSupport, |gate| {
            gate.run(Action::SetSuspension { suspended: true, reason: "dispute".to_owned() })
                .unwrap();
        }),
        (BlockReason::WrongAccount, Remedy::SwitchAccount, |gate| gate.state.projects.clear()),
    ];
    let asked = Scan { project_id: Some(project("project-1")), ..scan("live_audit") };
    let mut gate = Gate::new();
    for (reason, remedy, obstacle) in rows {
        obstacle(&mut gate);
        let block = gate.block(asked.clone());
        assert_eq!((block.reason, block.remedy), (reason, remedy), "{}", block.message);
        assert!(block.message.ends_with('.') || reason == BlockReason::AccountSuspended);
        assert_eq!(block.required_credits, 1);
    }
}

#[test]
fn a_block_is_judged_afresh_under_the_same_id() {
    let mut gate = Gate::new();
    assert_eq!(gate.block(scan("live_audit")).reason, BlockReason::CreditRequired);
    gate.grant("one", 1, None);
    gate.hold("blocked", scan("live_audit"));
}

/// Of 5 credits, `held` are held; then so many more are needed.
#[test]
fn busy_wants_patience_and_broke_wants_money() {
    for (held, needed, remedy) in [
        (5, 1, Remedy::WaitForRunningScan),
        (5, 5, Remedy::WaitForRunningScan),
        (5, 6, Remedy::TopUp),
        (3, 5, Remedy::WaitForRunningScan),
        (3, 6, Remedy::TopUp),
        (0, 6, Remedy::TopUp),
    ] {
        let mut gate = Gate::with(5);
        if held > 0 {
            gate.hold_credits("running", held);
        }
        let block = gate.block(Scan { credits: needed, ..scan("live_audit") });
        assert_eq!(
            (block.reason, block.remedy),
            (BlockReason::Exhausted, remedy),
            "{held} {needed}"
        );
        let numbers = [block.required_credits, block.available_credits, block.reserved_credits];
        assert_eq!(numbers, [needed, 5 - held, held]);
        let holders: Vec<_> = (held > 0).then(|| run_id("running")).into_iter().collect();
        assert_eq!(block.holding_reservation_ids, holders);
        let returns = (held > 0).then(|| gate.now + TimeDelta::hours(1));
        assert_eq!(block.earliest_return_time, returns);
    }
}

#[test]
fn a_payment_is_pending_until_it_expires_is_confirmed_or_brings_another_type() {
    let mut gate = Gate::new();
    gate.pending = vec![payment("fixes", "fix"), payment("first", "scan"), payment("next", "scan")];
    let block = gate.block(scan("live_audit"));
    assert_eq!(block.reason, BlockReason::PaymentPending);
    assert_eq!(block.pending_payment, Some(payment("first", "scan")));

    // Confirmed in the same batch, before its row is read again: too little.
    let mut confirmed = grant("first", 1, None);
    confirmed.key = operation(OperationKind::TopUp, "first");
    confirmed.source = LotSource::TopUp;
    gate.run(Action::Grant(confirmed)).unwrap();
    let block = gate.block(Scan { credits: 2, ..scan("live_audit") });
    assert_eq!(block.pending_payment, Some(payment("next", "scan")));

    gate.wait(TimeDelta::hours(24));
    assert_eq!(
        gate.block(Scan { credits: 2, ..scan("live_audit") }).reason,
        BlockReason::Exhausted
    );
}

#[test]
fn a_free_kind_skips_plan_and_credits_and_nothing_else() {
    let mut gate = Gate::new();
    gate.subscribe("sub", "small", SubscriptionStatus::Active);
    let held = gate.hold("free", scan("quick_scan"));
    assert_eq!((held.credits, held.credit_type, held.portions.len()), (0, None, 0));
    assert_eq!(gate.movements(), []);
    let block = gate.block(scan("quick_scan"));
    assert_eq!(block.reason, BlockReason::ConcurrencyLimit);
    assert_eq!(block.holding_reservation_ids, [run_id("free")]);
    gate.run(Action::SetSuspension { suspended: true, reason: "dispute".to_owned() }).unwrap();
    assert_eq!(gate.block(scan("quick_scan")).reason, BlockReason::AccountSuspended);
    let elsewhere = Scan { project_id: Some(project("theirs")), ..scan("quick_scan") };
    assert_eq!(gate.block(elsewhere).reason, BlockReason::WrongAccount);
}

#[test]
fn a_suspended_account_may_settle_what_runs_and_retry_what_is_held() {
    let mut gate = Gate::with(3);
    gate.hold("a", scan("live_audit"));
    gate.hold("b", scan("live_audit"));
    gate.run(Action::SetSuspension { suspended: true, reason: "dispute".to_owned() }).unwrap();
    let again = gate.run(Action::Reserve(reserve("a", scan("live_audit"))));
    assert!(matches!(again, Ok(Outcome::Reserved { replayed: true, .. })));
    assert_eq!(gate.commit("a", None), Ok(false));
    gate.run(Action::SetSuspension { suspended: false, reason: "over".to_owned() }).unwrap();
    assert_eq!(gate.state.account.suspension_reason, "");
    gate.hold("c", scan("live_audit"));
}

#[test]
fn a_request_that_can_never_be_granted_is_refused_not_blocked() {
    // Suspended as well: the fault of the request comes first all the same.
    let mut gate = Gate::new();
    gate.state.account.suspended = true;
    let with = |kind, credits| Scan { credits, ..scan(kind) };
    for (scan, refusal) in [
        (with("nothing", 0), Refusal::ScanKindUnknown { name: "nothing".to_owned() }),
        (with("fix_run", 0), Refusal::CreditsRequired { name: "fix_run".to_owned() }),
        (with("quick_scan", 1), Refusal::CreditsNotTaken { name: "quick_scan".to_owned() }),
    ] {
        assert_eq!(gate.run(Action::Check(scan.clone())), Err(refusal.clone()));
        assert_eq!(gate.run(Action::Reserve(reserve("a", scan))), Err(refusal));
    }
    let mut long = reserve("a", scan("live_audit"));
    long.lease = Some(TimeDelta::hours(25));
    let refusal = Refusal::LeaseTooLong { max: TimeDelta::hours(24) };
    assert_eq!(gate.run(Action::Reserve(long)), Err(refusal));
}
