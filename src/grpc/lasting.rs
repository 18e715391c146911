//! Calls that last: a stream that says again and again that it lives, and asks whether
//! its caller may still read it.

use std::{future::Future, pin::Pin, time::Duration};

use tokio::{
    sync::mpsc,
    time::{self, Instant},
};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::{auth::Standing, ledger::LedgerError};

/// How often a stream says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long a reader may take to hear that its stream ends.
const LAST_WORD: Duration = Duration::from_secs(1);
/// Messages that wait for a reader who is slow: then the reading waits for it.
const WAITING: usize = 64;

/// A stream on the wire.
pub(super) type Lasting<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

/// Where a stream's messages come from.
pub(super) trait Source: Send + 'static {
    /// What is sent.
    type Message: Send + 'static;

    /// The word that says that the stream lives.
    fn alive(&self) -> Self::Message;

    /// The next message, none at the end. Dropped half-way, it loses nothing.
    fn next(&mut self) -> impl Future<Output = Option<Result<Self::Message, Status>>> + Send;
}

/// Who a stream is for: asked before the request is taken apart.
pub(super) fn standing<T>(request: &Request<T>) -> Option<Standing> {
    request.extensions().get::<Standing>().cloned()
}

/// Streams what comes from `source`, until it ends, the caller has gone or may no longer
/// read, or `ending`: then with a word that another server goes on.
pub(super) fn stream<S: Source>(
    mut source: S,
    standing: Option<Standing>,
    ending: CancellationToken,
) -> Response<Lasting<S::Message>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        metrics::gauge!("creditgate_watchers").increment(1);
        let end = tokio::select! {
            () = sender.closed() => None,
            () = ending.cancelled() => Some(LedgerError::Closed.into()),
            end = send(&mut source, standing, &sender) => end,
        };
        if let Some(end) = end {
            // A reader who takes nothing hears nothing of the end either.
            let _told = time::timeout(LAST_WORD, sender.send(Err(end))).await;
        }
        metrics::gauge!("creditgate_watchers").decrement(1);
    });
    Response::new(Box::pin(ReceiverStream::new(receiver)))
}

/// Sends messages until the end; an end with a word for the reader gives it.
async fn send<S: Source>(
    source: &mut S,
    standing: Option<Standing>,
    sender: &mpsc::Sender<Result<S::Message, Status>>,
) -> Option<Status> {
    // At once: so the reader knows that it watches.
    sender.send(Ok(source.alive())).await.ok()?;
    let mut heartbeat = time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    loop {
        let message = tokio::select! {
            _ = heartbeat.tick() => {
                if let Some(Err(denied)) = standing.as_ref().map(Standing::holds) {
                    return Some(denied.into());
                }
                source.alive()
            }
            next = source.next() => match next? {
                Ok(message) => message,
                Err(status) => return Some(status),
            },
        };
        sender.send(Ok(message)).await.ok()?;
    }
}
