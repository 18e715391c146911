//! Runs: the whole matrix, one load of one's own choice, or a gate elsewhere.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{
    BenchError,
    baseline::ledger,
    books,
    child::Child,
    field::{Contestant, Ready},
    load::Accounts,
    report::{self, Conditions, Figure, Memory, Promise, Report, Spread},
    slot::{self, Lines, Pace, Seen, Slot, Times},
    stage::Stage,
    suite::{self, Key, Of, Size, load},
    usage,
};

/// How long a gate is left alone before its memory counts as idle.
const REST: Duration = Duration::from_secs(1);

/// Where a run takes place, and how servers are called.
#[derive(Debug, Clone)]
pub struct Place {
    /// The directory in which PostgreSQL's data lies while it is needed.
    pub parent: PathBuf,
    /// Settings of PostgreSQL.
    pub settings: Vec<(String, String)>,
    /// Reservations that the accounts of one load have made and committed before.
    pub history: u64,
    /// How servers are called.
    pub lines: Lines,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Steps that are done.
    pub done: usize,
    /// Steps in all.
    pub of: usize,
    /// What comes now.
    pub what: String,
}

/// Counts steps.
struct Steps<'a> {
    tell: &'a (dyn Fn(Progress) + Sync),
    done: usize,
    of: usize,
}

impl Steps<'_> {
    fn next(&mut self, what: impl Into<String>) {
        (self.tell)(Progress { done: self.done, of: self.of, what: what.into() });
        self.done += 1;
    }
}

/// What only the gate is asked for.
const FRESH: Key = (load::FRESH, Contestant::Gate);
const OPEN: Key = (load::OPEN, Contestant::Gate);

/// What was seen of a kind of slot, round by round.
type Rounds = BTreeMap<Key, Vec<Seen>>;

/// The whole matrix.
///
/// # Errors
///
/// Something does not start, or the database refuses.
pub async fn whole(
    size: Size,
    place: &Place,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Report, BenchError> {
    let slots = suite::slots(&size);
    let of = 1 + slots.len() * size.rounds + size.fresh_rounds + size.rounds;
    let mut steps = Steps { tell, done: 0, of };
    steps.next("PostgreSQL and accounts");
    let mut stage = Stage::raise(&place.parent, &place.settings, size.accounts, 0).await?;
    let accounts = Accounts::uniform(size.accounts);
    let mut field = Vec::new();
    for contestant in [
        Contestant::Gate,
        Contestant::Service,
        Contestant::Function,
        Contestant::Ledger,
        Contestant::Floor,
    ] {
        field.push(Ready::on(&mut stage, contestant, accounts).await?);
    }
    stage.checkpoint().await?;
    tokio::time::sleep(REST).await;
    let memory = |field: &[Ready]| gate(field).and_then(Ready::server).and_then(usage::memory);
    let idle = memory(&field);

    let mut rounds = Rounds::new();
    for _ in 0..size.rounds {
        for (name, slot) in &slots {
            steps.next(format!("{name}: {}", slot.contestant.name()));
            let ready = find(&mut field, slot.contestant)?;
            let seen = slot::run(Some(&mut stage), ready, slot, &place.lines, size.times).await?;
            rounds.entry((name, slot.contestant)).or_default().push(seen);
        }
    }

    let mut figures: Vec<Figure> = slots
        .iter()
        .filter_map(|(name, slot)| figure((name, slot.contestant), slot, &rounds))
        .collect();
    let mut promises = ratios(&rounds);

    // The gate alone from here on.
    let fresh = reserve(accounts, Pace::Callers(suite::CALLERS));
    for number in 0..size.fresh_rounds {
        steps.next(load::FRESH);
        let seen = on_fresh(&mut stage, number, &fresh, &size, &place.lines).await?;
        rounds.entry(FRESH).or_default().push(seen);
    }
    let highest = Spread::of(seen(&rounds, (load::UNIFORM, Contestant::Gate)).map(Seen::rate));
    let rate = suite::OPEN_SHARE * highest.map_or(0.0, |rate| rate.median);
    let open = reserve(accounts, Pace::Rate(rate));
    for _ in 0..size.rounds {
        steps.next(load::OPEN);
        let ready = find(&mut field, Contestant::Gate)?;
        let seen = slot::run(Some(&mut stage), ready, &open, &place.lines, size.times).await?;
        rounds.entry(OPEN).or_default().push(seen);
    }
    figures.extend(figure(FRESH, &fresh, &rounds));
    figures.extend(figure(OPEN, &open, &rounds));
    let halves = seen(&rounds, FRESH).map(|seen| halves(seen, size.fresh));
    let (what, wanted) = suite::FRESH;
    promises.extend(Spread::of(halves).map(|found| Promise::of(what, found, wanted, "x")));
    let (what, wanted) = suite::OPEN;
    let late = Spread::of(seen(&rounds, OPEN).map(|seen| seen.latency(0.99)));
    promises.extend(late.map(|found| Promise::of(what, found, wanted, "ms")));

    let memory = idle.zip(memory(&field)).map(|((idle, _), (_, most))| Memory { idle, most });
    if let Some(Memory { idle, most }) = memory {
        for ((what, wanted), bytes) in suite::MEMORY.into_iter().zip([idle, most]) {
            let found = Spread::of([mebibytes(bytes)]);
            promises.extend(found.map(|found| Promise::of(what, found, wanted, "MiB")));
        }
    }
    let mut conditions = conditions(size.accounts, size.rounds, size.times);
    describe(&mut stage, &mut conditions).await?;
    let (checked_accounts, findings) = finish(stage, field).await?;
    Ok(Report { conditions, promises, figures, memory, checked_accounts, findings })
}

/// One load, on the gate and on what it is to be compared with.
///
/// # Errors
///
/// Something does not start, or the database refuses.
pub async fn one(
    asked: &Slot,
    contestants: &[Contestant],
    rounds: usize,
    times: Times,
    place: &Place,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Report, BenchError> {
    let mut steps = Steps { tell, done: 0, of: 1 + contestants.len() * rounds };
    steps.next("PostgreSQL and accounts");
    let accounts = asked.accounts;
    let mut stage =
        Stage::raise(&place.parent, &place.settings, accounts.count, place.history).await?;
    let mut field = Vec::new();
    for contestant in contestants {
        field.push(Ready::on(&mut stage, *contestant, accounts).await?);
    }
    stage.checkpoint().await?;
    tokio::time::sleep(REST).await;
    let memory = |field: &[Ready]| gate(field).and_then(Ready::server).and_then(usage::memory);
    let idle = memory(&field);
    let mut seen: BTreeMap<Contestant, Vec<Seen>> = BTreeMap::new();
    for _ in 0..rounds {
        for ready in &mut field {
            let contestant = ready.contestant();
            steps.next(contestant.name());
            let slot = slot_of(asked, contestant);
            let found = slot::run(Some(&mut stage), ready, &slot, &place.lines, times).await?;
            seen.entry(contestant).or_default().push(found);
        }
    }
    let figures = contestants.iter().filter_map(|contestant| {
        let slot = slot_of(asked, *contestant);
        let seen: Vec<&Seen> = seen.get(contestant)?.iter().collect();
        Figure::of(&slot.describe(), &slot, &seen)
    });
    let figures = figures.collect();
    let memory = idle.zip(memory(&field)).map(|((idle, _), (_, most))| Memory { idle, most });
    let mut conditions = conditions(accounts.count, rounds, times);
    conditions.history = place.history;
    describe(&mut stage, &mut conditions).await?;
    let mut promises = compared(&seen);
    promises.extend(seen.get(&Contestant::Gate).and_then(|seen| endurance(seen)));
    let (checked_accounts, findings) = finish(stage, field).await?;
    Ok(Report { conditions, promises, figures, memory, checked_accounts, findings })
}

/// The load as it is for one contestant: the gate's batches without gRPC have
/// callers enough to be as large as the floor's.
fn slot_of(asked: &Slot, contestant: Contestant) -> Slot {
    let pace = match contestant {
        Contestant::Ledger => Pace::Callers(ledger::CALLERS),
        _ => asked.pace,
    };
    Slot { contestant, pace, ..asked.clone() }
}

/// The gate's rate over that of each other contestant, and that of its batches
/// over the floor.
fn compared(seen: &BTreeMap<Contestant, Vec<Seen>>) -> Vec<Promise> {
    use Contestant::{Floor, Function, Gate, Ledger, Service};
    let pairs = [(Gate, Service), (Gate, Function), (Gate, Ledger), (Ledger, Floor)];
    let compare = |(one, other): (Contestant, Contestant)| {
        let rounds = seen.get(&one)?.iter().zip(seen.get(&other)?);
        let found = Spread::of(rounds.map(|(one, other)| one.rate() / other.rate()))?;
        Some(Promise::ratio(format!("{} over {}", one.name(), other.name()), found))
    };
    pairs.into_iter().filter_map(compare).collect()
}

/// One load on a gate that somebody else runs, whose accounts are there.
///
/// # Errors
///
/// It cannot be reached.
pub async fn elsewhere(
    address: &str,
    asked: &Slot,
    rounds: usize,
    times: Times,
    lines: &Lines,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Report, BenchError> {
    let mut steps = Steps { tell, done: 0, of: rounds };
    let mut ready = Ready::Elsewhere { address: address.to_owned() };
    let mut seen = Vec::new();
    for _ in 0..rounds {
        steps.next(address);
        seen.push(slot::run(None, &mut ready, asked, lines, times).await?);
    }
    let promises = endurance(&seen).into_iter().collect();
    let seen: Vec<&Seen> = seen.iter().collect();
    Ok(Report {
        conditions: conditions(asked.accounts.count, rounds, times),
        promises,
        figures: Figure::of(&asked.describe(), asked, &seen).into_iter().collect(),
        memory: None,
        checked_accounts: 0,
        findings: Vec::new(),
    })
}

fn reserve(accounts: Accounts, pace: Pace) -> Slot {
    let workload = super::load::Workload::Reserve;
    Slot { contestant: Contestant::Gate, workload, accounts, pace }
}

fn gate(field: &[Ready]) -> Option<&Ready> {
    field.iter().find(|ready| ready.contestant() == Contestant::Gate)
}

fn find(field: &mut [Ready], contestant: Contestant) -> Result<&mut Ready, BenchError> {
    let found = field.iter_mut().find(|ready| ready.contestant() == contestant);
    found.ok_or_else(|| BenchError::Other(format!("{} is not there", contestant.name())))
}

fn seen(rounds: &Rounds, key: Key) -> impl Iterator<Item = &Seen> {
    rounds.get(&key).into_iter().flatten()
}

fn figure(key: Key, slot: &Slot, rounds: &Rounds) -> Option<Figure> {
    let seen: Vec<&Seen> = seen(rounds, key).collect();
    Figure::of(key.0, slot, &seen)
}

/// The promised ratios: the median over the rounds, each with its own.
fn ratios(rounds: &Rounds) -> Vec<Promise> {
    let of = |seen: &Seen, what| match what {
        Of::Rate => seen.rate(),
        Of::Median => seen.latency(0.5),
    };
    let promise = |ratio: &suite::Ratio| {
        let pairs = seen(rounds, ratio.slot).zip(seen(rounds, ratio.against));
        let found = Spread::of(pairs.map(|(a, b)| of(a, ratio.of) / of(b, ratio.of)))?;
        Some(Promise::of(ratio.what, found, ratio.wanted, "x"))
    };
    suite::RATIOS.iter().filter_map(promise).collect()
}

/// Whether the gate is still as fast after what it has written, where the rounds are
/// enough to tell.
fn endurance(seen: &[Seen]) -> Option<Promise> {
    let rates: Vec<f64> = seen.iter().map(Seen::rate).collect();
    let (what, wanted) = suite::ENDURANCE;
    let found = Spread::of(report::endurance(&rates))?;
    Some(Promise::of(what, found, wanted, "x"))
}

/// A new database, a new server, and no warm-up.
async fn on_fresh(
    stage: &mut Stage,
    number: usize,
    slot: &Slot,
    size: &Size,
    lines: &Lines,
) -> Result<Seen, BenchError> {
    let venue = stage.venue(&format!("fresh_{number}")).await?;
    let child = Box::new(Child::gate(&venue.url).await?);
    let mut ready = Ready::Served { contestant: Contestant::Gate, child, venue };
    let times = Times { warm_up: Duration::ZERO, measured: 2 * size.fresh };
    let seen = slot::run(Some(stage), &mut ready, slot, lines, times).await?;
    ready.leave().await?;
    Ok(seen)
}

/// What the first seconds were worth, over as many that followed.
fn halves(seen: &Seen, half: Duration) -> f64 {
    let half = usize::try_from(half.as_secs()).unwrap_or(1);
    let sum = |from: usize| seen.tally.by_second.iter().skip(from).take(half).sum::<u64>();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let ratio = sum(0) as f64 / (sum(half) as f64).max(1.0);
    ratio
}

fn mebibytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let bytes = bytes as f64;
    bytes / 1_048_576.0
}

fn conditions(accounts: u32, rounds: usize, times: Times) -> Conditions {
    Conditions {
        version: env!("CARGO_PKG_VERSION"),
        optimized: !cfg!(debug_assertions),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        processor: usage::processor().unwrap_or_default(),
        accounts,
        rounds,
        seconds: times.measured.as_secs_f64(),
        ..Conditions::default()
    }
}

async fn describe(stage: &mut Stage, conditions: &mut Conditions) -> Result<(), BenchError> {
    let (version, settings) = stage.describe().await?;
    conditions.postgres = version;
    conditions.settings = settings.into_iter().collect();
    Ok(())
}

/// Ends all of it, after a look into everybody's books.
async fn finish(stage: Stage, field: Vec<Ready>) -> Result<(usize, Vec<String>), BenchError> {
    let (mut checked, mut findings) = (0, Vec::new());
    for ready in field {
        let (venue, name) = (ready.venue().cloned(), ready.contestant().name());
        ready.leave().await?;
        if let Some(venue) = venue {
            let (accounts, found) = books::check(&venue.owner_url).await?;
            checked += accounts;
            findings.extend(found.into_iter().map(|what| format!("{name}: {what}")));
        }
    }
    stage.strike().await?;
    Ok((checked, findings))
}
