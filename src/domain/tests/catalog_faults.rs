//! Every rule that a catalog as a whole has to keep: one row each.

use chrono::TimeDelta;
use creditgate::{
    domain::{
        catalog::{Allowance, Catalog, CausePolicy, CreditPack, CreditPrice, PlanPrice, Rollover},
        catalog_check::{MAX_ITEMS, MAX_VIOLATIONS, check},
        credit::MAX_CREDITS,
        reservation::ReleaseCause,
    },
    ids::{CreditType, ScanKindName},
};

use super::generate::catalog;

pub(super) fn price(credit_type: &str, packs: &[(&str, &str)]) -> CreditPrice {
    CreditPrice {
        credit_type: CreditType::new(credit_type).unwrap(),
        unit_price_minor: 2_900,
        currency: "USD".to_owned(),
        packs: packs
            .iter()
            .map(|(provider, price_id)| CreditPack {
                provider: (*provider).to_owned(),
                price_id: (*price_id).to_owned(),
                credits_per_unit: 5,
            })
            .collect(),
    }
}

pub(super) fn plan_price(provider: &str, price_id: &str) -> PlanPrice {
    PlanPrice { provider: provider.to_owned(), price_id: price_id.to_owned(), yearly: false }
}

/// One that uses every field, and is good.
pub(super) fn full() -> Catalog {
    let mut catalog = catalog(0b1111);
    catalog.scan_kinds[0].default_lease = Some(TimeDelta::minutes(30));
    catalog.scan_kinds[0].max_lease = Some(TimeDelta::days(366));
    catalog.prices = vec![price("scan", &[("paddle", "pri_scan5")]), price("fix", &[])];
    let pro = &mut catalog.plans[0];
    pro.prices = vec![price("scan", &[("paddle", "pri_pro_scan5")])];
    pro.provider_prices =
        vec![plan_price("paddle", "pri_pro_month"), plan_price("other", "pri_scan5")];
    pro.allowances.push(Allowance {
        credit_type: CreditType::new("fix").unwrap(),
        credits: MAX_CREDITS,
        rollover: Rollover::Capped(0),
        credits_per_year: Some(12),
    });
    catalog.policy.top_up_lifetime = Some(TimeDelta::hours(1));
    catalog.policy.low_balance = Some(0);
    catalog
}

#[test]
fn good_catalogs_pass() {
    assert_eq!(check(&full()), Ok(()));
    assert_eq!(check(&Catalog::default()), Ok(()));
    // Another type may have another currency.
    let mut mixed = full();
    mixed.prices[1].currency = "EUR".to_owned();
    assert_eq!(check(&mixed), Ok(()));
    // The default lease gives way to a shorter longest one.
    let mut short = full();
    short.scan_kinds[0].default_lease = None;
    short.scan_kinds[0].max_lease = Some(TimeDelta::microseconds(1));
    assert_eq!(check(&short), Ok(()));
}

#[test]
fn each_fault_is_told_at_its_field() {
    type Row = (&'static str, fn(&mut Catalog));
    let rows: [Row; 48] = [
        ("scan_kinds[4].name", |c| c.scan_kinds.push(c.scan_kinds[0].clone())),
        ("scan_kinds[0].credits", |c| c.scan_kinds[0].credits = -1),
        ("scan_kinds[0].credits", |c| c.scan_kinds[0].credits = MAX_CREDITS + 1),
        ("scan_kinds[3].credits", |c| c.scan_kinds[3].credits = 1),
        ("scan_kinds[0].default_lease", |c| c.scan_kinds[0].default_lease = days(0)),
        ("scan_kinds[0].default_lease", |c| c.scan_kinds[0].default_lease = days(-1)),
        ("scan_kinds[1].default_lease", |c| c.scan_kinds[1].default_lease = days(2)),
        ("scan_kinds[1].default_lease", |c| {
            c.scan_kinds[1].default_lease = Some(TimeDelta::nanoseconds(1_500));
        }),
        ("scan_kinds[1].max_lease", |c| c.scan_kinds[1].max_lease = days(0)),
        ("scan_kinds[1].max_lease", |c| c.scan_kinds[1].max_lease = days(367)),
        ("plans[3].name", |c| {
            c.plans.push(c.plans[1].clone());
        }),
        ("plans[0].allowances[2].credit_type", |c| {
            let allowance = c.plans[0].allowances[0].clone();
            c.plans[0].allowances.push(allowance);
        }),
        ("plans[0].allowances[0].credits", |c| c.plans[0].allowances[0].credits = -1),
        ("plans[0].allowances[0].credits", |c| c.plans[0].allowances[0].credits = MAX_CREDITS + 1),
        ("plans[0].allowances[0].rollover_cap", |c| {
            c.plans[0].allowances[0].rollover = Rollover::Capped(-1);
        }),
        ("plans[0].allowances[1].credits_per_year", |c| {
            c.plans[0].allowances[1].credits_per_year = Some(-1);
        }),
        ("plans[0].scans[2].scan_kind", |c| {
            let scan = c.plans[0].scans[0].clone();
            c.plans[0].scans.push(scan);
        }),
        ("plans[1].scans[0].scan_kind", |c| {
            c.plans[1].scans[0].scan_kind = ScanKindName::new("unknown").unwrap();
        }),
        ("plans[1].scans[0].covered", |c| {
            c.plans[1].scans[0].scan_kind = ScanKindName::new("quick_scan").unwrap();
        }),
        ("plans[1].scans[0].max_credits", |c| c.plans[1].scans[0].max_credits = -1),
        ("plans[2].max_concurrent_scans", |c| c.plans[2].max_concurrent_scans = -1),
        ("plans[0].prices[1].credit_type", |c| c.plans[0].prices.push(price("scan", &[]))),
        ("plans[0].prices[0].unit_price_minor", |c| c.plans[0].prices[0].unit_price_minor = 0),
        ("plans[0].provider_prices[0].provider", |c| {
            c.plans[0].provider_prices[0].provider.clear();
        }),
        ("plans[0].provider_prices[0].price_id", |c| {
            c.plans[0].provider_prices[0].price_id = "pri month".to_owned();
        }),
        ("plans[0].provider_prices[0].price_id", |c| {
            c.plans[0].provider_prices[0].price_id = "x".repeat(129);
        }),
        // One price, one meaning: within a list, between plans, plans and packs.
        ("plans[0].provider_prices[2].price_id", |c| {
            c.plans[0].provider_prices.push(plan_price("paddle", "pri_pro_month"));
        }),
        ("plans[1].provider_prices[0].price_id", |c| {
            c.plans[1].provider_prices.push(plan_price("paddle", "pri_pro_month"));
        }),
        ("plans[1].provider_prices[0].price_id", |c| {
            c.plans[1].provider_prices.push(plan_price("paddle", "pri_pro_scan5"));
        }),
        ("prices[1].packs[0].price_id", |c| {
            c.prices[1].packs = price("fix", &[("paddle", "pri_scan5")]).packs;
        }),
        ("prices[0].packs[0].price_id", |c| {
            c.prices[0].packs[0].price_id = "pri_pro_scan5".to_owned();
        }),
        ("policy.causes[2].cause", |c| {
            let cause = ReleaseCause::PlatformError;
            c.policy.causes.push(CausePolicy { cause, restores: true });
        }),
        ("policy.restored_credit_lifetime", |c| c.policy.restored_credit_lifetime = days(0)),
        ("policy.restored_credit_lifetime", |c| c.policy.restored_credit_lifetime = days(3_661)),
        ("policy.top_up_lifetime", |c| c.policy.top_up_lifetime = days(0)),
        ("policy.top_up_lifetime", |c| c.policy.top_up_lifetime = days(367)),
        ("policy.low_balance", |c| c.policy.low_balance = Some(-1)),
        ("policy.max_concurrent_scans_per_project", |c| {
            c.policy.max_concurrent_scans_per_project = -1;
        }),
        ("prices[2].credit_type", |c| c.prices.push(price("fix", &[]))),
        ("prices[0].unit_price_minor", |c| c.prices[0].unit_price_minor = -1),
        ("prices[0].currency", |c| c.prices[0].currency = "usd".to_owned()),
        ("prices[0].currency", |c| c.prices[0].currency.clear()),
        // One currency a type: within plans, plans and the rest.
        ("prices[0].currency", |c| c.prices[0].currency = "EUR".to_owned()),
        ("plans[1].prices[0].currency", |c| {
            c.plans[1]
                .prices
                .push(CreditPrice { currency: "EUR".to_owned(), ..price("scan", &[]) });
        }),
        ("prices[0].packs[0].provider", |c| c.prices[0].packs[0].provider = "\n".to_owned()),
        ("prices[0].packs[0].credits_per_unit", |c| c.prices[0].packs[0].credits_per_unit = 0),
        ("scan_kinds", |c| {
            c.plans.clear();
            c.scan_kinds = vec![c.scan_kinds[0].clone(); MAX_ITEMS + 1];
        }),
        ("plans[0].scans", |c| {
            c.plans[0].scans = vec![c.plans[0].scans[0].clone(); MAX_ITEMS + 1];
        }),
    ];
    for (field, fault) in rows {
        let mut catalog = full();
        fault(&mut catalog);
        let found: Vec<String> =
            check(&catalog).unwrap_err().into_iter().map(|found| found.field).collect();
        assert_eq!(found, [format!("catalog.{field}")]);
    }
}

fn days(days: i64) -> Option<TimeDelta> {
    Some(TimeDelta::days(days))
}

#[test]
fn all_faults_are_told_up_to_what_an_answer_holds() {
    let mut catalog = full();
    catalog.scan_kinds[0].credits = -1;
    catalog.policy.low_balance = Some(-1);
    let found = check(&catalog).unwrap_err();
    let fields: Vec<&str> = found.iter().map(|found| found.field.as_str()).collect();
    assert_eq!(fields, ["catalog.scan_kinds[0].credits", "catalog.policy.low_balance"]);
    assert_eq!(found[0].description, "is -1: 0 to 1000000000000 are allowed");

    catalog.scan_kinds = vec![catalog.scan_kinds[0].clone(); MAX_ITEMS];
    assert_eq!(check(&catalog).unwrap_err().len(), MAX_VIOLATIONS);
}
