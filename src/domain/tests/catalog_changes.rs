//! What a new catalog changes, in words; and that nothing changes in silence.

use chrono::TimeDelta;
use creditgate::domain::{
    catalog::{Catalog, CausePolicy, CreditPrice, Rollover},
    catalog_diff::{diff, removed_plans},
    reservation::ReleaseCause,
};
use proptest::prelude::*;

use super::catalog_faults::{full, plan_price, price};

type Change = fn(&mut Catalog);

/// A change of every field, and the line that tells of it.
const ROWS: [(&str, Change); 34] = [
    ("scan kind live_audit: credits 1 -> 2", |c| c.scan_kinds[0].credits = 2),
    ("scan kind deep_audit: credit_type scan -> none", |c| c.scan_kinds[1].credit_type = None),
    ("scan kind live_audit: default_lease 30m -> default", |c| {
        c.scan_kinds[0].default_lease = None
    }),
    ("scan kind deep_audit: max_lease default -> 2h 1s", |c| {
        c.scan_kinds[1].max_lease = Some(TimeDelta::seconds(7_201));
    }),
    ("scan kind quick_scan: removed", |c| c.scan_kinds.retain(|k| k.name.as_str() != "quick_scan")),
    ("order of scan kinds changed", |c| c.scan_kinds.swap(1, 2)),
    ("plan small: removed", |c| c.plans.retain(|plan| plan.name.as_str() != "small")),
    ("order of plans changed", |c| c.plans[..2].reverse()),
    ("plan pro: allowance scan: credits 3 -> 4", |c| plan(c).allowances[0].credits = 4),
    ("plan pro: allowance scan: rollover unlimited -> capped at 7", |c| {
        plan(c).allowances[0].rollover = Rollover::Capped(7);
    }),
    ("plan pro: allowance fix: rollover capped at 0 -> none", |c| {
        plan(c).allowances[1].rollover = Rollover::None;
    }),
    ("plan pro: allowance fix: credits_per_year 12 -> default", |c| {
        plan(c).allowances[1].credits_per_year = None;
    }),
    ("plan pro: scan live_audit: covered false -> true", |c| plan(c).scans[0].covered = true),
    ("plan pro: scan deep_audit: max_credits 5 -> 0", |c| plan(c).scans[1].max_credits = 0),
    ("plan pro: max_concurrent_scans 6 -> 9", |c| plan(c).max_concurrent_scans = 9),
    ("plan pro: price scan: unit_price_minor 2900 -> 1", |c| {
        plan(c).prices.iter_mut().for_each(|price| price.unit_price_minor = 1);
    }),
    ("plan pro: price scan: removed", |c| plan(c).prices.clear()),
    ("plan pro: provider price paddle pri_pro_month: yearly false -> true", |c| {
        plan(c).provider_prices[0].yearly = true;
    }),
    ("plan pro: provider price paddle pri_new: added", |c| {
        plan(c).provider_prices.push(plan_price("paddle", "pri_new"));
    }),
    ("plan pro: order of provider prices changed", |c| plan(c).provider_prices.reverse()),
    ("policy: cause PLATFORM_ERROR: restores false -> true", |c| {
        c.policy.causes[0].restores = true
    }),
    ("policy: cause NOT_STARTED: added", |c| {
        c.policy.causes.push(CausePolicy { cause: ReleaseCause::NotStarted, restores: true });
    }),
    ("policy: order of causes changed", |c| c.policy.causes.reverse()),
    ("policy: credits_lapse_on_cancel true -> false", |c| c.policy.credits_lapse_on_cancel = false),
    ("policy: restored_credit_lifetime 2h -> 1day", |c| {
        c.policy.restored_credit_lifetime = Some(TimeDelta::days(1));
    }),
    ("policy: top_up_lifetime 1h -> default", |c| c.policy.top_up_lifetime = None),
    ("policy: low_balance 0 -> 5", |c| c.policy.low_balance = Some(5)),
    ("policy: max_concurrent_scans_per_project 2 -> 3", |c| {
        c.policy.max_concurrent_scans_per_project = 3;
    }),
    ("policy: planless_accounts_may_spend true -> false", |c| {
        c.policy.planless_accounts_may_spend = false;
    }),
    ("price scan: currency USD -> EUR", |c| scan_price(c).currency = "EUR".to_owned()),
    ("price scan: pack paddle pri_scan5: credits_per_unit 5 -> 6", |c| {
        scan_price(c).packs[0].credits_per_unit = 6;
    }),
    ("price audit: added", |c| c.prices.push(price("audit", &[]))),
    ("price scan: pack paddle pri_next: added", |c| {
        scan_price(c).packs.extend(price("scan", &[("paddle", "pri_next")]).packs);
    }),
    ("order of prices changed", |c| c.prices.swap(0, 1)),
];

fn plan(catalog: &mut Catalog) -> &mut creditgate::domain::catalog::Plan {
    catalog.plans.iter_mut().find(|plan| plan.name.as_str() == "pro").unwrap()
}

fn scan_price(catalog: &mut Catalog) -> &mut CreditPrice {
    catalog.prices.iter_mut().find(|price| price.credit_type.as_str() == "scan").unwrap()
}

#[test]
fn each_change_has_its_line() {
    for (line, change) in ROWS {
        let mut new = full();
        change(&mut new);
        assert_eq!(diff(&full(), &new), [line]);
    }
}

#[test]
fn changes_are_told_in_the_order_of_the_document() {
    let mut new = full();
    new.prices.clear();
    new.policy.low_balance = None;
    new.plans.remove(2);
    let mut added = new.plans[0].clone();
    added.name = creditgate::ids::PlanName::new("agency").unwrap();
    new.plans.insert(0, added);
    new.scan_kinds[0].credits = 2;
    let expected = [
        "scan kind live_audit: credits 1 -> 2",
        "plan agency: added",
        "plan small: removed",
        "policy: low_balance 0 -> default",
        "price scan: removed",
        "price fix: removed",
    ];
    assert_eq!(diff(&full(), &new), expected);
}

#[test]
fn removed_plans_are_named() {
    let mut new = full();
    assert_eq!(removed_plans(&full(), &new), []);
    new.plans.remove(1);
    new.plans.reverse();
    let removed = removed_plans(&full(), &new);
    assert_eq!(removed.iter().map(|plan| plan.as_str()).collect::<Vec<_>>(), ["monitor"]);
    assert_eq!(removed_plans(&new, &full()), []);
    assert_eq!(removed_plans(&full(), &Catalog::default()).len(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_said_exactly_where_nothing_changed(
        old in prop::collection::vec(0..ROWS.len(), 0..4),
        new in prop::collection::vec(0..ROWS.len(), 0..4),
    ) {
        let made = |changes: &[usize]| {
            let mut catalog = full();
            for change in changes {
                ROWS[*change].1(&mut catalog);
            }
            catalog
        };
        let (old, new) = (made(&old), made(&new));
        prop_assert_eq!(diff(&old, &new).is_empty(), old == new);
        // Stored and read back, it is the same.
        let text = serde_json::to_string(&new).unwrap();
        prop_assert_eq!(serde_json::from_str::<Catalog>(&text).unwrap(), new);
    }
}
