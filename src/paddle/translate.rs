//! What an event means here: an effect on one account, and what the account is
//! found by.

use super::{
    PROVIDER,
    event::{
        Adjustment, Data, Event, Id, Subscription, Time, Transaction, adjustment, subscription,
    },
};
use crate::{
    billing::ProviderKeys,
    domain::{
        provider::{
            self, AdjustmentAction, AdjustmentStatus, Effect, Origin, ProviderEvent,
            ProviderSubscription, TransactionItem,
        },
        subscription::SubscriptionStatus,
    },
};

/// An event that has an effect. Where the account knows of no top-up that was
/// opened for the payment, the one in it is its payer's word: a hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What its account can be found by: the provider's word, never the payer's, so
    /// nothing of `custom_data`.
    pub keys: ProviderKeys,
    /// What happened.
    pub event: ProviderEvent,
}

/// What an event means; `None` where it changes nothing.
#[must_use]
pub fn translate(event: Event) -> Option<Report> {
    let (keys, effect) = match event.data {
        Data::TransactionPending(data) => transaction(data, Effect::PaymentPending),
        Data::TransactionCompleted(data) => transaction(data, Effect::PaymentCompleted),
        Data::TransactionCanceled(data) => transaction(data, Effect::PaymentCanceled),
        Data::Subscription(data) => changed(data),
        Data::Adjustment(data) => adjusted(data),
        Data::Unknown => return None,
    };
    let event = ProviderEvent {
        provider: PROVIDER.to_owned(),
        event_id: event.envelope.event_id,
        occurred_at: event.envelope.occurred_at,
        effect,
    };
    Some(Report { keys, event })
}

fn transaction(
    data: Transaction,
    effect: impl FnOnce(provider::Transaction) -> Effect,
) -> (ProviderKeys, Effect) {
    let transaction_id = data.transaction_id.into_string();
    let keys = ProviderKeys {
        transaction_id: Some(transaction_id.clone()),
        subscription_id: data.subscription_id.clone(),
        customer_id: data.customer_id.map(Id::into_string),
    };
    let origin = match data.origin.as_str() {
        "web" => Origin::Web,
        "api" => Origin::Api,
        "subscription_recurring" => Origin::SubscriptionRecurring,
        "subscription_charge" => Origin::SubscriptionCharge,
        _ => Origin::Other,
    };
    let items = data.items.into_iter().map(|item| TransactionItem {
        item_id: item.item_id.into_string(),
        price_id: item.price_id.into_string(),
        quantity: item.quantity.get().into(),
        total_minor: item.total.0,
    });
    let transaction = provider::Transaction {
        transaction_id,
        top_up_id: data.top_up_hint,
        subscription_id: data.subscription_id,
        period: data.period.and_then(|period| period.range()),
        origin,
        currency: data.currency,
        total_minor: data.total.0,
        items: items.collect(),
    };
    (keys, effect(transaction))
}

fn changed(data: Subscription) -> (ProviderKeys, Effect) {
    let keys = ProviderKeys {
        transaction_id: None,
        subscription_id: Some(data.subscription_id.clone()),
        customer_id: data.customer_id.map(Id::into_string),
    };
    let change = data.scheduled_change.and_then(|change| change.action);
    let effect = Effect::SubscriptionChanged(ProviderSubscription {
        subscription_id: data.subscription_id,
        status: match data.status {
            subscription::Status::Active => SubscriptionStatus::Active,
            subscription::Status::Canceled => SubscriptionStatus::Canceled,
            subscription::Status::PastDue => SubscriptionStatus::PastDue,
            subscription::Status::Paused => SubscriptionStatus::Paused,
            subscription::Status::Trialing => SubscriptionStatus::Trialing,
        },
        price_ids: data.items.into_iter().map(|item| item.price.id.into_string()).collect(),
        period: data.period.and_then(|period| period.range()),
        cancel_at_period_end: change.as_deref() == Some("cancel"),
        started_at: data.started_at.and_then(Time::real),
        canceled_at: data.canceled_at.and_then(Time::real),
    });
    (keys, effect)
}

fn adjusted(data: Adjustment) -> (ProviderKeys, Effect) {
    let transaction_id = data.transaction_id.into_string();
    let keys = ProviderKeys {
        transaction_id: Some(transaction_id.clone()),
        subscription_id: data.subscription_id,
        customer_id: data.customer_id.map(Id::into_string),
    };
    let items = data.items.into_iter().map(|item| provider::AdjustmentItem {
        item_id: item.item_id.into_string(),
        total_minor: item.total.0,
    });
    let effect = Effect::Adjusted(provider::Adjustment {
        adjustment_id: data.adjustment_id.into_string(),
        transaction_id,
        action: match data.action {
            adjustment::Action::Refund => AdjustmentAction::Refund,
            adjustment::Action::Credit => AdjustmentAction::Credit,
            adjustment::Action::Chargeback => AdjustmentAction::Chargeback,
            adjustment::Action::ChargebackWarning => AdjustmentAction::ChargebackWarning,
            adjustment::Action::CreditReverse => AdjustmentAction::CreditReverse,
            adjustment::Action::ChargebackReverse => AdjustmentAction::ChargebackReverse,
            adjustment::Action::ChargebackWarningReverse => {
                AdjustmentAction::ChargebackWarningReverse
            }
        },
        status: match data.status {
            adjustment::Status::PendingApproval => AdjustmentStatus::PendingApproval,
            adjustment::Status::Approved => AdjustmentStatus::Approved,
            adjustment::Status::Rejected => AdjustmentStatus::Rejected,
            adjustment::Status::Reversed => AdjustmentStatus::Reversed,
        },
        full: data.kind.as_deref() == Some("full"),
        items: items.collect(),
    });
    (keys, effect)
}

#[cfg(test)]
mod tests;
