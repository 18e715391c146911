//! Plants one bug after the other, and sees that each is caught.

use std::time::Duration;

use creditgate::planted::Bug;

use crate::{
    faults::Fault,
    number,
    postgres::Postgres,
    schedule::{Schedule, program},
};

/// Schedules in which a bug has to be caught.
const TRIES: u64 = 12;

/// The key that stops a ledger with two entries of one place.
const NO_ENTRY_KEY: &str = "
    ALTER TABLE cell_00.ledger_entries DROP CONSTRAINT ledger_entries_pkey;
    CREATE INDEX ledger_entries_unkeyed_idx
        ON cell_00.ledger_entries (account_id, credit_type, sequence)";
/// What stops a balance below zero.
const NO_FLOOR: &str = "
    ALTER TABLE cell_00.balances DROP CONSTRAINT balances_available_check;
    ALTER TABLE cell_00.balances DROP CONSTRAINT balances_reserved_check;
    ALTER TABLE cell_00.balances DROP CONSTRAINT balances_spent_check;
    ALTER TABLE cell_00.balances DROP CONSTRAINT balances_held_scans_check;
    ALTER TABLE cell_00.lots DROP CONSTRAINT lots_remaining_check";

/// What the schema itself would stop a bug by, taken away: it is the checker that
/// is tested here.
fn unguard(bug: Bug) -> &'static str {
    match bug {
        Bug::NoLockNoGuard | Bug::SequenceReused => NO_ENTRY_KEY,
        Bug::ReaperUnchecked
        | Bug::LateCommitUnchecked
        | Bug::RestoredTwice
        | Bug::RefundedTwice
        | Bug::CommitsMidway => NO_FLOOR,
        _ => "",
    }
}

/// What goes wrong while a bug is looked for: some need a fault to do harm.
fn deck(bug: Bug) -> Vec<Fault> {
    match bug {
        Bug::AnswersWhateverCommitSays => vec![Fault::Stopped, Fault::Cut, Fault::PostmasterKilled],
        Bug::RetriedAsNew | Bug::CommitsMidway => {
            vec![Fault::CommitAnswerLost, Fault::KilledAfterCommit]
        }
        Bug::SeenApart => vec![Fault::Killed, Fault::Stopped, Fault::RowsLocked, Fault::Partition],
        Bug::ToldTooSoon => vec![Fault::Slow, Fault::PausedInTransaction],
        _ => vec![Fault::Cut, Fault::Slow],
    }
}

#[test]
fn every_planted_bug_is_caught_and_nobody_is_accused_without_one() {
    let length = Duration::from_secs(number("CREDITGATE_FAULT_SECONDS", 8));
    let first = number("CREDITGATE_SEED", 1);
    let only = std::env::var("CREDITGATE_PLANTED_BUG").ok();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut postgres = runtime.block_on(Postgres::start());
    let mut run = |bug: Bug, planted: bool, n: u64| {
        let name: &'static str = bug.name().leak();
        let schedule = Schedule {
            seed: first + n,
            length,
            deck: deck(bug),
            all: true,
            program: program(),
            earlier: None,
            planted: planted.then_some(name),
            unguard: unguard(bug),
        };
        runtime.block_on(Box::pin(schedule.run(&mut postgres)))
    };
    let mut missed = Vec::new();
    println!("{:<26} {:>9}  {:>7}  first finding", "planted", "schedules", "calls");
    for bug in Bug::ALL.into_iter().filter(|bug| only.as_ref().is_none_or(|n| *n == bug.name())) {
        // Guards hold where locks are lost: there is nothing to be found.
        let harmless = bug == Bug::NoRowLock;
        let tries = if harmless { 2 } else { TRIES };
        let mut calls = 0;
        let mut caught = None;
        for n in 0..tries {
            let report = run(bug, true, n);
            calls += report.calls;
            if let Some(finding) = report.findings.into_iter().next() {
                caught = Some((n + 1, finding));
                break;
            }
        }
        let (schedules, finding) = match &caught {
            Some((n, finding)) => (*n, finding.chars().take(110).collect()),
            None => (tries, "nothing".to_owned()),
        };
        println!("{:<26} {schedules:>9}  {calls:>7}  {finding}", bug.name());
        if caught.is_some() == harmless {
            missed.push(bug);
        }
    }
    // The same schedules without a bug, and without what the schema would stop one by.
    let mut accused = Vec::new();
    for bug in [Bug::NoLockNoGuard, Bug::ReaperUnchecked, Bug::RetriedAsNew, Bug::SeenApart] {
        accused.extend(run(bug, false, 0).findings);
    }
    println!("accused without a bug: {accused:?}");
    assert_eq!((missed, accused), (Vec::new(), Vec::new()));
}
