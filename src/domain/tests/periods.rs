//! What a billing period brings, once, and what is kept of the ones before.

use chrono::TimeDelta;
use creditgate::{
    clock::Timestamp,
    domain::{
        account::Halt,
        catalog::{Allowance, Plan, Rollover},
        command::{Action, OperationKind},
        context::Context,
        credit::{Lot, LotSource},
        entry::EntryKind::{Grant, LotExpire},
        subscription::BillingInterval,
    },
    ids::{CreditType, LotId, SubscriptionId},
};

use super::{
    super::periods::{Period, PeriodCredits, allowances, bring, operation_id, outstanding_key},
    generate::start,
    model::next_lot_id,
    support::{Gate, scan_credits},
};

fn month(number: i64) -> Timestamp {
    start() + TimeDelta::days(30 * number)
}

fn plan(rollover: Rollover) -> Plan {
    let mut plan = Gate::new().catalog.plans.remove(0);
    plan.allowances[0].rollover = rollover;
    plan
}

/// Begins a period of "sub", of this many plans' allowances: the lots of what had
/// not been granted.
fn begin(gate: &mut Gate, number: i64, plan: &Plan, quantity: i64) -> Vec<Lot> {
    let id = SubscriptionId::new("sub").unwrap();
    let period = Period { subscription_id: &id, start: month(number), end: month(number + 1) };
    gate.now = gate.now.max(month(number));
    let mut lots = Vec::new();
    for brought in allowances(plan, BillingInterval::Month, quantity).unwrap() {
        let credit_type = &brought.credit_type;
        let mut key = outstanding_key(&gate.state, &period, credit_type);
        if let Err(Halt::Missing(missing)) = key {
            gate.supply(missing);
            key = outstanding_key(&gate.state, &period, credit_type);
        }
        let Some(key) = key.unwrap() else { continue };
        let catalog = gate.catalog.clone();
        let context = Context { now: gate.now, catalog: &catalog, new_lot_id: next_lot_id };
        let made = bring(&mut gate.state, &context, &period, key, &brought, "tester");
        lots.push(made.unwrap());
    }
    lots
}

#[test]
fn a_year_brings_a_years_credits_or_twelve_months() {
    let allowance = |credits, credits_per_year| Allowance {
        credit_type: scan_credits(),
        credits,
        rollover: Rollover::Unlimited,
        credits_per_year,
    };
    use BillingInterval::{Month, Year};
    for (interval, credits, per_year, quantity, brought) in [
        (Month, 3, None, 1, Some(3)),
        (Month, 3, Some(40), 2, Some(6)),
        (Year, 3, None, 1, Some(36)),
        (Year, 3, Some(40), 2, Some(80)),
        (Year, 3, Some(0), 1, None),
        (Month, 0, None, 5, None),
    ] {
        let mut plan = plan(Rollover::Unlimited);
        plan.allowances = vec![allowance(credits, per_year)];
        let expected: Vec<PeriodCredits> = brought
            .map(|credits| PeriodCredits {
                credit_type: scan_credits(),
                credits,
                rollover: Rollover::Unlimited,
            })
            .into_iter()
            .collect();
        assert_eq!(allowances(&plan, interval, quantity), Ok(expected));
    }
    assert!(allowances(&plan(Rollover::Unlimited), Month, i64::MAX).is_err());
}

#[test]
fn a_period_brings_its_credits_once() {
    let mut gate = Gate::new();
    let plan = plan(Rollover::Unlimited);
    let lots = begin(&mut gate, 0, &plan, 1);
    let lot = &lots[0];
    assert_eq!((lot.credits, lot.remaining, lot.source), (3, 3, LotSource::Plan));
    let id = operation_id(&SubscriptionId::new("sub").unwrap(), &scan_credits(), month(0));
    assert_eq!((lot.reference.as_str(), lot.expire_time), (id.as_str(), None));
    assert_eq!(gate.state.operations[&(OperationKind::Period, id)].lot_id, Some(lot.lot_id));
    assert_eq!(begin(&mut gate, 0, &plan, 1), []);
    assert_eq!(gate.balance(), [3, 0, 0]);
}

/// Credits left of the first, second and third period once each has begun, with
/// one of the first one's three spent.
#[test]
fn what_is_kept_of_earlier_periods() {
    for (rollover, left) in [
        (Rollover::Unlimited, [2, 3, 3]),
        (Rollover::Capped(9), [2, 3, 3]),
        (Rollover::Capped(4), [1, 3, 3]),
        (Rollover::Capped(2), [0, 2, 3]),
        (Rollover::Capped(0), [0, 0, 3]),
        (Rollover::None, [0, 0, 3]),
    ] {
        let mut gate = Gate::new();
        let plan = plan(rollover);
        let first = begin(&mut gate, 0, &plan, 1)[0].lot_id;
        gate.hold_credits("a", 1);
        gate.commit("a", None).unwrap();
        // Others' credits are not the plan's.
        let granted = gate.grant("granted", 5, None);
        let second = begin(&mut gate, 1, &plan, 1)[0].lot_id;
        let third = begin(&mut gate, 2, &plan, 1)[0].lot_id;
        assert_eq!([first, second, third].map(|lot| gate.left(lot)), left, "{rollover:?}");
        assert_eq!(gate.left(granted), 5);
        let all: i64 = left.iter().sum();
        assert_eq!(gate.balance(), [all + 5, 0, 1]);
    }
}

#[test]
fn without_rollover_a_periods_credits_end_with_it() {
    let mut gate = Gate::new();
    let plan = plan(Rollover::None);
    let lot = begin(&mut gate, 0, &plan, 1).remove(0);
    assert_eq!(lot.expire_time, Some(month(1)));
    gate.now = month(1);
    gate.run(Action::ApplyDue).unwrap();
    assert_eq!(gate.balance(), [0, 0, 0]);
    // One that comes too late goes with the next command.
    gate.forget();
    gate.now = month(5);
    begin(&mut gate, 3, &plan, 1);
    gate.run(Action::ApplyDue).unwrap();
    assert_eq!(gate.movements(), [(Grant, 3), (LotExpire, 3)]);
}

#[test]
fn a_period_that_comes_after_its_successor_expires_nothing() {
    let mut gate = Gate::new();
    let plan = plan(Rollover::Capped(1));
    for number in [0, 2] {
        begin(&mut gate, number, &plan, 1);
    }
    gate.forget();
    begin(&mut gate, 1, &plan, 1);
    assert_eq!(gate.movements(), [(Grant, 3)]);
}

#[test]
fn held_credits_do_not_roll_over_or_expire() {
    let mut gate = Gate::new();
    let plan = plan(Rollover::Capped(1));
    let first = begin(&mut gate, 0, &plan, 1)[0].lot_id;
    gate.hold_credits("a", 2);
    begin(&mut gate, 1, &plan, 1);
    assert_eq!((gate.left(first), gate.balance()), (1, [4, 2, 0]));
}

#[test]
fn other_subscriptions_and_types_keep_theirs() {
    let mut gate = Gate::new();
    let mut elsewhere = |id: &str, name: &str| -> LotId {
        let (id, name) = (SubscriptionId::new(id).unwrap(), CreditType::new(name).unwrap());
        let operation_id = operation_id(&id, &name, month(0));
        let mut grant = super::support::grant("x", 2, None);
        grant.reason = operation_id.to_string();
        grant.key = (OperationKind::Period, operation_id);
        grant.source = LotSource::Plan;
        grant.credit_type = name;
        match gate.run(Action::Grant(grant)) {
            Ok(creditgate::domain::command::Outcome::Granted { lot, .. }) => lot.lot_id,
            other => panic!("{other:?}"),
        }
    };
    let others = [("other", "scan"), ("sub:scan", "scan"), ("sub", "fix")];
    let others = others.map(|(id, name)| elsewhere(id, name));
    let plan = plan(Rollover::None);
    let first = begin(&mut gate, 0, &plan, 1)[0].lot_id;
    begin(&mut gate, 1, &plan, 1);
    assert_eq!(others.map(|lot| gate.left(lot)), [2, 2, 2]);
    assert_eq!(gate.left(first), 0);
}
