//! An import, with a ledger of its own on the settings' database. The rights of
//! the role that serves suffice, and servers may be running.

use std::io::BufRead;

use tokio_util::sync::CancellationToken;

use super::{ServerError, maintenance::open};
pub use crate::import::{BadLines, Format, ImportError, Progress, Report, Tally};
use crate::{
    billing::Billing,
    clock::Clock,
    config::Settings,
    import::{self, Options},
    ledger::{Ledger, LedgerOptions},
    store::Database,
};

/// Connections for reads: one is asked at a time.
const CONNECTIONS: u32 = 2;

/// An import on its way.
#[derive(Debug)]
pub struct Import {
    database: Database,
    ledger: Ledger,
    billing: Billing,
    lanes: usize,
    checked: import::Checked,
}

impl Import {
    /// Reads a file and compares it with the settings' database; writes nothing.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the database cannot be asked.
    pub async fn check(
        settings: &Settings,
        file: impl BufRead,
        format: Format,
        progress: &Progress<'_>,
    ) -> Result<Self, ServerError> {
        let database = open(settings, CONNECTIONS).await?;
        let lanes = settings.lanes;
        let options = LedgerOptions {
            lanes,
            check_lanes: 1,
            // Enough also where all that is in flight is of one lane's accounts.
            queue: import::in_flight(lanes),
            kept_accounts: 0,
            clock: Clock::Database,
            ..LedgerOptions::default()
        };
        let ledger = Ledger::start(database.clone(), database.cells().await?, &options);
        let billing = Billing::new(database.clone(), ledger.clone());
        let checked = import::check(file, format, &billing, progress).await?;
        Ok(Self { database, ledger, billing, lanes, checked })
    }

    /// What was found.
    #[must_use]
    pub fn report(&self) -> &Report {
        self.checked.report()
    }

    /// Does what is to be done, unless a line is bad. What ends it half-way is
    /// said in the report.
    pub async fn apply(self, progress: Progress<'_>, stop: CancellationToken) -> Report {
        let options = Options { lanes: self.lanes, progress, stop };
        let report = self.checked.apply(&self.billing, &self.ledger, &options).await;
        self.ledger.close().await;
        self.database.close().await;
        report
    }
}
