//! What a new catalog changes, in words.
//!
//! Items are found by their names. A list whose items only stand in another
//! order is a change too (`order of plans changed`): the document differs,
//! so it gets a new revision, and nobody is told that nothing changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

use chrono::TimeDelta;

use super::catalog::{
    Allowance, Catalog, CausePolicy, CreditPack, CreditPrice, Plan, PlanPrice, PlanScan, Policy,
    Rollover, ScanKind,
};
use crate::ids::PlanName;

/// What changed, a line each, in the order of the document: such as
/// `scan kind live_audit: credits 1 -> 2` or `plan pro: added`. Of catalogs that
/// passed [`super::catalog_check`], it is empty exactly where they are equal.
#[must_use]
pub fn diff(old: &Catalog, new: &Catalog) -> Vec<String> {
    // Taken apart by name here and below, so that a new field cannot be
    // forgotten.
    let Catalog { scan_kinds, plans, policy, prices } = new;
    let mut lines = Lines(Vec::new());
    let name = |kind: &ScanKind| kind.name.to_string();
    lines.list("", "scan kind", &old.scan_kinds, scan_kinds, name, scan_kind);
    lines.list("", "plan", &old.plans, plans, |plan| plan.name.to_string(), plan);
    policy_changes(&mut lines, &old.policy, policy);
    lines.list("", "price", &old.prices, prices, price_name, price);
    lines.0
}

/// The plans that the new catalog no longer has, by name: those that still have
/// live subscriptions stand in its way.
#[must_use]
pub fn removed_plans(old: &Catalog, new: &Catalog) -> Vec<PlanName> {
    let kept: BTreeSet<&PlanName> = new.plans.iter().map(|plan| &plan.name).collect();
    let had: BTreeSet<&PlanName> = old.plans.iter().map(|plan| &plan.name).collect();
    had.difference(&kept).map(|name| (*name).clone()).collect()
}

fn scan_kind(lines: &mut Lines, at: &str, old: &ScanKind, new: &ScanKind) {
    let ScanKind { name: _, credit_type, credits, default_lease, max_lease } = new;
    lines.field(at, "credit_type", &old.credit_type, credit_type, |t| or(t.as_ref(), "none"));
    lines.value(at, "credits", old.credits, *credits);
    lines.span(at, "default_lease", old.default_lease, *default_lease);
    lines.span(at, "max_lease", old.max_lease, *max_lease);
}

fn plan(lines: &mut Lines, at: &str, old: &Plan, new: &Plan) {
    let Plan { name: _, allowances, scans, max_concurrent_scans, prices, provider_prices } = new;
    let name = |allowance: &Allowance| allowance.credit_type.to_string();
    lines.list(at, "allowance", &old.allowances, allowances, name, allowance);
    let name = |scan: &PlanScan| scan.scan_kind.to_string();
    lines.list(at, "scan", &old.scans, scans, name, plan_scan);
    lines.value(at, "max_concurrent_scans", old.max_concurrent_scans, *max_concurrent_scans);
    lines.list(at, "price", &old.prices, prices, price_name, price);
    let name = |price: &PlanPrice| format!("{} {}", price.provider, price.price_id);
    lines.list(at, "provider price", &old.provider_prices, provider_prices, name, provider_price);
}

fn allowance(lines: &mut Lines, at: &str, old: &Allowance, new: &Allowance) {
    let Allowance { credit_type: _, credits, rollover, credits_per_year } = new;
    lines.value(at, "credits", old.credits, *credits);
    lines.field(at, "rollover", &old.rollover, rollover, |rollover| match rollover {
        Rollover::Unlimited => "unlimited".to_owned(),
        Rollover::Capped(cap) => format!("capped at {cap}"),
        Rollover::None => "none".to_owned(),
    });
    lines.optional(at, "credits_per_year", old.credits_per_year, *credits_per_year);
}

fn plan_scan(lines: &mut Lines, at: &str, old: &PlanScan, new: &PlanScan) {
    let PlanScan { scan_kind: _, covered, max_credits } = new;
    lines.value(at, "covered", old.covered, *covered);
    lines.value(at, "max_credits", old.max_credits, *max_credits);
}

fn price_name(price: &CreditPrice) -> String {
    price.credit_type.to_string()
}

fn price(lines: &mut Lines, at: &str, old: &CreditPrice, new: &CreditPrice) {
    let CreditPrice { credit_type: _, unit_price_minor, currency, packs } = new;
    lines.value(at, "unit_price_minor", old.unit_price_minor, *unit_price_minor);
    lines.field(at, "currency", &old.currency, currency, String::clone);
    let name = |pack: &CreditPack| format!("{} {}", pack.provider, pack.price_id);
    lines.list(at, "pack", &old.packs, packs, name, pack);
}

fn pack(lines: &mut Lines, at: &str, old: &CreditPack, new: &CreditPack) {
    let CreditPack { provider: _, price_id: _, credits_per_unit } = new;
    lines.value(at, "credits_per_unit", old.credits_per_unit, *credits_per_unit);
}

fn provider_price(lines: &mut Lines, at: &str, old: &PlanPrice, new: &PlanPrice) {
    let PlanPrice { provider: _, price_id: _, yearly } = new;
    lines.value(at, "yearly", old.yearly, *yearly);
}

fn policy_changes(lines: &mut Lines, old: &Policy, new: &Policy) {
    let Policy {
        causes,
        credits_lapse_on_cancel,
        restored_credit_lifetime,
        top_up_lifetime,
        low_balance,
        max_concurrent_scans_per_project,
        planless_accounts_may_spend,
    } = new;
    let at = "policy: ";
    let name = |policy: &CausePolicy| policy.cause.name().to_owned();
    lines.list(at, "cause", &old.causes, causes, name, |lines, at, old, new| {
        let CausePolicy { cause: _, restores } = new;
        lines.value(at, "restores", old.restores, *restores);
    });
    let lapse = *credits_lapse_on_cancel;
    lines.value(at, "credits_lapse_on_cancel", old.credits_lapse_on_cancel, lapse);
    let (before, after) = (old.restored_credit_lifetime, *restored_credit_lifetime);
    lines.span(at, "restored_credit_lifetime", before, after);
    lines.span(at, "top_up_lifetime", old.top_up_lifetime, *top_up_lifetime);
    lines.optional(at, "low_balance", old.low_balance, *low_balance);
    let (before, after) = (old.max_concurrent_scans_per_project, *max_concurrent_scans_per_project);
    lines.value(at, "max_concurrent_scans_per_project", before, after);
    let (before, after) = (old.planless_accounts_may_spend, *planless_accounts_may_spend);
    lines.value(at, "planless_accounts_may_spend", before, after);
}

fn or(value: Option<impl Display>, absent: &str) -> String {
    value.map_or_else(|| absent.to_owned(), |value| value.to_string())
}

struct Lines(Vec<String>);

impl Lines {
    fn field<T: PartialEq>(
        &mut self,
        at: &str,
        name: &str,
        old: &T,
        new: &T,
        show: impl Fn(&T) -> String,
    ) {
        if old != new {
            self.0.push(format!("{at}{name} {} -> {}", show(old), show(new)));
        }
    }

    fn value<T: PartialEq + Display>(&mut self, at: &str, name: &str, old: T, new: T) {
        self.field(at, name, &old, &new, T::to_string);
    }

    fn optional(&mut self, at: &str, name: &str, old: Option<i64>, new: Option<i64>) {
        self.field(at, name, &old, &new, |number| or(number.as_ref(), "default"));
    }

    fn span(&mut self, at: &str, name: &str, old: Option<TimeDelta>, new: Option<TimeDelta>) {
        self.field(at, name, &old, &new, |span| {
            // A negative span is in no checked catalog.
            let span = span.map(|span| span.to_std().unwrap_or_default());
            or(span.map(humantime::format_duration), "default")
        });
    }

    /// Compares two lists by the names of their items: added and changed ones
    /// in the new order, removed ones in the old, then the order itself.
    fn list<T>(
        &mut self,
        at: &str,
        what: &str,
        old: &[T],
        new: &[T],
        name: impl Fn(&T) -> String,
        change: impl Fn(&mut Self, &str, &T, &T),
    ) {
        let before: BTreeMap<String, &T> = old.iter().map(|item| (name(item), item)).collect();
        let after: BTreeSet<String> = new.iter().map(&name).collect();
        for item in new {
            let name = name(item);
            match before.get(&name) {
                None => self.0.push(format!("{at}{what} {name}: added")),
                Some(earlier) => change(self, &format!("{at}{what} {name}: "), earlier, item),
            }
        }
        for name in old.iter().map(&name).filter(|name| !after.contains(name)) {
            self.0.push(format!("{at}{what} {name}: removed"));
        }
        let stayed = old.iter().map(&name).filter(|name| after.contains(name));
        if !stayed.eq(new.iter().map(&name).filter(|name| before.contains_key(name))) {
            self.0.push(format!("{at}order of {what}s changed"));
        }
    }
}
