//! The HTTP port, and what the metrics say.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    harness::{TestDb, TestServer, eventually},
    wire::reserve,
};

/// The status line and body of a GET.
pub async fn get(address: &str, path: &str) -> (String, String) {
    let (head, body) = head_and_body(address, path).await;
    (head.lines().next().unwrap().to_owned(), body)
}

async fn head_and_body(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn no_browser_makes_anything_of_an_answer() {
    let db = TestDb::new().await;
    let server = TestServer::start(&db).await;
    for path in ["/livez", "/readyz", "/metrics", "/webhooks/paddle", "/nothing"] {
        let (head, _) = head_and_body(&server.http_addr(), path).await;
        for line in [
            "x-content-type-options: nosniff",
            "content-security-policy: default-src 'none'; frame-ancestors 'none'",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
        ] {
            assert!(head.contains(line), "{path} lacks {line}:\n{head}");
        }
    }
    let (head, _) = head_and_body(&server.http_addr(), "/metrics").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn liveness_readiness_and_metrics_are_told_over_http() {
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 1).await;
    server.gate().reserve(reserve("a", "r", "live_audit")).await.unwrap();
    server.gate().reserve(reserve("a", "s", "live_audit")).await.unwrap();
    server.gate().reserve(reserve("a", "", "live_audit")).await.unwrap_err();
    let address = server.http_addr();
    assert_eq!(get(&address, "/livez").await.0, "HTTP/1.1 200 OK");
    assert_eq!(get(&address, "/readyz").await.0, "HTTP/1.1 200 OK");
    assert_eq!(get(&address, "/nothing").await.0, "HTTP/1.1 404 Not Found");
    // Holds are counted after the reaper's first round.
    let counted = "creditgate_holds_overdue_seconds ";
    eventually("holds are counted", async || get(&address, "/metrics").await.1.contains(counted))
        .await;
    let (_, metrics) = get(&address, "/metrics").await;
    for line in [
        "creditgate_requests_total{method=\"/creditgate.v1.GateService/Reserve\",code=\"Ok\"}",
        "creditgate_requests_total{method=\"/creditgate.v1.GateService/Reserve\",code=\"InvalidArgument\"}",
        "creditgate_batch_phase_seconds_bucket{phase=\"commit\"",
        "creditgate_batch_commands_sum",
        "# HELP creditgate_batch_commands commands in a batch",
        "creditgate_build_info{version=",
        "creditgate_queue_commands{lane=\"write\"}",
        "creditgate_verdicts_total{asked=\"reserve\",verdict=\"HELD\"} ",
        "creditgate_verdicts_total{asked=\"reserve\",verdict=\"EXHAUSTED\"} ",
        "creditgate_holds ",
        "process_resident_memory_bytes",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    server.finish().await;
    db.finish().await;
}
