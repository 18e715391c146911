//! A payment provider that repeats, shuffles and delays itself, and a forger.

use std::{net::SocketAddr, sync::atomic::Ordering::Relaxed, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    clients::{POOR, Scene, account},
    faults::Fault,
    history::{Answer, Ask, Call},
    replica::SECRET,
};

/// The price that stands for credits, and how many of them.
pub const PRICE: &str = "pri_pack";
pub const CREDITS: i64 = 5;

/// The provider's name of an account's owner.
pub fn customer(account: &str) -> String {
    format!("ctm_{account}")
}

/// What the ledger refers to a payment's line by.
fn line_id(number: u64) -> String {
    format!("txn_{number}:txnitm_{number}")
}

/// Tells of payments until it is told to stop. What has been answered otherwise
/// than by 200 is sent again, as the provider does.
pub async fn run(scene: Scene, addresses: Vec<SocketAddr>, seed: u64) -> Vec<Call> {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x5745_4248);
    let mut calls = Vec::new();
    let mut waiting: Vec<(String, Ask, Value)> = Vec::new();
    let mut made = 0;
    while !scene.stop.load(Relaxed) {
        for _ in 0..3 {
            made += 1;
            let account = account(rng.random_range(0..POOR));
            let quantity = rng.random_range(1..4);
            let id = line_id(made);
            let body = payment(made, &customer(&account), quantity);
            waiting.push((account, Ask::Webhook { id, credits: CREDITS * quantity }, body));
        }
        waiting.shuffle(&mut rng);
        let mut kept = Vec::new();
        for (account, ask, body) in waiting.drain(..) {
            let mut taken = false;
            for turn in 0..rng.random_range(1..=5) {
                let to = addresses[rng.random_range(0..addresses.len())];
                let begun = scene.epoch.elapsed();
                let status = post(to, &body, SECRET).await;
                scene.fired.count(Fault::WebhookRepeated);
                taken |= status == Some(200);
                let answer = match status {
                    Some(200) => Some(Answer::Stored),
                    Some(503) | None => None,
                    Some(other) => Some(Answer::Broken { why: format!("status {other}") }),
                };
                let ended = answer.map(|answer| (scene.epoch.elapsed(), answer));
                calls.push(Call { account: account.clone(), ask: ask.clone(), begun, ended });
                if turn == 0 && rng.random_bool(0.3) {
                    forge(&scene, to, &account, made, &mut calls).await;
                }
            }
            if !taken {
                kept.push((account, ask, body));
            }
        }
        waiting = kept;
        sleep(Duration::from_millis(rng.random_range(20..120))).await;
    }
    calls
}

/// A payment that nobody made, signed with another secret.
async fn forge(scene: &Scene, to: SocketAddr, account: &str, made: u64, calls: &mut Vec<Call>) {
    let begun = scene.epoch.elapsed();
    let body = payment(made + 1_000_000, &customer(account), 1000);
    let answer = match post(to, &body, "pdl_ntfset_01guess").await {
        Some(200) => Some(Answer::Broken { why: "a forged payment was taken".to_owned() }),
        Some(_) => Some(Answer::Refused { reason: String::new() }),
        None => None,
    };
    scene.fired.count(Fault::WebhookForged);
    let ended = answer.map(|answer| (scene.epoch.elapsed(), answer));
    let ask = Ask::Forgery { id: line_id(made + 1_000_000) };
    calls.push(Call { account: account.to_owned(), ask, begun, ended });
}

fn payment(number: u64, customer_id: &str, quantity: i64) -> Value {
    let total = (4900 * quantity).to_string();
    json!({
        "event_id": format!("evt_{number}"),
        "event_type": "transaction.completed",
        "occurred_at": "2026-03-01T10:00:00.25Z",
        "notification_id": format!("ntf_{number}"),
        "data": {
            "id": format!("txn_{number}"), "status": "completed", "origin": "web",
            "customer_id": customer_id, "subscription_id": null, "currency_code": "USD",
            "collection_mode": "automatic", "billing_period": null, "custom_data": null,
            "items": [{"price": {"id": PRICE}, "quantity": quantity, "proration": null}],
            "details": {
                "totals": {"total": total, "grand_total": total, "currency_code": "USD"},
                "line_items": [{"id": format!("txnitm_{number}"), "price_id": PRICE,
                                "quantity": quantity, "totals": {"total": total}}],
            },
            "payments": [],
        },
    })
}

/// Sends an event; gives the status of the answer, if one came.
async fn post(to: SocketAddr, event: &Value, secret: &str) -> Option<u16> {
    let body = event.to_string();
    let timestamp = chrono::Utc::now().timestamp();
    let key = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    let mac = key.chain_update(timestamp.to_string()).chain_update(":").chain_update(&body);
    let h1: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    let request = format!(
        "POST /webhooks/paddle HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\
         Paddle-Signature: ts={timestamp};h1={h1}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let asked = async {
        let mut stream = TcpStream::connect(to).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.split(' ').nth(1)?.parse().ok()
    };
    timeout(Duration::from_secs(5), asked).await.ok().flatten()
}
