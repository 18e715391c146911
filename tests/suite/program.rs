//! The program as people run it: `dev`, real scanners behind the gate, exit
//! codes, `verify`. Scans go to loopback only.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::harness::{TestDb, TestServer, eventually};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_creditgate"));
    // Only what a test says counts, not what its user has set.
    for (name, _) in std::env::vars_os() {
        let is_ours = name.to_str().is_some_and(|n| n.starts_with("CREDITGATE_"));
        if is_ours || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

pub async fn output(command: &mut Command) -> Output {
    timeout(PATIENCE, command.output()).await.expect("it did not end").unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Calls of one gate.
pub struct Gate {
    address: String,
}

impl Gate {
    pub fn of(server: &TestServer) -> Self {
        Self { address: server.grpc_addr() }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = program();
        command.args(["--addr", &self.address]).args(words);
        command
    }

    /// Exit code, standard output, standard error.
    pub async fn call(&self, words: &[&str]) -> (i32, String, String) {
        let output = output(&mut self.command(words)).await;
        let code = output.status.code().unwrap_or(-1);
        (code, text(&output.stdout), text(&output.stderr))
    }

    /// Available, reserved, spent.
    async fn balance(&self, account: &str) -> (i64, i64, i64) {
        let (code, out, error) =
            self.call(&["balance", "--account", account, "--output", "json"]).await;
        assert_eq!(code, 0, "{error}");
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        let number = |name: &str| json["balances"][0][name].as_i64().unwrap();
        (number("available"), number("reserved"), number("spent"))
    }
}

/// A scan of this machine's own ports; `tests/install-tools` brings nmap.
const NMAP: [&str; 5] = ["nmap", "-sT", "-p", "1-1024", "127.0.0.1"];

fn run<'a>(options: &[&'a str], scan: &[&'a str]) -> Vec<&'a str> {
    [&["run", "--account", "a", "--kind", "live_audit"], options, &["--"], scan].concat()
}

#[tokio::test]
async fn a_real_scanner_runs_behind_the_gate_and_is_paid_for() {
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 1).await;
    let gate = Gate::of(&server);

    let (code, out, error) = gate.call(&run(&["--id", "scan-1"], &NMAP)).await;
    assert_eq!(code, 0, "{out}{error}");
    assert!(out.contains("Nmap done: 1 IP address (1 host up) scanned"), "{out}");
    assert_eq!(gate.balance("a").await, (0, 0, 1));
    let (_, ledger, _) = gate.call(&["ledger", "--account", "a"]).await;
    for kind in ["GRANT", "RESERVE", "COMMIT"] {
        assert!(ledger.contains(kind), "{ledger}");
    }

    // With nothing left, the scanner is not even started.
    let (code, out, error) = gate.call(&run(&[], &NMAP)).await;
    assert_eq!(code, 3, "{out}{error}");
    assert!(!out.contains("Nmap") && error.contains("EXHAUSTED"), "{out}{error}");
    assert_eq!(gate.balance("a").await, (0, 0, 1));

    let mut verify = program();
    verify.args(["verify"]).env("DATABASE_URL", db.url());
    let verified = output(&mut verify).await;
    assert_eq!(text(&verified.stdout), "all books agree: 1 account, 3 entries, 0 findings\n");
    db.execute("UPDATE balances SET available = 7").await;
    let found = output(&mut verify).await;
    assert_eq!(found.status.code(), Some(1), "{}", text(&found.stdout));
    db.execute("UPDATE balances SET available = 0").await;
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn a_scan_that_is_killed_in_the_middle_gives_its_credit_back() {
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 1).await;
    let gate = Gate::of(&server);
    // nmap, held up so that it can be met in the middle.
    let slow = ["nmap", "-sT", "--scan-delay", "10s", "-p", "1-64", "127.0.0.1"];
    let running = gate.command(&run(&["--id", "killed"], &slow)).spawn().unwrap();
    let held = "SELECT count(*) FROM reservations WHERE state = 1";
    eventually("the scan runs", async || db.count(held).await == 1 && child_of(&running).is_some())
        .await;
    kill(child_of(&running).unwrap(), Signal::SIGKILL).unwrap();
    let ended = timeout(PATIENCE, running.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(ended.status.code(), Some(128 + 9));
    assert_eq!(gate.balance("a").await, (1, 0, 0));
    let cause = "SELECT release_cause::bigint FROM reservations WHERE reservation_id = 'killed'";
    assert_eq!(db.count(cause).await, 2, "PLATFORM_ERROR");
    server.finish().await;
    db.finish().await;
}

/// The scanner that a `run` has started.
fn child_of(run: &Child) -> Option<Pid> {
    let pid = run.id()?;
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let child: i32 = children.split_whitespace().next()?.parse().ok()?;
    // Between fork and exec it is still a copy of us.
    let name = std::fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
    (name.trim() == "nmap").then(|| Pid::from_raw(child))
}

#[tokio::test]
async fn every_command_answers_people_and_programs_with_its_exit_code() {
    let db = TestDb::new().await;
    let server = TestServer::open(&db, "a", 4).await;
    let gate = Gate::of(&server);
    let of = ["--account", "a"];
    let with = |words: &[&'static str]| [words, &of].concat();
    for (code, words, says) in [
        (0, with(&["check", "--kind", "live_audit"]), "allowed"),
        (0, with(&["reserve", "--kind", "deep_audit", "--id", "r1"]), "HELD"),
        (3, with(&["check", "--kind", "deep_audit"]), "EXHAUSTED"),
        (3, with(&["reserve", "--kind", "deep_audit"]), "r1"),
        (0, with(&["extend", "--id", "r1", "--lease", "2h"]), "r1"),
        (0, with(&["reservations"]), "HELD"),
        (0, with(&["commit", "--id", "r1"]), "committed 3"),
        (0, with(&["release", "--id", "r1", "--cause", "platform-error"]), "3"),
        (0, with(&["balance"]), "AVAILABLE"),
        (0, with(&["ledger"]), "REFUND"),
        (0, with(&["account", "show"]), "a"),
        (0, vec!["catalog", "show"], "live_audit"),
        (0, vec!["account", "create", "--account", "b"], "b"),
        (0, vec!["project", "assign", "--account", "b", "--project", "p"], "p"),
        (3, with(&["check", "--kind", "live_audit", "--project", "p"]), "WRONG_ACCOUNT"),
        (1, with(&["commit", "--id", "nothing"]), "RESERVATION_NOT_FOUND"),
        (1, vec!["balance", "--account", "nobody"], "ACCOUNT_NOT_FOUND"),
        (2, vec!["reserve"], "Usage"),
    ] {
        let (exit, out, error) = gate.call(&words).await;
        assert_eq!(exit, code, "{words:?}\n{out}{error}");
        assert!(format!("{out}{error}").contains(says), "{words:?}\n{out}{error}");
        if code != 2 {
            let (exit, out, _) = gate.call(&[&words[..], &["--output", "json"]].concat()).await;
            let repeated = exit == code
                || words[0] == "reserve"
                || words[0] == "commit"
                || words[0] == "extend";
            assert!(repeated, "{words:?} as JSON: {exit}");
            if exit == 0 {
                serde_json::from_str::<serde_json::Value>(&out).unwrap();
            }
        }
    }
    server.finish().await;
    db.finish().await;
}

/// A `creditgate dev` in a directory of its own.
struct Dev {
    child: Child,
    data_dir: PathBuf,
    address: String,
}

impl Dev {
    async fn start(data_dir: &Path) -> Self {
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (grpc, http) = (free().to_string(), free().to_string());
        let mut command = program();
        command.args(["dev", "--grpc-addr", &grpc, "--http-addr", &http, "--data-dir"]);
        let mut child = command.arg(data_dir).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("Ctrl-C stops it") {
                    return true;
                }
            }
            false
        };
        assert!(timeout(PATIENCE, ready).await.expect("dev was not ready in time"), "dev ended");
        Self { child, data_dir: data_dir.to_owned(), address: grpc }
    }

    async fn end(mut self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap());
        kill(pid, signal).unwrap();
        let status = timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        match signal {
            Signal::SIGKILL => assert!(!status.success()),
            _ => assert!(status.success(), "{status}"),
        }
    }

    fn postgres_is_running(data_dir: &Path) -> bool {
        data_dir.join("postgres/postmaster.pid").exists()
    }
}

#[tokio::test]
async fn dev_keeps_its_data_across_runs_and_leaves_no_process_behind() {
    let data_dir = std::env::temp_dir().join(format!("creditgate-dev-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&data_dir);
    let dev = Dev::start(&data_dir).await;
    let gate = Gate { address: dev.address.clone() };
    assert_eq!(gate.balance("demo").await, (5, 0, 0));
    let demo = ["run", "--account", "demo", "--project", "demo-site", "--kind", "live_audit", "--"];
    let (code, out, error) = gate.call(&[&demo[..], &["echo", "scanning"]].concat()).await;
    assert_eq!((code, out.as_str()), (0, "scanning\n"), "{error}");
    // Any catalog can be applied over the demo's.
    for name in ["prebreach", "webriskops", "demo"] {
        let file = format!("{}/deploy/catalogs/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let (code, out, error) = gate.call(&["catalog", "apply", &file]).await;
        assert_eq!(code, 0, "{name}: {out}{error}");
    }
    // Killed: its PostgreSQL goes on, and the next one deals with that.
    dev.end(Signal::SIGKILL).await;
    let dev = Dev::start(&data_dir).await;
    let gate = Gate { address: dev.address.clone() };
    assert_eq!(gate.balance("demo").await, (4, 0, 1));
    let data_dir = dev.data_dir.clone();
    dev.end(Signal::SIGTERM).await;
    assert!(!Dev::postgres_is_running(&data_dir));
    let dev = Dev::start(&data_dir).await;
    dev.end(Signal::SIGINT).await;
    assert!(!Dev::postgres_is_running(&data_dir));
    std::fs::remove_dir_all(&data_dir).unwrap();
}
