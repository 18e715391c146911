//! What Paddle's prices mean: a pack of 5 scans, and a plan that brings 3 a month.

use creditgate::proto;

use crate::harness::{self, TestServer};

pub const PACK: &str = "pri_pack";
pub const PLAN: &str = "pri_plan";

/// The catalog in which `pack` is the price of 5 credits.
pub async fn apply(server: &TestServer, pack: &str) {
    let credit_price = |packs: Vec<proto::CreditPack>| proto::CreditPrice {
        credit_type: "scan".to_owned(),
        unit_price_minor: 980,
        currency: "USD".to_owned(),
        packs,
    };
    let pack = proto::CreditPack {
        provider: "paddle".to_owned(),
        price_id: pack.to_owned(),
        credits_per_unit: 5,
    };
    let plan = proto::Plan {
        name: "pro".to_owned(),
        allowances: vec![proto::Allowance {
            credit_type: "scan".to_owned(),
            credits: 3,
            rollover: proto::Rollover::Unlimited.into(),
            ..proto::Allowance::default()
        }],
        provider_prices: vec![proto::PlanPrice {
            provider: "paddle".to_owned(),
            price_id: PLAN.to_owned(),
            yearly: false,
        }],
        ..proto::Plan::default()
    };
    let catalog = proto::Catalog {
        plans: vec![plan],
        prices: vec![credit_price(vec![pack])],
        ..harness::catalog()
    };
    let request = proto::ApplyCatalogRequest { catalog: Some(catalog), validate_only: false };
    server.catalog().apply_catalog(request).await.unwrap();
}
