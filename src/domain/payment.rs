//! Purchases of credits: top-ups as they are opened here, and what a provider's
//! payments brought.

use super::{
    command::{OperationKey, PROVIDER_MANUAL},
    provider::Adjustment,
    verdict::PendingPayment,
};
use crate::{
    clock::Timestamp,
    ids::{CreditType, LotId, OperationId},
};

/// Where a top-up stands. The numbers are the wire's and the database's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum TopUpStatus {
    /// Checkout has begun, or the payment is not confirmed.
    Pending = 1,
    /// Paid; its credits are granted.
    Confirmed = 2,
    /// Not paid.
    Failed = 3,
    /// Not paid in time. A late confirmation still grants.
    Expired = 4,
    /// Paid back, in part or whole.
    Refunded = 5,
    /// Disputed by the payer's bank.
    Disputed = 6,
}

impl TopUpStatus {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Confirmed,
        Self::Failed,
        Self::Expired,
        Self::Refunded,
        Self::Disputed,
    ];

    /// The status with this number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as i16 == number)
    }

    /// True where its credits have been granted.
    #[must_use]
    pub fn is_paid(self) -> bool {
        matches!(self, Self::Confirmed | Self::Refunded | Self::Disputed)
    }

    /// Its name on the wire without the prefix.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Confirmed => "CONFIRMED",
            Self::Failed => "FAILED",
            Self::Expired => "EXPIRED",
            Self::Refunded => "REFUNDED",
            Self::Disputed => "DISPUTED",
        }
    }
}

/// A purchase of credits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopUp {
    /// The caller's id for it, or, where nobody opened it here, the provider's
    /// ids of the payment and its line: "TRANSACTION:ITEM".
    pub top_up_id: OperationId,
    /// The type of credits.
    pub credit_type: CreditType,
    /// How many were asked for. What was granted is the lot's to say.
    pub credits: i64,
    /// What they cost, in the currency's minor unit.
    pub price_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// Where it stands.
    pub status: TopUpStatus,
    /// "manual", or a provider.
    pub provider: String,
    /// The provider's id of the payment; empty while unknown.
    pub provider_reference: String,
    /// Why it failed; else empty.
    pub reason: String,
    /// When it was opened.
    pub create_time: Timestamp,
    /// Until when its payment is waited for.
    pub expire_time: Timestamp,
    /// When it left PENDING for the last time.
    pub settle_time: Option<Timestamp>,
}

impl TopUp {
    /// True where this service, and not a provider, says that it is paid.
    #[must_use]
    pub fn is_manual(&self) -> bool {
        self.provider == PROVIDER_MANUAL
    }

    /// True while its payment is waited for.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.status == TopUpStatus::Pending
    }

    /// What a blocked scan says of it.
    #[must_use]
    pub fn pending_payment(&self) -> PendingPayment {
        PendingPayment {
            top_up_id: self.top_up_id.to_string(),
            credit_type: self.credit_type.clone(),
            create_time: self.create_time,
            expire_time: self.expire_time,
            credits: self.credits,
        }
    }
}

/// Credits that a line of a provider's payment brought: what an adjustment of
/// that payment takes back from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purchase {
    /// The provider.
    pub provider: String,
    /// Its payment.
    pub transaction_id: String,
    /// The line of the payment.
    pub item_id: String,
    /// The type of the credits: a plan may bring several.
    pub credit_type: CreditType,
    /// The operation that granted them.
    pub key: OperationKey,
    /// The lot that they are.
    pub lot_id: LotId,
    /// How many.
    pub credits: i64,
    /// What was paid for the line, in the minor unit.
    pub paid_minor: i64,
    /// Credits taken back so far, or owed to be (the lot's `unrecovered`).
    pub reversed_credits: i64,
}

/// An adjustment, and when it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAdjustment {
    /// As it was last reported.
    pub adjustment: Adjustment,
    /// When that happened at the provider.
    pub occurred_at: Timestamp,
}

/// Opens a purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginTopUp {
    /// The caller's id for it, and the idempotency key.
    pub top_up_id: OperationId,
    /// The type of credits.
    pub credit_type: CreditType,
    /// How many, 1 to [`super::credit::MAX_CREDITS`].
    pub credits: i64,
    /// "manual", or a provider.
    pub provider: String,
    /// The provider's id of the payment, where it is known.
    pub provider_reference: String,
}
