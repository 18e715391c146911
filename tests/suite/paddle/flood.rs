//! Ten thousand deliveries to two replicas: shuffled, repeated, forged, stale.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use creditgate::clock::Clock;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinSet,
};

use super::{catalog, effects, inbox::link, send::*};
use crate::harness::{TestDb, TestServer};

const ACCOUNTS: usize = 4;
const PURCHASES: usize = 480;
const DELIVERIES: usize = 10_000;
const SENDERS: usize = 16;

/// What is sent, and how.
#[derive(Clone)]
enum Delivery {
    Genuine(usize),
    /// A bit of the body is another one than was signed.
    Mutated(usize, usize),
    /// Signed with another secret.
    Forged(usize),
    /// Signed long ago.
    Stale(usize),
}

/// A connection that is kept.
struct Sender(BufReader<TcpStream>);

impl Sender {
    async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    async fn post(&mut self, signature: &str, body: &[u8]) -> u16 {
        let head = format!(
            "POST /webhooks/paddle HTTP/1.1\r\nHost: gate\r\nPaddle-Signature: {signature}\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.0.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
        let (mut status, mut length, mut line) = (0, 0, String::new());
        loop {
            line.clear();
            self.0.read_line(&mut line).await.unwrap();
            if status == 0 {
                status = line.split(' ').nth(1).unwrap().parse().unwrap();
            }
            match line.trim_end().to_ascii_lowercase().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                None if line == "\r\n" => break,
                _ => {}
            }
        }
        self.0.read_exact(&mut vec![0; length]).await.unwrap();
        status
    }
}

async fn deliver_one(sender: &mut Sender, bodies: &[Vec<u8>], delivery: &Delivery) {
    let (expected, status) = match delivery {
        Delivery::Genuine(n) => {
            (200, sender.post(&sign(SECRET, now(), &bodies[*n]), &bodies[*n]).await)
        }
        Delivery::Mutated(n, seed) => {
            let mut body = bodies[*n].clone();
            let signature = sign(SECRET, now(), &body);
            let position = seed % body.len();
            body[position] ^= 1 << (seed % 8);
            (401, sender.post(&signature, &body).await)
        }
        Delivery::Forged(n) => {
            let signature = sign("pdl_ntfset_99a_stranger", now(), &bodies[*n]);
            (401, sender.post(&signature, &bodies[*n]).await)
        }
        Delivery::Stale(n) => {
            let signature = sign(SECRET, now() - 3600, &bodies[*n]);
            (401, sender.post(&signature, &bodies[*n]).await)
        }
    };
    assert_eq!(status, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_deliveries_have_one_effect_each_and_forged_ones_none() {
    let db = TestDb::new().await;
    let server = effects::start(&db).await;
    let other = TestServer::with(&settings_with(&db, SECRET), Clock::Database).await;
    let names: Vec<String> = (0..ACCOUNTS).map(|n| format!("buyer-{n}")).collect();
    for name in &names {
        server.create_account(name).await;
        link(&server, name, &format!("ctm_{name}")).await;
    }

    // Each purchase is paid and completed; of every third, half goes back. What is
    // forged names a purchase of its own, which must never be heard of.
    let (mut genuine, mut forged) = (Vec::new(), Vec::new());
    let mut wanted: BTreeMap<&str, i64> = BTreeMap::new();
    for n in 0..PURCHASES {
        let name = names[n % ACCOUNTS].as_str();
        let (customer, transaction) = (format!("ctm_{name}"), format!("txn_{n}"));
        let data = payment(&transaction, &customer, catalog::PACK, 2);
        let second = u32::try_from(n).unwrap();
        genuine.push(event(&format!("evt_{n}_paid"), "transaction.paid", second, data.clone()));
        let completed = format!("evt_{n}_completed");
        genuine.push(event(&completed, "transaction.completed", second + 1, data));
        *wanted.entry(name).or_default() += 10;
        if n % 3 == 0 {
            let adjustment = adjustment(&format!("adj_{n}"), &transaction, &customer, "4900");
            let refund = format!("evt_{n}_refund");
            genuine.push(event(&refund, "adjustment.created", second + 2, adjustment));
            *wanted.entry(name).or_default() -= 5;
        }
        let data = payment(&format!("txn_forged_{n}"), &customer, catalog::PACK, 100);
        forged.push(event(&format!("evt_forged_{n}"), "transaction.completed", second, data));
    }
    let count = genuine.len();
    let bodies: Vec<Vec<u8>> =
        genuine.iter().chain(&forged).map(|event| event.to_string().into_bytes()).collect();
    let mut deliveries: Vec<Delivery> = (0..count).map(Delivery::Genuine).collect();
    deliveries.extend((0..DELIVERIES - count).map(|n| {
        let strange = count + n % PURCHASES;
        match n % 10 {
            0..6 => Delivery::Genuine(n % count),
            6 => Delivery::Mutated(n % count, n),
            7 => Delivery::Mutated(strange, n),
            8 => Delivery::Forged(strange),
            _ => Delivery::Stale(strange),
        }
    }));
    deliveries.shuffle(&mut StdRng::seed_from_u64(20_260_301));

    let begun = Instant::now();
    let (bodies, chunk) = (std::sync::Arc::new(bodies), deliveries.len().div_ceil(SENDERS));
    let mut senders = JoinSet::new();
    for (n, part) in deliveries.chunks(chunk).enumerate() {
        let address = if n % 2 == 0 { server.http_addr() } else { other.http_addr() };
        let (bodies, part) = (bodies.clone(), part.to_vec());
        senders.spawn(async move {
            let mut sender = Sender::open(&address).await;
            for delivery in &part {
                deliver_one(&mut sender, &bodies, delivery).await;
            }
        });
    }
    senders.join_all().await;
    let delivered = begun.elapsed();
    let waiting = "SELECT count(*) FROM webhook_inbox WHERE state <> 3";
    while db.count(waiting).await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} left", db.count(waiting).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "{} deliveries of {count} events in {delivered:?}, all applied after {:?}",
        deliveries.len(),
        begun.elapsed()
    );

    assert_eq!(
        db.count("SELECT count(*) FROM webhook_inbox").await,
        json!(count).as_i64().unwrap()
    );
    for (name, credits) in wanted {
        let query = format!("SELECT available FROM balances WHERE account_id = '{name}'");
        assert_eq!(db.count(&query).await, credits, "{name}");
    }
    let of_kind = async |kind: i16| {
        db.count(&format!("SELECT count(*) FROM ledger_entries WHERE kind = {kind}")).await
    };
    assert_eq!(of_kind(1).await, i64::try_from(PURCHASES).unwrap());
    assert_eq!(of_kind(8).await, i64::try_from(PURCHASES / 3).unwrap());
    server.finish().await;
    other.finish().await;
    db.finish().await;
}
