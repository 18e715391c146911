//! The scan's processes, and the signals that concern them.
//!
//! The command runs in a process group of its own, so that all it started can
//! be stopped with it. The terminal stays ours, so that Ctrl-C reaches us: it is
//! a cancel whatever the scan makes of it. A scan that reads from the terminal
//! is stopped for that (SIGTTIN); then it is handed over until the scan ends, as
//! a shell does, and Ctrl-C is the scan's.

use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    signal::unix::{Signal as Stream, SignalKind, signal},
    time::{Instant, sleep},
};

use super::terminal::Terminal;
use crate::cli::{CliError, connection::KEY_VARIABLE};

/// A started scan.
pub(super) struct Scan {
    child: Child,
    group: Pid,
    terminal: Option<Terminal>,
}

impl Scan {
    /// Starts the command with our stdin, stdout and stderr.
    pub(super) fn start(command: &[OsString]) -> io::Result<Self> {
        let [program, arguments @ ..] = command else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        let terminal = Terminal::if_foreground();
        let child = Command::new(program)
            .args(arguments)
            // It is somebody else's program: what it may do at the gate is nothing.
            .env_remove(KEY_VARIABLE)
            .stdin(Stdio::inherit())
            .stdout(Stdio::inherit())
            .stderr(Stdio::inherit())
            .process_group(0)
            .spawn()?;
        let pid = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .ok_or_else(|| io::Error::other("it has no process id"))?;
        Ok(Self { child, group: Pid::from_raw(pid), terminal })
    }

    /// Waits for the command itself. It is no error to ask again.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// True where Ctrl-C goes to the scan alone, unheard by us.
    pub(super) fn has_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// Signals the whole group. That there is nobody left is no error.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = killpg(self.group, signal);
        if !matches!(signal, Signal::SIGKILL | Signal::SIGCONT) {
            // A stopped process acts on a signal only once it goes on.
            let _ = killpg(self.group, Signal::SIGCONT);
        }
    }

    /// After the command has ended: gives what it started until `until` to end
    /// as well, then kills it.
    pub(super) async fn sweep(&self, until: Instant) {
        while killpg(self.group, None) != Err(Errno::ESRCH) {
            if Instant::now() >= until {
                let _ = killpg(self.group, Signal::SIGKILL);
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// To be called when a child's state changes: where the terminal stopped
    /// the scan (Ctrl-Z), stops us too, so that the shell has its prompt back,
    /// and goes on with the scan once we do.
    pub(super) fn follow_stop(&self) {
        let Some(terminal) = &self.terminal else {
            return;
        };
        let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG;
        let Ok(WaitStatus::Stopped(_, signal)) = waitid(Id::Pid(self.group), flags) else {
            return;
        };
        // It read from the terminal before that was its own: not a Ctrl-Z.
        if !matches!(signal, Signal::SIGTTIN | Signal::SIGTTOU) {
            terminal.take_back(self.group);
            terminal.stop_ourselves();
        }
        self.hand_over_terminal();
    }

    /// Gives the terminal to the scan, and wakes what it had stopped for want
    /// of it. Not where `bg` has put us into the background meanwhile.
    fn hand_over_terminal(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.give(self.group);
            let _ = killpg(self.group, Signal::SIGCONT);
        }
    }

    /// Takes the terminal back, once the scan has ended.
    pub(super) fn take_terminal_back(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.take_back(self.group);
        }
    }
}

/// Signals that end us, or would: they are the scan's.
pub(super) struct Signals {
    interrupt: Stream,
    terminate: Stream,
    hangup: Stream,
    quit: Stream,
    child: Stream,
}

impl Signals {
    /// Takes the signals over, for as long as the process lives.
    pub(super) fn listen() -> Result<Self, CliError> {
        let stream = |kind| signal(kind).map_err(|error| CliError::io("listen for signals", error));
        Ok(Self {
            interrupt: stream(SignalKind::interrupt())?,
            terminate: stream(SignalKind::terminate())?,
            hangup: stream(SignalKind::hangup())?,
            quit: stream(SignalKind::quit())?,
            child: stream(SignalKind::child())?,
        })
    }

    /// The next signal that would end us.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::SIGINT,
            _ = self.terminate.recv() => Signal::SIGTERM,
            _ = self.hangup.recv() => Signal::SIGHUP,
            _ = self.quit.recv() => Signal::SIGQUIT,
        }
    }

    /// The next signal that would end us, or SIGCHLD.
    pub(super) async fn next_or_child(&mut self) -> Signal {
        let Self { interrupt, terminate, hangup, quit, child } = self;
        tokio::select! {
            _ = interrupt.recv() => Signal::SIGINT,
            _ = terminate.recv() => Signal::SIGTERM,
            _ = hangup.recv() => Signal::SIGHUP,
            _ = quit.recv() => Signal::SIGQUIT,
            _ = child.recv() => Signal::SIGCHLD,
        }
    }
}

/// The exit code of a process that a signal ended, as shells have it.
pub(super) fn signal_code(signal: Signal) -> u8 {
    raw_signal_code(signal as i32)
}

/// The exit code that stands for how a process ended.
pub(super) fn exit_code(status: ExitStatus) -> u8 {
    match status.code() {
        Some(code) => u8::try_from(code).unwrap_or(1),
        None => status.signal().map_or(1, raw_signal_code),
    }
}

fn raw_signal_code(signal: i32) -> u8 {
    u8::try_from(signal.saturating_add(128)).unwrap_or(1)
}
