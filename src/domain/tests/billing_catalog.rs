//! A catalog with prices. Self-contained, as [`super::generate`] is.
#![allow(dead_code, reason = "not every test binary plays every part")]

use creditgate::{
    domain::catalog::{Allowance, Catalog, CreditPack, CreditPrice, PlanPrice, Rollover},
    ids::CreditType,
};

use super::generate::catalog;

/// The provider.
pub(crate) const PADDLE: &str = "paddle";

/// The catalog of the histories, with prices: each bit turns a rule.
pub(crate) fn billing_catalog(bits: u8) -> Catalog {
    let mut catalog = catalog(bits & 0b11_1111);
    let rollover = match bits >> 6 {
        0 => Rollover::Unlimited,
        1 => Rollover::None,
        more => Rollover::Capped(i64::from(more) * 2 - 3),
    };
    catalog.prices = vec![
        price("scan", 2_900, &[("pri_scan", 1), ("pri_scan5", 5)]),
        price("fix", 500, &[("pri_fix10", 10)]),
    ];
    let [pro, monitor, small] = &mut catalog.plans[..] else { unreachable!("three plans") };
    pro.prices = vec![price("scan", 2_500, &[("pri_pro_scan3", 3)])];
    pro.provider_prices = vec![plan_price("pri_pro", false), plan_price("pri_pro_year", true)];
    pro.allowances[0].rollover = rollover;
    pro.allowances.push(Allowance {
        credit_type: credit_type("fix"),
        credits: 2,
        rollover: Rollover::Unlimited,
        credits_per_year: Some(30),
    });
    monitor.prices = vec![price("scan", 2_700, &[])];
    monitor.provider_prices = vec![plan_price("pri_monitor", false)];
    monitor.allowances[0].rollover = rollover;
    small.provider_prices = vec![plan_price("pri_small", false)];
    catalog
}

fn credit_type(name: &str) -> CreditType {
    CreditType::new(name).unwrap()
}

fn price(name: &str, unit_price_minor: i64, packs: &[(&str, i64)]) -> CreditPrice {
    let pack = |(price_id, credits): &(&str, i64)| CreditPack {
        provider: PADDLE.to_owned(),
        price_id: (*price_id).to_owned(),
        credits_per_unit: *credits,
    };
    CreditPrice {
        credit_type: credit_type(name),
        unit_price_minor,
        currency: "USD".to_owned(),
        packs: packs.iter().map(pack).collect(),
    }
}

fn plan_price(price_id: &str, yearly: bool) -> PlanPrice {
    PlanPrice { provider: PADDLE.to_owned(), price_id: price_id.to_owned(), yearly }
}
