//! One slot of a run: one contestant under one load for a few seconds, and what
//! was seen of it.

use std::time::Duration;

use serde::Serialize;
use tokio::time;

use super::{
    BenchError,
    baseline::{
        function::{self, FunctionCaller},
        ledger::{self, LedgerCaller},
    },
    books::SCAN_KIND,
    field::{Contestant, Ready},
    load::{
        Accounts, Choice, Crew, GateLoad, Line, Script, Tally, Window, Workload, closed, open,
        share,
    },
    stage::{Sizes, Stage},
    usage,
};

/// How callers call.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// So many callers, each of which waits for its answer.
    Callers(usize),
    /// So many calls a second, whatever becomes of them.
    Rate(f64),
}

/// What is measured at a time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Slot {
    /// Who.
    pub contestant: Contestant,
    /// What is asked for.
    pub workload: Workload,
    /// Of which accounts.
    pub accounts: Accounts,
    /// How.
    pub pace: Pace,
}

/// How callers reach a server.
#[derive(Debug, Clone)]
pub struct Lines {
    /// HTTP/2 connections.
    pub connections: usize,
    /// Threads that share them.
    pub threads: usize,
    /// The kind of scan that is asked for.
    pub scan_kind: String,
}

impl Default for Lines {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { connections: 4, threads: (cores / 4).max(1), scan_kind: SCAN_KIND.to_owned() }
    }
}

/// How long a slot takes.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Before anything counts.
    pub warm_up: Duration,
    /// While it counts.
    pub measured: Duration,
}

/// CPU seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Cpu {
    /// Of this process: the callers, and contestants without a process.
    pub client: Option<f64>,
    /// Of the server's process.
    pub server: Option<f64>,
    /// Of PostgreSQL, all its processes.
    pub postgres: Option<f64>,
}

/// What was seen in a slot.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// By the callers.
    pub tally: Tally,
    /// How long they were watched, in seconds.
    pub seconds: f64,
    /// CPU seconds of that time.
    pub cpu: Cpu,
    /// Commands, and batches that they went in.
    pub batches: Option<(f64, f64)>,
    /// Bytes by which the database has grown.
    pub database_bytes: Option<i64>,
    /// Bytes of log that were written.
    pub log_bytes: Option<i64>,
}

impl Seen {
    /// What the workload counts, a second.
    #[must_use]
    pub(super) fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let units = self.tally.units as f64;
        units / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// A latency in milliseconds.
    #[must_use]
    pub(super) fn latency(&self, quantile: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "at most a minute of microseconds")]
        let micros = self.tally.latency.value_at_quantile(quantile) as f64;
        micros / 1_000.0
    }
}

/// What the machine has counted at one time.
#[derive(Debug, Clone, Copy, Default)]
struct Reading {
    cpu: Cpu,
    batches: Option<(f64, f64)>,
    sizes: Option<Sizes>,
}

impl Reading {
    async fn of(stage: Option<&mut Stage>, ready: &Ready) -> Result<Self, BenchError> {
        let postgres = stage.as_ref().map(|stage| stage.process_id());
        // The CPU first: what it costs to look is not the contestant's.
        let cpu = Cpu {
            client: usage::cpu(std::process::id()),
            server: ready.server().and_then(usage::cpu),
            postgres: postgres.and_then(usage::cpu_with_children),
        };
        let batches = ready.batches().await;
        let sizes = match (stage, ready.venue()) {
            (Some(stage), Some(venue)) => Some(stage.sizes(venue).await?),
            _ => None,
        };
        Ok(Self { cpu, batches, sizes })
    }

    /// What has been added since `before`.
    fn since(self, before: Self, tally: Tally, seconds: f64) -> Seen {
        let less = |now: Option<f64>, before: Option<f64>| Some(now? - before?);
        let sizes = self.sizes.zip(before.sizes);
        Seen {
            tally,
            seconds,
            cpu: Cpu {
                client: less(self.cpu.client, before.cpu.client),
                server: less(self.cpu.server, before.cpu.server),
                postgres: less(self.cpu.postgres, before.cpu.postgres),
            },
            batches: self
                .batches
                .zip(before.batches)
                .map(|(now, before)| (now.0 - before.0, now.1 - before.1)),
            database_bytes: sizes.map(|(now, before)| now.database - before.database),
            log_bytes: sizes.map(|(now, before)| now.log - before.log),
        }
    }
}

/// Runs a slot.
pub(super) async fn run(
    mut stage: Option<&mut Stage>,
    ready: &mut Ready,
    slot: &Slot,
    lines: &Lines,
    times: Times,
) -> Result<Seen, BenchError> {
    if matches!(ready, Ready::Floor { .. }) {
        return run_floor(stage, ready, times).await;
    }
    let mut crew = gather(ready, slot, lines).await?;
    let window = Window::soon(times.warm_up, times.measured);
    crew.go(window);
    time::sleep_until(window.warm.into()).await;
    let before = Reading::of(stage.as_deref_mut(), ready).await?;
    time::sleep_until(window.end.into()).await;
    let now = Reading::of(stage, ready).await?;
    let tally = crew.collect().await?;
    Ok(now.since(before, tally, window.measured().as_secs_f64()))
}

/// The floor has no callers: it writes as fast as it can, in pieces.
async fn run_floor(
    mut stage: Option<&mut Stage>,
    ready: &mut Ready,
    times: Times,
) -> Result<Seen, BenchError> {
    let not_it = || BenchError::Usage("only the floor is written without callers".to_owned());
    let Ready::Floor { floor, .. } = &mut *ready else { return Err(not_it()) };
    floor.run(times.warm_up).await?;
    let before = Reading::of(stage.as_deref_mut(), ready).await?;
    let Ready::Floor { floor, .. } = &mut *ready else { return Err(not_it()) };
    let (tally, took) = floor.run(times.measured).await?;
    let now = Reading::of(stage, ready).await?;
    let mut seen = now.since(before, tally, took.as_secs_f64());
    // It decides in the same process, while the clock stands.
    seen.cpu.client = None;
    Ok(seen)
}

/// Callers of a contestant, connected.
async fn gather(ready: &Ready, slot: &Slot, lines: &Lines) -> Result<Crew, BenchError> {
    let accounts = slot.accounts;
    let choice = Choice::of(accounts);
    let Pace::Callers(callers) = slot.pace else {
        return gather_open(ready, slot, lines).await;
    };
    match ready {
        Ready::Function { venue } => {
            let url = venue.url.clone();
            // More callers than connections would only wait for one.
            let callers = callers.min(function::CONNECTIONS);
            Crew::gather(1, move |mut post| {
                let (url, choice) = (url.clone(), choice.clone());
                async move {
                    let mut connected = Vec::new();
                    for _ in 0..callers {
                        connected.push(FunctionCaller::connect(&url, choice.clone()).await?);
                    }
                    let window = post.ready().await?;
                    closed(window, connected, FunctionCaller::call).await
                }
            })
            .await
        }
        Ready::Ledger { ledger, .. } => {
            let caller =
                LedgerCaller::new(ledger.clone(), choice, ledger::account_ids(accounts.count)?)?;
            Crew::gather(1, move |mut post| {
                let callers = vec![caller.clone(); callers];
                async move {
                    let window = post.ready().await?;
                    closed(window, callers, LedgerCaller::call).await
                }
            })
            .await
        }
        _ => {
            let load = gate_load(ready, slot, lines)?;
            let threads = lines.threads.min(callers).max(1);
            let connections = lines.connections.max(threads).min(callers.max(1));
            Crew::gather(threads, move |mut post| {
                let (load, choice) = (load.clone(), choice.clone());
                async move {
                    let own = share(connections, threads, post.number);
                    let lines = connect(&load, own).await?;
                    let own = share(callers, threads, post.number);
                    let scripts: Result<Vec<Script>, BenchError> = lines
                        .iter()
                        .cycle()
                        .take(own)
                        .map(|line| load.script(line, &choice))
                        .collect();
                    let scripts = scripts?;
                    let window = post.ready().await?;
                    closed(window, scripts, Script::call).await
                }
            })
            .await
        }
    }
}

async fn gather_open(ready: &Ready, slot: &Slot, lines: &Lines) -> Result<Crew, BenchError> {
    let Pace::Rate(rate) = slot.pace else {
        return Err(BenchError::Usage("a rate is wanted".to_owned()));
    };
    let load = gate_load(ready, slot, lines)?;
    let choice = Choice::of(slot.accounts);
    let (threads, connections) = (lines.threads.max(1), lines.connections);
    Crew::gather(threads, move |mut post| {
        let (load, choice) = (load.clone(), choice.clone());
        async move {
            let lines = connect(&load, share(connections, threads, post.number).max(1)).await?;
            let mut next = lines.iter().cycle();
            let make = || match next.next() {
                Some(line) => load.script(line, &choice),
                None => Err(BenchError::Other("there is no connection".to_owned())),
            };
            let window = post.ready().await?;
            #[expect(clippy::cast_precision_loss, reason = "a few threads")]
            let rate = rate / threads as f64;
            open(window, rate, make, Script::call).await
        }
    })
    .await
}

fn gate_load(ready: &Ready, slot: &Slot, lines: &Lines) -> Result<GateLoad, BenchError> {
    let address = ready.address().ok_or_else(|| {
        BenchError::Usage(format!("{} has no server to call", slot.contestant.name()))
    })?;
    Ok(GateLoad {
        address: address.to_owned(),
        scan_kind: lines.scan_kind.clone(),
        workload: slot.workload,
    })
}

async fn connect(load: &GateLoad, connections: usize) -> Result<Vec<Line>, BenchError> {
    let mut lines = Vec::new();
    for _ in 0..connections.max(1) {
        lines.push(Line::connect(&load.address).await?);
    }
    Ok(lines)
}
