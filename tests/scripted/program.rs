//! The program as its users run it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::gate::Gate;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn creditgate(gate: &Gate) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_creditgate"));
    command.env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command.arg("--addr").arg(gate.addr.to_string());
    command
}

/// `creditgate run` of a shell script, with options before it.
pub(crate) fn run(gate: &Gate, options: &[&str], script: &str) -> Command {
    let mut command = creditgate(gate);
    command.args(["run", "--account", "acme", "--kind", "live_audit", "--id", "r1"]);
    command.args(options).args(["--", "sh", "-c", script]);
    command
}

/// A started program, whose output is kept. It is killed when dropped.
pub(crate) struct Running(Option<Child>);

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(Some(child))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.0.as_ref().unwrap().id();
        kill(Pid::from_raw(i32::try_from(id).unwrap()), signal).unwrap();
    }

    /// Waits for its end, without holding up the gate that it calls.
    pub(crate) async fn end(mut self) -> Finished {
        let mut child = self.0.take().unwrap();
        let id = child.id();
        let output = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            while child.try_wait().unwrap().is_none() {
                assert!(began.elapsed() < PATIENCE, "process {id} does not end");
                std::thread::sleep(Duration::from_millis(5));
            }
            child.wait_with_output().unwrap()
        });
        Finished::of(output.await.unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
        }
    }
}

/// What a program left.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    fn of(output: Output) -> Self {
        Self {
            status: output.status,
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }
}

pub(crate) async fn finish(command: Command) -> Finished {
    Running::start(command).end().await
}

/// Polls until something holds.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// True while a process lives; a zombie does not.
pub(crate) fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit(')').next().map(|rest| !rest.starts_with(" Z")))
        .unwrap_or(false)
}

/// A directory that goes with the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("creditgate-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The process id in a file, once it is there in full.
pub(crate) async fn pid_in(file: &Path) -> u32 {
    eventually("a process id is written", || {
        fs::read_to_string(file)
            .ok()
            .filter(|text| text.ends_with('\n'))
            .and_then(|text| text.trim().parse().ok())
    })
    .await
}
