//! What a payment provider reports about an account, in the words of Paddle
//! Billing, which is the one that there is.

use crate::{
    clock::Timestamp,
    domain::subscription::SubscriptionStatus,
    ids::{OperationId, SubscriptionId},
};

/// One report of a provider. It may come late, more than once, and in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderEvent {
    /// Whose it is, such as "paddle".
    pub provider: String,
    /// The provider's id for it: the idempotency key.
    pub event_id: String,
    /// When it happened there: of two reports of one thing the later one holds.
    pub occurred_at: Timestamp,
    /// What happened.
    pub effect: Effect,
}

/// What a report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A payment is begun or captured, not complete.
    PaymentPending(Transaction),
    /// A payment is complete: the only report that grants.
    PaymentCompleted(Transaction),
    /// A payment will not come.
    PaymentCanceled(Transaction),
    /// A subscription, as the provider has it. Never grants.
    SubscriptionChanged(ProviderSubscription),
    /// A payment goes back, in part or whole, or is disputed.
    Adjusted(Adjustment),
}

/// A payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The provider's id.
    pub transaction_id: String,
    /// The top-up that was opened for it here, or that its maker says it is for:
    /// believed only where it is this account's and has no other payment.
    pub top_up_id: Option<OperationId>,
    /// The subscription that it is for.
    pub subscription_id: Option<SubscriptionId>,
    /// For a subscription: the period that it pays for, from and to.
    pub period: Option<(Timestamp, Timestamp)>,
    /// What made it.
    pub origin: Origin,
    /// ISO 4217.
    pub currency: String,
    /// All of it, with taxes, in the currency's minor unit.
    pub total_minor: i64,
    /// What was bought.
    pub items: Vec<TransactionItem>,
}

/// What made a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A checkout.
    Web,
    /// The merchant's program.
    Api,
    /// The renewal of a subscription.
    SubscriptionRecurring,
    /// A charge in between, for what is sold once: no renewal of the subscription.
    SubscriptionCharge,
    /// Anything else: a change of the payment method, or of the subscription.
    Other,
}

/// A line of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionItem {
    /// The provider's id of the line.
    pub item_id: String,
    /// The provider's price: what it brings is the catalog's to say.
    pub price_id: String,
    /// How many of it, at least 1.
    pub quantity: i64,
    /// What was paid for the line, with taxes, in the minor unit.
    pub total_minor: i64,
}

/// A subscription, as its provider has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSubscription {
    /// The provider's id.
    pub subscription_id: SubscriptionId,
    /// Where it stands.
    pub status: SubscriptionStatus,
    /// The prices that it is billed by.
    pub price_ids: Vec<String>,
    /// The current period, from and to.
    pub period: Option<(Timestamp, Timestamp)>,
    /// True where it ends with its period.
    pub cancel_at_period_end: bool,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub canceled_at: Option<Timestamp>,
}

/// A payment that goes back, or is disputed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjustment {
    /// The provider's id.
    pub adjustment_id: String,
    /// The payment.
    pub transaction_id: String,
    /// What is done.
    pub action: AdjustmentAction,
    /// Whether it is done.
    pub status: AdjustmentStatus,
    /// True where all of the payment is meant, whatever the items say.
    pub full: bool,
    /// The lines that are meant.
    pub items: Vec<AdjustmentItem>,
}

/// A line of an adjustment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdjustmentItem {
    /// The line of the payment.
    pub item_id: String,
    /// How much of it, with taxes, in the minor unit.
    pub total_minor: i64,
}

/// What an adjustment does. The numbers are the database's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum AdjustmentAction {
    /// Money back.
    Refund = 1,
    /// Money back, as credit with the provider.
    Credit = 2,
    /// The payer's bank has taken the money back.
    Chargeback = 3,
    /// The payer's bank is about to: only tells.
    ChargebackWarning = 4,
    /// A credit that is taken back.
    CreditReverse = 5,
    /// A chargeback that was won.
    ChargebackReverse = 6,
    /// A warning that came to nothing.
    ChargebackWarningReverse = 7,
}

impl AdjustmentAction {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Refund,
        Self::Credit,
        Self::Chargeback,
        Self::ChargebackWarning,
        Self::CreditReverse,
        Self::ChargebackReverse,
        Self::ChargebackWarningReverse,
    ];

    /// The action with this number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|action| *action as i16 == number)
    }
}

/// Where an adjustment stands. The numbers are the database's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i16)]
pub enum AdjustmentStatus {
    /// Asked for.
    PendingApproval = 1,
    /// Done: the only one that takes credits back.
    Approved = 2,
    /// Refused.
    Rejected = 3,
    /// Done, and undone.
    Reversed = 4,
}

impl AdjustmentStatus {
    /// The status with this number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        [Self::PendingApproval, Self::Approved, Self::Rejected, Self::Reversed]
            .into_iter()
            .find(|status| *status as i16 == number)
    }
}
