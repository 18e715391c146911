//! Answers that are ready together leave together.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

use crate::ledger::queue::has_untaken_answers;

/// A stream whose first write after a flush lets the tasks run that have an answer to
/// write too. A batch answers many calls at once, and each answer would wake its
/// connection, which would send it alone: a system call, and a wake of the caller, for
/// each. So they meet in the connection's buffer. A lone answer waits for nobody.
#[derive(Debug)]
pub(super) struct Gathering<S> {
    stream: S,
    /// Whether others have an answer.
    have_others: fn() -> bool,
    /// True once the others have been let run.
    has_waited: bool,
}

impl<S> Gathering<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, have_others: has_untaken_answers, has_waited: false }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.has_waited && (self.have_others)() {
            self.has_waited = true;
            // A task that wakes itself goes to the end of the queue.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    /// Not in slices: then HTTP/2 copies an answer into its buffer, behind the others,
    /// where otherwise one of 256 bytes or more would have to be sent first.
    fn is_write_vectored(&self) -> bool {
        false
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            self.has_waited = false;
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: Connected> Connected for Gathering<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> S::ConnectInfo {
        self.stream.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_write_comes_after_what_was_ready_before_it_and_is_whole() {
        let (mut ours, theirs) = tokio::io::duplex(64);
        let mut stream = Gathering { have_others: || true, ..Gathering::new(theirs) };
        let ready = Arc::new(AtomicUsize::new(0));
        for round in 1..=3 {
            let others: Vec<_> = (0..10)
                .map(|_| {
                    let ready = Arc::clone(&ready);
                    tokio::spawn(async move { ready.fetch_add(1, Ordering::SeqCst) })
                })
                .collect();
            stream.write_all(b"answer").await.unwrap();
            assert_eq!(ready.load(Ordering::SeqCst), 10 * round, "before they were ready");
            stream.flush().await.unwrap();
            let mut got = [0; 6];
            ours.read_exact(&mut got).await.unwrap();
            assert_eq!(&got, b"answer");
            for other in others {
                other.await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn what_is_larger_than_the_socket_takes_is_written_in_pieces() {
        let (mut ours, theirs) = tokio::io::duplex(64);
        let sent: Vec<u8> = (0..10_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let expected = sent.clone();
        let writer = tokio::spawn(async move {
            let mut stream = Gathering { have_others: || true, ..Gathering::new(theirs) };
            stream.write_all(&sent).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        let mut got = Vec::new();
        ours.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, expected);
        writer.await.unwrap();
    }
}
