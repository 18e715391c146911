//! Sends what Paddle would send: events, signed by a signer of our own.

use creditgate::config::{Secret, Settings};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{TestDb, settings};

pub const SECRET: &str = "pdl_ntfset_01test_secret_of_the_destination";

/// `settings` with a secret of Paddle's.
pub fn settings_with(db: &TestDb, secrets: &str) -> Settings {
    Settings { paddle_secrets: Some(Secret::new(secrets)), ..settings(db) }
}

pub fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

/// `h1` of a header.
pub fn h1(secret: &str, timestamp: i64, body: &[u8]) -> String {
    let key = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    let mac = key.chain_update(timestamp.to_string()).chain_update(":").chain_update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The value of `Paddle-Signature`.
pub fn sign(secret: &str, timestamp: i64, body: &[u8]) -> String {
    format!("ts={timestamp};h1={}", h1(secret, timestamp, body))
}

/// Status and body of a POST.
pub async fn post(address: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut head = format!(
        "POST /webhooks/paddle HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    // Where the body is refused, its end may not be taken any more.
    let _ = stream.write_all(body).await;
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    let response = String::from_utf8_lossy(&response).into_owned();
    let (head, body) = response.split_once("\r\n\r\n").expect("no answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.trim_end().to_owned())
}

/// Sends an event as Paddle does: signed now.
pub async fn deliver(address: &str, event: &Value) -> (u16, String) {
    let body = event.to_string().into_bytes();
    post(address, &[("Paddle-Signature", &sign(SECRET, now(), &body))], &body).await
}

/// An event around its data. `second` is when it happened, counted from
/// 2026-03-01T10:00:00Z.
pub fn event(event_id: &str, event_type: &str, second: u32, data: Value) -> Value {
    json!({
        "event_id": event_id,
        "event_type": event_type,
        "occurred_at": format!("2026-03-01T10:{:02}:{:02}.25Z", second / 60 % 60, second % 60),
        "notification_id": format!("ntf_{event_id}"),
        "data": data,
    })
}

/// A price as Paddle sends it, with what its own library cannot do without.
fn price_of(price: &str) -> Value {
    json!({
        "id": price, "product_id": "pro_1", "description": "", "tax_mode": "account_setting",
        "billing_cycle": null, "trial_period": null, "custom_data": {"credits": 1_000_000},
        "unit_price": {"amount": "4900", "currency_code": "USD"}, "unit_price_overrides": [],
        "quantity": {"minimum": 1, "maximum": 100}, "status": "active",
    })
}

/// A payment of `quantity` packs of `price`, each for 4900.
pub fn payment(transaction_id: &str, customer_id: &str, price: &str, quantity: i64) -> Value {
    let total = (4900 * quantity).to_string();
    json!({
        "id": transaction_id, "status": "completed", "origin": "web",
        "customer_id": customer_id, "subscription_id": null, "currency_code": "USD",
        "collection_mode": "automatic", "billing_period": null,
        "custom_data": {"account_id": "somebody_else"},
        "items": [{"price": price_of(price), "quantity": quantity, "proration": null}],
        "details": {
            "tax_rates_used": [],
            "totals": {"total": total, "grand_total": total, "currency_code": "USD"},
            "line_items": [{"id": format!("txnitm_{transaction_id}"), "price_id": price,
                            "quantity": quantity, "totals": {"total": total}}],
        },
        "payments": [{"amount": total, "status": "captured", "error_code": null,
                      "method_details": {"type": "card"}}],
        "billed_at": "0001-01-01T00:00:00Z",
    })
}

/// An active subscription to `price` for March 2026, cancelled for its end.
pub fn subscription(subscription_id: &str, customer_id: &str, price: &str) -> Value {
    json!({
        "id": subscription_id, "status": "active", "customer_id": customer_id,
        "address_id": "add_1", "business_id": null, "currency_code": "USD",
        "custom_data": null, "started_at": "2026-03-01T00:00:00Z", "canceled_at": null,
        "scheduled_change": {"action": "cancel", "effective_at": "2026-04-01T00:00:00Z",
                             "resume_at": null},
        "current_billing_period": {"starts_at": "2026-03-01T00:00:00Z",
                                   "ends_at": "2026-04-01T00:00:00Z"},
        "billing_cycle": {"interval": "month", "frequency": 1},
        "items": [{"status": "active", "recurring": true, "quantity": 1,
                   "price": price_of(price)}],
    })
}

/// An approved refund of a part of the first line of a payment.
pub fn adjustment(
    adjustment_id: &str,
    transaction_id: &str,
    customer_id: &str,
    amount: &str,
) -> Value {
    let totals = json!({"subtotal": amount, "tax": "0", "total": amount, "currency_code": "USD"});
    json!({
        "id": adjustment_id, "action": "refund", "type": "partial", "status": "approved",
        "reason": "duplicate", "transaction_id": transaction_id, "subscription_id": null,
        "customer_id": customer_id, "currency_code": "USD",
        "items": [{"id": "adjitm_1", "item_id": format!("txnitm_{transaction_id}"),
                   "type": "partial", "amount": amount, "totals": totals}],
        "totals": totals, "payout_totals": null,
    })
}
