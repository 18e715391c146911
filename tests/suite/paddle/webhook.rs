//! Who is believed, and what is stored.

use std::time::{Duration, Instant};

use creditgate::clock::Clock;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::send::*;
use crate::harness::{TestDb, TestServer};

const STORED: &str = "SELECT count(*) FROM webhook_inbox";

async fn start(db: &TestDb, secrets: &str) -> TestServer {
    TestServer::with(&settings_with(db, secrets), Clock::Database).await
}

#[tokio::test]
async fn only_what_was_signed_now_with_a_known_secret_is_stored() {
    let db = TestDb::new().await;
    let old = "pdl_ntfset_00the_one_before";
    let server = start(&db, &format!("{old}, {SECRET}")).await;
    let address = server.http_addr();
    let body = event("evt_1", "customer.created", 0, json!({})).to_string().into_bytes();
    let now = now();
    let good = sign(SECRET, now, &body);
    let stranger = sign("pdl_ntfset_99a_stranger", now, &body);
    let twice = [("Paddle-Signature", &*good), ("Paddle-Signature", &*good)];
    for (name, headers, status, says) in [
        ("no header", &[][..], 401, "there is no Paddle-Signature header"),
        ("an empty header", &[("Paddle-Signature", "")], 400, "not understood"),
        ("no scheme", &[("Paddle-Signature", "ts=1")], 400, "h1 is missing"),
        ("not ASCII", &[("Paddle-Signature", "ts=ü")], 400, "not ASCII"),
        ("two headers", &twice, 400, "comes twice"),
        ("forged", &[("Paddle-Signature", &*stranger)], 401, "does not match"),
        (
            "a timestamp that was not signed",
            &[("Paddle-Signature", &*good.replace(&now.to_string(), &(now + 1).to_string()))],
            401,
            "does not match",
        ),
        ("stale", &[("Paddle-Signature", &*sign(SECRET, now - 60, &body))], 401, "60 s old"),
        (
            "from the future",
            &[("Paddle-Signature", &*sign(SECRET, now + 60, &body))],
            401,
            "in the future",
        ),
    ] {
        let (found, text) = post(&address, headers, &body).await;
        assert_eq!(found, status, "{name}: {text}");
        assert!(text.contains(says), "{name}: {text}");
    }
    let other = [&body[..], b" "].concat();
    assert_eq!(post(&address, &[("Paddle-Signature", &good)], &other).await.0, 401);
    assert_eq!(db.count(STORED).await, 0);

    // Signed with both secrets, as in a rotation; with a scheme to come; by either.
    let both = format!("{stranger};h1={}", h1(SECRET, now, &body));
    let later = format!("{good};h2=abc");
    for signature in [good, both, later, sign(old, now, &body)] {
        let (status, text) = post(&address, &[("Paddle-Signature", &signature)], &body).await;
        assert_eq!(status, 200, "{signature}: {text}");
    }
    assert_eq!(db.count(STORED).await, 1);
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn what_comes_is_stored_byte_for_byte_and_once() {
    let db = TestDb::new().await;
    let server = start(&db, SECRET).await;
    let address = server.http_addr();
    let body = "\t{ \"event_type\" : \"customer.created\",\r\n  \"event_id\":\"evt_1\", \
                \"data\":{\"name\":\"Zo\u{eb} \\u0000 \u{1f600}\", \"n\": 1.10}, \
                \"occurred_at\":\"2026-03-01T12:00:00.123456+02:00\" }\n";
    let send = async || {
        let signature = sign(SECRET, now(), body.as_bytes());
        post(&address, &[("paddle-signature", &signature)], body.as_bytes()).await
    };
    assert_eq!(send().await, (200, "stored".to_owned()));
    assert_eq!(send().await, (200, "stored before".to_owned()));
    let stored: (Vec<u8>, chrono::DateTime<chrono::Utc>, String) =
        sqlx::query_as("SELECT body, occurred_at, event_type FROM webhook_inbox")
            .fetch_one(&db.owner)
            .await
            .unwrap();
    assert_eq!(String::from_utf8(stored.0).unwrap(), body);
    assert_eq!(stored.1.to_rfc3339(), "2026-03-01T10:00:00.123456+00:00");
    assert_eq!(stored.2, "customer.created");
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_or_no_event_is_refused() {
    let db = TestDb::new().await;
    let server = start(&db, SECRET).await;
    let address = server.http_addr();
    let limit = 1024 * 1024;
    let mut body = event("evt_1", "customer.created", 0, json!({})).to_string().into_bytes();
    body.resize(limit, b' ');
    let signature = sign(SECRET, now(), &body);
    assert_eq!(post(&address, &[("Paddle-Signature", &signature)], &body).await.0, 200);
    body.push(b' ');
    let signature = sign(SECRET, now(), &body);
    let (status, text) = post(&address, &[("Paddle-Signature", &signature)], &body).await;
    assert_eq!((status, text.as_str()), (413, "the body is too large"));
    for body in [&b""[..], b"null", b"{}", b"{\"event_id\":\"evt_2\"}", b"\xff"] {
        let signature = sign(SECRET, now(), body);
        let (status, text) = post(&address, &[("Paddle-Signature", &signature)], body).await;
        assert_eq!(status, 400, "{text}");
        assert!(text.contains("no event"), "{text}");
    }
    assert_eq!(db.count(STORED).await, 1);
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn a_body_that_never_comes_is_given_up_and_holds_up_nobody() {
    let db = TestDb::new().await;
    let server = start(&db, SECRET).await;
    let address = server.http_addr();
    let signature = sign(SECRET, now(), b"x");
    let mut slow = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /webhooks/paddle HTTP/1.1\r\nHost: gate\r\nContent-Length: 10\r\n\
         Connection: close\r\nPaddle-Signature: {signature}\r\n\r\n{{"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let begun = Instant::now();
    assert_eq!(deliver(&address, &event("evt_1", "a.b", 0, json!({}))).await.0, 200);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn without_a_secret_nothing_is_taken_and_the_answer_says_so() {
    let db = TestDb::new().await;
    let server = TestServer::start(&db).await;
    let (status, text) = deliver(&server.http_addr(), &event("evt_1", "a.b", 0, json!({}))).await;
    assert_eq!(status, 404);
    assert!(text.contains("CREDITGATE_PADDLE_SECRETS"), "{text}");
    server.finish().await;
    db.finish().await;
}

/// Whatever holds the database up: Paddle waits for 5 s, and sends again.
#[tokio::test]
async fn what_cannot_be_stored_is_answered_in_time_and_taken_when_it_comes_again() {
    let db = TestDb::new().await;
    let server = start(&db, SECRET).await;
    let address = server.http_addr();
    let sent = event("evt_1", "a.b", 0, json!({}));
    let mut lock = db.owner.begin().await.unwrap();
    sqlx::query("LOCK TABLE webhook_inbox IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let begun = Instant::now();
    assert_eq!(deliver(&address, &sent).await.0, 503);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    lock.rollback().await.unwrap();
    assert_eq!(deliver(&address, &sent).await.0, 200);
    assert_eq!(db.count(STORED).await, 1);
    server.finish().await;
    db.finish().await;
}
