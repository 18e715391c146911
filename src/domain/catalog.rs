//! The catalog: what can be scanned, at what price, what each plan allows, and
//! the policy. One document, applied whole, numbered by a revision.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{reservation::ReleaseCause, subscription::BillingInterval};
use crate::ids::{CreditType, PlanName, ScanKindName};

/// The lease of a reservation where neither request nor catalog names one.
pub const DEFAULT_LEASE: TimeDelta = TimeDelta::hours(1);
/// The longest lease where the catalog names none.
pub const DEFAULT_MAX_LEASE: TimeDelta = TimeDelta::hours(24);
/// How long restored credits last where their lot has expired and the catalog
/// does not say.
pub const DEFAULT_RESTORED_LIFETIME: TimeDelta = TimeDelta::days(30);
/// How long a top-up may wait for its payment where the catalog does not say.
pub const DEFAULT_TOP_UP_LIFETIME: TimeDelta = TimeDelta::hours(24);
/// The balance at or under which an account is warned where the catalog does
/// not say.
pub const DEFAULT_LOW_BALANCE: i64 = 1;

/// The whole catalog. Field by field as in `catalog.proto`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Catalog {
    /// Every kind of scan.
    pub scan_kinds: Vec<ScanKind>,
    /// Every plan.
    pub plans: Vec<Plan>,
    /// Rules that hold for every account.
    pub policy: Policy,
    /// Prices of extra credits where no plan of a live subscription has one.
    pub prices: Vec<CreditPrice>,
}

/// A kind of scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanKind {
    /// Its name.
    pub name: ScanKindName,
    /// What it is paid with; `None` for a free kind.
    pub credit_type: Option<CreditType>,
    /// Its price in credits; 0 where each request names its own.
    pub credits: i64,
    /// The lease where a request names none.
    #[serde(with = "micros_option")]
    pub default_lease: Option<TimeDelta>,
    /// The longest lease.
    #[serde(with = "micros_option")]
    pub max_lease: Option<TimeDelta>,
}

impl ScanKind {
    /// The longest lease that a request may ask for.
    #[must_use]
    pub fn max_lease(&self) -> TimeDelta {
        self.max_lease.unwrap_or(DEFAULT_MAX_LEASE)
    }

    /// The lease where a request names none.
    #[must_use]
    pub fn default_lease(&self) -> TimeDelta {
        self.default_lease.unwrap_or(DEFAULT_LEASE).min(self.max_lease())
    }
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its name.
    pub name: PlanName,
    /// Credits granted at the start of each billing period.
    pub allowances: Vec<Allowance>,
    /// The scans that it includes.
    pub scans: Vec<PlanScan>,
    /// Scans of one account at once; 0 for no limit.
    pub max_concurrent_scans: i32,
    /// Prices of extra credits while subscribed to it.
    pub prices: Vec<CreditPrice>,
    /// The provider's prices that mean this plan.
    pub provider_prices: Vec<PlanPrice>,
}

/// Credits that come with a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// The type.
    pub credit_type: CreditType,
    /// Credits a month.
    pub credits: i64,
    /// What becomes of what is left at renewal.
    pub rollover: Rollover,
    /// Credits a year where billed yearly; 12 months' where `None`.
    pub credits_per_year: Option<i64>,
}

/// What becomes of unused allowance when the next period begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rollover {
    /// All of it is kept.
    Unlimited,
    /// At most this many credits are kept; the oldest expire first.
    Capped(i64),
    /// None is kept.
    None,
}

/// What a plan says of one kind of scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanScan {
    /// The kind.
    pub scan_kind: ScanKindName,
    /// True where the subscription itself covers it.
    pub covered: bool,
    /// The most credits that one scan may take; 0 for no limit.
    pub max_credits: i64,
}

/// The price of one extra credit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditPrice {
    /// The type of credit.
    pub credit_type: CreditType,
    /// In the currency's minor unit.
    pub unit_price_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// The provider's prices that mean credits of this type.
    pub packs: Vec<CreditPack>,
}

/// A provider's price for a number of credits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditPack {
    /// The provider.
    pub provider: String,
    /// Its price id.
    pub price_id: String,
    /// Credits that one unit of it brings.
    pub credits_per_unit: i64,
}

/// A provider's price of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanPrice {
    /// The provider.
    pub provider: String,
    /// Its price id.
    pub price_id: String,
    /// True where it is billed yearly.
    pub yearly: bool,
}

/// Rules that hold for every account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Where a cause of release differs from [`ReleaseCause::restores_by_default`].
    pub causes: Vec<CausePolicy>,
    /// True where all credits lapse when the last live subscription ends.
    pub credits_lapse_on_cancel: bool,
    /// How long credits last that return to an expired lot.
    #[serde(with = "micros_option")]
    pub restored_credit_lifetime: Option<TimeDelta>,
    /// How long a top-up may wait for its payment.
    #[serde(with = "micros_option")]
    pub top_up_lifetime: Option<TimeDelta>,
    /// Balance at or under which an account is warned.
    pub low_balance: Option<i64>,
    /// Scans of one project at once; 0 for no limit.
    pub max_concurrent_scans_per_project: i32,
    /// True where accounts without a live subscription may spend.
    pub planless_accounts_may_spend: bool,
}

/// What one cause of release does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CausePolicy {
    /// The cause.
    pub cause: ReleaseCause,
    /// True where the credits return.
    pub restores: bool,
}

/// What a provider's price stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PriceMeaning<'a> {
    /// Extra credits.
    Credits {
        /// Their type.
        credit_type: CreditType,
        /// How many each unit brings.
        per_unit: i64,
    },
    /// A plan.
    Plan {
        /// Which.
        plan: &'a Plan,
        /// How often it is billed.
        interval: BillingInterval,
    },
}

impl Policy {
    /// Whether credits return to the account when a run is released for `cause`.
    #[must_use]
    pub fn restores(&self, cause: ReleaseCause) -> bool {
        self.causes
            .iter()
            .find(|policy| policy.cause == cause)
            .map_or_else(|| cause.restores_by_default(), |policy| policy.restores)
    }

    /// The balance, running scans included, at which its owner is warned; 0 for
    /// no warning.
    #[must_use]
    pub fn low_balance(&self) -> i64 {
        self.low_balance.unwrap_or(DEFAULT_LOW_BALANCE)
    }

    /// How long credits last that return to a lot which has expired meanwhile.
    #[must_use]
    pub fn restored_credit_lifetime(&self) -> TimeDelta {
        self.restored_credit_lifetime.unwrap_or(DEFAULT_RESTORED_LIFETIME)
    }

    /// How long a top-up waits for its payment.
    #[must_use]
    pub fn top_up_lifetime(&self) -> TimeDelta {
        self.top_up_lifetime.unwrap_or(DEFAULT_TOP_UP_LIFETIME)
    }
}

impl Catalog {
    /// A kind of scan by its name.
    #[must_use]
    pub fn scan_kind(&self, name: &ScanKindName) -> Option<&ScanKind> {
        self.scan_kinds.iter().find(|kind| kind.name == *name)
    }

    /// A plan by its name.
    #[must_use]
    pub fn plan(&self, name: &PlanName) -> Option<&Plan> {
        self.plans.iter().find(|plan| plan.name == *name)
    }

    /// What a provider's price brings, if anything: a catalog gives each one
    /// meaning.
    #[must_use]
    pub fn meaning(&self, provider: &str, price_id: &str) -> Option<PriceMeaning<'_>> {
        let prices = self.plans.iter().flat_map(|plan| &plan.prices).chain(&self.prices);
        let pack = |price: &CreditPrice, pack: &CreditPack| {
            (pack.provider == provider && pack.price_id == price_id).then(|| {
                let credit_type = price.credit_type.clone();
                PriceMeaning::Credits { credit_type, per_unit: pack.credits_per_unit }
            })
        };
        let mut credits =
            prices.flat_map(|price| price.packs.iter().filter_map(move |of| pack(price, of)));
        credits.next().or_else(|| {
            self.plans.iter().find_map(|plan| {
                let known = plan
                    .provider_prices
                    .iter()
                    .find(|known| known.provider == provider && known.price_id == price_id)?;
                let interval =
                    if known.yearly { BillingInterval::Year } else { BillingInterval::Month };
                Some(PriceMeaning::Plan { plan, interval })
            })
        })
    }

    /// True where the catalog has this type of credits: some kind is paid with
    /// it, some plan brings it, or it has a price, in a plan or without.
    #[must_use]
    pub fn has_credit_type(&self, credit_type: &CreditType) -> bool {
        self.scan_kinds.iter().any(|kind| kind.credit_type.as_ref() == Some(credit_type))
            || self.plans.iter().any(|plan| {
                plan.allowances.iter().any(|allowance| allowance.credit_type == *credit_type)
                    || plan.prices.iter().any(|price| price.credit_type == *credit_type)
            })
            || self.prices.iter().any(|price| price.credit_type == *credit_type)
    }
}

/// A catalog with the number under which it was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisedCatalog {
    /// 1, 2, 3, ...; 0 for the empty catalog before the first.
    pub revision: i64,
    /// The catalog.
    pub catalog: Catalog,
}

/// Spans of time are stored as whole microseconds, as Postgres keeps them.
mod micros_option {
    use chrono::TimeDelta;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        span: &Option<TimeDelta>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        span.and_then(|span| span.num_microseconds()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<TimeDelta>, D::Error> {
        Ok(Option::<i64>::deserialize(deserializer)?.map(TimeDelta::microseconds))
    }
}
