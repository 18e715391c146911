//! Subscriptions through time: started, renewed, changed, cancelled.

use chrono::TimeDelta;
use creditgate::{
    clock::Timestamp,
    domain::{
        catalog::{Catalog, Rollover},
        command::{Action, Outcome, Refusal},
        credit::LotSource,
        entry::EntryKind::{self, Grant, LotExpire},
        provider::{Effect::PaymentCompleted, Transaction},
        subscription::{
            BillingInterval::{self, Month, Year},
            SentSubscription, StartSubscription, Subscription,
            SubscriptionStatus::{self, Active, Canceled, Trialing},
            Trial,
        },
        verdict::BlockReason,
    },
    ids::{PlanName, SubscriptionId},
};

use super::{
    billing_catalog::billing_catalog,
    paddle::{event, transaction},
    support::{Gate, scan},
};

pub(super) fn at(text: &str) -> Timestamp {
    format!("{text}T00:00:00Z").parse().unwrap()
}

pub(super) fn sub(id: &str) -> SubscriptionId {
    SubscriptionId::new(id).unwrap()
}

pub(super) fn asks(plan: &str, interval: BillingInterval) -> SentSubscription {
    SentSubscription { plan: PlanName::new(plan).unwrap(), interval, start_time: None, trial: None }
}

fn starts(id: Option<&str>, sent: SentSubscription) -> Action {
    Action::StartSubscription(StartSubscription { subscription_id: id.map(sub), sent })
}

/// A gate on this day, to an account with nothing. Credits lapse on cancel.
pub(super) fn on(day: &str) -> Gate {
    let mut gate = Gate::new();
    gate.now = at(day);
    gate.catalog.policy.credits_lapse_on_cancel = true;
    gate
}

pub(super) fn start(gate: &mut Gate, id: &str, sent: SentSubscription) -> Subscription {
    match gate.run(starts(Some(id), sent)) {
        Ok(Outcome::Subscribed { subscription, replayed: false, .. }) => subscription,
        other => panic!("{other:?}"),
    }
}

/// What happens by itself until this day.
pub(super) fn until(gate: &mut Gate, day: &str) {
    gate.now = at(day);
    gate.run(Action::ApplyDue).unwrap();
}

fn renew(gate: &mut Gate, start: Option<Timestamp>) -> Result<(Subscription, bool), Refusal> {
    let action = Action::RenewSubscription { subscription_id: None, period_start_time: start };
    match gate.run(action)? {
        Outcome::Subscribed { subscription, replayed, .. } => Ok((subscription, replayed)),
        other => panic!("{other:?}"),
    }
}

pub(super) fn status(gate: &Gate, id: &str) -> SubscriptionStatus {
    gate.state.subscription(&sub(id)).unwrap().status
}

fn rollover(catalog: &mut Catalog, rollover: Rollover) {
    for plan in &mut catalog.plans {
        for allowance in &mut plan.allowances {
            allowance.rollover = rollover;
        }
    }
}

#[test]
fn unused_credits_carry_over_2_of_january_and_3_of_february_are_5() {
    let mut gate = on("2026-01-10");
    start(&mut gate, "s", asks("pro", Month));
    assert_eq!(gate.balance(), [3, 0, 0]);
    gate.hold("a", scan("live_audit"));
    gate.commit("a", None).unwrap();
    until(&mut gate, "2026-02-09");
    assert_eq!(gate.balance(), [2, 0, 1]);
    until(&mut gate, "2026-02-10");
    assert_eq!(gate.balance(), [5, 0, 1]);
}

#[test]
fn a_year_from_31_january_has_twelve_renewals_on_the_months_last_days() {
    let mut gate = on("2027-01-31");
    start(&mut gate, "s", asks("pro", Month));
    let mut begun = Vec::new();
    let mut day = at("2027-01-31");
    while day < at("2028-03-01") {
        day += TimeDelta::days(1);
        let before = gate.balance()[0];
        gate.now = day;
        gate.run(Action::ApplyDue).unwrap();
        match gate.balance()[0] - before {
            0 => {}
            3 => begun.push(day.format("%m-%d").to_string()),
            other => panic!("{other} credits on {day}"),
        }
    }
    assert_eq!(
        begun,
        [
            "02-28", "03-31", "04-30", "05-31", "06-30", "07-31", "08-31", "09-30", "10-31",
            "11-30", "12-31", "01-31", "02-29"
        ]
    );
}

#[test]
fn after_a_down_time_each_missed_period_has_its_own_grant() {
    let grants = |gate: &Gate| gate.movements().iter().filter(|(kind, _)| *kind == Grant).count();
    // The rule, the balance after three missed renewals, and what expired.
    for (rule, left, expired) in [
        (Rollover::Unlimited, 12, vec![]),
        (Rollover::Capped(4), 7, vec![(LotExpire, 2), (LotExpire, 3)]),
        (Rollover::Capped(0), 3, vec![(LotExpire, 3); 3]),
        (Rollover::None, 3, vec![(LotExpire, 3); 3]),
    ] {
        let mut gate = on("2026-01-31");
        rollover(&mut gate.catalog, rule);
        start(&mut gate, "s", asks("pro", Month));
        until(&mut gate, "2026-05-01");
        assert_eq!(grants(&gate), 4, "{rule:?}");
        assert_eq!(gate.balance()[0], left, "{rule:?}");
        let movements: Vec<(EntryKind, i64)> =
            gate.movements().into_iter().filter(|(kind, _)| *kind == LotExpire).collect();
        assert_eq!(movements, expired, "{rule:?}");
        let period = gate.state.subscription(&sub("s")).unwrap();
        assert_eq!(period.period_start_time, at("2026-04-30"));
        assert_eq!(period.period_end_time, at("2026-05-31"));
    }
}

#[test]
fn a_cap_keeps_the_youngest_and_spares_what_was_bought_or_belongs_to_others() {
    let mut gate = on("2026-01-01");
    rollover(&mut gate.catalog, Rollover::Capped(2));
    let bought = gate.grant("bought", 10, None);
    start(&mut gate, "s", asks("pro", Month));
    start(&mut gate, "other", asks("small", Year));
    gate.forget();
    until(&mut gate, "2026-02-01");
    assert_eq!(gate.movements(), [(LotExpire, 1), (Grant, 3)]);
    assert_eq!(gate.left(bought), 10);
    assert_eq!(gate.balance()[0], 10 + 36 + 2 + 3);
}

#[test]
fn without_rollover_the_allowance_burns_before_what_was_bought() {
    let mut gate = on("2026-01-01");
    rollover(&mut gate.catalog, Rollover::None);
    let bought = gate.grant("bought", 1, None);
    start(&mut gate, "s", asks("pro", Month));
    gate.hold_credits("a", 3);
    assert_eq!(gate.left(bought), 1);
    until(&mut gate, "2026-02-01");
    assert_eq!(gate.balance(), [4, 3, 0]);
}

#[test]
fn a_yearly_one_brings_twelve_months_at_once_unless_the_catalog_says_otherwise() {
    for (per_year, credits) in [(None, 36), (Some(40), 40), (Some(0), 0)] {
        let mut gate = on("2024-02-29");
        gate.catalog.plans[0].allowances[0].credits_per_year = per_year;
        let made = start(&mut gate, "s", asks("pro", Year));
        assert_eq!(made.period_end_time, at("2025-02-28"));
        assert_eq!(gate.balance(), [credits, 0, 0]);
        until(&mut gate, "2025-02-27");
        assert_eq!(gate.balance(), [credits, 0, 0]);
        until(&mut gate, "2025-02-28");
        assert_eq!(gate.balance(), [2 * credits, 0, 0]);
    }
}

#[test]
fn the_same_start_again_is_replayed_and_another_one_refused() {
    let mut gate = on("2026-01-10");
    let made = start(&mut gate, "s", asks("pro", Month));
    gate.now += TimeDelta::days(400);
    match gate.run(starts(Some("s"), asks("pro", Month))) {
        Ok(Outcome::Subscribed { subscription, replayed: true, .. }) => {
            assert_eq!(subscription.anchor_time, made.anchor_time);
        }
        other => panic!("{other:?}"),
    }
    let trial = Some(Trial { end_time: at("2027-03-01"), credits: 1 });
    for (sent, field) in [
        (asks("small", Month), "plan"),
        (asks("pro", Year), "interval"),
        (SentSubscription { start_time: Some(at("2026-01-10")), ..asks("pro", Month) }, "start"),
        (SentSubscription { trial, ..asks("pro", Month) }, "trial"),
    ] {
        let refused = Err(Refusal::SubscriptionIdReused { subscription_id: sub("s"), field });
        assert_eq!(gate.run(starts(Some("s"), sent)), refused);
    }
    // Without an id, a live one to the same plan and interval is meant.
    match gate.run(starts(None, asks("pro", Month))) {
        Ok(Outcome::Subscribed { subscription, replayed: true, .. }) => {
            assert_eq!(subscription.subscription_id, sub("s"));
        }
        other => panic!("{other:?}"),
    }
    match gate.run(starts(None, asks("pro", Year))) {
        Ok(Outcome::Subscribed { subscription, replayed: false, .. }) => {
            assert!(subscription.subscription_id.as_str().starts_with("sub_"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_start_that_makes_no_sense_is_refused_and_moves_nothing() {
    let day = |text: &str| Some(at(text));
    let trial = |end: &str, credits| Some(Trial { end_time: at(end), credits });
    let asked = |start_time, trial| SentSubscription { start_time, trial, ..asks("pro", Month) };
    for (sent, refusal) in [
        (asks("gone", Month), Refusal::PlanUnknown { name: "gone".to_owned() }),
        (asked(day("2026-03-16"), None), Refusal::StartInFuture),
        (asked(day("2026-02-15"), None), Refusal::StartTooEarly),
        (asked(None, trial("2026-03-15", 1)), Refusal::TrialEndInvalid),
        (asked(day("2026-01-01"), trial("2026-02-01", 1)), Refusal::TrialEndInvalid),
    ] {
        let mut gate = on("2026-03-15");
        assert_eq!(gate.run(starts(Some("s"), sent)), Err(refusal));
        assert_eq!(gate.movements(), []);
        assert_eq!(gate.state.subscriptions, []);
    }
    let mut gate = on("2026-03-15");
    gate.catalog.plans[0].allowances.clear();
    let refused = gate.run(starts(Some("s"), asked(None, trial("2026-04-01", 1))));
    assert!(matches!(refused, Err(Refusal::TrialWithoutCredits { .. })), "{refused:?}");
    // One that began within its first period keeps its day.
    let mut gate = on("2026-03-15");
    let made = start(&mut gate, "s", asked(day("2026-02-16"), None));
    assert_eq!(made.period_end_time, at("2026-03-16"));
}

#[test]
fn a_trial_ends_with_its_credits_unless_it_is_paid_before() {
    let trial = Some(Trial { end_time: at("2026-01-15"), credits: 2 });
    let sent = SentSubscription { trial, ..asks("pro", Month) };
    let mut gate = on("2026-01-01");
    assert_eq!(start(&mut gate, "s", sent.clone()).status, Trialing);
    assert_eq!(gate.balance(), [2, 0, 0]);
    assert_eq!(gate.state.lots.values().next().unwrap().source, LotSource::Trial);
    until(&mut gate, "2026-01-15");
    assert_eq!((gate.balance(), status(&gate, "s")), ([0, 0, 0], Canceled));
    assert!(renew(&mut gate, None).is_err(), "it has ended");

    let mut gate = on("2026-01-01");
    start(&mut gate, "s", sent);
    gate.now = at("2026-01-10");
    let (paid, replayed) = renew(&mut gate, None).unwrap();
    assert_eq!((paid.status, replayed), (Active, false));
    assert_eq!(paid.period_end_time, at("2026-02-10"));
    assert_eq!(gate.balance(), [5, 0, 0]);
    // Again: the period has begun.
    assert!(renew(&mut gate, None).unwrap().1);
    assert!(renew(&mut gate, Some(at("2026-01-10"))).unwrap().1);
    until(&mut gate, "2026-01-15");
    assert_eq!((gate.balance(), status(&gate, "s")), ([3, 0, 0], Active));
}

#[test]
fn a_renewal_is_once_a_period_however_often_it_is_asked_for() {
    let mut gate = on("2026-01-31");
    start(&mut gate, "s", asks("pro", Month));
    gate.now = at("2026-03-30");
    for time in ["2026-01-31", "2026-02-28"] {
        let (subscription, replayed) = renew(&mut gate, Some(at(time))).unwrap();
        assert!(replayed, "{time}");
        assert_eq!(subscription.period_start_time, at("2026-02-28"));
    }
    assert!(renew(&mut gate, None).unwrap().1);
    let due = at("2026-03-31");
    assert_eq!(renew(&mut gate, Some(due)), Err(Refusal::PeriodNotDue { due }));
    for time in ["2026-01-30", "2026-03-01", "2026-04-30"] {
        let refused = renew(&mut gate, Some(at(time)));
        assert_eq!(refused, Err(Refusal::PeriodUnknown { next: due }), "{time}");
    }
    assert_eq!(gate.balance(), [6, 0, 0]);
}

#[test]
fn a_change_of_plan_brings_the_rules_at_once_and_the_allowance_from_the_next_period() {
    let mut gate = on("2026-01-10");
    gate.catalog.plans[0].allowances[0].credits = 10;
    start(&mut gate, "s", asks("small", Month));
    assert_eq!(gate.block(scan("deep_audit")).reason, BlockReason::PlanExcludes);
    let plan = PlanName::new("pro").unwrap();
    let change = Action::ChangePlan { subscription_id: None, plan: plan.clone() };
    match gate.run(change) {
        Ok(Outcome::SubscriptionChanged { subscription }) => assert_eq!(subscription.plan, plan),
        other => panic!("{other:?}"),
    }
    assert_eq!(gate.balance(), [3, 0, 0]);
    gate.hold("a", scan("deep_audit"));
    gate.commit("a", Some(1)).unwrap();
    until(&mut gate, "2026-02-10");
    assert_eq!(gate.balance(), [12, 0, 1], "2 of the old allowance, 10 of the new");
}

#[test]
fn which_subscription_is_meant_must_be_clear() {
    let mut gate = on("2026-01-10");
    let resume = |id: Option<&str>| Action::ResumeSubscription { subscription_id: id.map(sub) };
    let none = Err(Refusal::SubscriptionNotFound { subscription_id: None });
    assert_eq!(gate.run(resume(None)), none);
    let unknown = Err(Refusal::SubscriptionNotFound { subscription_id: Some(sub("x")) });
    assert_eq!(gate.run(resume(Some("x"))), unknown);
    start(&mut gate, "s", asks("pro", Month));
    start(&mut gate, "t", asks("small", Month));
    assert_eq!(gate.run(resume(None)), Err(Refusal::SubscriptionAmbiguous { count: 2 }));
    gate.state.subscriptions[0].provider = "paddle".to_owned();
    let refused = gate.run(resume(Some("s")));
    assert!(matches!(refused, Err(Refusal::ProviderManaged { .. })), "{refused:?}");
}

#[test]
fn one_that_was_taken_over_grants_nothing_until_its_next_period() {
    let mut gate = on("2026-01-10");
    let imported = Subscription {
        period_start_time: at("2025-12-31"),
        period_end_time: at("2026-01-31"),
        anchor_time: at("2025-10-31"),
        sent: None,
        ..start(&mut on("2026-01-01"), "s", asks("pro", Month))
    };
    let import = Action::ImportSubscription(Box::new(imported.clone()));
    for replayed in [false, true] {
        match gate.run(import.clone()) {
            Ok(Outcome::Subscribed { replayed: said, .. }) => assert_eq!(said, replayed),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(gate.balance(), [0, 0, 0]);
    until(&mut gate, "2026-02-28");
    assert_eq!(gate.balance(), [6, 0, 0]);
    let other = Subscription { anchor_time: at("2025-10-30"), ..imported };
    let refused = gate.run(Action::ImportSubscription(Box::new(other)));
    assert!(matches!(refused, Err(Refusal::SubscriptionIdReused { .. })), "{refused:?}");
}

/// A provider's payment is believed before its subscription is known, so one of the
/// same id may be taken over, or started, for periods that were paid there.
#[test]
fn a_period_that_was_paid_at_a_provider_is_not_granted_again() {
    let from = at("2026-02-01");
    let paid = |gate: &mut Gate| {
        gate.catalog = billing_catalog(0);
        let lines = transaction("txn", &[("i", "pri_monitor", 1, 100)]);
        let paid = Transaction {
            subscription_id: Some(sub("s")),
            period: Some((from, at("2026-03-01"))),
            ..lines
        };
        gate.run(event("e", 1, PaymentCompleted(paid))).unwrap();
        assert_eq!(gate.balance(), [3, 0, 0]);
    };
    let mut gate = on("2026-01-10");
    let sent = SentSubscription { start_time: Some(at("2026-01-01")), ..asks("monitor", Month) };
    let imported = start(&mut on("2026-01-10"), "s", sent.clone());
    paid(&mut gate);
    gate.run(Action::ImportSubscription(Box::new(imported))).unwrap();
    until(&mut gate, "2026-02-01");
    assert_eq!((gate.balance(), gate.state.subscriptions[0].period_start_time), ([3, 0, 0], from));
    until(&mut gate, "2026-04-01");
    assert_eq!(gate.balance(), [9, 0, 0]);

    let mut gate = on("2026-02-10");
    paid(&mut gate);
    start(&mut gate, "s", SentSubscription { start_time: Some(from), ..sent });
    assert_eq!(gate.balance(), [3, 0, 0]);
}
