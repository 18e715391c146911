//! The catalog's document. Here the shape of its fields is checked; whether it
//! makes sense as a whole is for [`crate::domain::catalog_check`].

use super::{Invalid, fields::Fields};
use crate::{
    domain::{
        catalog::{
            Allowance, Catalog, CausePolicy, CreditPack, CreditPrice, Plan, PlanPrice, PlanScan,
            Policy, Rollover, ScanKind,
        },
        reservation::ReleaseCause,
    },
    ids::{CreditType, PlanName, ScanKindName},
    proto,
};

pub(in crate::grpc) fn catalog(catalog: Option<proto::Catalog>) -> Result<Catalog, Invalid> {
    let mut fields = Fields::default();
    let Some(catalog) = catalog else {
        return Err(Invalid::field("catalog", "is required"));
    };
    let scan_kinds = each(&mut fields, "catalog.scan_kinds", catalog.scan_kinds, scan_kind);
    let plans = each(&mut fields, "catalog.plans", catalog.plans, plan);
    let policy = policy(&mut fields, catalog.policy.unwrap_or_default());
    let prices = each(&mut fields, "catalog.prices", catalog.prices, price);
    fields.finish(|| {
        Some(Catalog { scan_kinds: scan_kinds?, plans: plans?, policy: policy?, prices: prices? })
    })
}

/// Decodes all items of a list, also after one that is wrong: `None` if any is.
fn each<P, D>(
    fields: &mut Fields,
    list: &str,
    items: Vec<P>,
    decode: impl Fn(&mut Fields, &str, P) -> Option<D>,
) -> Option<Vec<D>> {
    let decoded: Vec<Option<D>> = items
        .into_iter()
        .enumerate()
        .map(|(index, item)| decode(fields, &format!("{list}[{index}]"), item))
        .collect();
    decoded.into_iter().collect()
}

fn scan_kind(fields: &mut Fields, path: &str, kind: proto::ScanKind) -> Option<ScanKind> {
    let name = fields.id(&format!("{path}.name"), &kind.name, ScanKindName::new);
    let credit_type =
        fields.optional_id(&format!("{path}.credit_type"), &kind.credit_type, CreditType::new);
    let default_lease = fields.span(&format!("{path}.default_lease"), kind.default_lease);
    let max_lease = fields.span(&format!("{path}.max_lease"), kind.max_lease);
    Some(ScanKind { name: name?, credit_type, credits: kind.credits, default_lease, max_lease })
}

fn plan(fields: &mut Fields, path: &str, plan: proto::Plan) -> Option<Plan> {
    let name = fields.id(&format!("{path}.name"), &plan.name, PlanName::new);
    let allowances = each(fields, &format!("{path}.allowances"), plan.allowances, allowance);
    let scans = each(fields, &format!("{path}.scans"), plan.scans, plan_scan);
    let prices = each(fields, &format!("{path}.prices"), plan.prices, price);
    let provider_prices = plan.provider_prices.into_iter().map(|price| PlanPrice {
        provider: price.provider,
        price_id: price.price_id,
        yearly: price.yearly,
    });
    Some(Plan {
        name: name?,
        allowances: allowances?,
        scans: scans?,
        max_concurrent_scans: plan.max_concurrent_scans,
        prices: prices?,
        provider_prices: provider_prices.collect(),
    })
}

fn allowance(fields: &mut Fields, path: &str, allowance: proto::Allowance) -> Option<Allowance> {
    let credit_type =
        fields.id(&format!("{path}.credit_type"), &allowance.credit_type, CreditType::new);
    let cap = allowance.rollover_cap;
    let field = format!("{path}.rollover");
    let number = allowance.rollover;
    let rollover = fields.choice(&field, number, |number| {
        match proto::Rollover::try_from(i32::from(number)) {
            Ok(proto::Rollover::Unlimited) => Some(Rollover::Unlimited),
            Ok(proto::Rollover::Capped) => Some(Rollover::Capped(cap)),
            Ok(proto::Rollover::None) => Some(Rollover::None),
            Ok(proto::Rollover::Unspecified) | Err(_) => None,
        }
    });
    // It would be dropped in silence.
    if cap != 0 && matches!(rollover, Some(Rollover::Unlimited | Rollover::None)) {
        fields.wrong(&format!("{path}.rollover_cap"), "is for ROLLOVER_CAPPED only");
    }
    Some(Allowance {
        credit_type: credit_type?,
        credits: allowance.credits,
        rollover: rollover?,
        credits_per_year: allowance.credits_per_year,
    })
}

fn plan_scan(fields: &mut Fields, path: &str, scan: proto::PlanScan) -> Option<PlanScan> {
    let scan_kind = fields.id(&format!("{path}.scan_kind"), &scan.scan_kind, ScanKindName::new);
    Some(PlanScan { scan_kind: scan_kind?, covered: scan.covered, max_credits: scan.max_credits })
}

fn price(fields: &mut Fields, path: &str, price: proto::CreditPrice) -> Option<CreditPrice> {
    let credit_type =
        fields.id(&format!("{path}.credit_type"), &price.credit_type, CreditType::new);
    let packs = price.packs.into_iter().map(|pack| CreditPack {
        provider: pack.provider,
        price_id: pack.price_id,
        credits_per_unit: pack.credits_per_unit,
    });
    Some(CreditPrice {
        credit_type: credit_type?,
        unit_price_minor: price.unit_price_minor,
        currency: price.currency,
        packs: packs.collect(),
    })
}

fn policy(fields: &mut Fields, policy: proto::Policy) -> Option<Policy> {
    let causes = each(fields, "catalog.policy.causes", policy.causes, |fields, path, policy| {
        let field = format!("{path}.cause");
        let cause = fields.choice(&field, policy.cause, ReleaseCause::from_number)?;
        Some(CausePolicy { cause, restores: policy.restores })
    });
    let field = "catalog.policy.restored_credit_lifetime";
    let restored_credit_lifetime = fields.span(field, policy.restored_credit_lifetime);
    let field = "catalog.policy.top_up_lifetime";
    let top_up_lifetime = fields.span(field, policy.top_up_lifetime);
    Some(Policy {
        causes: causes?,
        credits_lapse_on_cancel: policy.credits_lapse_on_cancel,
        restored_credit_lifetime,
        top_up_lifetime,
        low_balance: policy.low_balance,
        max_concurrent_scans_per_project: policy.max_concurrent_scans_per_project,
        planless_accounts_may_spend: policy.planless_accounts_may_spend,
    })
}
