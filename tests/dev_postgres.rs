//! The managed PostgreSQL, tried with a real one: starts, restarts, crashes and neighbours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use creditgate::dev::DevError;
use creditgate::dev::postgres::{ManagedPostgres, OWNER_ROLE, Options};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, getpgid};
use sqlx::{Connection, PgConnection};

/// Longer than anything here takes on a slow, busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Tells the process that `a_process_to_be_killed` runs in which data directory to use.
const HELPER_DIR: &str = "CREDITGATE_TEST_HELPER_DIR";

/// A data directory of its own for one test, removed afterwards.
struct DataDir(PathBuf);

impl DataDir {
    fn new() -> Self {
        Self::named("d")
    }

    fn named(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let unique = format!("creditgate-test-{}-{count}", std::process::id());
        Self(std::env::temp_dir().join(unique).join(name))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    async fn try_start(&self) -> Result<ManagedPostgres, DevError> {
        let data_dir = self.0.clone();
        ManagedPostgres::start(Options::new(data_dir)).await
    }

    async fn start(&self) -> ManagedPostgres {
        self.try_start().await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The server's process id, from its own note.
    fn server(&self) -> i32 {
        let note = fs::read_to_string(self.path("postgres/postmaster.pid")).unwrap();
        note.lines().next().unwrap().parse().unwrap()
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.parent().unwrap());
    }
}

/// Whether the process runs: one that is dead and merely not waited for does not.
fn runs(pid: i32) -> bool {
    if kill(Pid::from_raw(pid), None).is_err() {
        return false;
    }
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.rsplit(')').next().unwrap().trim().starts_with('Z'),
        Err(_) => !Path::new("/proc/self").exists(),
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

async fn show(url: &str, setting: &str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar("SELECT current_setting($1)")
        .bind(setting)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn data_written_before_a_stop_is_there_after_a_warm_start() {
    let dir = DataDir::new();
    let began = Instant::now();
    let postgres = dir.start().await;
    eprintln!("new: {:?}", began.elapsed());
    assert!(postgres.is_new());
    assert!(postgres.ensure_database("ledger").await.unwrap());
    assert!(!postgres.ensure_database("ledger").await.unwrap());
    let url = postgres.url(OWNER_ROLE, "ledger");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE kept AS SELECT 42 AS answer")
        .execute(&mut connection)
        .await
        .unwrap();
    let server = dir.server();
    // A client that stays connected does not hold the stop up.
    postgres.stop().await.unwrap();
    assert!(!runs(server));
    assert!(!dir.path("postgres/postmaster.pid").exists());

    let began = Instant::now();
    let postgres = dir.start().await;
    eprintln!("warm: {:?}", began.elapsed());
    assert!(!postgres.is_new());
    let mut connection = PgConnection::connect(&postgres.url(OWNER_ROLE, "ledger")).await.unwrap();
    let answer: i32 =
        sqlx::query_scalar("SELECT answer FROM kept").fetch_one(&mut connection).await.unwrap();
    assert_eq!(answer, 42);
    let began = Instant::now();
    postgres.stop().await.unwrap();
    eprintln!("stop: {:?}", began.elapsed());
}

#[tokio::test]
async fn it_is_durable_private_and_out_of_reach_of_the_terminals_ctrl_c() {
    let dir = DataDir::new();
    let postgres = dir.start().await;
    let url = postgres.url(OWNER_ROLE, "postgres");
    assert_eq!(show(&url, "fsync").await, "on");
    assert_eq!(show(&url, "synchronous_commit").await, "on");
    assert_eq!(show(&url, "listen_addresses").await, "");
    assert_eq!(show(&url, "server_encoding").await, "UTF8");

    let socket_dir = fs::metadata(postgres.socket_dir()).unwrap();
    assert_eq!(socket_dir.mode() & 0o777, 0o700);
    let server = Pid::from_raw(dir.server());
    assert_eq!(socket_dir.uid(), fs::metadata(dir.path("postgres")).unwrap().uid());
    assert_ne!(getpgid(Some(server)).unwrap(), getpgid(None).unwrap());
    if let Ok(status) = fs::read_to_string(format!("/proc/{server}/status")) {
        let of = |key| status.lines().find(|line: &&str| line.starts_with(key));
        assert!(!of("Uid:").unwrap().contains("\t0"), "runs as root");
        if Uid::effective().is_root() {
            assert_eq!(of("Groups:").unwrap().trim(), "Groups:", "has root's groups");
        }
    }
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_start_on_the_same_data_is_refused_with_the_holders_id() {
    let dir = DataDir::new();
    let first = dir.start().await;
    let error = dir.try_start().await.unwrap_err();
    let me = std::process::id();
    assert!(matches!(error, DevError::Locked { pid: Some(pid), .. } if pid == me));
    assert!(error.to_string().contains(&me.to_string()), "{error}");
    // It did the first no harm, and the lock is free again after it.
    assert_eq!(show(&first.url(OWNER_ROLE, "postgres"), "port").await, "5432");
    first.stop().await.unwrap();
    assert!(dir.path("lock").exists());
    dir.start().await.stop().await.unwrap();
}

#[tokio::test]
async fn dropping_it_ends_the_server_too() {
    let dir = DataDir::new();
    let postgres = dir.start().await;
    let server = dir.server();
    drop(postgres);
    assert!(!runs(server));
}

/// Not a test: the process that `the_server_of_a_killed_process_is_replaced` kills.
#[tokio::test]
#[ignore = "run by another test, in a process of its own"]
async fn a_process_to_be_killed() {
    let Some(data_dir) = std::env::var_os(HELPER_DIR).map(PathBuf::from) else {
        return;
    };
    let mut postgres = ManagedPostgres::start(Options::new(data_dir)).await.unwrap();
    println!("\nstarted");
    panic!("{}", postgres.exited().await);
}

/// Runs `a_process_to_be_killed` until its server is up.
fn start_elsewhere(dir: &DataDir) -> Child {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "a_process_to_be_killed"])
        .env(HELPER_DIR, &dir.0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "started"));
    process
}

#[tokio::test]
async fn the_server_of_a_killed_process_is_replaced() {
    let dir = DataDir::new();
    let mut owner = start_elsewhere(&dir);
    let server = dir.server();
    let error = dir.try_start().await.unwrap_err();
    assert!(matches!(error, DevError::Locked { pid, .. } if pid == Some(owner.id())));

    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(runs(server), "nothing was left to be replaced");

    let postgres = dir.start().await;
    assert!(!postgres.is_new());
    assert!(!runs(server));
    assert_ne!(dir.server(), server);
    assert_eq!(show(&postgres.url(OWNER_ROLE, "postgres"), "fsync").await, "on");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_crash_of_the_server_is_noticed_and_the_next_start_recovers() {
    let dir = DataDir::new();
    let mut postgres = dir.start().await;
    // A session keeps a server process busy, which holds shared memory when the first one dies.
    let url = postgres.url(OWNER_ROLE, "postgres");
    let _session = PgConnection::connect(&url).await.unwrap();
    kill(Pid::from_raw(dir.server()), Signal::SIGKILL).unwrap();
    let error = tokio::time::timeout(DEADLINE, postgres.exited()).await.unwrap();
    assert!(matches!(error, DevError::Exited { .. }), "{error}");
    drop(postgres);

    let postgres = dir.start().await;
    assert!(!postgres.is_new());
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_stale_pid_that_is_another_programs_by_now_harms_neither() {
    let dir = DataDir::new();
    dir.start().await.stop().await.unwrap();
    // Of the same user, from the same directory: only then does PostgreSQL itself give up.
    let owner = fs::metadata(dir.path("postgres")).unwrap();
    let mut sleep = Command::new("sleep");
    sleep.arg("1000").current_dir(dir.path("postgres"));
    if Uid::effective().is_root() {
        sleep.uid(owner.uid()).gid(owner.gid());
    }
    let mut innocent = sleep.spawn().unwrap();
    let note = dir.path("postgres/postmaster.pid");
    let stale = format!(
        "{}\n{}\n1700000000\n5432\n/nowhere\n\n  5432001  4\nready   \n",
        innocent.id(),
        dir.path("postgres").display()
    );
    fs::write(&note, stale).unwrap();
    dir.start().await.stop().await.unwrap();
    assert!(innocent.try_wait().unwrap().is_none(), "it was killed");
    innocent.kill().unwrap();
    innocent.wait().unwrap();

    // As a power cut may leave it.
    fs::write(&note, "").unwrap();
    dir.start().await.stop().await.unwrap();
}

#[tokio::test]
async fn an_initdb_that_was_interrupted_starts_over() {
    let dir = DataDir::new();
    fs::create_dir_all(dir.path("postgres.new/base/1")).unwrap();
    fs::write(dir.path("postgres.new/PG_VERSION"), "15\n").unwrap();
    // Interrupted once more, as soon as it is under way.
    let begun = async {
        while !dir.path("postgres.new/global").exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        _ = dir.try_start() => panic!("not interrupted"),
        () = begun => {}
    }
    assert!(!dir.path("postgres").exists());

    let postgres = dir.start().await;
    assert!(postgres.is_new());
    assert!(!dir.path("postgres.new").exists());
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_no_server_behind() {
    let dir = DataDir::new();
    dir.start().await.stop().await.unwrap();
    let note = dir.path("postgres/postmaster.pid");
    let spawned = async {
        while !note.exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    // Whichever comes first: the server is dropped early or when it is ready.
    tokio::select! {
        started = dir.try_start() => drop(started.unwrap()),
        () = spawned => {}
    }
    until("the server is gone", || !note.exists());
    dir.start().await.stop().await.unwrap();
}

#[tokio::test]
async fn a_path_that_is_too_long_or_odd_for_a_socket_works_all_the_same() {
    for name in ["l".repeat(120), "a b,c'd+é%".to_owned()] {
        let dir = DataDir::named(&name);
        let postgres = dir.start().await;
        let socket_dir = postgres.socket_dir().to_owned();
        assert!(!socket_dir.starts_with(&dir.0), "{}", socket_dir.display());
        assert_eq!(fs::metadata(&socket_dir).unwrap().mode() & 0o777, 0o700);
        let url = postgres.url(OWNER_ROLE, "postgres");
        assert_eq!(show(&url, "fsync").await, "on");
        postgres.stop().await.unwrap();
        assert!(!socket_dir.exists(), "left behind in the temporary directory");
    }
}

#[tokio::test]
async fn a_server_that_cannot_start_quotes_its_log() {
    let dir = DataDir::new();
    dir.start().await.stop().await.unwrap();
    fs::write(dir.path("postgres/postgresql.auto.conf"), "no_such_setting = 1\n").unwrap();
    let error = dir.try_start().await.unwrap_err();
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

#[tokio::test]
async fn a_directory_that_is_no_cluster_is_not_touched() {
    let dir = DataDir::new();
    fs::create_dir_all(dir.path("postgres")).unwrap();
    fs::write(dir.path("postgres/diary.txt"), "private").unwrap();
    let error = dir.try_start().await.unwrap_err();
    assert!(matches!(error, DevError::NotACluster(_)), "{error}");
    assert!(dir.path("postgres/diary.txt").exists());
}

#[tokio::test]
async fn a_cluster_of_another_version_says_which_one_it_needs() {
    let dir = DataDir::new();
    fs::create_dir_all(dir.path("postgres")).unwrap();
    fs::write(dir.path("postgres/PG_VERSION"), "9\n").unwrap();
    let error = dir.try_start().await.unwrap_err().to_string();
    assert!(error.contains("PostgreSQL 9, which made this data"), "{error}");
    assert!(error.contains("apt-get install"), "{error}");
}

#[tokio::test]
async fn root_is_told_when_the_servers_user_cannot_reach_the_data() {
    if !Uid::effective().is_root() {
        return;
    }
    let dir = DataDir::named("closed/data");
    let closed = dir.0.parent().unwrap();
    fs::create_dir_all(closed.parent().unwrap()).unwrap();
    fs::DirBuilder::new().mode(0o700).create(closed).unwrap();
    let error = dir.try_start().await.unwrap_err();
    assert!(matches!(&error, DevError::Unreachable { blocked, .. } if blocked == closed));
    assert!(error.to_string().contains("--data-dir"), "{error}");
    fs::remove_dir_all(closed.parent().unwrap()).unwrap();
}

#[tokio::test]
async fn a_cluster_that_was_copied_by_root_is_given_back() {
    if !Uid::effective().is_root() {
        return;
    }
    let dir = DataDir::new();
    dir.start().await.stop().await.unwrap();
    let copied = Command::new("chown").args(["-R", "0:0"]).arg(dir.path("postgres")).status();
    assert!(copied.unwrap().success());
    dir.start().await.stop().await.unwrap();
}
