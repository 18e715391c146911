//! What another system has, from a file: accounts, projects, lots of credits with
//! what remains of them, subscriptions.
//!
//! A file is read whole and checked, then compared with the database; only where
//! no line is bad is anything written. Credits go through the ledger as grants,
//! keyed by the lot's id, so the same file again changes nothing, and one that was
//! interrupted is finished by applying it again.
//!
//! Reading order: `lines` (bytes to lines), `csv` and `json` (lines to `fields`),
//! `values` and `record` (fields to records), `input` (a whole file), `check` (what
//! the database says of it), `apply` and `feed` (the way into the ledger), `report`.

mod apply;
mod check;
mod csv;
mod feed;
mod fields;
mod input;
mod json;
mod lines;
mod record;
mod report;
mod values;

use std::{
    io::{self, BufRead},
    path::Path,
};

use tokio_util::sync::CancellationToken;

use crate::{
    billing::{Billing, BillingError},
    ledger::Ledger,
};
pub use feed::in_flight;
pub use report::{BadLines, Report, Tally};

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values under a header.
    Csv,
    /// A JSON object a line.
    JsonLines,
}

impl Format {
    /// What a file's name says of its format.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

/// Why an import gave no report.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    Read(#[from] io::Error),
    /// The database cannot be asked.
    #[error(transparent)]
    Billing(#[from] BillingError),
}

/// Who is told how far an import is: what is being done, how much of how much.
pub struct Progress<'p>(pub &'p (dyn Fn(&str, u64, u64) + Sync));

impl Progress<'_> {
    fn tell(&self, what: &str, done: usize, of: usize) {
        (self.0)(what, done as u64, of as u64);
    }
}

impl std::fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Progress")
    }
}

/// How a file is to be applied.
#[derive(Debug)]
pub struct Options<'o> {
    /// Lanes of the ledger: what keeps each of them busy is in flight.
    pub lanes: usize,
    /// Who is told how far it is.
    pub progress: Progress<'o>,
    /// Ends it early: what is in flight is waited for.
    pub stop: CancellationToken,
}

/// A file that was compared with the database.
#[derive(Debug)]
pub struct Checked {
    report: Report,
    todo: check::Todo,
}

impl Checked {
    /// What was found.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Does what is to be done, unless a line is bad. What ends it half-way is
    /// said in the report.
    pub async fn apply(self, billing: &Billing, ledger: &Ledger, options: &Options<'_>) -> Report {
        let Self { mut report, todo } = self;
        if report.bad.count == 0 {
            report.applied = true;
            apply::apply(todo, &mut report, billing, ledger, options).await;
        }
        report
    }
}

/// Reads a file and compares it with the database; writes nothing.
///
/// # Errors
///
/// The file cannot be read, or the database cannot be asked what is there.
pub async fn check(
    file: impl BufRead,
    format: Format,
    billing: &Billing,
    progress: &Progress<'_>,
) -> Result<Checked, ImportError> {
    progress.tell("reading", 0, 0);
    let input = input::read(file, format)?;
    let (report, todo) = check::check(input, billing, progress).await?;
    Ok(Checked { report, todo })
}
