//! Waits for the scan, and for whatever ends it early.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep_until};

use super::{
    Status,
    heartbeat::Lost,
    scan::{Scan, Signals, exit_code},
};

/// The exit code after `--timeout`, as timeout(1) has it: the command's own
/// would not tell, since one that ends well on SIGTERM looks like success.
const TIMED_OUT: u8 = 124;

/// How long a scan may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Before it is stopped.
    pub(super) timeout: Option<Duration>,
    /// From SIGTERM to SIGKILL.
    pub(super) kill_after: Duration,
}

/// What ended a scan first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It ended by itself.
    Itself,
    /// It took longer than this.
    Timeout(Duration),
    /// We were interrupted.
    Canceled,
    /// The gate says that its hold is gone.
    HoldGone,
    /// Its lease has ended, and the gate could not be reached.
    LeaseOver,
}

/// How a scan ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    /// What ended it first.
    pub(super) why: Why,
    /// None where that could not be found out.
    status: Option<ExitStatus>,
}

impl Ended {
    /// The command's own exit code; none where a signal ended it.
    pub(super) fn code(&self) -> Option<u8> {
        self.status?.code().and_then(|code| u8::try_from(code).ok())
    }

    /// What we exit with.
    pub(super) fn exit_code(&self) -> u8 {
        match self.why {
            Why::Itself | Why::Canceled => self.status.map_or(1, exit_code),
            Why::Timeout(_) => TIMED_OUT,
            Why::HoldGone | Why::LeaseOver => 1,
        }
    }

    /// For the ledger: "exit code 2", "signal 9".
    pub(super) fn how(&self) -> String {
        let Some(status) = self.status else {
            return "exit code unknown".to_owned();
        };
        match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "exit code unknown".to_owned(),
        }
    }
}

/// Waits until the scan has ended, and stops it where it must not go on.
///
/// An interrupt is passed on as it came, and the scan may take its time to
/// wind up, under its hold; a second one stops it.
pub(super) async fn supervise(
    scan: &mut Scan,
    heartbeat: impl Future<Output = Lost>,
    limits: Limits,
    signals: &mut Signals,
    status: Status,
) -> Ended {
    tokio::pin!(heartbeat);
    let mut why = Why::Itself;
    let mut beating = true;
    // A limit beyond what the clock can count is none.
    let mut timeout =
        limits.timeout.and_then(|limit| Some((limit, Instant::now().checked_add(limit)?)));
    let mut kill_at: Option<Instant> = None;
    let ended = loop {
        let stop_because = tokio::select! {
            biased;
            ended = scan.wait() => break ended.ok(),
            signal = signals.next_or_child() => match signal {
                Signal::SIGCHLD => {
                    scan.follow_stop();
                    continue;
                }
                signal if why == Why::Itself => {
                    why = Why::Canceled;
                    status.say(&format!("{signal}: passed on to the scan; again to stop it"));
                    scan.signal(signal);
                    continue;
                }
                _ => Why::Canceled,
            },
            lost = &mut heartbeat, if beating => {
                beating = false;
                match lost {
                    Lost::Gone(error) => {
                        status.warn(&format!("stopping the scan, its hold is gone: {error}"));
                        Why::HoldGone
                    }
                    Lost::Over => {
                        status.warn(
                            "stopping the scan: its lease has ended and the gate could not be \
                             reached to extend it",
                        );
                        Why::LeaseOver
                    }
                }
            }
            limit = expire(timeout) => {
                timeout = None;
                let limit_text = humantime::format_duration(limit);
                status.warn(&format!("stopping the scan: it took longer than {limit_text}"));
                Why::Timeout(limit)
            }
            () = at(kill_at) => {
                kill_at = None;
                scan.signal(Signal::SIGKILL);
                continue;
            }
        };
        // The first reason counts, but a hold that is gone cannot be settled,
        // whatever came before.
        if why == Why::Itself || stop_because == Why::HoldGone {
            why = stop_because;
        }
        if kill_at.is_none() {
            kill_at = Some(Instant::now() + limits.kill_after);
            scan.signal(Signal::SIGTERM);
        }
    };
    if why == Why::Itself && scan.has_terminal() && ended.is_some_and(interrupted) {
        // Ctrl-C on the terminal that was the scan's.
        why = Why::Canceled;
    }
    if why != Why::Itself {
        // Whatever it started must not go on scanning.
        scan.signal(Signal::SIGTERM);
        let until = kill_at.unwrap_or_else(|| Instant::now() + limits.kill_after);
        scan.sweep(until).await;
    }
    scan.take_terminal_back();
    Ended { why, status: ended }
}

/// True where the process ended by SIGINT or SIGQUIT, or says so.
fn interrupted(status: ExitStatus) -> bool {
    let signals = [Signal::SIGINT as i32, Signal::SIGQUIT as i32];
    signals.iter().any(|signal| {
        status.signal() == Some(*signal) || status.code() == Some(signal.saturating_add(128))
    })
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn expire(timeout: Option<(Duration, Instant)>) -> Duration {
    match timeout {
        Some((limit, time)) => {
            sleep_until(time).await;
            limit
        }
        None => std::future::pending().await,
    }
}
