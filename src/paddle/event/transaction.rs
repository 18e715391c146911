//! Payments: the data of `transaction.*`.

use std::num::NonZeroU32;

use serde::Deserialize;
use serde_json::Value;

use super::fields::{Currency, Id, Minor, Period, list, optional_id};
use crate::ids::{OperationId, SubscriptionId};

/// A payment, as far as credits depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Raw")]
pub struct Transaction {
    /// `txn_...`
    pub transaction_id: Id,
    /// What made it: `web`, `api`, `subscription_recurring`, ...
    pub origin: String,
    /// `ctm_...`
    pub customer_id: Option<Id>,
    /// `sub_...`
    pub subscription_id: Option<SubscriptionId>,
    /// For a subscription: what it pays for.
    pub period: Option<Period>,
    /// In what it is paid.
    pub currency: String,
    /// After discounts, with taxes, and with what the customer's credit balance
    /// pays: nothing was sold where it is zero.
    pub total: Minor,
    /// What was bought.
    pub items: Vec<LineItem>,
    /// The top-up that `custom_data` names. Whoever opens the checkout writes it,
    /// in the browser: it proves nothing.
    pub top_up_hint: Option<OperationId>,
}

/// A line of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineItem {
    /// `txnitm_...`
    pub item_id: Id,
    /// `pri_...`
    pub price_id: Id,
    /// At least 1.
    pub quantity: NonZeroU32,
    /// After discounts, with taxes.
    pub total: Minor,
}

#[derive(Deserialize)]
struct Raw {
    id: Id,
    #[serde(default)]
    origin: Option<String>,
    #[serde(default, deserialize_with = "optional_id")]
    customer_id: Option<Id>,
    #[serde(default, deserialize_with = "optional_id")]
    subscription_id: Option<SubscriptionId>,
    #[serde(default)]
    billing_period: Option<Period>,
    currency_code: Currency,
    #[serde(default)]
    custom_data: Option<Value>,
    details: RawDetails,
}

#[derive(Deserialize)]
struct RawDetails {
    totals: RawTotals,
    #[serde(default, deserialize_with = "list")]
    line_items: Vec<RawLineItem>,
}

/// `total` is what was sold; `grand_total` is without what the customer's credit
/// balance pays, so it is zero for a renewal that the balance pays in full. At
/// least one of them is there.
#[derive(Deserialize)]
#[serde(try_from = "RawTotalsFields")]
struct RawTotals(Minor);

#[derive(Deserialize)]
struct RawTotalsFields {
    #[serde(default)]
    total: Option<Minor>,
    #[serde(default)]
    grand_total: Option<Minor>,
}

impl TryFrom<RawTotalsFields> for RawTotals {
    type Error = &'static str;

    fn try_from(raw: RawTotalsFields) -> Result<Self, Self::Error> {
        raw.total.or(raw.grand_total).map(Self).ok_or("there is no total")
    }
}

#[derive(Deserialize)]
struct RawLineItem {
    id: Id,
    price_id: Id,
    quantity: NonZeroU32,
    totals: RawTotals,
}

impl From<Raw> for Transaction {
    fn from(raw: Raw) -> Self {
        let named = |data: &Value| data.get("top_up_id")?.as_str().map(OperationId::of_caller);
        let top_up_hint = raw.custom_data.as_ref().and_then(named).and_then(Result::ok);
        let item = |item: RawLineItem| LineItem {
            item_id: item.id,
            price_id: item.price_id,
            quantity: item.quantity,
            total: item.totals.0,
        };
        Self {
            transaction_id: raw.id,
            origin: raw.origin.unwrap_or_default(),
            customer_id: raw.customer_id,
            subscription_id: raw.subscription_id,
            period: raw.billing_period,
            currency: raw.currency_code.0,
            total: raw.details.totals.0,
            items: raw.details.line_items.into_iter().map(item).collect(),
            top_up_hint,
        }
    }
}
