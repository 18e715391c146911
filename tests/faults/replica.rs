//! One server process, its network, and how it is doing.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rand::RngExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::proxy::Proxy;

/// The secret that webhooks are signed with.
pub const SECRET: &str = "pdl_ntfset_01faults_secret_of_the_destination";

/// A replica. It is killed when this is dropped.
pub struct Replica {
    pub number: usize,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    pub proxy: Proxy,
    /// What it runs when it is started next.
    pub program: PathBuf,
    /// For how long it still takes calls once it was asked to end.
    pub drain_seconds: u32,
    database: String,
    log: PathBuf,
    process: Option<Child>,
    planted: Option<&'static str>,
    /// When a call to it was last answered, in milliseconds since `epoch`.
    pub answered: Arc<AtomicU64>,
}

/// A port that is free now, and stays the replica's over its restarts: none of those
/// that the system gives to whoever connects, which somebody could have by then; and
/// none that a schedule beside this one was given, whose replica may be down just now.
async fn free() -> SocketAddr {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = rand::rng().random_range(12_000..32_000);
        if !GIVEN.lock().unwrap().insert(port) {
            continue;
        }
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
            return listener.local_addr().unwrap();
        }
    }
}

impl Replica {
    pub async fn new(
        number: usize,
        program: PathBuf,
        socket: PathBuf,
        database: &str,
        log: PathBuf,
        planted: Option<&'static str>,
    ) -> Self {
        Self {
            number,
            grpc: free().await,
            http: free().await,
            proxy: Proxy::before(socket).await,
            program,
            drain_seconds: 0,
            database: database.to_owned(),
            log,
            process: None,
            planted,
            answered: Arc::default(),
        }
    }

    /// Starts the process.
    pub fn start(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(&self.log).unwrap();
        let url = format!(
            "postgres://creditgate_app@{}/{}?sslmode=disable",
            self.proxy.address, self.database
        );
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|n| n.starts_with("CREDITGATE_") || n.starts_with("PG")) {
                command.env_remove(name);
            }
        }
        command
            .args(["serve", "--log=warn", "--lanes=2"])
            .arg(format!("--drain-seconds={}", self.drain_seconds))
            .arg(format!("--grpc-addr={}", self.grpc))
            .arg(format!("--http-addr={}", self.http))
            .env("DATABASE_URL", url)
            .env("CREDITGATE_PADDLE_SECRETS", SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        if let Some(bug) = &self.planted {
            command.env("CREDITGATE_PLANTED_BUG", bug);
        }
        self.process = Some(command.spawn().unwrap());
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let Some(pid) = self.process.as_ref().and_then(Child::id) else { return };
        let _ended = kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal);
    }

    /// Kills it, and waits until it is gone.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().await.unwrap();
        }
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(&mut self) -> bool {
        self.signal(Signal::SIGTERM);
        self.ended().await
    }

    /// Waits until it has ended; whether it did so as it should.
    pub async fn ended(&mut self) -> bool {
        let Some(mut process) = self.process.take() else { return true };
        match timeout(Duration::from_secs(45), process.wait()).await {
            Ok(ended) => ended.is_ok_and(|status| status.success()),
            Err(_) => {
                process.kill().await.unwrap();
                false
            }
        }
    }

    /// Whether it says that it is ready.
    pub async fn is_ready(&self) -> bool {
        let asked = async {
            let mut stream = TcpStream::connect(self.http).await.ok()?;
            let request = "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            answer.starts_with("HTTP/1.1 200").then_some(())
        };
        timeout(Duration::from_secs(1), asked).await.is_ok_and(|ready| ready.is_some())
    }

    /// How long it takes to be ready, from now on.
    pub async fn ready_after(&self, patience: Duration) -> Option<Duration> {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            if self.is_ready().await {
                return Some(begun.elapsed());
            }
            sleep(Duration::from_millis(5)).await;
        }
        None
    }

    /// The end of what it has said.
    pub fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }

    /// When a call to it was last answered, in milliseconds since the start.
    pub fn last_answer(&self) -> u64 {
        self.answered.load(Relaxed)
    }
}
