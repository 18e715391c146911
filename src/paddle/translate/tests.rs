//! From Paddle's words to ours.

use serde_json::{Value, json};

use super::*;
use crate::paddle::event::tests::{adjustment, subscription, transaction, with};

fn report(event: &Value) -> Report {
    translate(Event::parse(event.to_string().as_bytes()).unwrap()).unwrap()
}

fn typed(event: Value, event_type: &str) -> Value {
    with(event, "/event_type", json!(event_type))
}

#[test]
fn each_type_has_its_effect_and_only_completion_can_grant() {
    for (event, event_type, effect) in [
        (transaction(), "transaction.paid", "PaymentPending"),
        (transaction(), "transaction.payment_failed", "PaymentPending"),
        (transaction(), "transaction.completed", "PaymentCompleted"),
        (transaction(), "transaction.canceled", "PaymentCanceled"),
        (subscription(), "subscription.created", "SubscriptionChanged"),
        (subscription(), "subscription.activated", "SubscriptionChanged"),
        (subscription(), "subscription.trialing", "SubscriptionChanged"),
        (subscription(), "subscription.paused", "SubscriptionChanged"),
        (subscription(), "subscription.resumed", "SubscriptionChanged"),
        (subscription(), "subscription.past_due", "SubscriptionChanged"),
        (subscription(), "subscription.canceled", "SubscriptionChanged"),
        (subscription(), "subscription.updated", "SubscriptionChanged"),
        (adjustment(), "adjustment.created", "Adjusted"),
        (adjustment(), "adjustment.updated", "Adjusted"),
    ] {
        let found = format!("{:?}", report(&typed(event, event_type)).event.effect);
        assert!(found.starts_with(effect), "{event_type}: {found}");
    }
    for event_type in ["transaction.past_due", "transaction.billed", "customer.updated"] {
        let event = typed(transaction(), event_type).to_string();
        assert_eq!(translate(Event::parse(event.as_bytes()).unwrap()), None, "{event_type}");
    }
}

#[test]
fn an_account_is_found_by_what_the_provider_says_never_by_custom_data() {
    let report = report(&transaction());
    assert_eq!(report.keys.transaction_id.as_deref(), Some("txn_A"));
    assert_eq!(report.keys.customer_id.as_deref(), Some("ctm_A"));
    assert_eq!(report.keys.subscription_id, None);
    assert!(!format!("{report:?}").contains("acc_42"), "{report:?}");
}

#[test]
fn a_payment_keeps_what_credits_depend_on() {
    let mut event = with(transaction(), "/data/subscription_id", json!("sub_A"));
    let period = json!({"starts_at": "2026-04-01T00:00:00Z", "ends_at": "2026-05-01T00:00:00Z"});
    event = with(event, "/data/billing_period", period);
    for (word, origin) in [
        ("web", Origin::Web),
        ("api", Origin::Api),
        ("subscription_recurring", Origin::SubscriptionRecurring),
        ("subscription_payment_method_change", Origin::Other),
        ("subscription_charge", Origin::SubscriptionCharge),
        ("subscription_update", Origin::Other),
        ("a_new_one", Origin::Other),
    ] {
        let report = report(&with(event.clone(), "/data/origin", json!(word)));
        assert_eq!(report.event.provider, "paddle");
        let Effect::PaymentCompleted(payment) = report.event.effect else { panic!() };
        assert_eq!(payment.origin, origin, "{word}");
        assert_eq!(payment.subscription_id.unwrap().as_str(), "sub_A");
        assert_eq!(payment.period.unwrap().0.timestamp(), 1_775_001_600);
        assert_eq!((payment.currency.as_str(), payment.total_minor), ("USD", 9800));
        let item = &payment.items[0];
        assert_eq!((item.item_id.as_str(), item.price_id.as_str()), ("txnitm_A", "pri_scan5"));
        assert_eq!((item.quantity, item.total_minor), (2, 9800));
    }
}

#[test]
fn only_a_scheduled_cancellation_ends_a_subscription_with_its_period() {
    for (change, ends) in [
        (Value::Null, false),
        (json!({"action": "pause", "effective_at": "2026-05-01T00:00:00Z"}), false),
        (json!({"action": "cancel", "effective_at": "2026-05-01T00:00:00Z"}), true),
        (json!({}), false),
    ] {
        let report = report(&with(subscription(), "/data/scheduled_change", change));
        let Effect::SubscriptionChanged(changed) = report.event.effect else { panic!() };
        assert_eq!(changed.cancel_at_period_end, ends);
        assert_eq!(changed.price_ids, ["pri_pro"]);
        assert_eq!(changed.status, SubscriptionStatus::Active);
    }
}

#[test]
fn an_adjustment_is_full_only_where_it_says_so() {
    for (kind, full) in [(json!("full"), true), (json!("partial"), false), (Value::Null, false)] {
        let report = report(&with(adjustment(), "/data/type", kind));
        let Effect::Adjusted(adjusted) = report.event.effect else { panic!() };
        assert_eq!(adjusted.full, full);
        assert_eq!(adjusted.action, AdjustmentAction::Refund);
        assert_eq!(adjusted.status, AdjustmentStatus::PendingApproval);
        assert_eq!(adjusted.items[0].total_minor, 4900);
        assert_eq!(report.keys.transaction_id.as_deref(), Some("txn_A"));
    }
}
