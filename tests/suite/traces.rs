//! Spans, as a collector gets them, and logs that change while they are written.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::Span,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStderr},
    time::timeout,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use crate::{
    harness::{TestDb, TestServer, eventually},
    program::{output, program},
};

/// Keeps what it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        let scopes = resources.into_iter().flat_map(|resource| resource.scope_spans);
        self.0.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Takes spans on a port of its own.
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let service = TraceServiceServer::new(collector.clone());
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        (collector, endpoint)
    }

    fn spans(&self) -> Vec<Span> {
        self.0.lock().unwrap().clone()
    }
}

/// A server of its own process, and what it says, line by line of JSON.
struct Gate {
    process: Child,
    lines: Lines<BufReader<ChildStderr>>,
    address: String,
}

impl Gate {
    async fn start(db: &TestDb, options: &[&str]) -> Self {
        let mut command = program();
        command
            .args(["serve", "--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0"])
            .args(["--drain-seconds=0", "--log-format=json", "--lanes=1"])
            .args(options)
            .env("DATABASE_URL", db.url())
            .stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut gate = Self { process, lines, address: String::new() };
        let ready = gate.line_with("ready").await;
        gate.address = ready["grpc"].as_str().unwrap().to_owned();
        gate
    }

    /// The next line whose message has these words.
    async fn line_with(&mut self, words: &str) -> serde_json::Value {
        let found = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                let line: serde_json::Value = serde_json::from_str(&line).unwrap();
                if line["message"].as_str().is_some_and(|message| message.contains(words)) {
                    return line;
                }
            }
            panic!("it ended without {words:?}");
        };
        timeout(Duration::from_secs(30), found).await.expect("it says no such thing")
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.process.id().unwrap()).unwrap();
        kill(Pid::from_raw(id), signal).unwrap();
    }

    async fn end(mut self) {
        self.signal(Signal::SIGTERM);
        assert!(self.process.wait().await.unwrap().success());
    }
}

/// The trace of one Reserve, whose caller names it.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_trace_goes_from_its_caller_through_the_gate_and_the_batch_to_the_database() {
    let db = TestDb::new().await;
    TestServer::open(&db, "a", 5).await.finish().await;
    let (collector, endpoint) = Collector::start().await;
    // Of its own accord it traces next to nothing: what counts is the caller's word.
    let options = ["--otlp-endpoint", &endpoint, "--trace-one-in", "4294967295"];
    let gate = Gate::start(&db, &options).await;
    for (id, flags) in [("traced", "01"), ("not-traced", "00")] {
        let mut command = program();
        command
            .args(["--addr", &gate.address, "reserve", "--account", "a"])
            .args(["--kind", "live_audit", "--id", id])
            .env("TRACEPARENT", format!("00-{TRACE}-{CALLER}-{flags}"));
        assert!(output(&mut command).await.status.success());
    }
    gate.end().await;

    let spans = collector.spans();
    let shown = |span: &Span| format!("{} of {}", span.name, hex(&span.parent_span_id));
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE), "{spans:#?}");
    let find = |name: &str| {
        let mut found = spans.iter().filter(|span| span.name == name);
        let span = found.next().unwrap_or_else(|| panic!("no {name} in {spans:#?}"));
        assert!(found.next().is_none(), "two of {name}");
        span
    };
    let call = find("creditgate.v1.GateService/Reserve");
    assert_eq!(hex(&call.parent_span_id), CALLER);
    let batch = find("batch");
    assert_eq!(batch.parent_span_id, call.span_id, "{}", shown(batch));
    for phase in ["lock", "read", "decide", "write", "commit"] {
        let phase = find(phase);
        assert_eq!(phase.parent_span_id, batch.span_id, "{}", shown(phase));
        assert!(phase.start_time_unix_nano >= batch.start_time_unix_nano);
        assert!(phase.end_time_unix_nano <= call.end_time_unix_nano);
    }
    assert_eq!(spans.len(), 7);
    for span in
        [call, batch].into_iter().chain(spans.iter().filter(|s| s.parent_span_id == batch.span_id))
    {
        let micros = (span.end_time_unix_nano - span.start_time_unix_nano) / 1000;
        println!(
            "{} -> {} {micros} us {}",
            hex(&span.parent_span_id),
            hex(&span.span_id),
            span.name
        );
    }
    db.finish().await;
}

#[tokio::test]
async fn a_batch_is_linked_to_every_call_that_is_in_it() {
    let db = TestDb::new().await;
    TestServer::open(&db, "a", 50).await.finish().await;
    let (collector, endpoint) = Collector::start().await;
    let gate = Gate::start(&db, &["--otlp-endpoint", &endpoint, "--trace-one-in", "1"]).await;
    let client = creditgate::client::Client::lazy(&gate.address).unwrap();
    // While the account is locked, they queue up.
    let mut lock = db.owner.begin().await.unwrap();
    sqlx::query("SELECT FROM accounts FOR UPDATE").execute(&mut *lock).await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..20 {
        let client = client.clone();
        calls.spawn(async move {
            let reserve = crate::wire::reserve("a", &format!("r{number}"), "live_audit");
            let verdict = client.reserve(reserve).await.unwrap();
            assert!(matches!(verdict, creditgate::client::Verdict::Held(_)));
        });
    }
    let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                    WHERE NOT granted AND d.datname = current_database()
                    UNION ALL SELECT count(*) FROM pg_stat_activity
                    WHERE wait_event_type = 'Lock' ORDER BY 1 DESC LIMIT 1";
    eventually("a batch waits", async || db.count(waiting).await > 0).await;
    lock.rollback().await.unwrap();
    calls.join_all().await;
    gate.end().await;

    let spans = collector.spans();
    let calls = spans.iter().filter(|span| span.name.ends_with("/Reserve")).count();
    let batches: Vec<&Span> = spans.iter().filter(|span| span.name == "batch").collect();
    // Each call is some batch's parent, or linked from one.
    let mut parts: Vec<&[u8]> = batches
        .iter()
        .flat_map(|batch| {
            let links = batch.links.iter().map(|link| link.span_id.as_slice());
            links.chain([batch.parent_span_id.as_slice()])
        })
        .collect();
    parts.sort_unstable();
    parts.dedup();
    assert_eq!((calls, parts.len()), (20, 20));
    assert!(batches.iter().any(|batch| !batch.links.is_empty()), "{batches:#?}");
    db.finish().await;
}

#[tokio::test]
async fn a_hangup_changes_what_is_logged_and_nothing_else() {
    let db = TestDb::new().await;
    let dir = std::env::temp_dir().join(format!("creditgate-log-{}", uuid::Uuid::now_v7()));
    std::fs::create_dir(&dir).unwrap();
    let file = dir.join("settings.toml");
    std::fs::write(&file, "log = \"info\"\n").unwrap();
    let mut gate = Gate::start(&db, &["--config", file.to_str().unwrap()]).await;

    std::fs::write(&file, "log = \"info,creditgate=debug\"\nlanes = 7\n").unwrap();
    gate.signal(Signal::SIGHUP);
    let line = gate.line_with("the settings were read again").await;
    assert_eq!(line["log"], "info,creditgate=debug");

    std::fs::write(&file, "log = \"a=b=c\"\n").unwrap();
    gate.signal(Signal::SIGHUP);
    gate.line_with("the log goes on as it was").await;
    gate.end().await;
    std::fs::remove_dir_all(&dir).unwrap();
    db.finish().await;
}
