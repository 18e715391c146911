//! What waits in a lane's queue.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

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

/// Answers of this process that were given and that their callers' tasks have not taken
/// yet: more than one right after a batch.
static UNTAKEN: AtomicUsize = AtomicUsize::new(0);

/// True where other answers will be ready at once, because their batch is done.
#[must_use]
pub fn has_untaken_answers() -> bool {
    UNTAKEN.load(Relaxed) > 0
}

/// Counts an answer until it is taken, or nobody takes it.
#[derive(Debug)]
struct Untaken(());

impl Untaken {
    fn new() -> Self {
        UNTAKEN.fetch_add(1, Relaxed);
        Self(())
    }
}

impl Drop for Untaken {
    fn drop(&mut self) {
        UNTAKEN.fetch_sub(1, Relaxed);
    }
}

type Answer = Result<Outcome, LedgerError>;

/// Waits for a command's outcome.
#[derive(Debug)]
pub(super) struct Waiting(oneshot::Receiver<(Answer, Untaken)>);

impl Waiting {
    pub(super) async fn outcome(self) -> Answer {
        // A lane that ends without an answer may have done it.
        self.0.await.map_or(Err(LedgerError::Unavailable), |(answer, _)| answer)
    }
}

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
    reply: oneshot::Sender<(Answer, Untaken)>,
}

impl Queued {
    pub(super) fn new(command: Command) -> (Self, Waiting) {
        let (reply, answer) = oneshot::channel();
        let (since, span) = (Instant::now(), traces::current());
        (Self { command, since, is_parked: false, span, reply }, Waiting(answer))
    }

    /// Answers. A caller that has gone away hears nothing; what was done stays
    /// done, and its retry will find it.
    pub(super) fn answer(self, answer: Answer) {
        let _gone = self.reply.send((answer, Untaken::new()));
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
