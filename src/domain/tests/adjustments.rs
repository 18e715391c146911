//! Money that goes back: what is taken, what stays owed, what comes again.

mod lived_on;

use chrono::TimeDelta;
use creditgate::{
    domain::{
        command::{Action, OperationKind, Outcome, Refusal},
        credit::LotSource,
        entry::EntryKind::{self, Grant, LotExpire, Restore, Revoke},
        event::EventKind,
        payment::TopUpStatus,
        provider::{
            Adjustment,
            AdjustmentAction::{
                self, Chargeback, ChargebackReverse, ChargebackWarning, Credit, CreditReverse,
                Refund,
            },
            AdjustmentStatus::{self, Approved, PendingApproval, Rejected, Reversed},
            Effect::{Adjusted, PaymentCompleted},
        },
        reservation::ReleaseCause::{CanceledBeforeStart, PlatformError},
        subscription::SubscriptionStatus,
    },
    ids::OperationId,
};

use super::{
    billing_catalog::billing_catalog,
    paddle::{event, for_period, full, partial, transaction},
    support::{Gate, operation},
};

/// Ten credits that 1000 were paid for, in one lot.
fn bought() -> Gate {
    let mut gate = Gate::new();
    gate.catalog = billing_catalog(0);
    buy(&mut gate, "txn_A");
    gate.forget();
    gate
}

fn buy(gate: &mut Gate, id: &str) {
    let paid = transaction(id, &[("i", "pri_scan5", 2, 1_000)]);
    apply(gate, event(id, 0, PaymentCompleted(paid)));
}

fn apply(gate: &mut Gate, action: Action) {
    assert_eq!(gate.run(action), Ok(Outcome::EventApplied { replayed: false }));
}

/// Reports adjustments one hour after the other, each as a report of its own.
fn adjust(gate: &mut Gate, adjustments: &[Adjustment]) {
    for adjustment in adjustments {
        let number = gate.state.applied_events.len();
        let hour = i64::try_from(number).unwrap();
        apply(gate, event(&format!("evt_{number}"), hour, Adjusted(adjustment.clone())));
    }
}

fn all(id: &str, action: AdjustmentAction) -> Adjustment {
    full(id, "txn_A", action, Approved)
}

fn some(id: &str, action: AdjustmentAction, total: i64) -> Adjustment {
    partial(&[("i", total)], all(id, action))
}

fn with(status: AdjustmentStatus, adjustment: Adjustment) -> Adjustment {
    Adjustment { status, ..adjustment }
}

/// What the purchase's lot has left, what it owes, and what was taken of it.
fn lot(gate: &Gate) -> [i64; 3] {
    let purchase = &gate.state.purchases[0];
    let lot = &gate.state.lots[&purchase.lot_id];
    assert!(lot.remaining + lot.unrecovered <= lot.credits);
    [lot.remaining, lot.unrecovered, purchase.reversed_credits]
}

fn status(gate: &Gate) -> TopUpStatus {
    gate.state.top_ups[&OperationId::new("txn_A:i").unwrap()].status
}

#[test]
fn credits_go_back_as_money_does_rounded_up_over_all_of_it() {
    for (refunds, taken) in [
        (&[][..], 0),
        (&[0], 0),
        (&[1], 1),
        (&[100], 1),
        (&[101], 2),
        (&[1_000], 10),
        (&[5_000], 10),
        // Counted together: three times a third of a credit is one.
        (&[33, 33, 34], 1),
        (&[50, 50, 1], 2),
        (&[600, 600], 10),
        (&[-100, 100], 1),
    ] {
        let mut gate = bought();
        for (index, total) in refunds.iter().enumerate() {
            adjust(&mut gate, &[some(&format!("adj_{index}"), Refund, *total)]);
        }
        assert_eq!(lot(&gate), [10 - taken, 0, taken], "{refunds:?}");
        assert_eq!(gate.balance(), [10 - taken, 0, 0]);
        let reversed = refunds.iter().any(|total| *total > 0);
        let expected = if reversed { TopUpStatus::Refunded } else { TopUpStatus::Confirmed };
        assert_eq!(status(&gate), expected, "{refunds:?}");
    }
}

#[test]
fn a_movement_of_a_reversal_has_an_operation_of_its_own() {
    let mut gate = bought();
    let lot_id = gate.state.purchases[0].lot_id;
    apply(&mut gate, event("evt_R", 1, Adjusted(some("adj", Refund, 300))));
    apply(&mut gate, event("evt_S", 2, Adjusted(with(Rejected, some("adj", Refund, 300)))));
    assert_eq!(gate.movements(), [(Revoke, 3), (Grant, 3)]);
    for (kind, event_id, entry) in [
        (OperationKind::Reversal, "evt_R", &gate.state.entries[0]),
        (OperationKind::Reinstatement, "evt_S", &gate.state.entries[1]),
    ] {
        let made = &gate.state.operations[&operation(kind, &format!("{event_id}:{lot_id}"))];
        assert_eq!((made.credits, made.lot_id), (3, Some(lot_id)));
        assert_eq!((made.sequence, &made.reason), (entry.sequence, &entry.reference));
    }
}

#[test]
fn a_payment_that_is_not_known_yet_is_waited_for() {
    let mut gate = bought();
    let early = full("adj", "txn_B", Refund, Approved);
    let transaction_id = "txn_B".to_owned();
    let refusal = Refusal::TransactionUnknown { transaction_id };
    assert_eq!(gate.run(event("e", 1, Adjusted(early.clone()))), Err(refusal));
    assert!(gate.state.adjustments.is_empty() && gate.state.notices.is_empty());
    buy(&mut gate, "txn_B");
    apply(&mut gate, event("e", 1, Adjusted(early)));
    assert_eq!(gate.balance(), [10, 0, 0]);
}

/// The statuses that are told of one refund, and whether it holds in the end.
#[test]
fn only_what_is_approved_takes_back_and_the_latest_report_holds() {
    for (told, taken) in [
        (&[(1, PendingApproval)][..], 0),
        (&[(1, PendingApproval), (2, Approved)], 10),
        (&[(2, Approved), (1, PendingApproval)], 10),
        (&[(1, PendingApproval), (2, Rejected)], 0),
        (&[(2, Rejected), (1, Approved)], 0),
        (&[(1, Approved), (2, Reversed)], 0),
        (&[(2, Reversed), (1, Approved), (1, PendingApproval)], 0),
        // Of one moment: the further one.
        (&[(1, PendingApproval), (1, Approved)], 10),
        (&[(1, Approved), (1, PendingApproval)], 10),
    ] {
        let mut gate = bought();
        for (index, (hour, status)) in told.iter().enumerate() {
            let adjustment = with(*status, all("adj", Refund));
            apply(&mut gate, event(&format!("evt_{index}"), *hour, Adjusted(adjustment)));
        }
        assert_eq!(lot(&gate), [10 - taken, 0, taken], "{told:?}");
        let expected = if taken > 0 { TopUpStatus::Refunded } else { TopUpStatus::Confirmed };
        assert_eq!(status(&gate), expected);
    }
}

#[test]
fn what_is_held_or_spent_stays_owed_and_is_revoked_as_it_returns() {
    let mut gate = bought();
    gate.hold_credits("a", 3);
    gate.hold_credits("b", 2);
    gate.commit("b", None).unwrap();
    gate.forget();
    adjust(&mut gate, &[all("adj", Refund)]);
    assert_eq!((lot(&gate), gate.balance()), ([0, 5, 10], [0, 3, 2]));
    gate.release("a", CanceledBeforeStart).unwrap();
    assert_eq!((lot(&gate), gate.balance()), ([0, 2, 10], [0, 0, 2]));
    gate.release("b", PlatformError).unwrap();
    assert_eq!((lot(&gate), gate.balance()), ([0, 0, 10], [0, 0, 0]));
    use EntryKind::Refund as Refunded;
    let expected = [(Revoke, 5), (Restore, 3), (Revoke, 3), (Refunded, 2), (Revoke, 2)];
    assert_eq!(gate.movements(), expected);
}

#[test]
fn what_comes_again_is_first_no_longer_owed() {
    let mut gate = bought();
    gate.hold_credits("a", 4);
    adjust(&mut gate, &[all("adj", Chargeback)]);
    assert_eq!(lot(&gate), [0, 4, 10]);
    adjust(&mut gate, &[some("back", ChargebackReverse, 300)]);
    assert_eq!(lot(&gate), [0, 1, 7]);
    adjust(&mut gate, &[some("more", ChargebackReverse, 300)]);
    assert_eq!(lot(&gate), [2, 0, 4]);
    adjust(&mut gate, &[some("rest", ChargebackReverse, 9_000)]);
    assert_eq!(lot(&gate), [6, 0, 0]);
    gate.release("a", CanceledBeforeStart).unwrap();
    assert_eq!(gate.balance(), [10, 0, 0]);
}

/// The adjustments of one payment, in the order told, and what they come to:
/// credits taken, the purchase's status, the account suspended.
#[test]
fn adjustments_of_all_kinds_come_to_one_sum() {
    use TopUpStatus::{Confirmed, Disputed, Refunded};
    let rows: [(&[Adjustment], i64, TopUpStatus); 14] = [
        (&[all("a", Credit)], 10, Refunded),
        (&[all("a", Credit), all("b", CreditReverse)], 0, Confirmed),
        (&[all("b", CreditReverse), all("a", Credit)], 0, Confirmed),
        (&[all("a", Chargeback)], 10, Disputed),
        (&[all("a", Chargeback), all("b", ChargebackReverse)], 0, Confirmed),
        (&[some("a", Chargeback, 500), some("b", ChargebackReverse, 200)], 3, Disputed),
        (&[some("a", Refund, 400), all("b", Chargeback)], 10, Disputed),
        (&[some("a", Refund, 400), all("b", Chargeback), all("c", ChargebackReverse)], 4, Refunded),
        // A reverse undoes its own kind only.
        (&[some("a", Refund, 400), all("b", ChargebackReverse)], 4, Refunded),
        (&[some("a", Refund, 400), all("b", CreditReverse)], 4, Refunded),
        // Undone by its own status, and by an adjustment: once all the same.
        (
            &[
                some("a", Refund, 400),
                with(Reversed, all("b", Chargeback)),
                all("c", ChargebackReverse),
            ],
            4,
            Refunded,
        ),
        (
            &[
                some("a", Chargeback, 400),
                with(Reversed, some("b", Chargeback, 500)),
                some("c", ChargebackReverse, 500),
            ],
            4,
            Disputed,
        ),
        (&[all("a", ChargebackWarning)], 0, Confirmed),
        (&[partial(&[("other", 1_000)], all("a", Refund))], 0, Confirmed),
    ];
    for (adjustments, taken, expected) in rows {
        let mut gate = bought();
        adjust(&mut gate, adjustments);
        assert_eq!(lot(&gate), [10 - taken, 0, taken], "{adjustments:?}");
        assert_eq!(status(&gate), expected, "{adjustments:?}");
        assert_eq!(gate.state.account.suspended, expected == Disputed);
    }
}

#[test]
fn a_chargeback_suspends_and_only_its_end_lifts_that() {
    let reason = |gate: &Gate| gate.state.account.suspension_reason.clone();
    let (charged, back) = (all("a", Chargeback), all("b", ChargebackReverse));
    let mut gate = bought();
    adjust(&mut gate, std::slice::from_ref(&charged));
    assert_eq!(reason(&gate), "chargeback of txn_A");
    adjust(&mut gate, std::slice::from_ref(&back));
    assert_eq!((gate.state.account.suspended, reason(&gate)), (false, String::new()));

    // An operator's stays, and an operator's end stays as well.
    let set = |gate: &mut Gate, suspended| {
        gate.run(Action::SetSuspension { suspended, reason: "abuse".to_owned() }).unwrap();
    };
    let mut gate = bought();
    set(&mut gate, true);
    adjust(&mut gate, &[charged.clone(), back.clone()]);
    assert_eq!(reason(&gate), "abuse");
    let mut gate = bought();
    adjust(&mut gate, std::slice::from_ref(&charged));
    set(&mut gate, false);
    adjust(&mut gate, &[some("c", Chargeback, 1)]);
    assert!(!gate.state.account.suspended);

    // Two payments: both disputes have to end.
    let mut gate = bought();
    buy(&mut gate, "txn_B");
    let second = |id: &str, action| full(id, "txn_B", action, Approved);
    adjust(&mut gate, &[charged, second("c", Chargeback)]);
    assert_eq!(reason(&gate), "chargeback of txn_A, txn_B");
    adjust(&mut gate, &[back]);
    assert_eq!(reason(&gate), "chargeback of txn_B");
    adjust(&mut gate, &[second("d", ChargebackReverse)]);
    assert!(!gate.state.account.suspended);
}

#[test]
fn a_chargeback_suspends_though_the_payment_brought_nothing() {
    let mut gate = bought();
    let mut nothing = transaction("txn_B", &[("i", "pri_scan5", 1, 1)]);
    nothing.origin = creditgate::domain::provider::Origin::Other;
    apply(&mut gate, event("nothing", 0, PaymentCompleted(nothing)));
    adjust(&mut gate, &[full("a", "txn_B", Chargeback, Approved)]);
    assert!(gate.state.account.suspended);
    adjust(&mut gate, &[full("b", "txn_B", ChargebackReverse, Approved)]);
    assert!(!gate.state.account.suspended);
    // Nor a line that brought nothing.
    adjust(&mut gate, &[partial(&[("x", 5)], all("c", Chargeback))]);
    assert!(gate.state.account.suspended);
    assert_eq!(gate.balance(), [10, 0, 0]);
}

#[test]
fn a_line_for_which_nothing_was_paid_goes_back_with_all_of_the_payment() {
    let mut gate = Gate::new();
    gate.catalog = billing_catalog(0);
    let lines = [("i", "pri_scan5", 2, 0), ("j", "pri_scan", 4, 100)];
    apply(&mut gate, event("e", 0, PaymentCompleted(transaction("txn_A", &lines))));
    adjust(&mut gate, &[partial(&[("j", 50)], all("a", Refund))]);
    assert_eq!(gate.balance(), [12, 0, 0]);
    adjust(&mut gate, &[all("b", Refund)]);
    assert_eq!(gate.balance(), [0, 0, 0]);
}

#[test]
fn a_plans_payment_takes_back_of_each_of_its_lots() {
    let mut gate = Gate::new();
    gate.catalog = billing_catalog(0);
    let lines = [("i", "pri_pro", 1, 1_000), ("j", "pri_monitor", 2, 600)];
    let paid = for_period("sub_A", 0, 10, transaction("txn_A", &lines));
    apply(&mut gate, event("e", 0, PaymentCompleted(paid)));
    let left = |gate: &Gate| -> Vec<i64> {
        gate.state.balances.values().map(|balance| balance.available).collect()
    };
    assert_eq!(left(&gate), [2, 9], "fix, scan");
    adjust(&mut gate, &[partial(&[("j", 300)], all("a", Refund))]);
    assert_eq!(left(&gate), [2, 6]);
    adjust(&mut gate, &[partial(&[("i", 400)], all("b", Refund))]);
    assert_eq!(left(&gate), [1, 4]);
    // One line less and another more: the lot that they share moves by the sum.
    gate.forget();
    let later = partial(&[("i", 400), ("j", 200)], with(Approved, all("a", Refund)));
    adjust(&mut gate, &[later]);
    assert_eq!(left(&gate), [0, 4]);
    assert_eq!(gate.movements(), [(Revoke, 1)]);
    adjust(&mut gate, &[with(Rejected, all("a", Refund)), with(Rejected, all("b", Refund))]);
    assert_eq!(left(&gate), [2, 9]);
}

#[test]
fn what_comes_again_to_an_expired_lot_lives_on_elsewhere() {
    let mut gate = bought();
    gate.catalog.policy.credits_lapse_on_cancel = true;
    gate.catalog.policy.restored_credit_lifetime = Some(TimeDelta::hours(2));
    gate.subscribe("sub", "pro", SubscriptionStatus::Trialing);
    gate.hold_credits("a", 1);
    adjust(&mut gate, &[some("a", Chargeback, 400)]);
    gate.forget();
    gate.wait(TimeDelta::days(30));
    gate.run(Action::ApplyDue).unwrap();
    assert_eq!(gate.movements(), [(LotExpire, 5)]);
    adjust(&mut gate, &[all("b", ChargebackReverse)]);
    assert_eq!((lot(&gate), gate.balance()), ([0, 0, 0], [4, 1, 0]));
    let restored = gate.state.lots.values().find(|lot| lot.source == LotSource::Restored).unwrap();
    assert_eq!((restored.credits, restored.remaining), (4, 4));
    assert_eq!(restored.expire_time, Some(gate.now + TimeDelta::hours(2)));
    assert_eq!(restored.reference, "reinstatement of txn_A");
    // The lot itself gives nothing back: what it held has lapsed with it.
    gate.release("a", CanceledBeforeStart).unwrap();
    assert_eq!(gate.balance(), [4, 0, 0]);
}

#[test]
fn reversals_and_announced_disputes_are_told_once() {
    let mut gate = bought();
    adjust(
        &mut gate,
        &[
            with(PendingApproval, some("a", Refund, 250)),
            some("a", Refund, 250),
            some("a", Refund, 350),
            all("b", ChargebackWarning),
            all("c", Chargeback),
            all("d", ChargebackReverse),
        ],
    );
    let told: Vec<_> = gate
        .state
        .notices
        .iter()
        .map(|notice| (notice.key.as_str(), notice.credits, notice.subject.as_str()))
        .collect();
    let expected = [("reversed:a", 3), ("dispute:b", 0), ("reversed:c", 6)];
    assert_eq!(told, expected.map(|(key, credits)| (key, credits, "txn_A:i")));
    assert!(gate.state.notices.iter().all(|notice| notice.kind == EventKind::PaymentReversed));
}

#[test]
fn a_reversal_of_a_lot_that_is_gone_is_refused_and_changes_nothing() {
    let mut gate = bought();
    let lot_id = gate.state.purchases[0].lot_id;
    let gone = gate.state.lots.remove(&lot_id).unwrap();
    let action = event("e", 1, Adjusted(all("a", Chargeback)));
    assert!(matches!(gate.run(action.clone()), Err(Refusal::LotMissing { .. })));
    assert!(gate.state.adjustments.is_empty() && !gate.state.account.suspended);
    gate.state.lots.insert(lot_id, gone);
    apply(&mut gate, action);
    assert_eq!(gate.balance(), [0, 0, 0]);
}
