//! Random histories with purchases and a provider's reports, mixed with all else.
//! Self-contained, as [`super::generate`] is.
#![allow(dead_code, reason = "not every test binary plays every part")]

use chrono::TimeDelta;
use creditgate::{
    domain::{
        command::Action,
        credit::MAX_CREDITS,
        payment::BeginTopUp,
        provider::{
            Adjustment, AdjustmentAction, AdjustmentStatus, Effect, Origin, ProviderSubscription,
            Transaction,
        },
        reservation::{ReleaseCause, Scan},
        subscription::SubscriptionStatus,
    },
    ids::{CreditType, OperationId, ScanKindName},
};
use proptest::prelude::*;

use super::{
    billing_catalog::{PADDLE, billing_catalog},
    generate::{Change, Step, changes, command, reserves, start},
    paddle::{event, for_period, for_top_up, full, hour, partial, subscription, transaction},
};

/// Histories of up to `pieces` pieces, a step each, or a short story; and, to begin
/// with, the catalog.
pub(crate) fn billing_histories(pieces: usize) -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![12 => Just(0), 4 => 1..50_i64, 2 => 50..400_i64, 1 => 400..3_000_i64];
    let change = prop_oneof![
        4 => changes().prop_map(with_prices),
        2 => top_ups().prop_map(command),
        6 => reports().prop_map(command),
    ];
    let single = (wait, change).prop_map(|step| vec![step]);
    let piece = prop_oneof![12 => single, 1 => disputes()];
    prop::collection::vec(piece, 1..=pieces).prop_map(|pieces| {
        let mut at = start();
        let priced = Change::Apply(Box::new(billing_catalog(0)));
        let mut history = vec![Step { at, change: priced }];
        history.extend(pieces.into_iter().flatten().map(|(wait, change)| {
            at += TimeDelta::minutes(wait);
            Step { at, change }
        }));
        history
    })
}

/// A payment whose credits are held or spent when it is reversed, and that is then
/// reinstated, before or after they return, or its lot has lapsed: too rare by
/// chance.
fn disputes() -> impl Strategy<Value = Vec<(i64, Change)>> {
    let flags = prop::array::uniform6(prop::bool::ANY);
    (0..5_u8, reserves(), flags).prop_map(|(n, mut reserve, flags)| {
        let [is_spent, lapses, returns_first, is_fault, partly, is_reinstated] = flags;
        reserve.scan = Scan {
            project_id: None,
            scan_kind: ScanKindName::new("live_audit").unwrap(),
            credits: i64::from(n) + 2,
        };
        let reservation_id = reserve.reservation_id.clone();
        let report = |name: &str, effect| command(event(&format!("evt_{name}_{n}"), 4, effect));
        let adjusted = |adjusted, told| {
            let name = format!("dispute_{adjusted}_{told}");
            report(&name, Effect::Adjusted(adjustment(n, adjusted, told)))
        };
        let ended = |told| {
            let effect = Effect::SubscriptionChanged(mirrored(1, told));
            command(event(&format!("evt_sub_1_{told}"), i64::from(told), effect))
        };
        let mut story = vec![report("bought", Effect::PaymentCompleted(payment(n)))];
        story.push(command(Action::Reserve(reserve)));
        if is_spent {
            let id = reservation_id.clone();
            story.push(command(Action::Commit { reservation_id: id, credits: None }));
        }
        story.push(adjusted(if partly { 2 } else { 4 }, 0));
        if lapses {
            story.extend([ended(6), ended(7)]);
        }
        let cause = match is_fault {
            true => ReleaseCause::PlatformError,
            false => ReleaseCause::CanceledBeforeStart,
        };
        let mut end = vec![command(Action::Release { reservation_id, cause, note: String::new() })];
        if is_reinstated {
            end.push(adjusted(if partly { 3 } else { 6 }, 2));
            if !returns_first {
                end.reverse();
            }
        }
        story.extend(end);
        story.into_iter().map(|change| (0, change)).collect()
    })
}

/// The catalog that comes has prices, and the same policy.
fn with_prices(change: Change) -> Change {
    match change {
        Change::Apply(catalog) => {
            let bits = u8::from(catalog.policy.credits_lapse_on_cancel) << 1
                | u8::from(catalog.policy.restored_credit_lifetime.is_some()) << 2
                | u8::from(!catalog.policy.causes.is_empty()) << 6
                | u8::from(catalog.policy.max_concurrent_scans_per_project > 0) << 7;
            Change::Apply(Box::new(billing_catalog(bits)))
        }
        other => other,
    }
}

fn top_up_id(n: u8) -> OperationId {
    OperationId::new(&format!("top-up-{n}")).unwrap()
}

/// Purchases that are opened and settled here, half of them a provider's.
fn top_ups() -> impl Strategy<Value = Action> {
    let provider = |n: u8| if n.is_multiple_of(2) { "manual" } else { PADDLE };
    let begin = move |n: u8, twist: u8| {
        Action::BeginTopUp(BeginTopUp {
            top_up_id: top_up_id(n),
            credit_type: CreditType::new(if n == 3 { "fix" } else { "scan" }).unwrap(),
            credits: if twist == 1 { MAX_CREDITS } else { i64::from(n) + 1 },
            provider: provider(n).to_owned(),
            provider_reference: match twist {
                2 => "another".to_owned(),
                3 | 4 if n % 2 == 1 => format!("txn_{n}"),
                _ => String::new(),
            },
        })
    };
    prop_oneof![
        4 => (0..4_u8, 0..12_u8).prop_map(move |(n, twist)| begin(n, twist)),
        3 => (0..4_u8, 0..6_u8).prop_map(|(n, twist)| Action::ConfirmTopUp {
            top_up_id: top_up_id(n),
            provider_reference: if twist == 0 { "bank".to_owned() } else { String::new() },
        }),
        1 => (0..4_u8).prop_map(|n| Action::FailTopUp {
            top_up_id: top_up_id(n),
            reason: "why".to_owned(),
        }),
        1 => (0..4_u8).prop_map(|n| Action::ExpireTopUp { top_up_id: top_up_id(n) }),
    ]
}

/// What the provider reports, each with the id that belongs to it.
fn reports() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0..8_u8, 0..6_u8, 0..2_u8).prop_map(|(n, kind, copy)| {
            let paid = payment(n);
            let (name, effect) = match kind {
                0 | 1 => ("pending", Effect::PaymentPending(paid)),
                2 => ("canceled", Effect::PaymentCanceled(paid)),
                _ => ("completed", Effect::PaymentCompleted(paid)),
            };
            event(&format!("evt_{name}_{n}_{copy}"), i64::from(kind), effect)
        }),
        4 => (0..5_u8, 0..8_u8, 0..3_u8).prop_map(|(n, adjusted, told)| {
            let effect = Effect::Adjusted(adjustment(n, adjusted, told));
            event(&format!("evt_adj_{n}_{adjusted}_{told}"), i64::from(told), effect)
        }),
        3 => (0..2_u8, 0..9_u8).prop_map(|(n, told)| {
            let effect = Effect::SubscriptionChanged(mirrored(n, told));
            event(&format!("evt_sub_{n}_{told}"), i64::from(told), effect)
        }),
    ]
}

/// The payments of all histories: what they buy is always the same.
fn payment(n: u8) -> Transaction {
    let lines: &[(&str, &str, i64, i64)] = match n {
        0 => &[("i", "pri_scan5", 1, 9_800)],
        1 => &[("i", "pri_scan", 3, 8_700)],
        2 => &[("i", "pri_fix10", 1, 500), ("j", "pri_scan", 2, 5_801)],
        3 => &[("i", "pri_scan", 1, 2_900), ("j", "pri_fix10", 1, 0)],
        4 => &[("i", "pri_pro", 1, 1_000), ("j", "pri_scan5", 1, 9_800)],
        5 => &[("i", "pri_pro", 1, 1_000), ("j", "pri_monitor", 2, 300)],
        6 => &[("i", "pri_pro_year", 1, 10_000)],
        _ => &[("i", "pri_scan5", 1, 100), ("j", "pri_gone", 1, 100)],
    };
    let paid = transaction(&format!("txn_{n}"), lines);
    match n {
        // Two payments claim one purchase, one claims a manual one.
        1 | 2 => for_top_up("top-up-1", paid),
        3 => for_top_up("top-up-3", paid),
        4 => for_period("sub_p0", 0, 12, paid),
        5 => for_period("sub_p0", 12, 24, paid),
        6 => for_period("sub_p1", 0, 60, paid),
        7 => Transaction { origin: Origin::Other, ..for_top_up("top-up-0", paid) },
        _ => paid,
    }
}

fn adjustment(n: u8, adjusted: u8, told: u8) -> Adjustment {
    use AdjustmentAction::{Chargeback, ChargebackReverse, Credit, CreditReverse, Refund};
    use AdjustmentStatus::{Approved, PendingApproval, Rejected, Reversed};
    let (action, told_of) = match adjusted {
        0 => (Refund, [PendingApproval, Approved, Approved]),
        1 => (Refund, [PendingApproval, Approved, Rejected]),
        2 => (Credit, [Approved, Approved, Approved]),
        3 => (CreditReverse, [Approved, Approved, Approved]),
        4 | 5 => (Chargeback, [Approved, Approved, Reversed]),
        6 => (ChargebackReverse, [PendingApproval, Approved, Approved]),
        _ => (AdjustmentAction::ChargebackWarning, [Approved, Approved, Reversed]),
    };
    let status = told_of[usize::from(told)];
    let all = full(&format!("adj_{n}_{adjusted}"), &format!("txn_{n}"), action, status);
    match adjusted {
        0 => partial(&[("i", 700), ("j", 450)], all),
        2 | 3 => partial(&[("i", 1_501)], all),
        _ => all,
    }
}

fn mirrored(n: u8, told: u8) -> ProviderSubscription {
    use SubscriptionStatus::{Active, Canceled, PastDue, Paused, Trialing};
    let statuses = [Trialing, Active, Active, PastDue, Active, Paused, Active, Canceled, Active];
    let status = statuses[usize::from(told)];
    let from = i64::from(told) / 2 * 12;
    let price_id = ["pri_pro", "pri_monitor"][usize::from(n + told / 5) % 2];
    let period = (status != Paused).then_some((from, from + 12));
    let mirrored = subscription(&format!("sub_p{n}"), price_id, status, period);
    ProviderSubscription {
        cancel_at_period_end: told == 6,
        canceled_at: (status == Canceled).then(|| hour(i64::from(told))),
        ..mirrored
    }
}
