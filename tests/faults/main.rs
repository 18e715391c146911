//! Three replicas, real PostgreSQL that flushes, real sockets, everything that can
//! go wrong, and a checker that misses nothing: is each acknowledged credit there,
//! and spent once?
//!
//! - `make faults` runs many schedules; CREDITGATE_FAULT_SCHEDULES says how many,
//!   CREDITGATE_FAULT_SECONDS how long each takes, CREDITGATE_FAULT_WORKERS how many
//!   run at once, CREDITGATE_SEED which is the first. A failure names its seed.
//!   CREDITGATE_FAULTS_EARLIER names the program of an earlier commit, which then is
//!   one of the three replicas: `make faults EARLIER=COMMIT` builds it. It has to be one
//!   that writes the feed of events.
//! - `make faults-selftest` plants bugs in the program, one at a time, and sees that
//!   each is caught, and that nobody is accused without one.
//! - `cargo test --test faults` runs a short part.
//!
//! Reading order: [`history`] (what was asked and answered), [`checker`], [`clients`]
//! and [`webhooks`] (who asks), [`told`] (who listens), [`nemesis`] (what goes wrong) with [`postgres`],
//! [`proxy`] and [`replica`] (what it goes wrong with), [`schedule`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_sign_loss,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by a panic"
)]

mod books;
mod checker;
mod clients;
mod faults;
mod history;
mod leases;
mod nemesis;
mod postgres;
mod proxy;
mod replica;
mod rolling;
mod schedule;
#[cfg(feature = "planted-bugs")]
mod selftest;
mod send;
mod told;
mod webhooks;

use std::{collections::VecDeque, sync::Mutex, time::Duration};

use faults::{Fault, Fired};
use postgres::Postgres;
use schedule::{Report, Schedule, earlier, program};

/// A number from the environment.
fn number(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => otherwise,
    }
}

/// Carries schedules out, some at once, and tells of each. Every worker has a
/// PostgreSQL of its own.
fn run_all(schedules: Vec<Schedule>, workers: u64) -> Vec<Report> {
    let waiting = Mutex::new(VecDeque::from(schedules));
    let work = || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut postgres = Postgres::start().await;
            let mut reports = Vec::new();
            loop {
                let Some(schedule) = waiting.lock().unwrap().pop_front() else { return reports };
                let report = Box::pin(schedule.run(&mut postgres)).await;
                tell(schedule.seed, &report);
                reports.push(report);
            }
        })
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn tell(seed: u64, report: &Report) {
    println!(
        "schedule {seed}: {} calls, {} unknown of which {} had been done, {} entries, {} events, \
         {} findings",
        report.calls,
        report.unknown,
        report.unknown_done,
        report.entries,
        report.events,
        report.findings.len()
    );
    if !report.findings.is_empty() {
        report.diary.iter().for_each(|line| println!("  {line}"));
        report.findings.iter().take(20).for_each(|finding| println!("  ! {finding}"));
    }
}

fn longest(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    match (sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(middle), Some(last)) => {
            format!("{} times, half within {middle:.2?}, all within {last:.2?}", sorted.len())
        }
        _ => "never".to_owned(),
    }
}

#[test]
fn schedules_of_faults_lose_nothing_and_spend_nothing_twice() {
    let schedules = number("CREDITGATE_FAULT_SCHEDULES", 2);
    let length = Duration::from_secs(number("CREDITGATE_FAULT_SECONDS", 12));
    let first = number("CREDITGATE_SEED", 1);
    // In the short part, what goes wrong most.
    let halves = [
        vec![Fault::KilledAfterCommit, Fault::CommitAnswerLost, Fault::Stopped, Fault::Paused],
        vec![Fault::Killed, Fault::PostmasterKilled, Fault::Cut, Fault::FailedOver],
    ];
    let is_short = std::env::var("CREDITGATE_FAULT_SCHEDULES").is_err();
    let plan = |n: u64| Schedule {
        seed: first + n,
        length,
        deck: match halves.get(usize::try_from(n).unwrap()) {
            Some(half) if is_short => half.clone(),
            _ => Fault::planned(),
        },
        all: is_short,
        program: program(),
        earlier: earlier(),
        planted: None,
        unguard: "",
    };
    let workers = number("CREDITGATE_FAULT_WORKERS", 1);
    let mut reports = run_all((0..schedules).map(plan).collect(), workers);

    let fired = Fired::default();
    reports.iter().for_each(|report| fired.add(&report.fired));
    let sum = |of: fn(&Report) -> usize| reports.iter().map(of).sum::<usize>();
    println!(
        "{} schedules: {} calls, {} unknown of which {} had been done, {} entries, {} events",
        reports.len(),
        sum(|r| r.calls),
        sum(|r| r.unknown),
        sum(|r| r.unknown_done),
        sum(|r| r.entries),
        sum(|r| r.events)
    );
    println!("how often each fault happened:\n{fired}");
    let all = |of: fn(&mut Report) -> &mut Vec<Duration>, reports: &mut Vec<Report>| {
        longest(&reports.iter_mut().flat_map(|report| of(report).drain(..)).collect::<Vec<_>>())
    };
    println!("back after the database: {}", all(|r| &mut r.timings.back, &mut reports));
    println!("a replica is ready: {}", all(|r| &mut r.timings.ready, &mut reports));
    println!("held up by one stopped: {}", all(|r| &mut r.timings.held_up, &mut reports));
    let failed = reports.iter().filter(|report| !report.findings.is_empty()).count();
    assert_eq!(failed, 0, "schedules with findings");
    if is_short {
        assert!(halves.concat().iter().all(|fault| fired.times(*fault) > 0), "{fired}");
    } else if schedules >= 20 {
        assert_eq!(fired.missing(), [], "a fault never happened: this run proves nothing of it");
    }
}
