//! Words for what a provider reports. Self-contained, as [`super::generate`] is.
#![allow(dead_code, reason = "not every test binary plays every part")]

use chrono::TimeDelta;
use creditgate::{
    clock::Timestamp,
    domain::{
        command::Action,
        provider::{
            Adjustment, AdjustmentAction, AdjustmentItem, AdjustmentStatus, Effect, Origin,
            ProviderEvent, ProviderSubscription, Transaction, TransactionItem,
        },
        subscription::SubscriptionStatus,
    },
    ids::{OperationId, SubscriptionId},
};

use super::{billing_catalog::PADDLE, generate::start};

/// So many hours after the beginning.
pub(crate) fn hour(hours: i64) -> Timestamp {
    start() + TimeDelta::hours(hours)
}

/// A report of this hour.
pub(crate) fn event(event_id: &str, hours: i64, effect: Effect) -> Action {
    Action::ApplyEvent(Box::new(ProviderEvent {
        provider: PADDLE.to_owned(),
        event_id: event_id.to_owned(),
        occurred_at: hour(hours),
        effect,
    }))
}

/// A payment of these lines: item, price, quantity, money.
pub(crate) fn transaction(id: &str, lines: &[(&str, &str, i64, i64)]) -> Transaction {
    let line = |(item_id, price_id, quantity, total): &(&str, &str, i64, i64)| TransactionItem {
        item_id: (*item_id).to_owned(),
        price_id: (*price_id).to_owned(),
        quantity: *quantity,
        total_minor: *total,
    };
    Transaction {
        transaction_id: id.to_owned(),
        top_up_id: None,
        subscription_id: None,
        period: None,
        origin: Origin::Web,
        currency: "USD".to_owned(),
        total_minor: lines.iter().map(|line| line.3).sum(),
        items: lines.iter().map(line).collect(),
    }
}

/// The same payment, for a top-up.
pub(crate) fn for_top_up(id: &str, transaction: Transaction) -> Transaction {
    Transaction { top_up_id: Some(OperationId::new(id).unwrap()), ..transaction }
}

/// The same payment, for a subscription's period between these hours.
pub(crate) fn for_period(id: &str, from: i64, to: i64, transaction: Transaction) -> Transaction {
    Transaction {
        subscription_id: Some(SubscriptionId::new(id).unwrap()),
        period: Some((hour(from), hour(to))),
        ..transaction
    }
}

/// A subscription by one price, of the period between these hours.
pub(crate) fn subscription(
    id: &str,
    price_id: &str,
    status: SubscriptionStatus,
    period: Option<(i64, i64)>,
) -> ProviderSubscription {
    ProviderSubscription {
        subscription_id: SubscriptionId::new(id).unwrap(),
        status,
        price_ids: vec![price_id.to_owned()],
        period: period.map(|(from, to)| (hour(from), hour(to))),
        cancel_at_period_end: false,
        started_at: None,
        canceled_at: None,
    }
}

/// An adjustment of all of a payment.
pub(crate) fn full(
    id: &str,
    transaction_id: &str,
    action: AdjustmentAction,
    status: AdjustmentStatus,
) -> Adjustment {
    Adjustment {
        adjustment_id: id.to_owned(),
        transaction_id: transaction_id.to_owned(),
        action,
        status,
        full: true,
        items: vec![],
    }
}

/// An adjustment of these lines.
pub(crate) fn partial(items: &[(&str, i64)], full: Adjustment) -> Adjustment {
    let item = |(item_id, total): &(&str, i64)| AdjustmentItem {
        item_id: (*item_id).to_owned(),
        total_minor: *total,
    };
    Adjustment { full: false, items: items.iter().map(item).collect(), ..full }
}
