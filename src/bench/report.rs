//! What came out: figures of each slot, and what was promised of them.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{
    load::{Accounts, Tally, Workload},
    slot::{Pace, Seen, Slot},
    suite::Wanted,
};

/// All that came out of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// On what, and how.
    pub conditions: Conditions,
    /// What was compared, and whether what is promised of it is kept.
    pub promises: Vec<Promise>,
    /// What was measured.
    pub figures: Vec<Figure>,
    /// Memory of the gate.
    pub memory: Option<Memory>,
    /// Accounts whose books were checked afterwards, in all databases of ours.
    pub checked_accounts: usize,
    /// What does not agree in them: the contestant, and what.
    pub findings: Vec<String>,
}

/// What a figure depends on.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Conditions {
    /// Of this program.
    pub version: &'static str,
    /// False for a build whose figures mean nothing.
    pub optimized: bool,
    /// Of the machine.
    pub cores: usize,
    /// Of the machine.
    pub processor: String,
    /// The server's version; empty where it is not ours.
    pub postgres: String,
    /// Settings of the server.
    pub settings: BTreeMap<String, String>,
    /// Accounts in each database.
    pub accounts: u32,
    /// Reservations that they had made and committed before.
    pub history: u64,
    /// Times that each slot was run.
    pub rounds: usize,
    /// Seconds that each slot was measured for.
    pub seconds: f64,
}

/// A median, and the least and the most of what it is the median of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// The least.
    pub low: f64,
    /// The most.
    pub high: f64,
}

impl Spread {
    /// Of these; `None` where there are none.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        let median = match values.len() % 2 {
            0 => f64::midpoint(*values.get(middle.checked_sub(1)?)?, upper),
            _ => upper,
        };
        Some(Self { median, low: *values.first()?, high: *values.last()? })
    }
}

/// What was compared, and what is promised of it.
#[derive(Debug, Clone, Serialize)]
pub struct Promise {
    /// Of what.
    pub what: String,
    /// What was measured.
    pub measured: Spread,
    /// What is promised, where something is.
    pub wanted: Option<Wanted>,
    /// `x` for a ratio, `ms`, `MiB`.
    pub unit: &'static str,
    /// Whether it is kept.
    pub met: Option<bool>,
}

impl Promise {
    /// A promise, judged.
    pub(super) fn of(what: &str, measured: Spread, wanted: Wanted, unit: &'static str) -> Self {
        let met = Some(wanted.is_met(measured.median));
        Self { what: what.to_owned(), measured, wanted: Some(wanted), unit, met }
    }

    /// A ratio of which nothing is promised.
    pub(super) fn ratio(what: String, measured: Spread) -> Self {
        Self { what, measured, wanted: None, unit: "x", met: None }
    }
}

/// The last third of the rounds over the first third, each by its median: what is
/// left of the rate now that the ledger has grown. `None` for fewer rounds than
/// six: of single ones the machine's noise is all that shows.
pub(super) fn endurance(rates: &[f64]) -> Option<f64> {
    let third = rates.len() / 3;
    if third < 2 {
        return None;
    }
    let first = Spread::of(rates.iter().take(third).copied())?;
    let last = Spread::of(rates.iter().skip(rates.len() - third).copied())?;
    (first.median > 0.0).then(|| last.median / first.median)
}

/// Memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Before the first call.
    pub idle: u64,
    /// The most that it ever was.
    pub most: u64,
}

/// What was measured in the slots of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// Which slot.
    pub name: String,
    /// Who and what.
    pub slot: Slot,
    /// What is counted.
    pub unit: &'static str,
    /// So many a second.
    pub rate: Spread,
    /// The same, round by round.
    pub rates: Vec<f64>,
    /// Milliseconds, by the part of calls that took no longer.
    pub latency: Latency,
    /// CPU seconds for 1,000 of what is counted.
    pub cpu: CpuPerThousand,
    /// Commands in a batch.
    pub batch: Option<f64>,
    /// Bytes of database for each of what is counted.
    pub database_bytes: Option<f64>,
    /// Bytes of log for each of what is counted.
    pub log_bytes: Option<f64>,
    /// Calls that were turned away (RESOURCE_EXHAUSTED), where there were any.
    pub shed: Option<Shed>,
    /// What else went wrong, and how often.
    pub failures: BTreeMap<String, u64>,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// Half of the calls.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// All but one of a hundred.
    pub p99: f64,
    /// All but one of a thousand.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

impl Latency {
    fn of(micros: &Histogram<u64>) -> Self {
        let quantile = |part: f64| millis(micros.value_at_quantile(part));
        Self {
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: millis(micros.max()),
        }
    }
}

/// Calls that were turned away.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Shed {
    /// How many.
    pub calls: u64,
    /// From when they were sent to when they knew it.
    pub latency: Latency,
}

impl Shed {
    fn of(micros: &Histogram<u64>) -> Option<Self> {
        let calls = micros.len();
        (calls > 0).then(|| Self { calls, latency: Latency::of(micros) })
    }
}

/// CPU seconds for 1,000 of what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CpuPerThousand {
    /// Of the callers, and of a contestant without a process of its own.
    pub client: Option<f64>,
    /// Of the server.
    pub server: Option<f64>,
    /// Of PostgreSQL.
    pub postgres: Option<f64>,
}

impl Figure {
    /// Of all rounds of a slot; `None` where it was never run.
    pub(super) fn of(name: &str, slot: &Slot, seen: &[&Seen]) -> Option<Self> {
        let rates: Vec<f64> = seen.iter().map(|seen| seen.rate()).collect();
        let rate = Spread::of(rates.iter().copied())?;
        let mut tally: Tally = seen.first()?.tally.clone();
        for more in seen.iter().skip(1) {
            tally.add(&more.tally);
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let units = (tally.units as f64).max(1.0);
        let sum = |of: fn(&Seen) -> Option<f64>| -> Option<f64> {
            seen.iter().map(|seen| of(seen)).sum()
        };
        let per_thousand = |of| sum(of).map(|seconds| seconds / units * 1_000.0);
        let per_unit = |of| sum(of).map(|bytes| bytes / units);
        let batch = sum(|seen| seen.batches.map(|(commands, _)| commands))
            .zip(sum(|seen| seen.batches.map(|(_, batches)| batches)))
            .filter(|(_, batches)| *batches > 0.0)
            .map(|(commands, batches)| commands / batches);
        Some(Self {
            name: name.to_owned(),
            unit: slot.workload.unit(),
            rate,
            rates,
            latency: Latency::of(&tally.latency),
            cpu: CpuPerThousand {
                client: per_thousand(|seen| seen.cpu.client),
                server: per_thousand(|seen| seen.cpu.server),
                postgres: per_thousand(|seen| seen.cpu.postgres),
            },
            batch,
            database_bytes: per_unit(|seen| seen.database_bytes.map(bytes)),
            log_bytes: per_unit(|seen| seen.log_bytes.map(bytes)),
            slot: slot.clone(),
            shed: Shed::of(&tally.shed),
            failures: tally.failures,
        })
    }
}

fn millis(micros: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most a minute of microseconds")]
    let micros = micros as f64;
    micros / 1_000.0
}

fn bytes(bytes: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let bytes = bytes as f64;
    bytes
}

impl Slot {
    /// In words: "reserve, 256 callers, 10000 accounts".
    #[must_use]
    pub fn describe(&self) -> String {
        let workload = match self.workload {
            Workload::Reserve => "reserve".to_owned(),
            Workload::Pair => "reserve and commit".to_owned(),
            Workload::Check => "check".to_owned(),
            Workload::Batch(size) => format!("batches of {size}"),
            Workload::Mix => "mix".to_owned(),
        };
        let pace = match self.pace {
            Pace::Callers(1) => "1 caller".to_owned(),
            Pace::Callers(callers) => format!("{callers} callers"),
            Pace::Rate(rate) => format!("{rate:.0} calls/s"),
        };
        let accounts = match self.accounts {
            Accounts { count: 1, .. } => "1 account".to_owned(),
            Accounts { count, zipf: false } => format!("{count} accounts"),
            Accounts { count, zipf: true } => format!("{count} accounts (Zipf)"),
        };
        format!("{workload}, {pace}, {accounts}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_or_between_the_two_in_the_middle() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, low: 1.0, high: 3.0 }));
        assert_eq!(spread(&[4.0, 1.0]), Some(Spread { median: 2.5, low: 1.0, high: 4.0 }));
        assert_eq!(spread(&[f64::NAN]), None);
    }

    #[test]
    fn what_is_left_of_a_rate_is_the_last_third_over_the_first() {
        assert_eq!(endurance(&[10.0, 12.0, 7.0, 1.0, 5.5, 5.5]), Some(0.5));
        // One slow round in the middle of a third is noise, not a decline.
        let noisy = [9.0, 10.0, 11.0, 7.0, 7.0, 7.0, 10.0, 1.0, 12.0];
        assert_eq!(endurance(&noisy), Some(1.0));
    }

    #[test]
    fn a_few_rounds_do_not_tell_what_is_left_of_a_rate() {
        assert_eq!(endurance(&[10.0, 10.0, 10.0, 1.0, 1.0]), None);
        assert_eq!(endurance(&[]), None);
        assert_eq!(endurance(&[0.0; 6]), None);
    }

    #[test]
    fn a_promise_is_kept_or_not_by_its_median() {
        let measured = Spread { median: 8.0, low: 1.0, high: 9.0 };
        let met = |wanted| Promise::of("a", measured, wanted, "x").met;
        assert_eq!(met(Wanted::AtLeast(8.0)), Some(true));
        assert_eq!(met(Wanted::Below(8.0)), Some(false));
        assert_eq!(met(Wanted::AtMost(0.6)), Some(false));
    }
}
