//! Which reservations a block names: the earliest leases, with what the batch
//! has done to them since they were read.

use chrono::TimeDelta;
use creditgate::domain::{
    account::{Halt, Holder, HolderScope, Missing},
    command::{Action, Reserve},
    reservation::{ReleaseCause, Reservation, Scan},
    subscription::SubscriptionStatus,
};

use super::support::{Gate, project, reserve, run_id, scan, scan_credits};

/// A batch that begins with twelve held credits, each run's lease a minute
/// longer than the one before. `named` of them are read as the commands name
/// them, and of all as many as were promised: 10, and one for each named.
fn batch(named: &[&str]) -> Gate {
    let mut gate = Gate::with(12);
    let runs: Vec<Reservation> = (0..12).map(|n| hold(&mut gate, n)).collect();
    let scope = HolderScope::Credits(scan_credits());
    let read = runs.iter().take(10 + named.len()).map(|run| Holder {
        expire_time: run.expire_time,
        reservation_id: run.reservation_id.clone(),
    });
    gate.state.holders.insert(scope, read.collect());
    gate.state.reservations.retain(|id, _| named.contains(&id.as_str()));
    gate
}

fn hold(gate: &mut Gate, n: i64) -> Reservation {
    let id = format!("run-{n:02}");
    let lease = Some(TimeDelta::minutes(10 + n));
    let request = Reserve { lease, ..reserve(&id, scan("live_audit")) };
    gate.run(Action::Reserve(request)).unwrap();
    gate.reservation(&id).clone()
}

fn named(gate: &mut Gate) -> Vec<String> {
    let block = gate.block(Scan { credits: 13, ..scan("live_audit") });
    block.holding_reservation_ids.iter().map(ToString::to_string).collect()
}

fn runs(range: std::ops::Range<i64>) -> Vec<String> {
    range.map(|n| format!("run-{n:02}")).collect()
}

#[test]
fn a_block_names_the_ten_earliest_leases() {
    let mut gate = batch(&[]);
    let block = gate.block(Scan { credits: 13, ..scan("live_audit") });
    assert_eq!(block.holding_reservation_ids.len(), 10);
    assert_eq!(block.earliest_return_time, Some(gate.now + TimeDelta::minutes(10)));
    assert_eq!(named(&mut gate), runs(0..10));
}

#[test]
fn what_the_batch_settled_is_not_named_and_the_next_one_is() {
    let mut gate = batch(&["run-00", "run-03"]);
    gate.commit("run-00", None).unwrap();
    assert_eq!(named(&mut gate), runs(1..11));
    gate.release("run-03", ReleaseCause::TargetUnreachable).unwrap();
    let mut expected = runs(1..12);
    expected.remove(2);
    assert_eq!(named(&mut gate), expected);
}

#[test]
fn what_the_batch_prolonged_moves_back() {
    let mut gate = batch(&["run-00"]);
    let lease = TimeDelta::hours(5);
    gate.run(Action::Extend { reservation_id: run_id("run-00"), lease }).unwrap();
    assert_eq!(named(&mut gate), runs(1..11));
}

#[test]
fn what_the_batch_reserved_is_named_in_its_place() {
    let mut gate = batch(&["run-05"]);
    gate.commit("run-05", Some(1)).unwrap();
    gate.grant("more", 1, None);
    let lease = Some(TimeDelta::minutes(1));
    let request = Reserve { lease, ..reserve("new", scan("live_audit")) };
    gate.run(Action::Reserve(request)).unwrap();
    let mut expected = vec!["new".to_owned()];
    expected.extend(runs(0..10).into_iter().filter(|id| id != "run-05"));
    assert_eq!(named(&mut gate), expected);
}

#[test]
fn each_scope_names_its_own() {
    let mut gate = Gate::with(10);
    let of = |name| Scan { project_id: Some(project(name)), ..scan("live_audit") };
    gate.hold("one", of("project-1"));
    gate.hold("two", of("project-2"));
    gate.hold("free", scan("quick_scan"));
    gate.subscribe("sub", "monitor", SubscriptionStatus::Active);
    gate.catalog.policy.max_concurrent_scans_per_project = 1;
    gate.state.subscriptions[0].status = SubscriptionStatus::Canceled;
    let project_block = gate.block(of("project-1"));
    assert_eq!(project_block.holding_reservation_ids, [run_id("one")]);
    let credit_block = gate.block(Scan { credits: 11, ..scan("live_audit") });
    assert_eq!(credit_block.holding_reservation_ids, ["one", "two"].map(run_id));
    gate.state.subscriptions[0].status = SubscriptionStatus::Active;
    let account_block = gate.block(scan("live_audit"));
    assert_eq!(account_block.holding_reservation_ids, ["free", "one", "two"].map(run_id));
}

#[test]
fn what_was_not_read_is_asked_for() {
    let gate = Gate::new();
    let scope = HolderScope::Account;
    let missing = Halt::Missing(Missing::Holders(scope.clone()));
    assert_eq!(gate.state.holders(&scope), Err(missing));
}
