//! Whose terminal it is: job control, as far as a program that runs one
//! command needs it.

use std::io::{self, IsTerminal};

use nix::{
    sys::signal::{SigSet, Signal, killpg},
    unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp},
};

/// The terminal that is our stdin.
pub(super) struct Terminal {
    ours: Pid,
}

impl Terminal {
    /// The terminal, where stdin is one and we are its foreground group: else
    /// it is not ours to give.
    pub(super) fn if_foreground() -> Option<Self> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return None;
        }
        let ours = getpgrp();
        (tcgetpgrp(&stdin) == Ok(ours)).then_some(Self { ours })
    }

    /// Makes another group its foreground group, if we still are.
    pub(super) fn give(&self, group: Pid) {
        if tcgetpgrp(io::stdin()) == Ok(self.ours) {
            set_foreground(group);
        }
    }

    /// Makes us its foreground group again, if that group still is: after
    /// `bg` it is the shell's.
    pub(super) fn take_back(&self, group: Pid) {
        if tcgetpgrp(io::stdin()) == Ok(group) {
            set_foreground(self.ours);
        }
    }

    /// Stops our whole group, as Ctrl-Z would have, and returns when it goes on.
    pub(super) fn stop_ourselves(&self) {
        let _ = killpg(self.ours, Signal::SIGTSTP);
    }
}

/// A group in the background that does this is stopped by SIGTTOU, unless it
/// blocks that. What fails here, such as on a terminal that has been hung up,
/// leaves things as they are.
fn set_foreground(group: Pid) {
    let ttou: SigSet = [Signal::SIGTTOU].into_iter().collect();
    let _ = ttou.thread_block();
    let _ = tcsetpgrp(io::stdin(), group);
    let _ = ttou.thread_unblock();
}
