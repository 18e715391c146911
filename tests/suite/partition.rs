//! A network that swallows what is sent: no answer, no reset.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use creditgate::{
    clock::Clock,
    config::{Auth, Secret, Settings},
    proto,
    server::access::Scope,
};
use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixStream},
    sync::watch,
};

use tonic::Code;

use crate::{
    harness::{TestDb, TestServer, eventually, make_key, revoke, settings},
    paddle::send,
};

/// Stands between a service and its database.
struct Proxy {
    address: SocketAddr,
    /// How often the network has been cut; odd while it is.
    cuts: Arc<watch::Sender<u64>>,
    pings: Arc<Pings>,
}

/// Asks whether the server is still there, and nothing else.
const PING: &[u8] = b"S\0\0\0\x04";

/// Makes connections fall silent while nothing is read on them.
#[derive(Default)]
struct Pings {
    /// The ping that gets no answer: the first after a statement, the second ...
    fatal: AtomicU64,
    /// How many connections have met it.
    met: AtomicU64,
}

impl Pings {
    /// True where a connection falls silent at what is sent now. `row` counts the
    /// pings since its last statement.
    fn are_fatal(&self, sent: &[u8], row: &mut u64) -> bool {
        *row = if sent == PING { *row + 1 } else { 0 };
        let is_fatal = *row > 0 && *row == self.fatal.load(Relaxed);
        self.met.fetch_add(u64::from(is_fatal), Relaxed);
        is_fatal
    }
}

impl Proxy {
    async fn before(db: &TestDb) -> Self {
        let options: PgConnectOptions = db.url().parse().unwrap();
        let socket = options.get_socket().unwrap().join(".s.PGSQL.5432");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = Arc::new(watch::Sender::new(0));
        let seen = cuts.clone();
        let pings = Arc::new(Pings::default());
        let fatal = pings.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&socket).await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let (mut row, fatal) = (0, fatal.clone());
                let is_last = move |sent: &[u8]| fatal.are_fatal(sent, &mut row);
                tokio::spawn(pump(from_client, to_server, seen.subscribe(), is_last));
                tokio::spawn(pump(from_server, to_client, seen.subscribe(), |_| false));
            }
        });
        Self { address, cuts, pings }
    }

    /// The database's URL by way of the proxy.
    fn url(&self, db: &TestDb) -> String {
        let options: PgConnectOptions = db.url().parse().unwrap();
        format!(
            "postgres://{}@{}/{}?sslmode=disable",
            options.get_username(),
            self.address,
            options.get_database().unwrap()
        )
    }

    /// What is sent from now on is lost, on connections that exist and new ones.
    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// New connections work again; those that met the cut stay dead.
    fn heal(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

/// Forwards until the network is cut or swallows what `is_last` says, and then
/// never again, nor hangs up.
async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut cuts: watch::Receiver<u64>,
    mut is_last: impl FnMut(&[u8]) -> bool,
) {
    let begun = *cuts.borrow();
    let mut buffer = vec![0; 16 << 10];
    if begun & 1 == 1 {
        return std::future::pending().await;
    }
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = cuts.changed() => break,
        };
        let Ok(read @ 1..) = read else { return };
        if is_last(&buffer[..read]) {
            break;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// The first line of what an HTTP port says.
async fn status(address: &str, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_database_is_noticed_and_its_return_is_enough() {
    let db = TestDb::new().await;
    let proxy = Proxy::before(&db).await;
    let settings = Settings {
        database_url: Some(Secret::new(proxy.url(&db))),
        readiness_grace_seconds: 1,
        read_connections: 2,
        ..settings(&db)
    };
    let server = TestServer::with(&settings, Clock::Database).await;
    server.apply_catalog().await;
    server.create_account("a").await;
    server.grant("a", "g1", "scan", 10).await;
    let asking = server.ledger();
    let balance = async move || {
        let account_id = "a".to_owned();
        let request = proto::GetBalanceRequest { account_id, ..Default::default() };
        asking.clone().get_balance(request).await
    };
    // The cut comes while many wait for an answer.
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let balance = balance.clone();
        readers.spawn(async move {
            loop {
                if let Err(status) = balance().await {
                    return status;
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;

    proxy.cut();
    let begun = Instant::now();
    while let Some(status) = readers.join_next().await {
        assert_eq!(status.unwrap().code(), tonic::Code::Unavailable);
    }
    let answer = server.gate().reserve(crate::wire::reserve("a", "r", "live_audit")).await;
    assert_eq!(answer.unwrap_err().code(), tonic::Code::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    let http = server.http_addr();
    eventually("it is not ready", async || status(&http, "/readyz").await.contains("503")).await;
    assert!(status(&http, "/livez").await.contains("200"));

    proxy.heal();
    let begun = Instant::now();
    while balance().await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "reads do not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    eventually("it is ready again", async || status(&http, "/readyz").await.contains("200")).await;
    server.gate().reserve(crate::wire::reserve("a", "r", "live_audit")).await.unwrap();
    // And while it is silent, it can be stopped.
    proxy.cut();
    tokio::time::timeout(Duration::from_secs(40), server.finish()).await.unwrap();
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_between_two_reads_costs_seconds() {
    let db = TestDb::new().await;
    let proxy = Proxy::before(&db).await;
    let settings = Settings {
        database_url: Some(Secret::new(proxy.url(&db))),
        read_connections: 2,
        ..settings(&db)
    };
    let server = TestServer::with(&settings, Clock::Database).await;
    server.apply_catalog().await;
    server.create_account("a").await;
    let asking = server.ledger();
    let balance = async move || {
        let account_id = "a".to_owned();
        let request = proto::GetBalanceRequest { account_id, ..Default::default() };
        asking.clone().get_balance(request).await
    };
    // However often in a row a connection is asked whether it still lives, when it
    // comes back or before it is used again: the last time may be without answer.
    for fatal in 1..=3 {
        proxy.pings.fatal.store(fatal, Relaxed);
        let mut readers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let balance = balance.clone();
            readers.spawn(async move { while balance().await.is_ok() {} });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        readers.shutdown().await;
        proxy.pings.fatal.store(0, Relaxed);
        let begun = Instant::now();
        while let Err(status) = balance().await {
            assert_eq!(status.code(), tonic::Code::Unavailable);
            assert!(begun.elapsed() < Duration::from_secs(10), "ping {fatal}: no more reads");
        }
        println!("ping {fatal}: reads are back after {:?}", begun.elapsed());
    }
    assert!(proxy.pings.met.load(Relaxed) >= 2, "no connection fell silent");
    server.finish().await;
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_revoked_during_a_silence_is_refused_within_seconds_of_its_end() {
    let db = TestDb::new().await;
    let proxy = Proxy::before(&db).await;
    let key = make_key(&db, &[Scope::Viewer], None, None).await;
    let settings = Settings {
        database_url: Some(Secret::new(proxy.url(&db))),
        auth: Auth::Keys,
        ..settings(&db)
    };
    let server = TestServer::with(&settings, Clock::Database).await;
    // Not a viewer's call: a key that is known hears so without a look at the database.
    let code = async || {
        let mut request = tonic::Request::new(proto::ReserveRequest::default());
        let shown = format!("Bearer {}", key.reveal()).parse().unwrap();
        request.metadata_mut().insert("authorization", shown);
        server.gate().reserve(request).await.unwrap_err().code()
    };
    assert_eq!(code().await, Code::PermissionDenied);
    // The network goes silent while keys are being read.
    let mut lock = db.owner.begin().await.unwrap();
    sqlx::query("LOCK TABLE public.api_keys").execute(&mut *lock).await.unwrap();
    let reading = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                    WHERE NOT granted AND d.datname = current_database()";
    eventually("keys are being read", async || db.count(reading).await == 1).await;
    proxy.cut();
    lock.rollback().await.unwrap();
    revoke(&db, &key).await;
    assert_eq!(code().await, Code::PermissionDenied, "what was known stays good");
    proxy.heal();
    eventually("the key is refused", async || code().await == Code::Unauthenticated).await;
    server.finish().await;
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_that_a_silence_left_locked_are_applied_within_seconds() {
    let db = TestDb::new().await;
    let proxy = Proxy::before(&db).await;
    let settings = Settings {
        database_url: Some(Secret::new(proxy.url(&db))),
        paddle_secrets: Some(Secret::new(send::SECRET)),
        ..settings(&db)
    };
    let server = TestServer::with(&settings, Clock::Database).await;
    crate::paddle::catalog::apply(&server, crate::paddle::catalog::PACK).await;
    server.create_account("a").await;
    crate::paddle::inbox::link(&server, "a", "ctm_1").await;
    // A worker has taken two payments, and waits for their account.
    let mut account = db.owner.begin().await.unwrap();
    sqlx::query("SELECT FROM accounts FOR UPDATE").execute(&mut *account).await.unwrap();
    for number in 1..=2 {
        let id = format!("txn_{number}");
        let paid = send::payment(&id, "ctm_1", crate::paddle::catalog::PACK, 1);
        let event = send::event(&format!("evt_{number}"), "transaction.completed", number, paid);
        assert_eq!(send::deliver(&server.http_addr(), &event).await.0, 200);
    }
    let taken = "SELECT count(*) FROM webhook_inbox WHERE attempts > 0";
    eventually("both are taken", async || db.count(taken).await == 2).await;
    // It writes down what became of the first, and waits for the row of the second.
    let mut second = db.owner.begin().await.unwrap();
    sqlx::query("SELECT FROM webhook_inbox WHERE event_id = 'evt_2' FOR UPDATE")
        .execute(&mut *second)
        .await
        .unwrap();
    account.rollback().await.unwrap();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                    AND wait_event_type = 'Lock' AND query LIKE '%webhook_inbox%'";
    eventually("it waits", async || db.count(waits).await == 1).await;
    proxy.cut();
    second.rollback().await.unwrap();
    let left = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                   AND state = 'idle in transaction' AND query LIKE '%webhook_inbox%'";
    eventually("its rows are locked, and nobody there", async || db.count(left).await == 1).await;
    proxy.heal();
    let begun = Instant::now();
    let waiting = "SELECT count(*) FROM webhook_inbox WHERE settle_time IS NULL";
    while db.count(waiting).await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(45), "they wait for ever");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("applied {:?} after the silence", begun.elapsed());
    assert_eq!(db.count("SELECT available FROM balances").await, 10);
    server.finish().await;
    db.finish().await;
}
