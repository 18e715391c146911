//! Refunds, credits and chargebacks: the data of `adjustment.*`.

use serde::Deserialize;

use super::fields::{Id, Minor, list, optional_id};
use crate::ids::SubscriptionId;

/// A payment that goes back, in part or whole, or is disputed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Adjustment {
    /// `adj_...`
    #[serde(rename = "id")]
    pub adjustment_id: Id,
    /// What is done. A new word stops the event: it moves money.
    pub action: Action,
    /// Whether it is done.
    pub status: Status,
    /// `full` where all of the payment is meant. Absent in events from before
    /// there was such a field: then the items say it.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// The payment.
    pub transaction_id: Id,
    /// The subscription that was paid for.
    #[serde(default, deserialize_with = "optional_id")]
    pub subscription_id: Option<SubscriptionId>,
    /// `ctm_...`
    #[serde(default, deserialize_with = "optional_id")]
    pub customer_id: Option<Id>,
    /// The lines that are meant.
    #[serde(default, deserialize_with = "list")]
    pub items: Vec<AdjustmentItem>,
}

/// What an adjustment does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words are Paddle's, explained in the domain")]
pub enum Action {
    Refund,
    Credit,
    Chargeback,
    ChargebackWarning,
    CreditReverse,
    ChargebackReverse,
    ChargebackWarningReverse,
}

/// Where an adjustment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words are Paddle's, explained in the domain")]
pub enum Status {
    PendingApproval,
    Approved,
    Rejected,
    Reversed,
}

/// A line of an adjustment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawItem")]
pub struct AdjustmentItem {
    /// The line of the payment: `txnitm_...`
    pub item_id: Id,
    /// How much of it, with taxes.
    pub total: Minor,
}

#[derive(Deserialize)]
struct RawItem {
    item_id: Id,
    #[serde(default)]
    amount: Option<Minor>,
    #[serde(default)]
    totals: Option<RawTotals>,
}

#[derive(Deserialize)]
struct RawTotals {
    #[serde(default)]
    total: Option<Minor>,
}

impl TryFrom<RawItem> for AdjustmentItem {
    type Error = &'static str;

    fn try_from(raw: RawItem) -> Result<Self, Self::Error> {
        // `amount` is null for a line that goes back whole; `totals` is there.
        let total = raw.totals.and_then(|totals| totals.total).or(raw.amount);
        let total = total.ok_or("there is neither a total nor an amount")?;
        Ok(Self { item_id: raw.item_id, total })
    }
}
