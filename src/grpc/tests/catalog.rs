//! The catalog there and back.

use chrono::TimeDelta;
use prost_types::Duration;

use super::wrong;
use crate::{
    domain::catalog::{DEFAULT_MAX_LEASE, Rollover},
    grpc::{decode, encode},
    proto,
};

fn catalog() -> proto::Catalog {
    let price = proto::CreditPrice {
        credit_type: "scan".to_owned(),
        unit_price_minor: 2900,
        currency: "USD".to_owned(),
        packs: vec![proto::CreditPack {
            provider: "paddle".to_owned(),
            price_id: "pri_scan5".to_owned(),
            credits_per_unit: 5,
        }],
    };
    let allowance = |rollover: proto::Rollover, cap| proto::Allowance {
        credit_type: "scan".to_owned(),
        credits: 3,
        rollover: rollover.into(),
        rollover_cap: cap,
        credits_per_year: Some(40),
    };
    proto::Catalog {
        scan_kinds: vec![
            proto::ScanKind {
                name: "live_audit".to_owned(),
                credit_type: "scan".to_owned(),
                credits: 1,
                default_lease: Some(Duration { seconds: 90, nanos: 500_000_000 }),
                max_lease: Some(Duration { seconds: 7200, nanos: 0 }),
            },
            proto::ScanKind { name: "quick".to_owned(), ..proto::ScanKind::default() },
        ],
        plans: vec![proto::Plan {
            name: "pro".to_owned(),
            allowances: vec![
                allowance(proto::Rollover::Unlimited, 0),
                allowance(proto::Rollover::Capped, 7),
                allowance(proto::Rollover::None, 0),
            ],
            scans: vec![proto::PlanScan {
                scan_kind: "live_audit".to_owned(),
                covered: true,
                max_credits: 2,
            }],
            max_concurrent_scans: 4,
            prices: vec![price.clone()],
            provider_prices: vec![proto::PlanPrice {
                provider: "paddle".to_owned(),
                price_id: "pri_pro".to_owned(),
                yearly: true,
            }],
        }],
        policy: Some(proto::Policy {
            causes: vec![proto::CausePolicy { cause: 5, restores: true }],
            credits_lapse_on_cancel: true,
            restored_credit_lifetime: Some(Duration { seconds: 86_400, nanos: 0 }),
            top_up_lifetime: Some(Duration { seconds: 3600, nanos: 0 }),
            low_balance: Some(0),
            max_concurrent_scans_per_project: 1,
            planless_accounts_may_spend: true,
        }),
        prices: vec![price],
    }
}

#[test]
fn a_catalog_comes_back_as_it_was_sent() {
    let decoded = decode::catalog(Some(catalog())).unwrap();
    assert_eq!(decoded.plans[0].allowances[1].rollover, Rollover::Capped(7));
    assert_eq!(decoded.scan_kinds[0].default_lease, Some(TimeDelta::milliseconds(90_500)));
    assert_eq!(encode::catalog(decoded), catalog());
}

#[test]
fn what_is_left_out_stays_out() {
    let decoded = decode::catalog(Some(catalog())).unwrap();
    let free = &decoded.scan_kinds[1];
    assert_eq!((&free.credit_type, free.default_lease), (&None, None));
    assert_eq!(free.max_lease(), DEFAULT_MAX_LEASE);
    let empty = decode::catalog(Some(proto::Catalog::default())).unwrap();
    assert_eq!(empty, crate::domain::catalog::Catalog::default());
    assert_eq!(wrong(decode::catalog(None)), ["catalog"]);
}

#[test]
fn mistakes_are_named_by_their_paths() {
    let mut bad = catalog();
    bad.scan_kinds[0].name.clear();
    bad.scan_kinds[1].credit_type = "no type".to_owned();
    bad.scan_kinds[1].max_lease = Some(Duration { seconds: i64::MAX, nanos: 0 });
    let plan = &mut bad.plans[0];
    plan.name = "p\n".to_owned();
    plan.allowances[0].rollover_cap = 1;
    plan.allowances[1].credit_type.clear();
    plan.allowances[2].rollover = 0;
    plan.scans[0].scan_kind.clear();
    plan.prices[0].credit_type.clear();
    let policy = bad.policy.as_mut().unwrap();
    policy.causes[0].cause = 99;
    policy.top_up_lifetime = Some(Duration { seconds: 1, nanos: -1 });
    bad.prices[0].credit_type.clear();
    assert_eq!(
        wrong(decode::catalog(Some(bad))),
        [
            "catalog.scan_kinds[0].name",
            "catalog.scan_kinds[1].credit_type",
            "catalog.scan_kinds[1].max_lease",
            "catalog.plans[0].name",
            "catalog.plans[0].allowances[0].rollover_cap",
            "catalog.plans[0].allowances[1].credit_type",
            "catalog.plans[0].allowances[2].rollover",
            "catalog.plans[0].scans[0].scan_kind",
            "catalog.plans[0].prices[0].credit_type",
            "catalog.policy.causes[0].cause",
            "catalog.policy.top_up_lifetime",
            "catalog.prices[0].credit_type",
        ]
    );
}

#[test]
fn a_thousand_mistakes_are_not_all_told() {
    let bad = proto::Catalog {
        scan_kinds: vec![proto::ScanKind::default(); 1000],
        ..proto::Catalog::default()
    };
    assert_eq!(wrong(decode::catalog(Some(bad))).len(), 100);
}
