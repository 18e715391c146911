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

/// A payment of `quantity` packs of `price`, each for 4900.
pub fn payment(transaction_id: &str, customer_id: &str, price: &str, quantity: i64) -> Value {
    let total = (4900 * quantity).to_string();
    json!({
        "id": transaction_id, "status": "completed", "origin": "web",
        "customer_id": customer_id, "subscription_id": null, "currency_code": "USD",
        "collection_mode": "automatic", "billing_period": null,
        "custom_data": {"account_id": "somebody_else"},
        "items": [{"price": {"id": price, "product_id": "pro_scan"}, "quantity": quantity}],
        "details": {
            "totals": {"total": total, "grand_total": total, "currency_code": "USD"},
            "line_items": [{"id": format!("txnitm_{transaction_id}"), "price_id": price,
                            "quantity": quantity, "totals": {"total": total}}],
        },
        "payments": [{"status": "captured", "error_code": null}],
        "billed_at": "0001-01-01T00:00:00Z",
    })
}
