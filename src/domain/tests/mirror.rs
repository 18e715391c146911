//! A provider's subscriptions: as it last said they stand, and never more.

use chrono::TimeDelta;
use creditgate::{
    domain::{
        command::{Action, Outcome, Refusal},
        entry::EntryKind::LotExpire,
        provider::{Effect::SubscriptionChanged, ProviderSubscription},
        subscription::{
            BillingInterval, Subscription,
            SubscriptionStatus::{self, Active, Canceled, PastDue, Paused, Trialing},
        },
    },
    ids::SubscriptionId,
};

use super::{
    billing_catalog::{PADDLE, billing_catalog},
    paddle::{event, hour, subscription},
    support::Gate,
};

fn shop() -> Gate {
    let mut gate = Gate::new();
    gate.catalog = billing_catalog(0);
    gate
}

/// Reports how a subscription stands at this hour.
fn report(gate: &mut Gate, hours: i64, reported: &ProviderSubscription) -> Result<bool, Refusal> {
    let id = format!("evt_{hours}_{}", gate.state.applied_events.len());
    let before = gate.state.account.subscriptions;
    match gate.run(event(&id, hours, SubscriptionChanged(reported.clone())))? {
        Outcome::EventApplied { replayed: false } => {
            Ok(gate.state.account.subscriptions == before + 1)
        }
        other => panic!("{other:?}"),
    }
}

fn known(gate: &Gate) -> &Subscription {
    gate.state.subscription(&SubscriptionId::new("sub_A").unwrap()).unwrap()
}

fn pro(status: SubscriptionStatus) -> ProviderSubscription {
    subscription("sub_A", "pri_pro", status, Some((0, 10)))
}

#[test]
fn a_new_subscription_is_kept_as_it_is_told_and_grants_nothing() {
    let mut gate = shop();
    gate.wait(TimeDelta::hours(3));
    let mut told = subscription("sub_A", "pri_pro_year", Active, Some((2, 10)));
    told.price_ids =
        ["pri_gone", "pri_scan", "pri_pro_year", "pri_small"].map(str::to_owned).to_vec();
    told.started_at = Some(hour(1));
    told.cancel_at_period_end = true;
    assert_eq!(report(&mut gate, 2, &told), Ok(true));
    let kept = Subscription {
        subscription_id: told.subscription_id.clone(),
        plan: gate.catalog.plans[0].name.clone(),
        status: Active,
        interval: BillingInterval::Year,
        provider: PADDLE.to_owned(),
        period_start_time: hour(2),
        period_end_time: hour(10),
        cancel_at_period_end: true,
        anchor_time: hour(1),
        create_time: hour(3),
        end_time: None,
        sent: None,
        provider_time: Some(hour(2)),
    };
    assert_eq!(known(&gate), &kept);
    assert_eq!(gate.movements(), []);

    let mut gate = shop();
    report(&mut gate, 0, &pro(Active)).unwrap();
    assert_eq!(known(&gate).anchor_time, hour(0), "its period's beginning, where that is all");
    assert_eq!(known(&gate).interval, BillingInterval::Month);
}

#[test]
fn the_report_of_the_later_happening_holds() {
    let reports = [
        (1, subscription("sub_A", "pri_pro", Active, Some((0, 10)))),
        (2, subscription("sub_A", "pri_small", PastDue, Some((10, 20)))),
        (3, subscription("sub_A", "pri_monitor", Active, Some((10, 20)))),
    ];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        let mut gate = shop();
        let mut latest = 0;
        for index in order {
            let (hours, reported) = &reports[index];
            let news = *hours > latest;
            latest = latest.max(*hours);
            assert_eq!(report(&mut gate, *hours, reported), Ok(news), "{order:?}");
            assert_eq!(report(&mut gate, *hours, reported), Ok(false));
        }
        let kept = known(&gate);
        assert_eq!((kept.plan.as_str(), kept.status), ("monitor", Active));
        assert_eq!((kept.period_start_time, kept.provider_time), (hour(10), Some(hour(3))));
    }
}

#[test]
fn what_is_not_told_is_kept() {
    let mut gate = shop();
    report(&mut gate, 0, &pro(Active)).unwrap();
    let mut paused = subscription("sub_A", "pri_small", Paused, None);
    assert_eq!(report(&mut gate, 1, &paused), Ok(true));
    assert_eq!((known(&gate).period_start_time, known(&gate).period_end_time), (hour(0), hour(10)));
    paused.price_ids.clear();
    paused.period = Some((hour(30), hour(30)));
    report(&mut gate, 2, &paused).unwrap();
    assert_eq!((known(&gate).plan.as_str(), known(&gate).period_end_time), ("small", hour(10)));
}

#[test]
fn what_cannot_be_mirrored_is_refused() {
    let price_id = || "pri_gone".to_owned();
    let gone = |status| subscription("sub_A", "pri_gone", status, Some((0, 10)));
    let mut gate = shop();
    for status in [Active, Canceled] {
        let refusal = Refusal::PriceUnknown { price_id: price_id() };
        assert_eq!(report(&mut gate, 0, &gone(status)), Err(refusal));
    }
    let not_understood = [
        subscription("sub_A", "pri_pro", Active, None),
        subscription("sub_A", "pri_pro", Trialing, None),
        ProviderSubscription { price_ids: vec![], ..pro(Active) },
    ];
    for reported in not_understood {
        let refusal = report(&mut gate, 0, &reported).unwrap_err();
        assert!(matches!(refusal, Refusal::ReportNotUnderstood { .. }), "{reported:?}");
    }
    assert!(gate.state.subscriptions.is_empty() && gate.state.applied_events.is_empty());

    // A known one may end without a price, not change to one that is unknown.
    report(&mut gate, 0, &pro(Active)).unwrap();
    let refusal = Refusal::PriceUnknown { price_id: price_id() };
    assert_eq!(report(&mut gate, 1, &gone(Active)), Err(refusal));
    assert_eq!(report(&mut gate, 1, &gone(Canceled)), Ok(true));
    assert_eq!((known(&gate).plan.as_str(), known(&gate).status), ("pro", Canceled));

    // What this service keeps is not the provider's to change.
    let mut gate = shop();
    gate.subscribe("sub_A", "pro", Active);
    let refusal = report(&mut gate, 1, &pro(Canceled)).unwrap_err();
    assert!(matches!(refusal, Refusal::ReportNotUnderstood { .. }));
    assert_eq!(known(&gate).status, Active);
}

#[test]
fn one_that_is_first_heard_of_when_it_rests_has_the_time_that_it_has_been_there() {
    for (status, started, ended, expected) in [
        (Paused, Some(1), None, (hour(1), hour(5))),
        (PastDue, None, None, (hour(5), hour(5) + TimeDelta::microseconds(1))),
        (Canceled, Some(1), Some(3), (hour(1), hour(3))),
        (Canceled, None, None, (hour(5), hour(5) + TimeDelta::microseconds(1))),
    ] {
        let mut told = subscription("sub_A", "pri_pro", status, None);
        told.started_at = started.map(hour);
        told.canceled_at = ended.map(hour);
        let mut gate = shop();
        gate.wait(TimeDelta::hours(6));
        report(&mut gate, 5, &told).unwrap();
        assert_eq!((known(&gate).period_start_time, known(&gate).period_end_time), expected);
        let end = (status == Canceled).then(|| ended.map_or(gate.now, hour));
        assert_eq!(known(&gate).end_time, end);
    }
}

/// When it ended, by the provider and by the clock here.
#[test]
fn it_ends_once_and_not_in_the_future() {
    for (canceled_at, now, expected) in [(None, 5, 5), (Some(3), 5, 3), (Some(7), 5, 5)] {
        let mut gate = shop();
        report(&mut gate, 0, &pro(Active)).unwrap();
        gate.now = hour(now);
        let mut ended = pro(Canceled);
        ended.canceled_at = canceled_at.map(hour);
        report(&mut gate, 4, &ended).unwrap();
        assert_eq!(known(&gate).end_time, Some(hour(expected)));
        gate.wait(TimeDelta::hours(9));
        report(&mut gate, 6, &ended).unwrap();
        assert_eq!(known(&gate).end_time, Some(hour(expected)));
        report(&mut gate, 7, &pro(Active)).unwrap();
        assert_eq!((known(&gate).end_time, known(&gate).is_live()), (None, true));
    }
}

#[test]
fn credits_lapse_with_the_last_one_once() {
    for (lapses, others, left) in [(true, false, 0), (true, true, 5), (false, false, 5)] {
        for known_before in [true, false] {
            let mut gate = shop();
            gate.catalog.policy.credits_lapse_on_cancel = lapses;
            gate.grant("g", 5, None);
            if others {
                gate.subscribe("other", "pro", Active);
            }
            if known_before {
                report(&mut gate, 0, &pro(Active)).unwrap();
            }
            gate.wait(TimeDelta::hours(1));
            report(&mut gate, 1, &pro(Canceled)).unwrap();
            assert_eq!(gate.balance(), [left, 0, 0]);
            assert_eq!(gate.state.account.lapse_time.is_some(), left == 0);
            // What comes later stays, though the end is told again.
            gate.grant("later", 2, None);
            gate.wait(TimeDelta::hours(1));
            report(&mut gate, 2, &pro(Canceled)).unwrap();
            gate.run(Action::ApplyDue).unwrap();
            assert_eq!(gate.balance(), [left + 2, 0, 0]);
            let lapsed = gate.movements().iter().filter(|(kind, _)| *kind == LotExpire).count();
            assert_eq!(lapsed, usize::from(left == 0));
        }
    }
}

#[test]
fn what_was_held_when_all_lapsed_has_lapsed_as_well() {
    let mut gate = shop();
    gate.catalog.policy.credits_lapse_on_cancel = true;
    gate.grant("g", 5, None);
    gate.hold_credits("a", 2);
    report(&mut gate, 0, &pro(Active)).unwrap();
    report(&mut gate, 1, &pro(Canceled)).unwrap();
    // Bought in the same microsecond, and so after the lapse.
    let later = gate.grant("later", 4, None);
    gate.release("a", creditgate::domain::reservation::ReleaseCause::CanceledBeforeStart).unwrap();
    assert_eq!((gate.balance(), gate.left(later)), ([4, 0, 0], 4));
    // A second lapse at that moment takes it too.
    report(&mut gate, 2, &pro(Active)).unwrap();
    gate.hold_credits("b", 1);
    report(&mut gate, 3, &pro(Canceled)).unwrap();
    gate.release("b", creditgate::domain::reservation::ReleaseCause::CanceledBeforeStart).unwrap();
    assert_eq!(gate.balance(), [0, 0, 0]);
}

#[test]
fn a_trial_at_the_provider_ends_when_the_provider_says_so() {
    for (then, left) in [(Active, 5), (Canceled, 0)] {
        let mut gate = shop();
        gate.catalog.policy.credits_lapse_on_cancel = true;
        gate.grant("g", 5, None);
        report(&mut gate, 0, &pro(Trialing)).unwrap();
        gate.now = hour(10);
        gate.run(Action::ApplyDue).unwrap();
        assert_eq!((known(&gate).status, gate.balance()), (Trialing, [5, 0, 0]));
        gate.wait(TimeDelta::seconds(2));
        report(&mut gate, 10, &ProviderSubscription { period: None, ..pro(then) }).unwrap();
        assert_eq!((known(&gate).status, gate.balance()), (then, [left, 0, 0]));
    }
}

#[test]
fn one_that_is_cancelled_at_the_provider_ends_with_its_period_here() {
    let mut gate = shop();
    report(&mut gate, 0, &ProviderSubscription { cancel_at_period_end: true, ..pro(Active) })
        .unwrap();
    gate.now = hour(12);
    gate.run(Action::ApplyDue).unwrap();
    assert_eq!((known(&gate).status, known(&gate).end_time), (Canceled, Some(hour(10))));
    // The provider's word for it changes nothing any more.
    report(&mut gate, 11, &ProviderSubscription { canceled_at: Some(hour(11)), ..pro(Canceled) })
        .unwrap();
    assert_eq!(known(&gate).end_time, Some(hour(10)));
}

#[test]
fn one_that_should_have_ended_when_it_is_reported_has_ended() {
    let mut gate = shop();
    gate.now = hour(12);
    let ending = ProviderSubscription { cancel_at_period_end: true, ..pro(Active) };
    report(&mut gate, 9, &ending).unwrap();
    assert_eq!((known(&gate).status, known(&gate).end_time), (Canceled, Some(hour(10))));
}
