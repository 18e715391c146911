//! What waits in a lane's queue.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::Span;

use super::LedgerError;
use crate::{
    domain::command::{Command, Outcome},
    telemetry::traces,
};

/// The most commands in one batch. Past this, a longer batch saves no more, and
/// its callers only wait longer for each other.
pub const MAX_BATCH: usize = 256;

/// How long a command may wait and be tried: then its caller hears that the
/// ledger is unavailable, and decides.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A command, and who waits for its outcome.
#[derive(Debug)]
pub struct Queued {
    /// The command.
    pub command: Command,
    /// When it was put into the queue.
    pub since: Instant,
    /// True once its account was found locked by somebody else.
    pub(super) is_parked: bool,
    /// The call's, for whoever traces.
    pub(super) span: Span,
    reply: oneshot::Sender<Result<Outcome, LedgerError>>,
}

impl Queued {
    pub(super) fn new(command: Command) -> (Self, oneshot::Receiver<Result<Outcome, LedgerError>>) {
        let (reply, answer) = oneshot::channel();
        let (since, span) = (Instant::now(), traces::current());
        (Self { command, since, is_parked: false, span, reply }, answer)
    }

    /// Answers. A caller that has gone away hears nothing; what was done stays
    /// done, and its retry will find it.
    pub(super) fn answer(self, answer: Result<Outcome, LedgerError>) {
        let _gone = self.reply.send(answer);
    }

    /// True where nobody waits for the answer any more: what was not begun need not
    /// be done. A retry finds nothing, or what an earlier try has done.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    /// True where it has waited too long.
    pub(super) fn is_out_of_patience(&self) -> bool {
        self.since.elapsed() >= PATIENCE
    }
}
