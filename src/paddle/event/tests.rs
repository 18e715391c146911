//! The shapes of Paddle's documentation, and what becomes of odd ones.

use chrono::DateTime;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ids::OperationId;

pub(crate) fn transaction() -> Value {
    json!({"event_id": "evt_A", "event_type": "transaction.completed",
    "occurred_at": "2026-03-01T10:00:00.1Z", "notification_id": "ntf_A", "data": {
        "id": "txn_A", "status": "completed", "origin": "web", "customer_id": "ctm_A",
        "subscription_id": null, "collection_mode": "automatic", "currency_code": "USD",
        "billing_period": null,
        "custom_data": {"account_id": "acc_42", "top_up_id": "top_1"},
        "items": [{"price": {"id": "pri_scan5", "product_id": "pro_scan", "billing_cycle": null,
                             "custom_data": null}, "quantity": 2}],
        "details": {"totals": {"grand_total": "9800", "currency_code": "USD"},
            "line_items": [{"id": "txnitm_A", "price_id": "pri_scan5", "quantity": 2,
                            "totals": {"subtotal": "9000", "tax": "800", "total": "9800"}}]},
        "payments": [{"status": "captured", "error_code": null}],
        "billed_at": "2026-03-01T10:00:00Z"}})
}

pub(crate) fn subscription() -> Value {
    json!({"event_id": "evt_B", "event_type": "subscription.updated",
    "occurred_at": "2026-04-01T00:00:02Z", "notification_id": "ntf_B", "data": {
        "id": "sub_A", "status": "active", "customer_id": "ctm_A",
        "custom_data": {"account_id": "acc_42"}, "scheduled_change": null,
        "next_billed_at": "2026-05-01T00:00:00Z",
        "current_billing_period": {"starts_at": "2026-04-01T00:00:00Z",
                                   "ends_at": "2026-05-01T00:00:00Z"},
        "items": [{"status": "active", "recurring": true, "quantity": 1,
                   "price": {"id": "pri_pro", "product_id": "pro_plan"},
                   "previously_billed_at": "2026-04-01T00:00:00Z",
                   "next_billed_at": "2026-05-01T00:00:00Z"}]}})
}

pub(crate) fn adjustment() -> Value {
    json!({"event_id": "evt_C", "event_type": "adjustment.created",
    "occurred_at": "2026-03-03T09:00:00Z", "notification_id": "ntf_C", "data": {
        "id": "adj_A", "action": "refund", "type": "partial", "status": "pending_approval",
        "reason": "duplicate", "transaction_id": "txn_A", "subscription_id": null,
        "customer_id": "ctm_A", "currency_code": "USD",
        "items": [{"id": "adjitm_A", "item_id": "txnitm_A", "type": "partial", "amount": "4900",
                   "totals": {"subtotal": "4500", "tax": "400", "total": "4900"}}],
        "totals": {"total": "4900", "currency_code": "USD"}}})
}

/// The event with one field, named by a JSON pointer, set to another value.
pub(crate) fn with(mut event: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match event.pointer_mut(parent).unwrap() {
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = value,
        object => object[name] = value,
    }
    event
}

fn parse(event: &Value) -> Result<Event, EventError> {
    Event::parse(event.to_string().as_bytes())
}

fn payment(event: &Value) -> Transaction {
    match parse(event).unwrap().data {
        Data::TransactionCompleted(transaction) => transaction,
        data => panic!("{data:?}"),
    }
}

#[test]
fn a_completed_payment_is_read() {
    let event = parse(&transaction()).unwrap();
    assert_eq!(event.envelope.event_id, "evt_A");
    assert_eq!(event.envelope.occurred_at.timestamp_micros(), 1_772_359_200_100_000);
    let transaction = payment(&transaction());
    assert_eq!(transaction.transaction_id.into_string(), "txn_A");
    assert_eq!(transaction.origin, "web");
    assert_eq!(transaction.subscription_id, None);
    assert_eq!(transaction.period, None);
    assert_eq!((transaction.currency.as_str(), transaction.total.0), ("USD", 9800));
    assert_eq!(transaction.top_up_hint.unwrap().as_str(), "top_1");
    let item = &transaction.items[0];
    assert_eq!(item.price_id.clone().into_string(), "pri_scan5");
    assert_eq!((item.quantity.get(), item.total.0), (2, 9800));
}

#[test]
fn what_was_sold_is_the_total_before_the_customers_balance_pays_for_it() {
    let totals = json!({"total": "9800", "credit": "9800", "grand_total": "0"});
    let transaction = payment(&with(transaction(), "/data/details/totals", totals));
    assert_eq!(transaction.total.0, 9800);
}

#[test]
fn custom_data_of_any_form_is_no_more_than_a_hint() {
    for (custom_data, hint) in [
        (Value::Null, None),
        (json!("top_1"), None),
        (json!(["top_1"]), None),
        (json!({"top_up_id": 7}), None),
        (json!({"top_up_id": ""}), None),
        (json!({"top_up_id": "../../etc"}), None),
        (json!({"top_up_id": "x".repeat(129)}), None),
        (json!({"top_up_id": {"$ne": null}}), None),
        (json!({"top_up_id": "top_2", "more": [1, {"deep": null}]}), Some("top_2")),
    ] {
        let read = payment(&with(transaction(), "/data/custom_data", custom_data));
        assert_eq!(read.top_up_hint.as_ref().map(OperationId::as_str), hint);
    }
}

#[test]
fn nulls_empty_ids_and_unknown_fields_do_not_matter() {
    let mut odd = with(transaction(), "/data/customer_id", json!(""));
    odd = with(odd, "/data/subscription_id", json!(""));
    odd = with(odd, "/data/items", Value::Null);
    odd = with(odd, "/data/payments", json!("a new form"));
    odd = with(odd, "/data/billing_period", json!({"starts_at": null, "ends_at": null}));
    odd = with(odd, "/later", json!({"than": "this program"}));
    let read = payment(&odd);
    assert_eq!((read.customer_id, read.subscription_id), (None, None));
    assert_eq!(read.period.unwrap().range(), None);

    let mut ended = with(subscription(), "/data/current_billing_period", Value::Null);
    ended = with(ended, "/data/canceled_at", json!("0001-01-01T00:00:00Z"));
    ended = with(ended, "/data/started_at", json!("2026-01-31T00:00:00.123456789Z"));
    ended = with(ended, "/data/items", Value::Null);
    let Data::Subscription(read) = parse(&ended).unwrap().data else { panic!() };
    assert_eq!((read.period, read.items), (None, Vec::new()));
    assert_eq!(read.canceled_at.unwrap().real(), None);
    let started = DateTime::parse_from_rfc3339("2026-01-31T00:00:00.123456Z").unwrap();
    assert_eq!(read.started_at.unwrap().real(), Some(started.to_utc()));
    let never = json!({"starts_at": "0001-01-01T00:00:00Z", "ends_at": "0001-01-01T00:00:00Z"});
    let ended = with(ended, "/data/current_billing_period", never);
    let Data::Subscription(read) = parse(&ended).unwrap().data else { panic!() };
    assert_eq!(read.period.unwrap().range(), None);
}

#[test]
fn a_line_that_goes_back_whole_may_have_no_amount() {
    let event = with(adjustment(), "/data/items/0/amount", Value::Null);
    let Data::Adjustment(read) = parse(&event).unwrap().data else { panic!() };
    assert_eq!(read.items[0].total.0, 4900);
}

#[test]
fn a_type_that_changes_nothing_is_unknown_whatever_its_data() {
    for event_type in [
        "transaction.created",
        "transaction.past_due",
        "transaction.updated",
        "customer.created",
        "subscription.exploded",
        "adjustment",
        "transaction.",
        ".",
        "TRANSACTION.COMPLETED",
    ] {
        let event = with(transaction(), "/event_type", json!(event_type));
        let event = with(event, "/data", json!("anything"));
        assert_eq!(parse(&event).unwrap().data, Data::Unknown, "{event_type}");
    }
}

#[test]
fn what_is_not_understood_is_said_with_its_place() {
    for (event, pointer, value, path) in [
        (transaction(), "/event_id", json!(""), "event_id"),
        (transaction(), "/event_id", json!("a\u{0}b"), "event_id"),
        (transaction(), "/event_id", json!("x".repeat(101)), "event_id"),
        (transaction(), "/event_id", json!("a/../b"), "event_id"),
        (transaction(), "/event_type", json!("x".repeat(65)), "event_type"),
        (transaction(), "/occurred_at", json!("yesterday"), "occurred_at"),
        (transaction(), "/data", Value::Null, "data"),
        (transaction(), "/data/id", json!("txn A"), "data.id"),
        (transaction(), "/data/currency_code", json!("usd"), "data.currency_code"),
        (transaction(), "/data/details", Value::Null, "data.details"),
        (transaction(), "/data/details/totals", json!({}), "data.details.totals"),
        (
            transaction(),
            "/data/details/totals/grand_total",
            json!(9800),
            "data.details.totals.grand_total",
        ),
        (
            transaction(),
            "/data/details/line_items/0/quantity",
            json!(0),
            "data.details.line_items[0].quantity",
        ),
        (
            transaction(),
            "/data/details/line_items/0/totals/total",
            json!("98.00"),
            "data.details.line_items[0].totals.total",
        ),
        (
            transaction(),
            "/data/details/line_items/0/totals/total",
            json!("9223372036854775808"),
            "data.details.line_items[0].totals.total",
        ),
        (subscription(), "/data/status", json!("melted"), "data.status"),
        (
            subscription(),
            "/data/current_billing_period/ends_at",
            json!("2026-04-01T00:00:00Z"),
            "data.current_billing_period",
        ),
        (adjustment(), "/data/action", json!("gift"), "data.action"),
        (adjustment(), "/data/status", json!("maybe"), "data.status"),
        (adjustment(), "/data/transaction_id", Value::Null, "data.transaction_id"),
        (adjustment(), "/data/items/0/item_id", json!(1), "data.items[0].item_id"),
    ] {
        let error = parse(&with(event, pointer, value.clone())).unwrap_err();
        assert!(error.path.starts_with(path), "{pointer} = {value}: {error}");
        assert!(!error.why.is_empty());
    }
    for body in [&b""[..], b"null", b"[]", b"{", b"\xff\xfe", b"{\"event_id\":\"a\"}"] {
        Event::parse(body).unwrap_err();
    }
}

#[test]
fn money_is_whole_minor_units_of_either_sign() {
    for (text, minor) in [
        ("0", Some(0)),
        ("9800", Some(9800)),
        ("-100", Some(-100)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("", None),
        ("-", None),
        ("+1", None),
        (" 1", None),
        ("1.0", None),
        ("1e3", None),
        ("٣", None),
    ] {
        assert_eq!(Minor::try_from(text.to_owned()).ok().map(|m| m.0), minor, "{text:?}");
    }
}

/// A value, and every value inside of it, by pointer.
fn pointers(value: &Value, at: String, all: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                pointers(field, format!("{at}/{name}"), all);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointers(item, format!("{at}/{index}"), all);
            }
        }
        _ => {}
    }
    if !at.is_empty() {
        all.push(at);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_body_makes_it_panic(body in any::<Vec<u8>>()) {
        let _ = Event::parse(&body);
    }

    #[test]
    fn no_field_of_another_kind_makes_it_panic(
        event in prop_oneof![Just(transaction()), Just(subscription()), Just(adjustment())],
        position in any::<prop::sample::Index>(),
        value in prop_oneof![
            Just(Value::Null), Just(json!([])), Just(json!({})), Just(json!(true)),
            any::<i64>().prop_map(Value::from), any::<f64>().prop_map(Value::from),
            ".{0,20}".prop_map(Value::from), "-?[0-9]{1,25}".prop_map(Value::from),
            "[0-9]{4}-[01][0-9]-[0-3][0-9]T00:00:00Z".prop_map(Value::from),
        ],
    ) {
        let mut all = Vec::new();
        pointers(&event, String::new(), &mut all);
        let pointer = position.get(&all);
        if let Ok(event) = parse(&with(event, pointer, value)) {
            let _ = crate::paddle::translate::translate(event);
        }
    }
}
