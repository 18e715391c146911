//! Whether a catalog makes sense as a whole, before it is applied.
//!
//! Shapes of names are checked where they are decoded; here is what only the
//! whole document shows: references, doubles, ranges, sizes.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::{
    catalog::{Allowance, Catalog, CreditPrice, Plan, PlanScan, Policy, Rollover, ScanKind},
    credit::MAX_CREDITS,
};
use crate::ids::CreditType;

/// The most items of any list of a catalog.
pub const MAX_ITEMS: usize = 1_000;
/// The longest lease that a catalog may allow: a year.
pub const MAX_LEASE: TimeDelta = TimeDelta::days(366);
/// The longest that restored credits may last: ten years.
pub const MAX_RESTORED_LIFETIME: TimeDelta = TimeDelta::days(3_660);
/// The longest that a top-up may wait for its payment: a year.
pub const MAX_TOP_UP_LIFETIME: TimeDelta = TimeDelta::days(366);
/// The highest price of one credit, in the currency's minor unit.
pub const MAX_UNIT_PRICE_MINOR: i64 = 1_000_000_000_000;
/// The most bytes of a provider's name or price id.
pub const MAX_PROVIDER_TEXT: usize = 128;
/// The most violations that are told at once: an answer has to hold them.
pub const MAX_VIOLATIONS: usize = 100;

/// What is wrong with one field of a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field's path in `ApplyCatalogRequest`, such as
    /// `catalog.plans[1].scans[0].scan_kind`.
    pub field: String,
    /// What is wrong, for people: it continues the field's name.
    pub description: String,
}

/// Checks a catalog.
///
/// # Errors
///
/// What is wrong with it, in the order of the document: at most
/// [`MAX_VIOLATIONS`]. The items of a list that is too long are not looked at.
pub fn check(catalog: &Catalog) -> Result<(), Vec<Violation>> {
    let mut checker = Checker::default();
    checker.catalog(catalog);
    if checker.violations.is_empty() { Ok(()) } else { Err(checker.violations) }
}

#[derive(Default)]
struct Checker<'a> {
    violations: Vec<Violation>,
    /// Where each (provider, price id) was seen first: a webhook finds its plan
    /// or pack by it, so it may mean only one.
    provider_prices: BTreeMap<(&'a str, &'a str), String>,
    /// The currency of each credit type, and where it was seen first: the lowest
    /// of several prices is asked for, so they must compare.
    currencies: BTreeMap<&'a CreditType, (&'a str, String)>,
}

impl<'a> Checker<'a> {
    fn catalog(&mut self, catalog: &'a Catalog) {
        let kinds = self.items("catalog.scan_kinds", &catalog.scan_kinds);
        self.unique("catalog.scan_kinds", "name", kinds, |kind| kind.name.as_str());
        for (index, kind) in kinds.iter().enumerate() {
            self.scan_kind(&format!("catalog.scan_kinds[{index}]"), kind);
        }
        let plans = self.items("catalog.plans", &catalog.plans);
        self.unique("catalog.plans", "name", plans, |plan| plan.name.as_str());
        for (index, plan) in plans.iter().enumerate() {
            self.plan(&format!("catalog.plans[{index}]"), plan, catalog);
        }
        self.policy(&catalog.policy);
        self.prices("catalog.prices", &catalog.prices);
    }

    fn scan_kind(&mut self, path: &str, kind: &ScanKind) {
        let credits = format!("{path}.credits");
        if kind.credit_type.is_some() {
            self.range(&credits, kind.credits, 0, MAX_CREDITS);
        } else if kind.credits != 0 {
            self.wrong(&credits, "must be 0: a kind without a credit type is free");
        }
        let (default, max) = (format!("{path}.default_lease"), format!("{path}.max_lease"));
        self.span(&default, kind.default_lease, MAX_LEASE);
        self.span(&max, kind.max_lease, MAX_LEASE);
        if kind.default_lease.is_some_and(|lease| lease > kind.max_lease()) {
            self.wrong(&default, "is longer than max_lease (24 h where that is absent)");
        }
    }

    fn plan(&mut self, path: &str, plan: &'a Plan, catalog: &Catalog) {
        let list = format!("{path}.allowances");
        let allowances = self.items(&list, &plan.allowances);
        self.unique(&list, "credit_type", allowances, |allowance| allowance.credit_type.as_str());
        for (index, allowance) in allowances.iter().enumerate() {
            self.allowance(&format!("{list}[{index}]"), allowance);
        }

        let list = format!("{path}.scans");
        let scans = self.items(&list, &plan.scans);
        self.unique(&list, "scan_kind", scans, |scan| scan.scan_kind.as_str());
        for (index, scan) in scans.iter().enumerate() {
            self.plan_scan(&format!("{list}[{index}]"), scan, catalog);
        }

        let field = format!("{path}.max_concurrent_scans");
        self.range(&field, i64::from(plan.max_concurrent_scans), 0, i64::from(i32::MAX));
        self.prices(&format!("{path}.prices"), &plan.prices);

        let list = format!("{path}.provider_prices");
        for (index, price) in self.items(&list, &plan.provider_prices).iter().enumerate() {
            self.provider_price(&format!("{list}[{index}]"), &price.provider, &price.price_id);
        }
    }

    fn allowance(&mut self, path: &str, allowance: &Allowance) {
        self.range(&format!("{path}.credits"), allowance.credits, 0, MAX_CREDITS);
        if let Rollover::Capped(cap) = allowance.rollover {
            self.range(&format!("{path}.rollover_cap"), cap, 0, MAX_CREDITS);
        }
        if let Some(credits) = allowance.credits_per_year {
            self.range(&format!("{path}.credits_per_year"), credits, 0, MAX_CREDITS);
        }
    }

    fn plan_scan(&mut self, path: &str, scan: &PlanScan, catalog: &Catalog) {
        match catalog.scan_kind(&scan.scan_kind) {
            None => {
                let description = format!("names no kind of the catalog: {}", scan.scan_kind);
                self.wrong(&format!("{path}.scan_kind"), description);
            }
            Some(kind) if scan.covered && kind.credit_type.is_none() => {
                self.wrong(&format!("{path}.covered"), "is for kinds that take credits only");
            }
            Some(_) => {}
        }
        self.range(&format!("{path}.max_credits"), scan.max_credits, 0, MAX_CREDITS);
    }

    fn prices(&mut self, list: &str, prices: &'a [CreditPrice]) {
        let prices = self.items(list, prices);
        self.unique(list, "credit_type", prices, |price| price.credit_type.as_str());
        for (index, price) in prices.iter().enumerate() {
            let path = format!("{list}[{index}]");
            let field = format!("{path}.unit_price_minor");
            self.range(&field, price.unit_price_minor, 1, MAX_UNIT_PRICE_MINOR);
            let currency = &price.currency;
            if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
                self.wrong(
                    &format!("{path}.currency"),
                    "must be a code of ISO 4217, such as \"USD\"",
                );
            } else {
                self.one_currency(&format!("{path}.currency"), price);
            }
            let packs = format!("{path}.packs");
            for (index, pack) in self.items(&packs, &price.packs).iter().enumerate() {
                let path = format!("{packs}[{index}]");
                self.provider_price(&path, &pack.provider, &pack.price_id);
                let field = format!("{path}.credits_per_unit");
                self.range(&field, pack.credits_per_unit, 1, MAX_CREDITS);
            }
        }
    }

    fn one_currency(&mut self, path: &str, price: &'a CreditPrice) {
        let first = self.currencies.get(&price.credit_type).cloned();
        let (currency, first) = first.unwrap_or_else(|| (price.currency.as_str(), path.to_owned()));
        if currency != price.currency {
            let description = format!(
                "differs from {first}, {currency}: all prices of {} have one currency",
                price.credit_type
            );
            self.wrong(path, description);
        }
        self.currencies.insert(&price.credit_type, (currency, first));
    }

    fn provider_price(&mut self, path: &str, provider: &'a str, price_id: &'a str) {
        for (name, text) in [("provider", provider), ("price_id", price_id)] {
            if text.is_empty()
                || text.len() > MAX_PROVIDER_TEXT
                || !text.bytes().all(|byte| byte.is_ascii_graphic())
            {
                self.wrong(
                    &format!("{path}.{name}"),
                    format!(
                        "must be 1 to {MAX_PROVIDER_TEXT} printable ASCII characters, no spaces"
                    ),
                );
            }
        }
        let here = format!("{path}.price_id");
        if let Some(first) = self.provider_prices.get(&(provider, price_id)) {
            let description = format!("means {first} already: one price, one meaning");
            self.wrong(&here, description);
        } else {
            self.provider_prices.insert((provider, price_id), path.to_owned());
        }
    }

    fn policy(&mut self, policy: &Policy) {
        let list = "catalog.policy.causes";
        let causes = self.items(list, &policy.causes);
        self.unique(list, "cause", causes, |policy| policy.cause.name());
        let field = "catalog.policy.restored_credit_lifetime";
        self.span(field, policy.restored_credit_lifetime, MAX_RESTORED_LIFETIME);
        let field = "catalog.policy.top_up_lifetime";
        self.span(field, policy.top_up_lifetime, MAX_TOP_UP_LIFETIME);
        if let Some(credits) = policy.low_balance {
            self.range("catalog.policy.low_balance", credits, 0, MAX_CREDITS);
        }
        let limit = i64::from(policy.max_concurrent_scans_per_project);
        let field = "catalog.policy.max_concurrent_scans_per_project";
        self.range(field, limit, 0, i64::from(i32::MAX));
    }

    /// The items of a list, or none where there are too many of them.
    fn items<'i, T>(&mut self, list: &str, items: &'i [T]) -> &'i [T] {
        if items.len() <= MAX_ITEMS {
            return items;
        }
        self.wrong(list, format!("has {} items: at most {MAX_ITEMS} are allowed", items.len()));
        &[]
    }

    fn unique<'i, T>(
        &mut self,
        list: &str,
        field: &str,
        items: &'i [T],
        key: impl Fn(&'i T) -> &'i str,
    ) {
        let mut seen = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let first = *seen.entry(key(item)).or_insert(index);
            if first != index {
                let description = format!("is that of {list}[{first}] already: {}", key(item));
                self.wrong(&format!("{list}[{index}].{field}"), description);
            }
        }
    }

    fn range(&mut self, field: &str, number: i64, least: i64, most: i64) {
        if !(least..=most).contains(&number) {
            self.wrong(field, format!("is {number}: {least} to {most} are allowed"));
        }
    }

    /// A finer span than Postgres keeps would come back as another one.
    fn span(&mut self, field: &str, span: Option<TimeDelta>, longest: TimeDelta) {
        let Some(span) = span else { return };
        if span <= TimeDelta::zero() || span > longest {
            let days = longest.num_days();
            self.wrong(field, format!("must be more than 0 and at most {days} days"));
        } else if span.subsec_nanos() % 1_000 != 0 {
            self.wrong(field, "must be whole microseconds");
        }
    }

    fn wrong(&mut self, field: &str, description: impl Into<String>) {
        if self.violations.len() < MAX_VIOLATIONS {
            let description = description.into();
            self.violations.push(Violation { field: field.to_owned(), description });
        }
    }
}
