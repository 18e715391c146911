//! What a hostile or a careless caller does to a connection: the server stays up,
//! goes on to answer others, and its memory stays bounded.

use std::{
    fs,
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use creditgate::{
    clock::Clock,
    config::Settings,
    proto::{self, gate_service_client::GateServiceClient},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::Child,
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::{Code, transport::Channel};

use crate::{
    harness::{TestDb, TestServer, eventually, settings},
    program::program,
};

/// More are tried where CREDITGATE_CANCELS says so.
const CANCELS: usize = 2_000;
/// Connections with anything on them.
const BYTE_STREAMS: usize = 2_000;
/// How much memory abuse may cost, in KiB.
const BOUND: u64 = 100 * 1024;

/// A server in a process of its own, so that its memory can be told.
struct Server {
    child: Child,
    /// What it has said.
    said: Arc<Mutex<String>>,
    address: String,
    channel: Channel,
}

impl Server {
    async fn start(db: &TestDb) -> Self {
        let mut command = program();
        command.args(["serve", "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"]);
        command.env("DATABASE_URL", db.url()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("it ended");
                if let Some((_, rest)) = line.split_once("grpc=") {
                    return rest.split_whitespace().next().unwrap().to_owned();
                }
            }
        };
        let address = timeout(Duration::from_secs(30), ready).await.expect("it is not ready");
        // Or it would wait for a reader.
        let said: Arc<Mutex<String>> = Arc::default();
        let heard = said.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                heard.lock().unwrap().push_str(&line);
            }
        });
        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        Self { child, said, channel: channel.connect().await.unwrap(), address }
    }

    /// Resident memory, in KiB.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap()));
        let status = status.unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Another caller is answered, and soon.
    async fn answers(&self) {
        let begun = Instant::now();
        let mut gate = GateServiceClient::new(self.channel.clone());
        let request = proto::GetReservationRequest {
            account_id: "nobody".to_owned(),
            reservation_id: "none".to_owned(),
        };
        let answer = timeout(Duration::from_secs(5), gate.get_reservation(request)).await;
        assert_eq!(answer.expect("no answer").unwrap_err().code(), Code::NotFound);
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    async fn connect(&self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stream.write_all(&frame(4, 0, 0, &[])).await.unwrap();
        stream
    }
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Headers of a Reserve (RFC 7541): three from the table, three as they stand.
fn reserve_headers() -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    let mut literal = |index: &[u8], value: &str| {
        block.extend(index);
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    };
    literal(&[0x04], "/creditgate.v1.GateService/Reserve");
    literal(&[0x01], "localhost");
    literal(&[0x0f, 0x10], "application/grpc");
    block
}

/// A header of its own, of so many bytes: at most 126.
fn header(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0];
    for text in [name, value] {
        block.push(u8::try_from(text.len()).unwrap());
        block.extend(text.as_bytes());
    }
    block
}

/// Writes until it is done or the server has had enough; true where it has.
async fn pour(stream: &mut TcpStream, chunks: impl Iterator<Item = Vec<u8>>) -> bool {
    let (mut read, mut write) = stream.split();
    // What the server says has to be read, or it would stop to listen.
    let drain = async {
        let mut bytes = vec![0; 65_536];
        while read.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
    };
    let send = async {
        for chunk in chunks {
            if write.write_all(&chunk).await.is_err() {
                return true;
            }
        }
        false
    };
    tokio::select! {
        () = drain => true,
        ended = send => ended,
        () = sleep(Duration::from_secs(20)) => false,
    }
}

/// A connection's bytes: frames of any kind, flags and stream, with anything in them, or
/// a call of which single bytes were changed; after a preface, or without.
fn anything(random: &mut StdRng) -> Vec<u8> {
    let mut bytes = Vec::new();
    if random.random_range(0..10) > 0 {
        bytes.extend(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        bytes.extend(frame(4, 0, 0, &[]));
    }
    for _ in 0..random.random_range(1..30) {
        let length = random.random_range(0..200);
        let payload: Vec<u8> = (0..length).map(|_| random.random()).collect();
        let stream = random.random_range(0..8);
        bytes.extend(match random.random_range(0..4) {
            0 => payload,
            1 => frame(random.random(), random.random(), stream, &payload),
            2 => frame(random.random_range(0..10), random.random(), stream, &payload),
            _ => {
                let mut call = frame(HEADERS, END_HEADERS, 2 * stream + 1, &reserve_headers());
                call.extend(frame(0, 1, 2 * stream + 1, &payload));
                for _ in 0..random.random_range(0..4) {
                    let at = random.random_range(0..call.len());
                    call[at] = random.random();
                }
                call
            }
        });
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bytes_make_the_server_panic_or_stop_answering_others() {
    let db = TestDb::new().await;
    let mut server = Server::start(&db).await;
    let before = server.memory();
    let seed = std::env::var("CREDITGATE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    println!("CREDITGATE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut connections = JoinSet::new();
    for _ in 0..BYTE_STREAMS {
        let (bytes, address) = (anything(&mut random), server.address.clone());
        connections.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // It may well have had enough before the end.
            if stream.write_all(&bytes).await.is_ok() && stream.shutdown().await.is_ok() {
                let mut answer = Vec::new();
                let _ended = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
            }
        });
        if connections.len() >= 50 {
            connections.join_next().await.unwrap().unwrap();
            server.answers().await;
        }
    }
    while let Some(ended) = connections.join_next().await {
        ended.unwrap();
    }
    server.answers().await;
    assert!(server.memory() < before + BOUND, "{} KiB, {before} before", server.memory());
    assert!(server.child.try_wait().unwrap().is_none(), "it ended");
    let said = server.said.lock().unwrap().clone();
    assert!(!said.contains("panicked"), "seed {seed}: {said}");
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_frames_end_their_own_connection_and_nothing_else() {
    let db = TestDb::new().await;
    let mut server = Server::start(&db).await;
    server.answers().await;
    let before = server.memory();

    // Rapid reset (CVE-2023-44487): streams that are opened and reset at once.
    let mut stream = server.connect().await;
    let resets = (0..200_000_u32).map(|number| {
        let id = 2 * number + 1;
        let mut bytes = frame(HEADERS, END_HEADERS, id, &reserve_headers());
        bytes.extend(frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
        bytes
    });
    let ended = pour(&mut stream, resets).await;
    println!("rapid reset: ended {ended}, {} KiB more", server.memory().saturating_sub(before));
    assert!(ended, "200,000 resets were taken");
    server.answers().await;

    // Headers that never end (CVE-2024-27316), and a gibibyte of them.
    let mut stream = server.connect().await;
    stream.write_all(&frame(HEADERS, 0, 1, &reserve_headers())).await.unwrap();
    let many: Vec<u8> = (0..130).flat_map(|_| header("x", &"y".repeat(120))).collect();
    let flood = (0..65_536).map(|_| frame(CONTINUATION, 0, 1, &many[..16_000]));
    let ended = pour(&mut stream, flood).await;
    println!("continuation: ended {ended}, {} KiB more", server.memory().saturating_sub(before));
    assert!(ended, "a gibibyte of headers was taken");
    server.answers().await;

    // Ten thousand streams that are opened and left alone.
    let mut stream = server.connect().await;
    let streams = (0..10_000_u32)
        .map(|number| frame(HEADERS, END_HEADERS, 2 * number + 1, &reserve_headers()));
    let _ended = pour(&mut stream, streams).await;
    println!("streams: {} KiB more", server.memory().saturating_sub(before));
    server.answers().await;

    // Connections that never come to a point.
    let mut slow = Vec::new();
    for bytes in [&b"PRI * HT"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00", b"GET / HTTP/1.1\r\n"]
    {
        for _ in 0..200 {
            let mut stream = TcpStream::connect(&server.address).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            slow.push(stream);
        }
    }
    server.answers().await;
    let grown = server.memory().saturating_sub(before);
    println!("600 slow connections: {grown} KiB more");
    assert!(grown < BOUND, "{grown} KiB more");
    drop(slow);
    assert!(server.child.try_wait().unwrap().is_none(), "it ended");
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_finds_no_place_is_closed_and_a_place_comes_back() {
    let db = TestDb::new().await;
    let settings = Settings { max_connections: 3, ..settings(&db) };
    // Its own channel has one of the places.
    let server = TestServer::with(&settings, Clock::Database).await;
    let connect = async || TcpStream::connect(server.grpc_addr()).await.unwrap();
    // The server speaks first: it has taken the connection.
    let is_taken =
        async |stream: &mut TcpStream| stream.read(&mut [0; 1]).await.is_ok_and(|n| n > 0);
    let (mut first, mut second) = (connect().await, connect().await);
    assert!(is_taken(&mut first).await && is_taken(&mut second).await);
    assert!(!is_taken(&mut connect().await).await, "a fourth was taken");
    server.apply_catalog().await;
    drop(first);
    eventually("a place comes back", async || is_taken(&mut connect().await).await).await;
    drop(second);
    server.finish().await;
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_and_headers_over_the_limit_are_refused_and_others_are_answered() {
    let db = TestDb::new().await;
    let mut server = Server::start(&db).await;
    let before = server.memory();
    // On a connection of its own, which the server may well end.
    let channel = Channel::from_shared(format!("http://{}", server.address)).unwrap();
    let mut gate = GateServiceClient::new(channel.connect().await.unwrap());
    let huge = proto::ReserveRequest {
        scan: Some(proto::Scan { account_id: "x".repeat(64 << 20), ..proto::Scan::default() }),
        ..proto::ReserveRequest::default()
    };
    let refused = gate.reserve(huge).await.unwrap_err();
    println!("64 MiB of message: {:?}", refused.code());
    let mut request = tonic::Request::new(proto::ReserveRequest::default());
    request.metadata_mut().insert("x-large", "y".repeat(1 << 20).parse().unwrap());
    let refused = gate.reserve(request).await.unwrap_err();
    println!("1 MiB of header: {:?}", refused.code());
    server.answers().await;
    let grown = server.memory().saturating_sub(before);
    assert!(grown < BOUND, "{grown} KiB more");
    assert!(server.child.try_wait().unwrap().is_none(), "it ended");
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_cancelled_at_any_moment_leave_no_transaction_and_no_hold_without_a_lease() {
    let asked = std::env::var("CREDITGATE_CANCELS").ok();
    let cancels = asked.and_then(|count| count.parse().ok()).unwrap_or(CANCELS);
    let db = TestDb::new().await;
    let server = TestServer::with(&settings(&db), Clock::Database).await;
    server.apply_catalog().await;
    server.create_account("acc").await;
    server.grant("acc", "g1", "scan", i64::try_from(cancels).unwrap()).await;
    let mut calls = JoinSet::new();
    for number in 0..cancels {
        let mut gate = server.gate();
        calls.spawn(async move {
            let request = proto::ReserveRequest {
                reservation_id: format!("r{number}"),
                scan: Some(proto::Scan {
                    account_id: "acc".to_owned(),
                    scan_kind: "live_audit".to_owned(),
                    ..proto::Scan::default()
                }),
                ..proto::ReserveRequest::default()
            };
            let patience = Duration::from_micros(rand::rng().random_range(0..20_000));
            timeout(patience, gate.reserve(request)).await.is_ok()
        });
        if calls.len() >= 128 {
            calls.join_next().await.unwrap().unwrap();
        }
    }
    while calls.join_next().await.is_some() {}
    // Everybody else goes on as before: the lane is free.
    server.grant("acc", "g2", "scan", 1).await;
    let held = db.count("SELECT count(*) FROM reservations").await;
    println!("{cancels} calls were cancelled or answered, {held} are held");
    assert!(held > 0, "all were cancelled before they began: nothing was tried");
    let leases = "SELECT count(*) FROM reservations WHERE state = 1 AND expire_time IS NOT NULL";
    assert_eq!(db.count(leases).await, held);
    // Their leases free them.
    db.execute("UPDATE reservations SET expire_time = clock_timestamp() WHERE state = 1").await;
    let still = "SELECT count(*) FROM reservations WHERE state = 1";
    let begun = Instant::now();
    while db.count(still).await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(120), "the reaper frees them");
        sleep(Duration::from_millis(50)).await;
    }
    eventually("all is available again", async || {
        db.count("SELECT available FROM balances").await == i64::try_from(cancels).unwrap() + 1
    })
    .await;
    server.finish().await;
    db.finish().await;
}
