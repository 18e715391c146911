//! Ending a server: politely first, then with force.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long each way of asking is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    fast: Duration,
    immediate: Duration,
    killed: Duration,
}

impl Patience {
    /// When there is time to write everything down in good order.
    pub(super) const LONG: Self = Self {
        fast: Duration::from_secs(10),
        immediate: Duration::from_secs(5),
        killed: Duration::from_secs(5),
    };
    /// When a thread is blocked meanwhile.
    pub(super) const SHORT: Self = Self {
        fast: Duration::from_secs(3),
        immediate: Duration::from_secs(1),
        killed: Duration::from_secs(1),
    };
}

/// The shutdown of one server. The caller looks whether the process is gone, and presses again if it
/// is not.
#[derive(Debug)]
pub(super) struct Shutdown {
    pid: Pid,
    steps: std::array::IntoIter<(Signal, Duration), 3>,
    until: Instant,
}

impl Shutdown {
    pub(super) fn new(pid: Pid, patience: Patience) -> Self {
        let steps = [
            // Fast: ends sessions, writes a checkpoint.
            (Signal::SIGINT, patience.fast),
            // Immediate: ends at once; the next start recovers from the log. Nothing committed is
            // lost.
            (Signal::SIGQUIT, patience.immediate),
            (Signal::SIGKILL, patience.killed),
        ];
        Self { pid, steps: steps.into_iter(), until: Instant::now() }
    }

    /// Sends the next signal when its time has come. True once all have been sent and waited for.
    ///
    /// The caller must know that the process is still the one that is meant.
    pub(super) fn press(&mut self) -> bool {
        if Instant::now() < self.until {
            return false;
        }
        let Some((signal, patience)) = self.steps.next() else {
            return true;
        };
        self.until = Instant::now() + patience;
        // It may have gone this moment; the caller looks again.
        let _ = kill(self.pid, signal);
        false
    }
}
