//! The reports of one payment come late, more than once and in any order, and end
//! alike all the same.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use creditgate::{
    clock::Timestamp,
    domain::{
        command::{Action, Command, Outcome, Refusal},
        credit::LotSource,
        payment::{BeginTopUp, TopUpStatus},
        provider::{
            Adjustment, AdjustmentAction,
            AdjustmentStatus::{Approved, PendingApproval, Rejected, Reversed},
            Effect::{
                Adjusted, PaymentCanceled, PaymentCompleted, PaymentPending, SubscriptionChanged,
            },
            Transaction,
        },
        reservation::Scan,
        subscription::SubscriptionStatus::{Active, Canceled},
    },
    ids::{CreditType, OperationId},
};
use proptest::prelude::*;

use super::{
    audit::audit,
    billing_catalog::{PADDLE, billing_catalog},
    generate::{Change, account_id, start},
    model::Model,
    paddle::{event, for_period, for_top_up, full, partial, subscription, transaction},
    support::{reserve, run_id, scan, scan_credits},
};

/// What must not depend on the order.
#[derive(Debug, PartialEq, Eq)]
struct End {
    balances: BTreeMap<CreditType, [i64; 3]>,
    /// Of each lot: where it came from, what it began with, what it has left and
    /// what it owes.
    lots: Vec<(String, i64, i64, i64)>,
    reversed: Vec<(String, i64)>,
    top_ups: Vec<(String, TopUpStatus)>,
    suspended: Option<String>,
}

fn end(model: &Model) -> End {
    let parts = |(name, balance): (&CreditType, &creditgate::domain::credit::Balance)| {
        (name.clone(), [balance.available, balance.reserved, balance.spent])
    };
    let mut lots: Vec<_> = model
        .lots
        .values()
        .map(|lot| (lot.reference.clone(), lot.credits, lot.remaining, lot.unrecovered))
        .collect();
    lots.sort();
    let account = &model.account;
    End {
        balances: model.balances.iter().map(parts).collect(),
        lots,
        reversed: model
            .billing
            .purchases
            .values()
            .map(|bought| {
                (format!("{} {}", bought.item_id, bought.credit_type), bought.reversed_credits)
            })
            .collect(),
        top_ups: model
            .billing
            .top_ups
            .values()
            .map(|top_up| (top_up.top_up_id.to_string(), top_up.status))
            .collect(),
        suspended: account.suspended.then(|| account.suspension_reason.clone()),
    }
}

/// A history by hand.
struct Play {
    model: Model,
    now: Timestamp,
}

impl Play {
    fn new() -> Self {
        let mut play = Self { model: Model::new(), now: start() };
        play.model.change(start(), &Change::Apply(Box::new(billing_catalog(0))));
        play.run(Action::BeginTopUp(BeginTopUp {
            top_up_id: OperationId::new("t").unwrap(),
            credit_type: scan_credits(),
            credits: 3,
            provider: PADDLE.to_owned(),
            provider_reference: String::new(),
        }))
        .unwrap();
        play
    }

    fn run(&mut self, action: Action) -> Result<Outcome, Refusal> {
        self.now += TimeDelta::seconds(1);
        let command = Command { account_id: account_id(), actor: "tester".to_owned(), action };
        let outcome = self.model.run(self.now, &[command]).remove(0);
        audit(&self.model);
        outcome
    }

    /// Applies reports as the worker does: what lacks its payment is tried again
    /// once others have come.
    fn report(&mut self, reports: impl IntoIterator<Item = Action>) {
        let mut parked: Vec<Action> = Vec::new();
        for report in reports {
            parked.push(report);
            parked.retain(|report| match self.run(report.clone()) {
                Ok(_) => false,
                Err(Refusal::TransactionUnknown { .. }) => true,
                Err(refusal) => panic!("{refusal}"),
            });
        }
        assert_eq!(parked, [], "its payment has come");
    }

    /// Spends so many credits, and holds so many more.
    fn use_up(&mut self, spent: i64, held: i64) {
        for (id, credits) in [("spent", spent), ("held", held)].into_iter().filter(|of| of.1 > 0) {
            let scan = Scan { credits, ..scan("live_audit") };
            let made = self.run(Action::Reserve(reserve(id, scan)));
            assert!(matches!(made, Ok(Outcome::Reserved { .. })), "{made:?}");
        }
        if spent > 0 {
            let reservation_id = run_id("spent");
            self.run(Action::Commit { reservation_id, credits: None }).unwrap();
        }
    }
}

/// Two lines for a purchase that was opened here, one of another type.
fn bought() -> Transaction {
    let lines = [("i", "pri_scan", 7, 2_030), ("j", "pri_fix10", 1, 999), ("k", "pri_scan5", 1, 1)];
    for_top_up("t", transaction("txn_A", &lines))
}

/// A payment for a plan and an add-on to it, and for extra credits.
fn renewed() -> Transaction {
    let lines = [("i", "pri_pro", 1, 2_030), ("j", "pri_monitor", 3, 999), ("k", "pri_scan", 2, 1)];
    for_period("sub_A", 0, 10, for_top_up("t", transaction("txn_A", &lines)))
}

/// All that is told of up to five adjustments: each of them at times of its own.
fn adjustments() -> impl Strategy<Value = Vec<Action>> {
    let told = prop_oneof![
        3 => Just(vec![Approved]),
        2 => Just(vec![PendingApproval, Approved]),
        1 => Just(vec![PendingApproval, Rejected]),
        1 => Just(vec![PendingApproval, Approved, Reversed]),
        1 => Just(vec![Approved, Approved]),
    ];
    let lines = prop::collection::btree_map(
        prop::sample::select(vec!["i", "j", "k", "x"]),
        0..2_500_i64,
        0..3_usize,
    );
    let one = (0..AdjustmentAction::ALL.len(), told, lines);
    prop::collection::vec(one, 0..5).prop_map(|all| {
        let mut reports = Vec::new();
        for (number, (action, told, lines)) in all.into_iter().enumerate() {
            for (hours, status) in (1_i64..).zip(told) {
                let action = AdjustmentAction::ALL[action];
                let whole = full(&format!("adj_{number}"), "txn_A", action, status);
                let lines: Vec<(&str, i64)> = lines.iter().map(|(id, part)| (*id, *part)).collect();
                let told: Adjustment =
                    if lines.is_empty() { whole } else { partial(&lines, whole) };
                reports.push(event(&format!("evt_adj_{number}_{hours}"), hours, Adjusted(told)));
            }
        }
        reports
    })
}

/// Two orders of the same reports, each with some of them repeated.
fn two_orders(reports: Vec<Action>) -> impl Strategy<Value = [Vec<Action>; 2]> {
    let again = prop::collection::vec(prop::sample::select(reports.clone()), 0..6);
    let order = again.prop_flat_map(move |again| {
        let mut all = reports.clone();
        all.extend(again);
        Just(all).prop_shuffle()
    });
    prop::array::uniform2(order)
}

fn payment_reports(bought: &Transaction) -> Vec<Action> {
    vec![
        event("evt_p", 0, PaymentPending(bought.clone())),
        event("evt_q", 1, PaymentPending(bought.clone())),
        event("evt_x", 1, PaymentCanceled(bought.clone())),
        event("evt_c", 2, PaymentCompleted(bought.clone())),
        event("evt_d", 3, PaymentCompleted(bought.clone())),
    ]
}

fn config() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(300),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn all_reports_of_a_payment_end_alike_in_any_order(
        orders in (any::<bool>(), adjustments()).prop_flat_map(|(renews, adjustments)| {
            let mut reports = payment_reports(&if renews { renewed() } else { bought() });
            reports.extend(adjustments);
            two_orders(reports)
        }),
    ) {
        let [first, second] = orders.map(|reports| {
            let mut play = Play::new();
            play.report(reports);
            play.model
        });
        prop_assert_eq!(end(&first), end(&second));
        // Nothing was used: what is left of a purchase is what was not paid back.
        for lot in first.lots.values() {
            let taken: i64 = first
                .billing
                .purchases
                .values()
                .filter(|bought| bought.lot_id == lot.lot_id)
                .map(|bought| bought.reversed_credits)
                .sum();
            prop_assert_eq!((lot.remaining, lot.unrecovered), (lot.credits - taken, 0));
        }
    }

    #[test]
    fn a_payment_that_is_given_up_ends_alike_in_any_order(
        orders in two_orders(payment_reports(&bought())[..3].to_vec()),
    ) {
        let [first, second] = orders.map(|reports| {
            let mut play = Play::new();
            play.report(reports);
            play.model
        });
        prop_assert_eq!(end(&first), end(&second));
        prop_assert!(first.entries.is_empty());
        let mut left = first.billing.top_ups.values();
        prop_assert!(left.all(|top_up| top_up.status == TopUpStatus::Failed));
    }

    #[test]
    fn adjustments_of_credits_in_use_end_alike_in_any_order_and_take_no_more_than_was_bought(
        orders in adjustments().prop_filter("some", |told| !told.is_empty()).prop_flat_map(two_orders),
        (spent, held) in (0..6_i64, 0..6_i64),
        is_refunded in any::<bool>(),
    ) {
        let played = orders.map(|reports| {
            let mut play = Play::new();
            play.report([event("evt_c", 2, PaymentCompleted(bought()))]);
            play.use_up(spent, held);
            play.report(reports);
            play
        });
        let [mut first, second] = played;
        prop_assert_eq!(end(&first.model), end(&second.model));
        // What is owed comes in as it returns: then the lots have what the
        // adjustments leave of them.
        for (id, credits) in [("held", held), ("spent", if is_refunded { spent } else { 0 })] {
            if credits > 0 {
                let cause = creditgate::domain::reservation::ReleaseCause::PlatformError;
                let reservation_id = run_id(id);
                first.run(Action::Release { reservation_id, cause, note: String::new() }).unwrap();
            }
        }
        let owed: i64 = first.model.lots.values().map(|lot| lot.unrecovered).sum();
        let scan = &first.model.balances[&scan_credits()];
        let taken: i64 = first
            .model
            .billing
            .purchases
            .values()
            .filter(|bought| bought.credit_type == scan_credits())
            .map(|bought| bought.reversed_credits)
            .sum();
        let spent = if is_refunded { 0 } else { spent };
        prop_assert!(owed <= spent);
        prop_assert_eq!([scan.reserved, scan.spent], [0, spent]);
        prop_assert_eq!(scan.available, 12 - taken - spent + owed);
        let restored = first.model.lots.values().any(|lot| lot.source == LotSource::Restored);
        prop_assert!(!restored, "no lot has expired");
    }

    #[test]
    fn a_subscription_and_its_last_payment_end_alike_in_any_order(
        lapses in any::<bool>(),
        [first, second] in {
            let pro = |status| subscription("sub_A", "pri_pro", status, Some((0, 10)));
            let mut reports = vec![
                event("evt_s", 0, SubscriptionChanged(pro(Active))),
                event("evt_u", 1, SubscriptionChanged(pro(Active))),
                event("evt_e", 5, SubscriptionChanged(pro(Canceled))),
            ];
            let lines = [("i", "pri_pro", 1, 2_030), ("j", "pri_monitor", 3, 999)];
            let paid = for_period("sub_A", 0, 10, transaction("txn_A", &lines));
            reports.extend(payment_reports(&paid));
            two_orders(reports)
        },
    ) {
        let [first, second] = [first, second].map(|reports| {
            let mut play = Play::new();
            play.model.catalog.policy.credits_lapse_on_cancel = lapses;
            play.report(reports);
            play.model
        });
        prop_assert_eq!(end(&first), end(&second));
        let left: i64 = first.balances.values().map(|balance| balance.available).sum();
        prop_assert_eq!(left, if lapses { 0 } else { 14 });
    }
}
