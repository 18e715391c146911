//! What an import found, and what it did.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::ids::CreditType;

/// The bad lines that are told: who has more mends these first.
const MOST_TOLD: usize = 100;

/// What an import found, and what it did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// True where it was to write, and no line was bad.
    pub applied: bool,
    /// Lines in the file.
    pub lines: u64,
    /// Bad lines.
    pub bad: BadLines,
    /// Accounts.
    pub accounts: Tally,
    /// Projects.
    pub projects: Tally,
    /// Lots of credits.
    pub lots: Tally,
    /// Subscriptions.
    pub subscriptions: Tally,
    /// The credits of the lots, by type.
    pub credits: BTreeMap<CreditType, Tally>,
    /// Why it ended before it was done: the same again goes on from there.
    pub stopped: Option<String>,
}

impl Report {
    /// True where nothing was new.
    #[must_use]
    pub fn is_all_there(&self) -> bool {
        [&self.accounts, &self.projects, &self.lots, &self.subscriptions]
            .iter()
            .all(|tally| tally.in_file == tally.already_there)
    }
}

/// How many of a kind. Of bad lines none is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// In the file.
    pub in_file: u64,
    /// Not there before: created, or, where nothing was applied, to be created.
    pub new: u64,
    /// There before, as the file has them.
    pub already_there: u64,
}

impl Tally {
    /// Counts what the file has.
    pub(super) fn of(in_file: usize) -> Self {
        Self { in_file: in_file as u64, ..Self::default() }
    }
}

/// The bad lines: the first of them with what is wrong, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BadLines {
    /// How many there are.
    pub count: u64,
    /// What is wrong, by line.
    pub first: BTreeMap<u64, String>,
}

impl BadLines {
    /// Notes a line. No line comes twice.
    pub(super) fn add(&mut self, line: u64, what: impl Into<String>) {
        self.count += 1;
        self.first.insert(line, what.into());
        if self.first.len() > MOST_TOLD {
            self.first.pop_last();
        }
    }
}
