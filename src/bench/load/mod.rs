//! The load: callers on threads of their own, and what they have seen.
//!
//! A thread runs all of its callers and their connections on a runtime that no
//! other thread shares: nothing is locked, nothing is handed over, and what the
//! callers cost stays small beside what they measure. All threads connect first,
//! and then begin together.

mod accounts;
mod gate;
mod pace;
mod tally;
mod wire;

use std::{future::Future, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::LocalSet,
};

pub(in crate::bench) use accounts::write_account_id;
pub use accounts::{Accounts, Choice, account_id};
pub use gate::Workload;
pub(in crate::bench) use gate::{GateLoad, Script};
pub(in crate::bench) use pace::{closed, open};
pub use tally::{CallTimes, Done, Failure, Tally, Window};
pub(in crate::bench) use wire::Line;

use super::BenchError;

/// How long all callers may take to connect.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);

/// Threads that have connected and wait for the word.
#[derive(Debug)]
pub(in crate::bench) struct Crew {
    go: watch::Sender<Option<Window>>,
    tallies: Vec<oneshot::Receiver<Result<Tally, BenchError>>>,
}

/// What a thread's work is told.
#[derive(Debug)]
pub(in crate::bench) struct Post {
    /// Which thread this is.
    pub(in crate::bench) number: usize,
    ready: mpsc::Sender<()>,
    go: watch::Receiver<Option<Window>>,
}

impl Post {
    /// Says that this thread has connected, and waits for the others.
    pub(in crate::bench) async fn ready(&mut self) -> Result<Window, BenchError> {
        let gone = || BenchError::Other("the run was given up".to_owned());
        self.ready.send(()).await.map_err(|_| gone())?;
        let told = self.go.wait_for(Option::is_some).await.map_err(|_| gone())?;
        told.ok_or_else(gone)
    }
}

impl Crew {
    /// Starts `threads` threads that do `work`, and waits until each has called
    /// [`Post::ready`].
    pub(in crate::bench) async fn gather<W, F>(threads: usize, work: W) -> Result<Self, BenchError>
    where
        W: Fn(Post) -> F + Clone + Send + 'static,
        F: Future<Output = Result<Tally, BenchError>>,
    {
        let (go, told) = watch::channel(None);
        let (ready, mut arrived) = mpsc::channel(threads.max(1));
        let mut tallies = Vec::new();
        for number in 0..threads {
            let (done, tally) = oneshot::channel();
            let work = work.clone();
            let post = Post { number, ready: ready.clone(), go: told.clone() };
            std::thread::Builder::new()
                .name(format!("callers-{number}"))
                .spawn(move || {
                    // Nobody listens where the run was given up.
                    let _ = done.send(run(work, post));
                })
                .map_err(|error| BenchError::Other(format!("start a thread: {error}")))?;
            tallies.push(tally);
        }
        drop(ready);
        let mut crew = Self { go, tallies };
        let all = async {
            for _ in 0..threads {
                if arrived.recv().await.is_none() {
                    return false;
                }
            }
            true
        };
        match tokio::time::timeout(CONNECT_PATIENCE, all).await {
            Ok(true) => Ok(crew),
            // One has ended before it was ready: with the reason.
            Ok(false) => match crew.collect().await {
                Ok(_) => Err(BenchError::Other("a thread of callers ended at once".to_owned())),
                Err(error) => Err(error),
            },
            Err(_) => Err(BenchError::Other("the callers could not connect in time".to_owned())),
        }
    }

    /// Gives the word.
    pub(in crate::bench) fn go(&self, window: Window) {
        self.go.send_replace(Some(window));
    }

    /// What all of them have seen.
    pub(in crate::bench) async fn collect(&mut self) -> Result<Tally, BenchError> {
        let mut sum = Tally::new()?;
        for tally in self.tallies.drain(..) {
            let gone = |_| BenchError::Other("a thread of callers broke down".to_owned());
            sum.add(&tally.await.map_err(gone)??);
        }
        Ok(sum)
    }
}

fn run<W, F>(work: W, post: Post) -> Result<Tally, BenchError>
where
    W: Fn(Post) -> F,
    F: Future<Output = Result<Tally, BenchError>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| BenchError::Other(format!("start a runtime: {error}")))?;
    LocalSet::new().block_on(&runtime, work(post))
}

/// Divides `whole` among `parts` as evenly as it goes: the share of `number`.
pub(in crate::bench) fn share(whole: usize, parts: usize, number: usize) -> usize {
    let parts = parts.max(1);
    whole / parts + usize::from(number < whole % parts)
}
