//! What a provider's payments bring: by price and quantity, once, in any order.

use chrono::TimeDelta;
use creditgate::{
    domain::{
        command::{Action, OperationKind, Outcome, Refusal},
        credit::{LotSource, MAX_CREDITS},
        entry::EntryKind::{Grant, LotExpire},
        payment::{BeginTopUp, TopUp, TopUpStatus},
        provider::{
            Effect::{PaymentCanceled, PaymentCompleted, PaymentPending, SubscriptionChanged},
            Origin, Transaction,
        },
        subscription::SubscriptionStatus,
    },
    ids::{CreditType, OperationId},
};

use super::{
    billing_catalog::{PADDLE, billing_catalog},
    paddle::{event, for_period, for_top_up, hour, subscription, transaction},
    support::{Gate, operation, scan_credits},
};

pub(super) fn shop() -> Gate {
    let mut gate = Gate::new();
    gate.catalog = billing_catalog(0);
    gate
}

pub(super) fn begin(gate: &mut Gate, id: &str, credit_type: &str, provider: &str, reference: &str) {
    let request = BeginTopUp {
        top_up_id: OperationId::new(id).unwrap(),
        credit_type: CreditType::new(credit_type).unwrap(),
        credits: 5,
        provider: provider.to_owned(),
        provider_reference: reference.to_owned(),
    };
    assert!(gate.run(Action::BeginTopUp(request)).is_ok());
}

/// Applies a report for the first time.
pub(super) fn apply(gate: &mut Gate, action: Action) {
    assert_eq!(gate.run(action), Ok(Outcome::EventApplied { replayed: false }));
}

fn refused(gate: &mut Gate, action: Action) -> Refusal {
    let before = gate.state.clone();
    let refusal = gate.run(action).unwrap_err();
    gate.state.looked_up.clone_from(&before.looked_up);
    gate.state.pending_payments.clone_from(&before.pending_payments);
    assert_eq!(gate.state, before, "a refusal leaves nothing behind");
    refusal
}

pub(super) fn top_up<'g>(gate: &'g Gate, id: &str) -> Option<&'g TopUp> {
    gate.state.top_ups.get(&OperationId::new(id).unwrap())
}

fn status(gate: &Gate, id: &str) -> Option<TopUpStatus> {
    top_up(gate, id).map(|top_up| top_up.status)
}

pub(super) fn of(gate: &Gate, credit_type: &str) -> i64 {
    gate.state.balance(&CreditType::new(credit_type).unwrap()).available
}

fn five_for(top_up_id: &str) -> Transaction {
    for_top_up(top_up_id, transaction("txn_A", &[("i", "pri_scan5", 1, 9_800)]))
}

#[test]
fn a_completed_payment_grants_what_was_opened_for_it_once() {
    let mut gate = shop();
    begin(&mut gate, "t", "scan", PADDLE, "");
    apply(&mut gate, event("e1", 1, PaymentCompleted(five_for("t"))));
    let paid = top_up(&gate, "t").unwrap().clone();
    assert_eq!((paid.status, paid.provider_reference.as_str()), (TopUpStatus::Confirmed, "txn_A"));
    assert_eq!((paid.price_minor, paid.settle_time), (14_500, Some(gate.now)));
    let key = operation(OperationKind::TopUp, "t");
    let lot = &gate.state.lots[&gate.state.operations[&key].lot_id.unwrap()];
    assert_eq!((lot.source, lot.reference.as_str(), lot.credits), (LotSource::TopUp, "t", 5));
    let [purchase] = &gate.state.purchases[..] else { panic!("{:?}", gate.state.purchases) };
    assert_eq!((&purchase.key, purchase.lot_id, purchase.credits), (&key, lot.lot_id, 5));
    assert_eq!((purchase.paid_minor, purchase.reversed_credits), (9_800, 0));
    assert_eq!(status(&gate, "txn_A:i"), None);

    // The same report, and the same payment in another one.
    let again = gate.run(event("e1", 1, PaymentCompleted(five_for("t"))));
    assert_eq!(again, Ok(Outcome::EventApplied { replayed: true }));
    apply(&mut gate, event("e2", 2, PaymentCompleted(five_for("t"))));
    apply(&mut gate, event("e3", 3, PaymentPending(five_for("t"))));
    apply(&mut gate, event("e4", 4, PaymentCanceled(five_for("t"))));
    assert_eq!(gate.movements(), [(Grant, 5)]);
    assert_eq!(top_up(&gate, "t"), Some(&paid));
}

#[test]
fn credits_come_from_price_and_quantity_and_not_from_the_wish() {
    for (lines, scan, fix) in [
        (&[("i", "pri_scan", 1, 2_900)][..], 1, 0),
        (&[("i", "pri_scan5", 3, 1)], 15, 0),
        (&[("i", "pri_pro_scan3", 2, 1)], 6, 0),
        (&[("i", "pri_scan", 1, 1), ("j", "pri_fix10", 2, 0)], 1, 20),
        (&[("i", "pri_scan", 2, 1), ("j", "pri_scan5", 1, 1)], 7, 0),
    ] {
        let mut gate = shop();
        begin(&mut gate, "t", "scan", PADDLE, "");
        let paid = for_top_up("t", transaction("txn_A", lines));
        apply(&mut gate, event("e", 1, PaymentCompleted(paid)));
        assert_eq!([of(&gate, "scan"), of(&gate, "fix")], [scan, fix]);
        // The first line of its type is the opened purchase's.
        assert_eq!(status(&gate, "t"), Some(TopUpStatus::Confirmed));
        assert_eq!(status(&gate, "txn_A:i"), None);
        let second = (lines.len() > 1).then_some(TopUpStatus::Confirmed);
        assert_eq!(status(&gate, "txn_A:j"), second);
        assert_eq!(gate.state.purchases.len(), lines.len());
    }
}

/// Who is believed to be what a payment is for.
#[test]
fn a_claimed_purchase_is_believed_where_it_can_be() {
    let nothing = |_: &mut Gate| {};
    type Before = fn(&mut Gate);
    let rows: [(Before, bool); 7] = [
        (nothing, false),
        (|gate| begin(gate, "t", "scan", PADDLE, ""), true),
        (|gate| begin(gate, "t", "scan", PADDLE, "txn_A"), true),
        (|gate| begin(gate, "t", "scan", PADDLE, "txn_B"), false),
        (|gate| begin(gate, "t", "scan", "other", ""), false),
        (|gate| begin(gate, "t", "scan", "manual", ""), false),
        (|gate| begin(gate, "t", "fix", PADDLE, ""), false),
    ];
    for (index, (before, believed)) in rows.into_iter().enumerate() {
        let mut gate = shop();
        before(&mut gate);
        let untouched = top_up(&gate, "t").cloned();
        apply(&mut gate, event("e", 1, PaymentCompleted(five_for("t"))));
        let (own, opened) = (status(&gate, "txn_A:i"), status(&gate, "t"));
        if believed {
            assert_eq!((own, opened), (None, Some(TopUpStatus::Confirmed)), "row {index}");
        } else {
            assert_eq!(own, Some(TopUpStatus::Confirmed), "row {index}");
            assert_eq!(top_up(&gate, "t"), untouched.as_ref(), "row {index}");
        }
        assert_eq!(gate.balance(), [5, 0, 0], "paid is granted, whoever claims it");
    }
}

#[test]
fn a_payment_that_nobody_opened_has_a_purchase_of_its_own() {
    let mut gate = shop();
    let two = || transaction("txn_A", &[("i", "pri_scan5", 2, 9_800), ("j", "pri_fix10", 1, 50)]);
    apply(&mut gate, event("e1", 1, PaymentPending(two())));
    let own = top_up(&gate, "txn_A:i").unwrap().clone();
    assert_eq!((own.status, own.credits, own.price_minor), (TopUpStatus::Pending, 10, 9_800));
    assert_eq!((own.provider.as_str(), own.provider_reference.as_str()), (PADDLE, "txn_A"));
    assert_eq!(own.expire_time, gate.now + TimeDelta::hours(24));
    assert_eq!(top_up(&gate, "txn_A:j").map(|own| own.credits), Some(10));
    assert_eq!(gate.movements(), []);
    // Whoever later claims it by the id that it made for itself claims that line.
    gate.wait(TimeDelta::hours(1));
    let claimed = for_top_up("txn_A:j", two());
    apply(&mut gate, event("e2", 2, PaymentCompleted(claimed)));
    let paid = top_up(&gate, "txn_A:i").unwrap();
    assert_eq!((paid.status, paid.create_time), (TopUpStatus::Confirmed, own.create_time));
    assert_eq!([of(&gate, "scan"), of(&gate, "fix")], [10, 10]);
}

#[test]
fn a_line_gives_way_to_the_purchase_that_turns_out_to_be_opened_for_it() {
    let mut gate = shop();
    let unclaimed = Transaction { top_up_id: None, ..five_for("t") };
    apply(&mut gate, event("e1", 1, PaymentPending(unclaimed)));
    begin(&mut gate, "t", "scan", PADDLE, "txn_A");
    apply(&mut gate, event("e2", 2, PaymentCompleted(five_for("t"))));
    let own = top_up(&gate, "txn_A:i").unwrap();
    assert_eq!((own.status, own.reason.as_str()), (TopUpStatus::Failed, "paid as t"));
    assert_eq!((status(&gate, "t"), gate.balance()), (Some(TopUpStatus::Confirmed), [5, 0, 0]));
}

/// What happens to a purchase, and where it then stands.
#[test]
fn each_report_of_a_payment_in_each_state() {
    type Step = fn(&mut Gate);
    let expire: Step = |gate| {
        gate.wait(TimeDelta::hours(24));
        gate.run(Action::ExpireTopUp { top_up_id: OperationId::new("t").unwrap() }).unwrap();
    };
    let fail: Step = |gate| {
        let top_up_id = OperationId::new("t").unwrap();
        gate.run(Action::FailTopUp { top_up_id, reason: "no".to_owned() }).unwrap();
    };
    let pending: Step = |gate| apply(gate, event("p", 1, PaymentPending(five_for("t"))));
    let canceled: Step = |gate| apply(gate, event("c", 1, PaymentCanceled(five_for("t"))));
    let completed: Step = |gate| apply(gate, event("x", 1, PaymentCompleted(five_for("t"))));
    use TopUpStatus::{Confirmed, Failed, Pending};
    let rows: [(&[Step], TopUpStatus, &str); 13] = [
        (&[pending], Pending, ""),
        (&[expire, pending], Pending, ""),
        (&[fail, pending], Pending, ""),
        (&[canceled], Failed, "canceled by the provider"),
        (&[pending, canceled], Failed, "canceled by the provider"),
        (&[expire, canceled], Failed, "canceled by the provider"),
        (&[fail, canceled], Failed, "canceled by the provider"),
        // That it was awaited before it was canceled may be said after that.
        (&[canceled, pending], Failed, "canceled by the provider"),
        (&[fail, canceled, pending], Failed, "canceled by the provider"),
        (&[expire, completed], Confirmed, ""),
        (&[fail, completed], Confirmed, ""),
        (&[canceled, pending, completed], Confirmed, ""),
        (&[completed, canceled, pending], Confirmed, ""),
    ];
    for (index, (steps, status, reason)) in rows.into_iter().enumerate() {
        let mut gate = shop();
        begin(&mut gate, "t", "scan", PADDLE, "");
        for step in steps {
            step(&mut gate);
        }
        let top_up = top_up(&gate, "t").unwrap();
        assert_eq!((top_up.status, top_up.reason.as_str()), (status, reason), "row {index}");
        assert_eq!(top_up.settle_time.is_none(), status == Pending, "row {index}");
        if status == Pending {
            assert!(top_up.expire_time >= gate.now + TimeDelta::hours(23), "row {index}");
            assert_eq!(top_up.provider_reference, "txn_A");
        }
        assert_eq!(gate.balance()[0], if status == Confirmed { 5 } else { 0 });
    }
}

#[test]
fn a_payment_that_failed_and_was_canceled_has_failed_in_any_order() {
    let paid = || transaction("txn_A", &[("i", "pri_scan5", 1, 9_800)]);
    let failed = event("f", 1, PaymentPending(paid()));
    let canceled = event("c", 2, PaymentCanceled(paid()));
    for reports in [[failed.clone(), canceled.clone()], [canceled, failed]] {
        let mut gate = shop();
        reports.into_iter().for_each(|report| apply(&mut gate, report));
        assert_eq!(status(&gate, "txn_A:i"), Some(TopUpStatus::Failed));
        apply(&mut gate, event("x", 3, PaymentCompleted(paid())));
        assert_eq!(status(&gate, "txn_A:i"), Some(TopUpStatus::Confirmed));
    }
}

#[test]
fn a_payment_of_nothing_or_in_the_middle_of_a_period_brings_nothing() {
    type Change = fn(&mut Transaction);
    let rows: [(Change, [i64; 2]); 6] = [
        (|t| t.origin = Origin::Web, [8, 2]),
        (|t| t.origin = Origin::Api, [8, 2]),
        (|t| t.origin = Origin::SubscriptionRecurring, [8, 2]),
        // What is sold once, and no period of the plan.
        (|t| t.origin = Origin::SubscriptionCharge, [5, 0]),
        (|t| t.origin = Origin::Other, [0, 0]),
        (|t| t.total_minor = 0, [0, 0]),
    ];
    for (change, brings) in rows {
        let lines = [("i", "pri_scan5", 1, 9_800), ("j", "pri_pro", 1, 100)];
        let mut paid = for_period("sub_A", 0, 10, transaction("txn_A", &lines));
        change(&mut paid);
        let mut gate = shop();
        apply(&mut gate, event("e1", 1, PaymentPending(paid.clone())));
        assert_eq!(gate.state.top_ups.is_empty(), brings == [0, 0]);
        apply(&mut gate, event("e2", 1, PaymentCompleted(paid)));
        assert_eq!([of(&gate, "scan"), of(&gate, "fix")], brings);
        assert!(gate.state.transactions.contains(&(PADDLE.to_owned(), "txn_A".to_owned())));
    }
}

/// The payment, and what its period brings of scan and fix credits.
#[test]
fn a_plans_payment_brings_its_allowance_once_a_period() {
    let of_plan =
        |id: &str, from, lines: &[_]| for_period("sub_A", from, from + 10, transaction(id, lines));
    let mut gate = shop();
    type Month = (&'static str, i64, &'static [(&'static str, &'static str, i64, i64)], [i64; 2]);
    let months: [Month; 6] = [
        ("txn_A", 0, &[("i", "pri_pro", 1, 100)], [3, 2]),
        // Paid twice, and granted once.
        ("txn_B", 0, &[("i", "pri_pro", 1, 100)], [3, 2]),
        ("txn_C", 10, &[("i", "pri_pro", 2, 100)], [9, 6]),
        ("txn_D", 20, &[("i", "pri_pro_year", 1, 100)], [45, 36]),
        ("txn_E", 30, &[("i", "pri_small", 1, 100), ("j", "pri_scan", 1, 1)], [49, 36]),
        // A plan and an add-on to it bring one lot of each type.
        ("txn_F", 40, &[("i", "pri_pro", 1, 100), ("j", "pri_monitor", 2, 50)], [58, 38]),
    ];
    for (id, from, lines, expected) in months {
        gate.now = hour(from);
        apply(&mut gate, event(id, from, PaymentCompleted(of_plan(id, from, lines))));
        assert_eq!([of(&gate, "scan"), of(&gate, "fix")], expected, "{id}");
    }
    let id = "sub_A:scan:2024-10-04T00:00:00.000000Z";
    let made = &gate.state.operations[&operation(OperationKind::Period, id)];
    let first = &gate.state.lots[&made.lot_id.unwrap()];
    assert_eq!((first.source, first.reference.as_str()), (LotSource::Plan, id));
    assert_eq!((first.credits, first.expire_time), (3, None));
    // Each line has its part in the lot.
    let parts: Vec<(&str, i64)> = gate
        .state
        .purchases
        .iter()
        .filter(|bought| bought.transaction_id == "txn_F" && bought.credit_type == scan_credits())
        .map(|bought| (bought.item_id.as_str(), bought.credits))
        .collect();
    assert_eq!(parts, [("i", 3), ("j", 6)]);
    assert!(gate.state.purchases.iter().all(|bought| bought.transaction_id != "txn_B"));
}

#[test]
fn a_payment_that_is_not_understood_has_no_effect_until_it_is() {
    let unknown = || transaction("txn_A", &[("i", "pri_scan", 1, 1), ("j", "pri_gone", 1, 1)]);
    let mut gate = shop();
    let price_id = "pri_gone".to_owned();
    let completed = || event("e", 1, PaymentCompleted(unknown()));
    assert_eq!(refused(&mut gate, completed()), Refusal::PriceUnknown { price_id });
    gate.catalog.prices[1].packs[0].price_id = "pri_gone".to_owned();
    apply(&mut gate, completed());
    assert_eq!([of(&gate, "scan"), of(&gate, "fix")], [1, 10]);

    let plan = |id: &str| transaction(id, &[("i", "pri_scan", 1, 1), ("j", "pri_pro", 1, 1)]);
    let full_period = for_period("sub_A", 0, 10, plan("txn_A"));
    let rows = [
        plan("txn_A"),
        Transaction { period: None, ..full_period.clone() },
        Transaction { subscription_id: None, ..full_period },
        transaction("txn_A", &[("i", "pri_scan", 1, 1), ("i", "pri_scan", 1, 1)]),
        transaction("txn_A", &[("i", "pri_scan", 0, 1)]),
        transaction("txn A", &[("i", "pri_scan", 1, 1)]),
    ];
    for row in rows {
        let mut gate = shop();
        let refusal = refused(&mut gate, event("e", 1, PaymentCompleted(row)));
        assert!(matches!(refusal, Refusal::ReportNotUnderstood { .. }), "{refusal}");
    }
    // The id that the line would have is somebody else's.
    let mut gate = shop();
    begin(&mut gate, "txn_A:i", "scan", "manual", "");
    let paid = transaction("txn_A", &[("i", "pri_scan", 1, 1)]);
    let refusal = refused(&mut gate, event("e", 1, PaymentCompleted(paid)));
    assert!(matches!(refusal, Refusal::ReportNotUnderstood { .. }), "{refusal}");
}

#[test]
fn what_cannot_be_counted_is_refused_before_anything_moves() {
    let mut gate = shop();
    for (id, quantity) in [("txn_A", i64::MAX), ("txn_B", i64::MAX / 5)] {
        let lines =
            [("i", "pri_scan", 7, 1), ("j", "pri_fix10", 1, 1), ("k", "pri_scan5", quantity, 1)];
        let paid = transaction(id, &lines);
        let refusal = refused(&mut gate, event(id, 1, PaymentCompleted(paid)));
        assert_eq!(refusal, Refusal::BalanceTooLarge);
    }
    let plan = |id, quantity| {
        let lines = [("i", "pri_scan", 7, 1), ("j", "pri_pro", quantity, 1)];
        for_period("sub_A", 0, 10, transaction(id, &lines))
    };
    let much = i64::MAX / 3;
    let refusal = refused(&mut gate, event("e", 1, PaymentCompleted(plan("txn_C", much))));
    assert_eq!(refusal, Refusal::BalanceTooLarge);
    apply(&mut gate, event("f", 1, PaymentCompleted(plan("txn_D", MAX_CREDITS))));
}

/// Whether the end or the payment of the last period is reported first.
#[test]
fn a_period_that_is_paid_after_the_last_end_lapses_as_well() {
    for (lapses, other_lives) in [(true, false), (true, true), (false, false)] {
        for paid_first in [true, false] {
            let mut gate = shop();
            gate.catalog.policy.credits_lapse_on_cancel = lapses;
            if other_lives {
                gate.subscribe("other", "monitor", SubscriptionStatus::Active);
            }
            let subscription = |status| subscription("sub_A", "pri_pro", status, Some((0, 10)));
            let begun = SubscriptionChanged(subscription(SubscriptionStatus::Active));
            apply(&mut gate, event("a", 0, begun));
            let lines = [("i", "pri_pro", 1, 100)];
            let paid = for_period("sub_A", 0, 10, transaction("txn_A", &lines));
            let mut reports = vec![
                event("b", 1, PaymentCompleted(paid)),
                event("c", 2, SubscriptionChanged(subscription(SubscriptionStatus::Canceled))),
            ];
            if !paid_first {
                reports.reverse();
            }
            gate.wait(TimeDelta::hours(3));
            for report in reports {
                apply(&mut gate, report);
            }
            let expected = if lapses && !other_lives { [0, 0, 0] } else { [3, 0, 0] };
            assert_eq!(gate.balance(), expected, "{lapses} {other_lives} {paid_first}");
            let mut expired: Vec<_> =
                gate.movements().into_iter().filter(|(kind, _)| *kind == LotExpire).collect();
            expired.sort_by_key(|(_, credits)| *credits);
            let lapsed =
                if expected[0] == 0 { vec![(LotExpire, 2), (LotExpire, 3)] } else { vec![] };
            assert_eq!(expired, lapsed);
        }
    }
}
