//! `creditgate bench`: how fast the gate is, beside what people would use instead.

mod text;

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use nix::sys::statvfs::statvfs;
use tokio_util::sync::CancellationToken;

use super::{
    CliError, Outcome, Output,
    output::note,
    parse,
    serve::{start_logs, stop_on_signals},
};
use crate::{
    bench::{
        self, Accounts, BenchError, CALLERS, Contestant, Lines, Pace, Place, Progress, Report,
        Size, Slot, Times, Workload,
    },
    client::Client,
    config::{LogFormat, Settings},
};

/// Bytes on the disk that a whole run may take.
const WHOLE_RUN: u64 = 15 << 30;

/// What `--help` says first.
pub(super) const LONG_ABOUT: &str = "Measure how fast the gate is, beside what people would use instead.\n\n\
    Without options: the whole matrix, each figure with what is promised of it. A PostgreSQL \
    of its own is started and thrown away (fsync is on); every contestant works on a copy of \
    the same database; they take turns, round by round, and the median of the rounds counts. \
    It takes about seven minutes, all cores, and up to 15 GB of disk for that time: close \
    everything else.\n\n\
    With a workload or another option of a load: that load alone, on the gate and on what it \
    is to be compared with.";

/// Options of a bench.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
      creditgate bench\n  \
      creditgate bench --quick\n  \
      creditgate bench --workload mix --callers 64\n  \
      creditgate bench --accounts 1 --baseline service --baseline function\n  \
      creditgate bench --ledger --floor\n  \
      creditgate bench --rate 5000 --seconds 30\n  \
      creditgate bench --seconds 60 --rounds 10\n  \
      creditgate bench --history 1000000\n  \
      creditgate bench --target gate.example:50051 --accounts 100\n\n\
    CREDITGATE_LANES and the other settings of `serve` hold for the gate that is measured.")]
pub(super) struct BenchArgs {
    /// The whole matrix, also if nothing was asked for.
    #[arg(long, conflicts_with_all = ["workload", "accounts", "callers", "rate", "baseline"])]
    #[arg(conflicts_with_all = ["ledger", "floor", "target"])]
    suite: bool,
    /// A few seconds instead of minutes: to see that it works, not to quote.
    #[arg(long)]
    quick: bool,
    /// What callers ask for [default: reserve].
    #[arg(long, value_enum, value_name = "WORKLOAD")]
    workload: Option<Kind>,
    /// How many accounts the calls are spread over; 1 for a hot one [default: 10000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    accounts: Option<u32>,
    /// Some accounts are busier than others, by Zipf's law.
    #[arg(long)]
    zipf: bool,
    /// Callers, each of which waits for its answer [default: 256].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    #[arg(conflicts_with = "rate")]
    callers: Option<u32>,
    /// So many calls a second instead, whatever becomes of them. Latency counts from when a call
    /// was due.
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Measure this too. May be given twice.
    #[arg(long, value_enum, value_name = "BASELINE")]
    baseline: Vec<Baseline>,
    /// Measure the gate's batches without gRPC too.
    #[arg(long)]
    ledger: bool,
    /// Measure the gate's write statements alone too: no locks, no reads.
    #[arg(long)]
    floor: bool,
    /// A gate that runs elsewhere, instead of one of our own. Accounts named bench-... are made
    /// there, with credits, and stay.
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["baseline", "ledger", "floor"])]
    target: Option<String>,
    /// With --target: the kind of scan to ask for [default: the first that takes credits].
    #[arg(long, value_name = "KIND", requires = "target")]
    kind: Option<String>,
    /// Reservations that the accounts have made and committed before: does the gate slow down once
    /// its ledger is large? Takes about 2 KB of disk each, twice for each that is measured.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    #[arg(conflicts_with_all = ["suite", "target"])]
    history: Option<u64>,
    /// Seconds for which a slot is measured [default: 3, or 10 for one load].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: Option<u32>,
    /// For how long each slot runs before it is measured.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse::duration)]
    warm_up: Duration,
    /// How often each slot is run [default: 5, or 3 for one load].
    ///
    /// From six rounds of one load on, the last third of them is compared with the first: does
    /// the gate slow down as its ledger grows?
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// HTTP/2 connections of the callers.
    #[arg(long, value_name = "N", default_value_t = 4)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: u16,
    /// Threads of the callers [default: one for four cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
    /// Where PostgreSQL's data lies while it is needed: on the disk that is to be measured
    /// [default: /var/tmp].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A setting of the PostgreSQL that is started, such as shared_buffers=2GB. May be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse::label)]
    settings: Vec<(String, String)>,
    /// Serve as the baseline does: for the bench's own use.
    #[arg(long, hide = true)]
    serve_baseline: bool,
}

/// Workloads by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Reserve.
    Reserve,
    /// Reserve, then Commit.
    Pair,
    /// CheckEligibility.
    Check,
    /// BatchReserve of 100.
    Batch,
    /// 70% CheckEligibility, 20% Reserve, 10% Commit.
    Mix,
}

impl From<Kind> for Workload {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Reserve => Self::Reserve,
            Kind::Pair => Self::Pair,
            Kind::Check => Self::Check,
            Kind::Batch => Self::Batch(100),
            Kind::Mix => Self::Mix,
        }
    }
}

/// Baselines by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Baseline {
    /// A gRPC service with a transaction for each request.
    Service,
    /// A PL/pgSQL function for each Reserve, 16 connections, no gRPC.
    Function,
}

impl BenchArgs {
    /// Whether one load was asked for, rather than the matrix.
    fn is_one_load(&self) -> bool {
        let load = self.workload.is_some() || self.accounts.is_some() || self.zipf;
        let pace = self.callers.is_some() || self.rate.is_some();
        let others = !self.baseline.is_empty() || self.ledger || self.floor;
        load || pace || others || self.target.is_some() || self.history.is_some()
    }

    fn lines(&self) -> Lines {
        let built_in = Lines::default();
        Lines {
            connections: usize::from(self.connections),
            threads: self.threads.map_or(built_in.threads, usize::from),
            ..built_in
        }
    }

    fn place(&self) -> Place {
        Place {
            parent: self.data_dir.clone().unwrap_or_else(bench::default_parent),
            settings: self.settings.clone(),
            history: self.history.unwrap_or(0),
            lines: self.lines(),
        }
    }

    /// The matrix's size, as far as it was asked for.
    fn size(&self) -> Size {
        let mut size = if self.quick { Size::QUICK } else { Size::FULL };
        if !self.quick {
            size.times.warm_up = self.warm_up;
        }
        if let Some(seconds) = self.seconds {
            size.times.measured = Duration::from_secs(seconds.into());
        }
        if let Some(rounds) = self.rounds {
            size.rounds = usize::try_from(rounds).unwrap_or(size.rounds);
        }
        size
    }

    /// The load that was asked for, on the gate.
    fn load(&self) -> Slot {
        let built_in = if self.quick { Size::QUICK.accounts } else { Size::FULL.accounts };
        let count = self.accounts.unwrap_or(built_in);
        let callers = self.callers.and_then(|callers| usize::try_from(callers).ok());
        Slot {
            contestant: Contestant::Gate,
            workload: self.workload.unwrap_or(Kind::Reserve).into(),
            accounts: Accounts { count, zipf: self.zipf },
            pace: match self.rate {
                Some(rate) => Pace::Rate(rate.into()),
                None => Pace::Callers(callers.unwrap_or(CALLERS)),
            },
        }
    }

    /// Who is measured under one load.
    fn contestants(&self) -> Result<Vec<Contestant>, CliError> {
        let mut contestants = Vec::new();
        for (wanted, contestant) in [
            (self.baseline.contains(&Baseline::Service), Contestant::Service),
            (true, Contestant::Gate),
            (self.baseline.contains(&Baseline::Function), Contestant::Function),
            (self.floor, Contestant::Floor),
            (self.ledger, Contestant::Ledger),
        ] {
            if wanted {
                contestants.push(contestant);
            }
        }
        let load = self.load();
        let other = !matches!(load.workload, Workload::Reserve);
        let rate = matches!(load.pace, Pace::Rate(_));
        for contestant in &contestants {
            let cannot = match contestant {
                Contestant::Gate => false,
                Contestant::Service => matches!(load.workload, Workload::Batch(_)),
                Contestant::Function | Contestant::Ledger | Contestant::Floor => other || rate,
            };
            if cannot {
                let name = contestant.name();
                return Err(CliError::Usage(format!(
                    "{name} cannot be measured under this load: it only reserves{}",
                    if rate { ", and at no given rate" } else { "" }
                )));
            }
        }
        Ok(contestants)
    }

    /// How long one load takes, and how often.
    fn times(&self) -> (Times, usize) {
        let (seconds, rounds) = if self.quick { (1, 1) } else { (10, 3) };
        let measured = Duration::from_secs(self.seconds.unwrap_or(seconds).into());
        let rounds = usize::try_from(self.rounds.unwrap_or(rounds)).unwrap_or(1);
        let warm_up = if self.quick { Size::QUICK.times.warm_up } else { self.warm_up };
        (Times { warm_up, measured }, rounds)
    }
}

/// Measures, and prints what came out.
pub(super) async fn run(out: &Output, args: BenchArgs) -> Result<Outcome, CliError> {
    if args.serve_baseline {
        return serve_baseline().await;
    }
    start_logs("warn", LogFormat::Text)?;
    if cfg!(debug_assertions) {
        note("creditgate: this is a debug build, whose figures mean nothing: use --release");
    }
    if !args.quick && !args.is_one_load() {
        warn_of_small_disk(&args.place().parent);
    }
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    let bar = Bar::new();
    // Dropped where it is interrupted: that ends all processes, and removes the data.
    let report = tokio::select! {
        report = measure(&args, &bar) => report,
        () = stop.cancelled() => Err(CliError::Other("interrupted".to_owned())),
    };
    bar.0.finish_and_clear();
    let report = report?;
    let json = serde_json::to_value(&report).map_err(|error| CliError::Other(error.to_string()))?;
    out.document(text::report(&report).trim_end(), &json)?;
    Ok(if report.findings.is_empty() { Outcome::Done } else { Outcome::Code(1) })
}

/// A disk that fills up in the middle of a run is nobody's friend.
fn warn_of_small_disk(directory: &Path) {
    let Ok(disk) = statvfs(directory) else { return };
    #[allow(clippy::useless_conversion, reason = "blocks are counted in 32 bits elsewhere")]
    let free = u64::from(disk.blocks_available()).saturating_mul(disk.fragment_size());
    if free < WHOLE_RUN {
        let (free, needed) = (free >> 30, WHOLE_RUN >> 30);
        note(&format!(
            "creditgate: {} has {free} GiB free, and a whole run takes up to {needed}: --data-dir",
            directory.display()
        ));
    }
}

async fn measure(args: &BenchArgs, bar: &Bar) -> Result<Report, CliError> {
    let tell = |progress: Progress| bar.tell(&progress);
    let report = if !args.is_one_load() {
        bench::whole(args.size(), &args.place(), &tell).await
    } else if let Some(target) = &args.target {
        elsewhere(args, target, &tell).await
    } else {
        let contestants = args.contestants()?;
        let (times, rounds) = args.times();
        bench::one(&args.load(), &contestants, rounds, times, &args.place(), &tell).await
    };
    Ok(report?)
}

async fn elsewhere(
    args: &BenchArgs,
    target: &str,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Report, BenchError> {
    let address = target.trim_start_matches("http://").trim_end_matches('/');
    let load = args.load();
    let client = Client::connect(target).await?;
    let kind = bench::prepare(&client, load.accounts.count, args.kind.as_deref()).await?;
    let lines = Lines { scan_kind: kind, ..args.lines() };
    let (times, rounds) = args.times();
    bench::elsewhere(address, &load, rounds, times, &lines, tell).await
}

/// Serves as a baseline until it is told to stop. The bench starts this program
/// once more to have it in a process of its own.
async fn serve_baseline() -> Result<Outcome, CliError> {
    let settings =
        Settings::load(None, serde_json::json!({})).map_err(crate::server::ServerError::from)?;
    let url = settings.database_url().map_err(crate::server::ServerError::from)?;
    start_logs("info", LogFormat::Json)?;
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    let running = bench::baseline::service::start(url.reveal(), stop).await?;
    tracing::info!(grpc = %running.address, "ready");
    running.ended().await?;
    Ok(Outcome::Done)
}

/// How far it is, on a terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new(1);
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {elapsed}  {wide_msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(500));
        Self(bar)
    }

    fn tell(&self, progress: &Progress) {
        self.0.set_length(progress.of as u64);
        self.0.set_position(progress.done as u64);
        self.0.set_message(progress.what.clone());
    }
}
