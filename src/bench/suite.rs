//! The matrix: what is measured in each round, what is compared with what, and
//! what is wanted.

use std::time::Duration;

use serde::Serialize;

use super::{
    baseline::ledger,
    field::Contestant,
    load::{Accounts, Workload},
    slot::{Pace, Slot, Times},
};

/// How large a run is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Accounts, where not one is hot.
    pub accounts: u32,
    /// Times that each slot is run.
    pub rounds: usize,
    /// How long a slot takes.
    pub times: Times,
    /// The half of what a fresh database is watched for.
    pub fresh: Duration,
    /// Fresh databases.
    pub fresh_rounds: usize,
}

impl Size {
    /// Figures to quote.
    pub const FULL: Self = Self {
        accounts: 10_000,
        rounds: 5,
        times: Times { warm_up: Duration::from_millis(1_000), measured: Duration::from_secs(3) },
        fresh: Duration::from_secs(10),
        fresh_rounds: 3,
    };

    /// Whether it works at all.
    pub const QUICK: Self = Self {
        accounts: 1_000,
        rounds: 1,
        times: Times { warm_up: Duration::from_millis(200), measured: Duration::from_millis(500) },
        fresh: Duration::from_secs(1),
        fresh_rounds: 1,
    };
}

/// Callers of a busy platform.
pub const CALLERS: usize = 256;
/// Callers of BatchReserve: so many that what is in flight fits into the lanes.
const BATCH_CALLERS: usize = 16;
/// Reservations in one BatchReserve.
const BATCH: u16 = 100;

/// Loads that are compared, by name.
pub(super) mod load {
    pub(in crate::bench) const UNIFORM: &str = "reserve, uniform";
    pub(in crate::bench) const HOT: &str = "reserve, hot";
    pub(in crate::bench) const LONE: &str = "reserve, one caller";
    pub(in crate::bench) const BATCH: &str = "reserve, batches of 100";
    pub(in crate::bench) const OPEN: &str = "reserve, 70% of the highest rate";
    pub(in crate::bench) const FRESH: &str = "reserve, fresh database";
}

/// A load, and who bears it.
pub(super) type Key = (&'static str, Contestant);

/// The slots of a round, those that are compared next to each other.
pub(super) fn slots(size: &Size) -> Vec<(&'static str, Slot)> {
    use Contestant::{Floor, Function, Gate, Ledger, Service};
    let all = Accounts::uniform(size.accounts);
    let hot = Accounts::HOT;
    let slot = |contestant, workload, accounts, callers| Slot {
        contestant,
        workload,
        accounts,
        pace: Pace::Callers(callers),
    };
    let reserve =
        |contestant, accounts, callers| slot(contestant, Workload::Reserve, accounts, callers);
    vec![
        (load::UNIFORM, reserve(Service, all, CALLERS)),
        (load::UNIFORM, reserve(Gate, all, CALLERS)),
        (load::UNIFORM, reserve(Function, all, CALLERS)),
        (load::HOT, reserve(Service, hot, CALLERS)),
        (load::HOT, reserve(Gate, hot, CALLERS)),
        (load::HOT, reserve(Function, hot, CALLERS)),
        (load::LONE, reserve(Service, all, 1)),
        (load::LONE, reserve(Gate, all, 1)),
        (load::UNIFORM, reserve(Floor, all, 1)),
        (load::UNIFORM, reserve(Ledger, all, ledger::CALLERS)),
        (load::BATCH, slot(Gate, Workload::Batch(BATCH), all, BATCH_CALLERS)),
        ("reserve, Zipf", reserve(Gate, Accounts::zipf(size.accounts), CALLERS)),
        ("reserve and commit", slot(Gate, Workload::Pair, all, CALLERS)),
        ("check", slot(Gate, Workload::Check, all, CALLERS)),
        ("mix", slot(Gate, Workload::Mix, all, CALLERS)),
    ]
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Units a second.
    Rate,
    /// The median latency.
    Median,
}

/// What is wanted of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// Less than this.
    Below(f64),
}

impl Wanted {
    /// Whether a figure is good enough.
    #[must_use]
    pub fn is_met(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(bound) => figure >= bound,
            Self::AtMost(bound) => figure <= bound,
            Self::Below(bound) => figure < bound,
        }
    }
}

/// A ratio of two slots of the same round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ratio {
    pub(super) what: &'static str,
    pub(super) of: Of,
    pub(super) slot: Key,
    pub(super) against: Key,
    pub(super) wanted: Wanted,
}

const fn ratio(what: &'static str, of: Of, slot: Key, against: Key, wanted: Wanted) -> Ratio {
    Ratio { what, of, slot, against, wanted }
}

/// The ratios that the project promises.
pub(super) const RATIOS: [Ratio; 8] = [
    ratio(
        "reserve, uniform: gate over service",
        Of::Rate,
        (load::UNIFORM, Contestant::Gate),
        (load::UNIFORM, Contestant::Service),
        Wanted::AtLeast(8.0),
    ),
    ratio(
        "reserve, hot: gate over service",
        Of::Rate,
        (load::HOT, Contestant::Gate),
        (load::HOT, Contestant::Service),
        Wanted::AtLeast(20.0),
    ),
    ratio(
        "reserve, uniform: gate over function",
        Of::Rate,
        (load::UNIFORM, Contestant::Gate),
        (load::UNIFORM, Contestant::Function),
        Wanted::AtLeast(1.5),
    ),
    ratio(
        "reserve, hot: gate over function",
        Of::Rate,
        (load::HOT, Contestant::Gate),
        (load::HOT, Contestant::Function),
        Wanted::AtLeast(6.0),
    ),
    ratio(
        "reserve, one caller, p50: gate over service",
        Of::Median,
        (load::LONE, Contestant::Gate),
        (load::LONE, Contestant::Service),
        Wanted::AtMost(0.6),
    ),
    ratio(
        "reserve, uniform: batches without gRPC over floor",
        Of::Rate,
        (load::UNIFORM, Contestant::Ledger),
        (load::UNIFORM, Contestant::Floor),
        Wanted::AtLeast(0.7),
    ),
    ratio(
        "reserve: hot over uniform",
        Of::Rate,
        (load::HOT, Contestant::Gate),
        (load::UNIFORM, Contestant::Gate),
        Wanted::AtLeast(1.0),
    ),
    ratio(
        "reservations: BatchReserve of 100 over Reserve",
        Of::Rate,
        (load::BATCH, Contestant::Gate),
        (load::UNIFORM, Contestant::Gate),
        Wanted::AtLeast(2.0),
    ),
];

/// The second half of a fresh database's time over the first.
pub(super) const FRESH: (&str, Wanted) =
    ("reserve, fresh database: first seconds over next", Wanted::AtLeast(0.9));
/// The open loop's p99 in milliseconds.
pub(super) const OPEN: (&str, Wanted) =
    ("reserve, open loop at 70% of the highest rate: p99", Wanted::Below(25.0));
/// What is left of the gate's rate after many rounds of one load.
pub(super) const ENDURANCE: (&str, Wanted) =
    ("gate: last third of the rounds over the first", Wanted::AtLeast(0.8));
/// Part of the highest rate that the open loop has.
pub(super) const OPEN_SHARE: f64 = 0.7;
/// The server's memory in MiB.
pub(super) const MEMORY: [(&str, Wanted); 2] = [
    ("resident memory of the gate, idle", Wanted::Below(30.0)),
    ("resident memory of the gate, most under load", Wanted::Below(150.0)),
];
