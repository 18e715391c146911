//! Random histories of one account: what is asked of it, when, and what happens
//! around it. They depend on no state, so that the same history can be played
//! against several stores, and its answers compared. Self-contained: another
//! test binary includes this file by its path.
#![allow(dead_code, reason = "not every test binary plays every part")]

use std::collections::BTreeMap;

use chrono::TimeDelta;
use creditgate::{
    clock::Timestamp,
    domain::{
        catalog::{Allowance, Catalog, CausePolicy, Plan, PlanScan, Policy, Rollover, ScanKind},
        command::{Action, Command, Grant, OperationKey, OperationKind, Reserve, Revoke},
        credit::{LotSource, MAX_CREDITS},
        reservation::{ReleaseCause, Scan},
        subscription::{BillingInterval, Subscription, SubscriptionStatus},
        verdict::PendingPayment,
    },
    ids::{
        AccountId, CreditType, OperationId, PlanName, ProjectId, ReservationId, ScanKindName,
        SubscriptionId,
    },
};
use proptest::prelude::*;

/// One step of a history. Times never go back.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// When.
    pub(crate) at: Timestamp,
    /// What.
    pub(crate) change: Change,
}

/// What happens.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Somebody asks for something.
    Command(Command),
    /// A subscription begins, or one with the same id changes.
    Subscribe(Subscription),
    /// A purchase is opened; a grant under its id confirms it.
    AwaitPayment(PendingPayment),
    /// The purchase or grant under this key is reversed, where there is one.
    Reverse(OperationKey),
    /// The account gets a project.
    AssignProject(ProjectId),
    /// It loses one.
    UnassignProject(ProjectId),
    /// The catalog changes.
    Apply(Box<Catalog>),
}

/// When every history begins.
pub(crate) fn start() -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::days(20_000)
}

/// Whose history it is.
pub(crate) fn account_id() -> AccountId {
    AccountId::new("acc").unwrap()
}

/// Histories of up to `pieces` pieces: a step each, or a short story.
pub(crate) fn histories(pieces: usize) -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![12 => Just(0), 4 => 1..50_i64, 2 => 50..400_i64, 1 => 400..3_000_i64];
    let single = (wait, changes()).prop_map(|step| vec![step]);
    let piece = prop_oneof![16 => single, 1 => overdue_runs(), 1 => confirmed_payments()];
    prop::collection::vec(piece, 1..=pieces).prop_map(|pieces| {
        let mut at = start();
        let step = |(wait, change)| {
            at += TimeDelta::minutes(wait);
            Step { at, change }
        };
        pieces.into_iter().flatten().map(step).collect()
    })
}

/// A run that outlives its lease, is freed, and reports after all: too rare by
/// chance.
fn overdue_runs() -> impl Strategy<Value = Vec<(i64, Change)>> {
    let settle = prop_oneof![
        Just(None).prop_map(Ok),
        (1..4_i64).prop_map(|credits| Ok(Some(credits))),
        Just(Err(ReleaseCause::TargetUnreachable)),
        Just(Err(ReleaseCause::PlatformError)),
    ];
    let refund = prop::bool::ANY;
    (reserves(), settle, refund).prop_map(|(reserve, settle, refund)| {
        let reservation_id = reserve.reservation_id.clone();
        let release = |cause| Action::Release {
            reservation_id: reservation_id.clone(),
            cause,
            note: String::new(),
        };
        let settle = match settle {
            Ok(credits) => Action::Commit { reservation_id: reservation_id.clone(), credits },
            Err(cause) => release(cause),
        };
        let mut story = vec![
            (0, command(Action::Reserve(reserve))),
            (125, command(Action::ExpireLease { reservation_id: reservation_id.clone() })),
            (0, command(settle)),
        ];
        story.extend(refund.then(|| (0, command(release(ReleaseCause::PlatformTimeout)))));
        story
    })
}

/// A payment that is confirmed, and a scan that it does not pay for.
fn confirmed_payments() -> impl Strategy<Value = Vec<(i64, Change)>> {
    // The grants of these numbers are top-ups.
    (0..3_u8, reserves()).prop_map(|(n, mut reserve)| {
        let n = n * 4 + 1;
        reserve.scan.scan_kind = ScanKindName::new("live_audit").unwrap();
        reserve.scan.credits = 100;
        vec![
            (0, Change::AwaitPayment(payment(n))),
            (0, command(grant(n, false))),
            (0, command(Action::Reserve(reserve))),
        ]
    })
}

pub(crate) fn command(action: Action) -> Change {
    Change::Command(Command { account_id: account_id(), actor: "tester".to_owned(), action })
}

/// What happens around the account, and what is asked of it.
pub(crate) fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        60 => actions().prop_map(command),
        4 => subscriptions().prop_map(Change::Subscribe),
        2 => (0..12_u8).prop_map(|n| Change::AwaitPayment(payment(n))),
        2 => (0..12_u8).prop_map(|n| Change::Reverse(grant_key(n))),
        2 => (0..3_u8).prop_map(|n| Change::AssignProject(project(n))),
        1 => (0..3_u8).prop_map(|n| Change::UnassignProject(project(n))),
        2 => any::<u8>().prop_map(|bits| Change::Apply(Box::new(catalog(bits)))),
    ]
}

/// What can be asked of the account, on few ids, so that they meet again.
pub(crate) fn actions() -> impl Strategy<Value = Action> {
    let id = || (0..24_u8).prop_map(reservation_id);
    let credits = prop_oneof![3 => Just(None), 1 => (1..4_i64).prop_map(Some)];
    let cause = (0..ReleaseCause::ALL.len()).prop_map(|n| ReleaseCause::ALL[n]);
    let note = prop_oneof![Just(String::new()), Just("a note".to_owned())];
    prop_oneof![
        10 => reserves().prop_map(Action::Reserve),
        2 => reserves().prop_map(|reserve| Action::Check(reserve.scan)),
        6 => (id(), credits)
            .prop_map(|(reservation_id, credits)| Action::Commit { reservation_id, credits }),
        6 => (id(), cause, note).prop_map(|(reservation_id, cause, note)| {
            Action::Release { reservation_id, cause, note }
        }),
        5 => id().prop_map(|reservation_id| Action::ExpireLease { reservation_id }),
        2 => (id(), 1..2_000_i64).prop_map(|(reservation_id, minutes)| {
            Action::Extend { reservation_id, lease: TimeDelta::minutes(minutes) }
        }),
        7 => (0..12_u8, prop::bool::weighted(0.1)).prop_map(|(n, other)| grant(n, other)),
        2 => (0..6_u8, prop::bool::weighted(0.1)).prop_map(|(n, other)| revoke(n, other)),
        1 => prop::bool::weighted(0.3).prop_map(|suspended| {
            Action::SetSuspension { suspended, reason: "dispute".to_owned() }
        }),
        1 => Just(Action::ApplyDue),
    ]
}

/// Mostly what belongs to the id, so that retries happen; sometimes another
/// payload under the same id.
pub(crate) fn reserves() -> impl Strategy<Value = Reserve> {
    let twist = prop_oneof![8 => Just(0_u8), 1 => 1..6_u8];
    (0..24_u8, twist).prop_map(|(n, twist)| {
        let kinds = ["live_audit", "deep_audit", "fix_run", "quick_scan", "live_audit"];
        let kind = kinds[usize::from(n) % kinds.len()];
        let mut reserve = Reserve {
            reservation_id: reservation_id(n),
            scan: Scan {
                project_id: (n % 3 > 0).then(|| project(n % 3)),
                scan_kind: ScanKindName::new(kind).unwrap(),
                credits: if kind == "fix_run" { i64::from(n % 7) + 1 } else { 0 },
            },
            lease: [None, Some(10), Some(120)][usize::from(n / 3) % 3].map(TimeDelta::minutes),
            labels: BTreeMap::new(),
        };
        match twist {
            1 => reserve.scan.credits = 4,
            2 => reserve.scan.credits = MAX_CREDITS,
            3 => reserve.scan.project_id = Some(project(0)),
            4 => reserve.lease = Some(TimeDelta::hours(48)),
            5 => reserve.scan.scan_kind = ScanKindName::new("unknown").unwrap(),
            _ => {}
        }
        reserve
    })
}

fn grant(n: u8, other: bool) -> Action {
    let sources = [LotSource::Grant, LotSource::TopUp, LotSource::Plan, LotSource::Trial];
    let hours = [None, Some(1), Some(5), None, Some(24), Some(72), Some(5)];
    let expires_in = hours[usize::from(n) % hours.len()].map(TimeDelta::hours);
    let credits = if n == 11 { MAX_CREDITS } else { i64::from(n % 5) + 1 };
    Action::Grant(Grant {
        key: grant_key(n),
        source: sources[usize::from(n) % sources.len()],
        credit_type: credit_type(n),
        credits: credits + i64::from(other),
        expire_time: expires_in.map(|hours| start() + hours),
        reason: "why".to_owned(),
    })
}

fn revoke(n: u8, other: bool) -> Action {
    Action::Revoke(Revoke {
        key: (OperationKind::Revocation, OperationId::new(&format!("revocation-{n}")).unwrap()),
        credit_type: credit_type(n),
        credits: i64::from(n % 3) + 1 + i64::from(other),
        reason: "why".to_owned(),
    })
}

fn payment(n: u8) -> PendingPayment {
    PendingPayment {
        top_up_id: grant_key(n).1.to_string(),
        credit_type: credit_type(n),
        create_time: start() + TimeDelta::minutes(i64::from(n)),
        expire_time: start() + TimeDelta::hours(24),
        credits: i64::from(n % 5) + 1,
    }
}

fn subscriptions() -> impl Strategy<Value = Subscription> {
    let plans = prop_oneof![Just("pro"), Just("monitor"), Just("small")];
    let statuses = prop_oneof![
        1 => Just(SubscriptionStatus::Trialing),
        4 => Just(SubscriptionStatus::Active),
        1 => Just(SubscriptionStatus::PastDue),
        1 => Just(SubscriptionStatus::Paused),
        1 => Just(SubscriptionStatus::Canceled),
    ];
    let ends = prop_oneof![Just(2_i64), Just(12), Just(60)];
    (0..3_u8, plans, statuses, ends, prop::bool::weighted(0.4)).prop_map(
        |(n, plan, status, hours, cancel_at_period_end)| Subscription {
            subscription_id: SubscriptionId::new(&format!("sub-{n}")).unwrap(),
            plan: PlanName::new(plan).unwrap(),
            status,
            interval: BillingInterval::Month,
            provider: "manual".to_owned(),
            period_start_time: start(),
            period_end_time: start() + TimeDelta::hours(hours),
            cancel_at_period_end,
            anchor_time: start(),
            create_time: start(),
            end_time: None,
            sent: None,
            provider_time: None,
        },
    )
}

fn credit_type(n: u8) -> CreditType {
    CreditType::new(if n % 3 == 2 { "fix" } else { "scan" }).unwrap()
}

fn reservation_id(n: u8) -> ReservationId {
    ReservationId::new(&format!("run-{n}")).unwrap()
}

fn project(n: u8) -> ProjectId {
    ProjectId::new(&format!("project-{n}")).unwrap()
}

fn grant_key(n: u8) -> OperationKey {
    let kinds =
        [OperationKind::Grant, OperationKind::TopUp, OperationKind::Period, OperationKind::Period];
    let id = OperationId::new(&format!("operation-{n}")).unwrap();
    (kinds[usize::from(n) % kinds.len()], id)
}

/// A catalog: each bit turns one rule of the policy.
pub(crate) fn catalog(bits: u8) -> Catalog {
    let bit = |n: u8| bits >> n & 1 == 1;
    let kind = |name, credit_type: Option<&str>, credits| ScanKind {
        name: ScanKindName::new(name).unwrap(),
        credit_type: credit_type.map(|name| CreditType::new(name).unwrap()),
        credits,
        default_lease: None,
        max_lease: None,
    };
    let plan = |name, max_concurrent_scans, scans: &[(&str, bool, i64)]| Plan {
        name: PlanName::new(name).unwrap(),
        allowances: vec![Allowance {
            credit_type: CreditType::new("scan").unwrap(),
            credits: 3,
            rollover: Rollover::Unlimited,
            credits_per_year: None,
        }],
        scans: scans
            .iter()
            .map(|(kind, covered, max_credits)| PlanScan {
                scan_kind: ScanKindName::new(kind).unwrap(),
                covered: *covered,
                max_credits: *max_credits,
            })
            .collect(),
        max_concurrent_scans,
        prices: vec![],
        provider_prices: vec![],
    };
    Catalog {
        scan_kinds: vec![
            kind("live_audit", Some("scan"), 1),
            kind("deep_audit", Some("scan"), 3),
            kind("fix_run", Some("fix"), 0),
            kind("quick_scan", None, 0),
        ],
        plans: vec![
            plan("pro", 6, &[("live_audit", false, 0), ("deep_audit", false, 5)]),
            plan("monitor", 3, &[("live_audit", true, 0)]),
            plan("small", 1, &[("live_audit", false, 0), ("fix_run", false, 2)]),
        ],
        policy: Policy {
            causes: if bit(0) {
                [(ReleaseCause::PlatformError, false), (ReleaseCause::TargetUnreachable, true)]
                    .map(|(cause, restores)| CausePolicy { cause, restores })
                    .to_vec()
            } else {
                vec![]
            },
            credits_lapse_on_cancel: bit(1),
            restored_credit_lifetime: bit(2).then(|| TimeDelta::hours(2)),
            top_up_lifetime: None,
            low_balance: None,
            max_concurrent_scans_per_project: if bit(3) { 2 } else { 0 },
            planless_accounts_may_spend: !(bit(4) && bit(5)),
        },
        prices: vec![],
    }
}
