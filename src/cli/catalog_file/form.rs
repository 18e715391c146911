//! What a catalog file may say, and how it becomes the contract's catalog.

use std::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::named::Named;
use crate::{
    cli::parse,
    proto::{
        Allowance, Catalog, CausePolicy, CreditPack, CreditPrice, Plan, PlanPrice, PlanScan,
        Policy, ReleaseCause, Rollover, ScanKind,
    },
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CatalogForm {
    scan_kinds: Named<ScanKindForm>,
    #[serde(default)]
    plans: Named<PlanForm>,
    /// Prices of extra credits without a plan, by credit type.
    #[serde(default)]
    prices: Named<PriceForm>,
    #[serde(default)]
    policy: PolicyForm,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScanKindForm {
    /// Absent: the kind is free.
    credit_type: Option<String>,
    credits: Option<u32>,
    #[serde(default, deserialize_with = "span")]
    lease: Option<Duration>,
    #[serde(default, deserialize_with = "span")]
    max_lease: Option<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanForm {
    /// By credit type.
    #[serde(default)]
    allowances: Named<AllowanceForm>,
    /// By kind.
    #[serde(default)]
    scans: Named<PlanScanForm>,
    #[serde(default)]
    max_concurrent_scans: u16,
    /// By credit type.
    #[serde(default)]
    prices: Named<PriceForm>,
    #[serde(default)]
    provider_prices: Vec<PlanPriceForm>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AllowanceForm {
    credits: u32,
    credits_per_year: Option<u32>,
    rollover: RolloverForm,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanScanForm {
    #[serde(default)]
    covered: bool,
    #[serde(default)]
    max_credits: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceForm {
    unit_price_minor: u32,
    currency: String,
    #[serde(default)]
    packs: Vec<PackForm>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackForm {
    provider: String,
    price_id: String,
    credits_per_unit: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanPriceForm {
    provider: String,
    price_id: String,
    #[serde(default)]
    yearly: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyForm {
    /// By cause, where it differs from the contract's default.
    #[serde(default)]
    causes: Named<CauseForm, CauseName>,
    #[serde(default)]
    credits_lapse_on_cancel: bool,
    #[serde(default, deserialize_with = "span")]
    restored_credit_lifetime: Option<Duration>,
    #[serde(default, deserialize_with = "span")]
    top_up_lifetime: Option<Duration>,
    low_balance: Option<u32>,
    #[serde(default)]
    max_concurrent_scans_per_project: u16,
    #[serde(default)]
    planless_accounts_may_spend: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CauseForm {
    Restores,
    Consumes,
}

/// `"unlimited"`, `"none"` or `{ capped = 5 }`.
#[derive(Clone, Copy, Debug)]
enum RolloverForm {
    Unlimited,
    None,
    Capped(u32),
}

impl<'de> Deserialize<'de> for RolloverForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RolloverVisitor)
    }
}

/// By hand, since YAML writes serde's enums as tags, and an untagged enum's
/// errors say nothing.
struct RolloverVisitor;

const ROLLOVERS: &str = "\"unlimited\", \"none\" or { capped = N }";

impl<'de> Visitor<'de> for RolloverVisitor {
    type Value = RolloverForm;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ROLLOVERS)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RolloverForm, E> {
        match text {
            "unlimited" => Ok(RolloverForm::Unlimited),
            "none" => Ok(RolloverForm::None),
            _ => Err(E::custom(format!("rollover `{text}`: expected {ROLLOVERS}"))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RolloverForm, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Cap {
            capped: u32,
        }
        let cap = Cap::deserialize(MapAccessDeserializer::new(map))?;
        Ok(RolloverForm::Capped(cap.capped))
    }
}

fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse::duration(&text)
        .map(Some)
        .map_err(|error| D::Error::custom(format!("duration `{text}`: {error}")))
}

/// A cause by its name, such as `platform_error`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct CauseName(ReleaseCause);

impl fmt::Display for CauseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str_name())
    }
}

impl<'de> Deserialize<'de> for CauseName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse::cause(&text)
            .map(CauseName)
            .map_err(|error| D::Error::custom(format!("cause `{text}`: expected {error}")))
    }
}

impl From<CatalogForm> for Catalog {
    fn from(form: CatalogForm) -> Self {
        Self {
            scan_kinds: form.scan_kinds.0.into_iter().map(scan_kind).collect(),
            plans: form.plans.0.into_iter().map(plan).collect(),
            policy: Some(form.policy.into()),
            prices: form.prices.0.into_iter().map(price).collect(),
        }
    }
}

fn scan_kind((name, form): (String, ScanKindForm)) -> ScanKind {
    // A kind that takes credits takes one where the file does not say.
    let standard = u32::from(form.credit_type.is_some());
    ScanKind {
        name,
        credit_type: form.credit_type.unwrap_or_default(),
        credits: i64::from(form.credits.unwrap_or(standard)),
        default_lease: form.lease.map(parse::proto_duration),
        max_lease: form.max_lease.map(parse::proto_duration),
    }
}

fn plan((name, form): (String, PlanForm)) -> Plan {
    let scan = |(scan_kind, scan): (String, PlanScanForm)| PlanScan {
        scan_kind,
        covered: scan.covered,
        max_credits: i64::from(scan.max_credits),
    };
    let provider_price = |price: PlanPriceForm| PlanPrice {
        provider: price.provider,
        price_id: price.price_id,
        yearly: price.yearly,
    };
    Plan {
        name,
        allowances: form.allowances.0.into_iter().map(allowance).collect(),
        scans: form.scans.0.into_iter().map(scan).collect(),
        max_concurrent_scans: i32::from(form.max_concurrent_scans),
        prices: form.prices.0.into_iter().map(price).collect(),
        provider_prices: form.provider_prices.into_iter().map(provider_price).collect(),
    }
}

fn allowance((credit_type, form): (String, AllowanceForm)) -> Allowance {
    let (rollover, cap) = match form.rollover {
        RolloverForm::Unlimited => (Rollover::Unlimited, 0),
        RolloverForm::None => (Rollover::None, 0),
        RolloverForm::Capped(cap) => (Rollover::Capped, cap),
    };
    Allowance {
        credit_type,
        credits: i64::from(form.credits),
        rollover: rollover.into(),
        rollover_cap: i64::from(cap),
        credits_per_year: form.credits_per_year.map(i64::from),
    }
}

fn price((credit_type, form): (String, PriceForm)) -> CreditPrice {
    let pack = |pack: PackForm| CreditPack {
        provider: pack.provider,
        price_id: pack.price_id,
        credits_per_unit: i64::from(pack.credits_per_unit),
    };
    CreditPrice {
        credit_type,
        unit_price_minor: i64::from(form.unit_price_minor),
        currency: form.currency,
        packs: form.packs.into_iter().map(pack).collect(),
    }
}

impl From<PolicyForm> for Policy {
    fn from(form: PolicyForm) -> Self {
        let cause = |(CauseName(cause), does): (CauseName, CauseForm)| CausePolicy {
            cause: cause.into(),
            restores: matches!(does, CauseForm::Restores),
        };
        Self {
            causes: form.causes.0.into_iter().map(cause).collect(),
            credits_lapse_on_cancel: form.credits_lapse_on_cancel,
            restored_credit_lifetime: form.restored_credit_lifetime.map(parse::proto_duration),
            top_up_lifetime: form.top_up_lifetime.map(parse::proto_duration),
            low_balance: form.low_balance.map(i64::from),
            max_concurrent_scans_per_project: i32::from(form.max_concurrent_scans_per_project),
            planless_accounts_may_spend: form.planless_accounts_may_spend,
        }
    }
}
