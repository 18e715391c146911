//! Rows of subscriptions and purchases to domain values.

use sqlx::types::Json;
use uuid::Uuid;

use super::{id, known};
use crate::{
    clock::Timestamp,
    domain::{
        command::OperationKind,
        payment::{KnownAdjustment, Purchase, TopUp, TopUpStatus},
        provider::{Adjustment, AdjustmentAction, AdjustmentItem, AdjustmentStatus},
        subscription::{BillingInterval, SentSubscription, Subscription, SubscriptionStatus},
    },
    ids::{CreditType, LotId, OperationId, PlanName, SubscriptionId},
    store::StoreError,
};

/// A row of `subscriptions`.
pub(in crate::store) struct SubscriptionRow {
    pub account_id: String,
    pub subscription_id: String,
    pub plan: String,
    pub status: i16,
    pub billing_interval: i16,
    pub provider: String,
    pub anchor_time: Timestamp,
    pub period_start_time: Timestamp,
    pub period_end_time: Timestamp,
    pub cancel_at_period_end: bool,
    pub create_time: Timestamp,
    pub end_time: Option<Timestamp>,
    pub sent: Option<Json<SentSubscription>>,
    pub provider_time: Option<Timestamp>,
}

impl SubscriptionRow {
    pub(in crate::store) fn decode(self) -> Result<Subscription, StoreError> {
        let (status, interval) = (self.status, self.billing_interval);
        Ok(Subscription {
            subscription_id: id(&self.subscription_id, SubscriptionId::new)?,
            plan: id(&self.plan, PlanName::new)?,
            status: known(SubscriptionStatus::from_number(status), "status", status)?,
            interval: known(BillingInterval::from_number(interval), "interval", interval)?,
            provider: self.provider,
            period_start_time: self.period_start_time,
            period_end_time: self.period_end_time,
            cancel_at_period_end: self.cancel_at_period_end,
            anchor_time: self.anchor_time,
            create_time: self.create_time,
            end_time: self.end_time,
            sent: self.sent.map(|sent| sent.0),
            provider_time: self.provider_time,
        })
    }
}

/// A row of `top_ups`.
pub(in crate::store) struct TopUpRow {
    pub account_id: String,
    pub top_up_id: String,
    pub credit_type: String,
    pub credits: i64,
    pub price_minor: i64,
    pub currency: String,
    pub status: i16,
    pub provider: String,
    pub provider_reference: String,
    pub reason: String,
    pub create_time: Timestamp,
    pub expire_time: Timestamp,
    pub settle_time: Option<Timestamp>,
}

impl TopUpRow {
    pub(in crate::store) fn decode(self) -> Result<TopUp, StoreError> {
        Ok(TopUp {
            top_up_id: id(&self.top_up_id, OperationId::new)?,
            credit_type: id(&self.credit_type, CreditType::new)?,
            credits: self.credits,
            price_minor: self.price_minor,
            currency: self.currency,
            status: known(TopUpStatus::from_number(self.status), "top-up status", self.status)?,
            provider: self.provider,
            provider_reference: self.provider_reference,
            reason: self.reason,
            create_time: self.create_time,
            expire_time: self.expire_time,
            settle_time: self.settle_time,
        })
    }
}

/// A row of `purchases`.
pub(in crate::store) struct PurchaseRow {
    pub account_id: String,
    pub provider: String,
    pub transaction_id: String,
    pub item_id: String,
    pub credit_type: String,
    pub operation_kind: i16,
    pub operation_id: String,
    pub lot_id: Uuid,
    pub credits: i64,
    pub paid_minor: i64,
    pub reversed_credits: i64,
}

impl PurchaseRow {
    pub(in crate::store) fn decode(self) -> Result<Purchase, StoreError> {
        let kind = self.operation_kind;
        let kind = known(OperationKind::from_number(kind), "operation", kind)?;
        Ok(Purchase {
            provider: self.provider,
            transaction_id: self.transaction_id,
            item_id: self.item_id,
            credit_type: id(&self.credit_type, CreditType::new)?,
            key: (kind, id(&self.operation_id, OperationId::new)?),
            lot_id: LotId(self.lot_id),
            credits: self.credits,
            paid_minor: self.paid_minor,
            reversed_credits: self.reversed_credits,
        })
    }
}

/// A row of `adjustments`.
pub(in crate::store) struct AdjustmentRow {
    pub account_id: String,
    pub provider: String,
    pub adjustment_id: String,
    pub transaction_id: String,
    pub action: i16,
    pub status: i16,
    pub is_full: bool,
    pub item_ids: Vec<String>,
    pub item_totals: Vec<i64>,
    pub occurred_at: Timestamp,
}

impl AdjustmentRow {
    pub(in crate::store) fn decode(self) -> Result<KnownAdjustment, StoreError> {
        let (action, status) = (self.action, self.status);
        let items = self.item_ids.into_iter().zip(self.item_totals);
        let adjustment = Adjustment {
            adjustment_id: self.adjustment_id,
            transaction_id: self.transaction_id,
            action: known(AdjustmentAction::from_number(action), "adjustment", action)?,
            status: known(AdjustmentStatus::from_number(status), "adjustment status", status)?,
            full: self.is_full,
            items: items
                .map(|(item_id, total_minor)| AdjustmentItem { item_id, total_minor })
                .collect(),
        };
        Ok(KnownAdjustment { adjustment, occurred_at: self.occurred_at })
    }
}
