//! The floor: what the gate's own write statements cost when nothing but them is
//! sent. No locks, no reads, no gRPC, no decisions while the clock runs: batches
//! are decided beforehand, in memory, and then written by as many connections as
//! the gate has lanes.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::ledger;
use crate::{
    bench::{
        BenchError,
        books::{self, SCAN_KIND},
        load::{Accounts, CallTimes, Choice, Done, Tally, Window},
    },
    clock::Timestamp,
    domain::{
        account::AccountState,
        catalog::Catalog,
        command::{Action, Command},
        context::Context,
        decide::decide_all,
    },
    ids::{AccountId, LotId, ScanKindName},
    ledger::{LedgerOptions, queue::MAX_BATCH},
    store::{
        Cell, Database,
        batch::{Footing, LaneConnection, Named},
    },
};

/// Batches that are decided at once, for each connection: as many as fit into
/// memory with ease.
const PREPARED: usize = 16;
/// Accounts that are read at once.
const CHUNK: usize = 1_000;

/// What is written in one transaction: the accounts as they were and as they
/// become, and when that was decided.
#[derive(Debug)]
struct Batch {
    now: Timestamp,
    changes: Vec<(AccountState, AccountState)>,
}

/// Connections, and the accounts that each of them alone writes.
#[derive(Debug)]
pub struct Floor {
    database: Database,
    cells: Vec<Cell>,
    writers: Vec<Writer>,
    catalog: Catalog,
    scan_kind: ScanKindName,
}

#[derive(Debug)]
struct Writer {
    connection: LaneConnection,
    accounts: Vec<AccountId>,
    choice: Choice,
    states: BTreeMap<AccountId, AccountState>,
    catalog_revision: i64,
}

impl Floor {
    /// Connects, and reads all accounts once.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn open(url: &str, accounts: Accounts) -> Result<Self, BenchError> {
        let database = Database::for_server(url, 1)?;
        let cells = database.cells().await?;
        let cell = cells.first().ok_or_else(|| BenchError::Other("no cell".to_owned()))?;
        let lanes = LedgerOptions::default().lanes;
        let ids = ledger::account_ids(accounts.count)?;
        let mut writers = Vec::new();
        for lane in 0..lanes {
            let own: Vec<AccountId> = ids.iter().skip(lane).step_by(lanes).cloned().collect();
            if own.is_empty() {
                continue;
            }
            let mut connection = LaneConnection::connect(cell).await?;
            let (states, catalog_revision) = read(&mut connection, &own).await?;
            let count = u32::try_from(own.len()).unwrap_or(u32::MAX);
            let choice = Choice::of(Accounts { count, ..accounts });
            writers.push(Writer { connection, accounts: own, choice, states, catalog_revision });
        }
        let scan_kind = ScanKindName::new(SCAN_KIND);
        let scan_kind = scan_kind.map_err(|error| BenchError::Other(error.to_string()))?;
        Ok(Self { catalog: books::catalog()?, scan_kind, database, cells, writers })
    }

    /// Writes for so long; says what was written, and in what time exactly. The
    /// clock stands while the next batches are decided.
    ///
    /// # Errors
    ///
    /// The database is away, or a guard did not hold.
    pub async fn run(&mut self, wanted: Duration) -> Result<(Tally, Duration), BenchError> {
        let mut tally = Tally::new()?;
        let mut took = Duration::ZERO;
        while took < wanted {
            let mut prepared = Vec::new();
            for writer in &mut self.writers {
                prepared.push(writer.prepare(&self.catalog, &self.scan_kind)?);
            }
            let mut tasks = JoinSet::new();
            let begun = Instant::now();
            for (writer, batches) in self.writers.drain(..).zip(prepared) {
                tasks.spawn(writer.write(batches));
            }
            while let Some(written) = tasks.join_next().await {
                let broken = |error| BenchError::Other(format!("a writer broke down: {error}"));
                let (writer, batches) = written.map_err(broken)??;
                self.writers.push(writer);
                // All of it lies within the time that counts.
                let window = Window { begin: begun, warm: begun, end: Instant::now() + wanted };
                for took in batches {
                    let done = Done { calls: 1, units: MAX_BATCH as u64 };
                    let ended = begun + took;
                    let times = CallTimes { at: begun, since: begun, sent: begun, ended };
                    tally.note(&window, times, Ok(done));
                }
            }
            took += begun.elapsed();
        }
        Ok((tally, took))
    }

    /// Says goodbye.
    pub async fn close(self) {
        for writer in self.writers {
            writer.connection.close().await;
        }
        for cell in self.cells {
            cell.close().await;
        }
        self.database.close().await;
    }
}

impl Writer {
    /// Decides the next batches.
    fn prepare(
        &mut self,
        catalog: &Catalog,
        scan_kind: &ScanKindName,
    ) -> Result<Vec<Batch>, BenchError> {
        (0..PREPARED).map(|_| self.batch(catalog, scan_kind)).collect()
    }

    fn batch(&mut self, catalog: &Catalog, scan_kind: &ScanKindName) -> Result<Batch, BenchError> {
        let mut commands: BTreeMap<AccountId, Vec<Command>> = BTreeMap::new();
        for _ in 0..MAX_BATCH {
            let command = ledger::reserve(&self.accounts, &self.choice, scan_kind);
            let command = command.map_err(|failure| BenchError::Other(format!("{failure:?}")))?;
            commands.entry(command.account_id.clone()).or_default().push(command);
        }
        let now = books::now();
        let mut changes = Vec::with_capacity(commands.len());
        for (account_id, commands) in commands {
            let gone = || BenchError::Other(format!("account {account_id} is gone"));
            let before = self.states.remove(&account_id).ok_or_else(gone)?;
            let mut after = before.clone();
            let last = before.balances.values().map(|balance| balance.last_entry_time).max();
            let now = last.map_or(now, |last| last.max(now));
            let context = Context { now, catalog, new_lot_id: LotId::generate };
            let answers = decide_all(&mut after, commands.iter(), &context)
                .map_err(|missing| BenchError::Other(format!("{missing:?} is missing")))?;
            if let Some(Err(refusal)) = answers.into_iter().find(Result::is_err) {
                return Err(BenchError::Other(refusal.to_string()));
            }
            // What the next batch would have read: no more than it names.
            let mut next = after.clone();
            next.reservations.clear();
            next.entries.clear();
            self.states.insert(account_id, next);
            changes.push((before, after));
        }
        Ok(Batch { now, changes })
    }

    /// Writes batches, a transaction each; says how long each took.
    async fn write(mut self, batches: Vec<Batch>) -> Result<(Self, Vec<Duration>), BenchError> {
        let mut took = Vec::with_capacity(batches.len());
        for Batch { now, changes } in batches {
            let begun = Instant::now();
            self.connection.begin().await?;
            let changes = changes.iter().map(|(before, after)| (before, after));
            self.connection.write(Footing::read(), now, self.catalog_revision, changes).await?;
            self.connection.commit_and_chain().await?;
            took.push(begun.elapsed());
        }
        self.connection.rest().await?;
        Ok((self, took))
    }
}

/// The accounts' balances and lots, and the revision of the catalog.
async fn read(
    connection: &mut LaneConnection,
    accounts: &[AccountId],
) -> Result<(BTreeMap<AccountId, AccountState>, i64), BenchError> {
    let (mut states, mut catalog_revision) = (BTreeMap::new(), 0);
    for chunk in accounts.chunks(CHUNK) {
        // Named as a command names it.
        let commands = chunk.iter().map(|account_id| Command {
            account_id: account_id.clone(),
            actor: String::new(),
            action: Action::ApplyDue,
        });
        let commands: Vec<Command> = commands.collect();
        let named = Named::by(commands.iter());
        connection.begin_read_only().await?;
        let rows = connection.look(&named).await?;
        let snapshot = connection.read(&named, rows, None).await?;
        connection.commit().await?;
        states.extend(snapshot.accounts);
        catalog_revision = snapshot.catalog_revision;
    }
    Ok((states, catalog_revision))
}
