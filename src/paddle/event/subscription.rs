//! Subscriptions: the data of `subscription.*`.

use serde::Deserialize;

use super::fields::{Id, Period, Time, list, optional_id};
use crate::ids::SubscriptionId;

/// A subscription, as Paddle has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Subscription {
    /// `sub_...`
    #[serde(rename = "id")]
    pub subscription_id: SubscriptionId,
    /// Where it stands.
    pub status: Status,
    /// `ctm_...`
    #[serde(default, deserialize_with = "optional_id")]
    pub customer_id: Option<Id>,
    /// The current period; none once it has ended.
    #[serde(default, rename = "current_billing_period")]
    pub period: Option<Period>,
    /// What is to happen to it later.
    #[serde(default)]
    pub scheduled_change: Option<ScheduledChange>,
    /// When it began.
    #[serde(default)]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default)]
    pub canceled_at: Option<Time>,
    /// What it is billed for.
    #[serde(default, deserialize_with = "list")]
    pub items: Vec<SubscriptionItem>,
}

/// Where a subscription stands. A new word stops the event: its meaning decides
/// who may scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Paid.
    Active,
    /// Ended.
    Canceled,
    /// A renewal has not been paid.
    PastDue,
    /// Paused.
    Paused,
    /// A trial.
    Trialing,
}

/// What is to happen to a subscription later.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ScheduledChange {
    /// `cancel`, `pause`, `resume`.
    #[serde(default)]
    pub action: Option<String>,
}

/// What a subscription is billed for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SubscriptionItem {
    /// The price. All items count, `inactive` ones too: that they are while the
    /// subscription is paused.
    pub price: Price,
}

/// A price.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Price {
    /// `pri_...`
    pub id: Id,
}
