//! The catalog's document.

use super::{span, text};
use crate::{
    domain::catalog::{Allowance, Catalog, CreditPrice, Plan, Policy, Rollover, ScanKind},
    proto,
};

pub(in crate::grpc) fn catalog(catalog: Catalog) -> proto::Catalog {
    proto::Catalog {
        scan_kinds: catalog.scan_kinds.into_iter().map(scan_kind).collect(),
        plans: catalog.plans.into_iter().map(plan).collect(),
        policy: Some(policy(catalog.policy)),
        prices: catalog.prices.into_iter().map(price).collect(),
    }
}

fn scan_kind(kind: ScanKind) -> proto::ScanKind {
    proto::ScanKind {
        name: kind.name.to_string(),
        credit_type: text(kind.credit_type),
        credits: kind.credits,
        default_lease: kind.default_lease.map(span),
        max_lease: kind.max_lease.map(span),
    }
}

fn plan(plan: Plan) -> proto::Plan {
    let scans = plan.scans.into_iter().map(|scan| proto::PlanScan {
        scan_kind: scan.scan_kind.to_string(),
        covered: scan.covered,
        max_credits: scan.max_credits,
    });
    let provider_prices = plan.provider_prices.into_iter().map(|price| proto::PlanPrice {
        provider: price.provider,
        price_id: price.price_id,
        yearly: price.yearly,
    });
    proto::Plan {
        name: plan.name.to_string(),
        allowances: plan.allowances.into_iter().map(allowance).collect(),
        scans: scans.collect(),
        max_concurrent_scans: plan.max_concurrent_scans,
        prices: plan.prices.into_iter().map(price).collect(),
        provider_prices: provider_prices.collect(),
    }
}

fn allowance(allowance: Allowance) -> proto::Allowance {
    let (rollover, rollover_cap) = match allowance.rollover {
        Rollover::Unlimited => (proto::Rollover::Unlimited, 0),
        Rollover::Capped(cap) => (proto::Rollover::Capped, cap),
        Rollover::None => (proto::Rollover::None, 0),
    };
    proto::Allowance {
        credit_type: allowance.credit_type.to_string(),
        credits: allowance.credits,
        rollover: rollover.into(),
        rollover_cap,
        credits_per_year: allowance.credits_per_year,
    }
}

fn price(price: CreditPrice) -> proto::CreditPrice {
    let packs = price.packs.into_iter().map(|pack| proto::CreditPack {
        provider: pack.provider,
        price_id: pack.price_id,
        credits_per_unit: pack.credits_per_unit,
    });
    proto::CreditPrice {
        credit_type: price.credit_type.to_string(),
        unit_price_minor: price.unit_price_minor,
        currency: price.currency,
        packs: packs.collect(),
    }
}

fn policy(policy: Policy) -> proto::Policy {
    let causes = policy.causes.into_iter().map(|policy| proto::CausePolicy {
        cause: i32::from(policy.cause as i16),
        restores: policy.restores,
    });
    proto::Policy {
        causes: causes.collect(),
        credits_lapse_on_cancel: policy.credits_lapse_on_cancel,
        restored_credit_lifetime: policy.restored_credit_lifetime.map(span),
        top_up_lifetime: policy.top_up_lifetime.map(span),
        low_balance: policy.low_balance,
        max_concurrent_scans_per_project: policy.max_concurrent_scans_per_project,
        planless_accounts_may_spend: policy.planless_accounts_may_spend,
    }
}
