//! A batch's transaction, on a lane's own connection: lock, read, write, commit.
//!
//! A lane's connection is used by one task that is never cancelled: a `begin`
//! that is dropped half-way could leave a transaction open.

mod demand;
mod lock;
mod named;
mod read;
mod write;

pub(super) use lock::look;
pub use named::Named;

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Connection, Executor, PgConnection};

use tokio::time;

use super::{Cell, StoreError, connect::CLOSE_TIMEOUT};
use crate::{
    clock::Timestamp,
    domain::account::{Account, AccountState, Missing},
    ids::AccountId,
    planted::{self, Bug},
};

/// A connection of a lane's own.
#[derive(Debug)]
pub struct LaneConnection {
    connection: PgConnection,
    transaction: Transaction,
}

/// The transaction that is open, and what has begun it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transaction {
    None,
    /// The last commit has begun it, and it is unused: it holds no lock, no snapshot and
    /// no id.
    Chained(&'static str),
    Open(&'static str),
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
const BEGIN_READ_ONLY: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// What was read, under the locks.
#[derive(Debug)]
pub struct Snapshot {
    /// The database's time, or the one that a test has set.
    pub now: Timestamp,
    /// The revision of the catalog that this transaction sees.
    pub catalog_revision: i64,
    /// The state of each account that was locked.
    pub accounts: BTreeMap<AccountId, AccountState>,
}

/// What a batch was decided on.
#[derive(Debug)]
pub struct Footing {
    /// True where its accounts are locked already.
    pub is_locked: bool,
    /// Accounts that were not read, but known from an earlier batch: the write refuses
    /// where anything of them has changed that a decision may look at. Where they are
    /// locked, their rows have been compared.
    pub known: BTreeSet<AccountId>,
    /// When they were decided, by the process's own clock: the write refuses where the
    /// database's is more than a second off, as the process was stopped, or a clock set.
    pub decided_at: Option<Timestamp>,
}

impl Footing {
    /// Of accounts that were all locked, and then read.
    #[must_use]
    pub fn read() -> Self {
        Self { is_locked: true, known: BTreeSet::new(), decided_at: None }
    }
}

/// What an account's decision still lacks.
#[derive(Debug)]
pub struct Demand {
    /// The account.
    pub account_id: AccountId,
    /// What is missing.
    pub missing: Missing,
    /// At most so many holders are of interest.
    pub limit: i64,
}

impl LaneConnection {
    /// Connects to a cell.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn connect(cell: &Cell) -> Result<Self, StoreError> {
        Ok(Self { connection: cell.connect_lane().await?, transaction: Transaction::None })
    }

    /// Begins a batch that writes.
    ///
    /// # Errors
    ///
    /// Of the connection.
    pub async fn begin(&mut self) -> Result<(), StoreError> {
        self.enter(BEGIN).await
    }

    /// Begins a batch that only looks: one snapshot for all its statements, no
    /// locks.
    ///
    /// # Errors
    ///
    /// Of the connection.
    pub async fn begin_read_only(&mut self) -> Result<(), StoreError> {
        self.enter(BEGIN_READ_ONLY).await
    }

    /// Takes the transaction that the last commit has begun, or begins one.
    async fn enter(&mut self, begin: &'static str) -> Result<(), StoreError> {
        if self.transaction != Transaction::Chained(begin) {
            self.rest().await?;
            self.connection.execute(begin).await?;
        }
        self.transaction = Transaction::Open(begin);
        Ok(())
    }

    /// Locks the account rows in key order; accounts that do not exist are left
    /// out.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] where a row was not to be had in time.
    pub async fn lock(&mut self, named: &Named) -> Result<Vec<Account>, StoreError> {
        lock::wait(&mut self.connection, named).await
    }

    /// Locks those account rows that are free at once.
    ///
    /// # Errors
    ///
    /// Of the connection.
    pub async fn lock_free(&mut self, named: &Named) -> Result<Vec<Account>, StoreError> {
        lock::skip(&mut self.connection, named).await
    }

    /// Reads the account rows without a lock: for a batch that only looks.
    ///
    /// # Errors
    ///
    /// Of the connection.
    pub async fn look(&mut self, named: &Named) -> Result<Vec<Account>, StoreError> {
        lock::none(&mut self.connection, named).await
    }

    /// Reads all that the batch names. `fixed_now` replaces the database's
    /// clock in tests.
    ///
    /// # Errors
    ///
    /// Of the connection, or stored data that is not understood.
    pub async fn read(
        &mut self,
        named: &Named,
        locked: Vec<Account>,
        fixed_now: Option<Timestamp>,
    ) -> Result<Snapshot, StoreError> {
        read::read(&mut self.connection, named, locked, fixed_now).await
    }

    /// Reads what decisions turned out to lack, into the states.
    ///
    /// # Errors
    ///
    /// Of the connection, or stored data that is not understood.
    pub async fn supply(
        &mut self,
        demands: &[Demand],
        accounts: &mut BTreeMap<AccountId, AccountState>,
    ) -> Result<(), StoreError> {
        demand::supply(&mut self.connection, demands, accounts).await
    }

    /// Writes what became of the accounts: `(as it was read, as it is now)`,
    /// decided at `now` by the catalog of that revision. Gives the database's time of
    /// the write, or `now` where there was nothing to write.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] where a guard did not hold, [`StoreError::Data`]
    /// where a constraint did not.
    pub async fn write<'s>(
        &mut self,
        footing: Footing,
        now: Timestamp,
        catalog_revision: i64,
        changes: impl Iterator<Item = (&'s AccountState, &'s AccountState)>,
    ) -> Result<Timestamp, StoreError> {
        write::write(&mut self.connection, footing, now, catalog_revision, changes).await
    }

    /// Writes what became of accounts that are all known, and commits: one statement, and
    /// so a transaction of its own, in one round trip, unless the last commit has begun
    /// one. Of these accounts only balances, lots and reservations may have changed, and
    /// entries been added. Gives the database's time of the write.
    ///
    /// # Errors
    ///
    /// As of [`write`](Self::write), after which nothing has been written and no
    /// transaction may be open; as of [`commit`](Self::commit) where the connection
    /// failed.
    pub async fn write_alone<'s>(
        &mut self,
        footing: Footing,
        now: Timestamp,
        catalog_revision: i64,
        changes: impl Iterator<Item = (&'s AccountState, &'s AccountState)>,
    ) -> Result<Timestamp, StoreError> {
        let written =
            write::movements(&mut self.connection, footing, now, catalog_revision, changes).await?;
        if self.transaction != Transaction::None {
            self.commit().await?;
        }
        Ok(written)
    }

    /// Commits. Where this fails, what became of the transaction is unknown.
    ///
    /// # Errors
    ///
    /// Of the connection.
    pub async fn commit(&mut self) -> Result<(), StoreError> {
        self.connection.execute("COMMIT").await?;
        self.transaction = Transaction::None;
        Ok(())
    }

    /// Commits, and begins the next transaction of the same kind in the same
    /// round trip. Whoever does not need it soon has to [`rest`](Self::rest):
    /// PostgreSQL cuts the connection of an idle transaction after two seconds.
    ///
    /// # Errors
    ///
    /// As of [`commit`](Self::commit).
    pub async fn commit_and_chain(&mut self) -> Result<(), StoreError> {
        let Transaction::Open(begun) = self.transaction else { return Ok(()) };
        if !(planted::has(Bug::StaleSnapshot) && begun == BEGIN_READ_ONLY) {
            self.connection.execute("COMMIT AND CHAIN").await?;
        }
        self.transaction = Transaction::Chained(begun);
        Ok(())
    }

    /// Ends the transaction that the last commit has begun, if there is one.
    ///
    /// # Errors
    ///
    /// Of the connection: then it must not be used again.
    pub async fn rest(&mut self) -> Result<(), StoreError> {
        if matches!(self.transaction, Transaction::Chained(_)) {
            self.rollback().await?;
        }
        Ok(())
    }

    /// Rolls back what is open.
    ///
    /// # Errors
    ///
    /// Of the connection: then it must not be used again.
    pub async fn rollback(&mut self) -> Result<(), StoreError> {
        if self.transaction != Transaction::None {
            self.connection.execute("ROLLBACK").await?;
            self.transaction = Transaction::None;
        }
        Ok(())
    }

    /// Reads a catalog within the transaction.
    ///
    /// # Errors
    ///
    /// Of the connection, or stored data that is not understood.
    pub async fn catalog(
        &mut self,
        revision: i64,
    ) -> Result<crate::domain::catalog::Catalog, StoreError> {
        super::catalogs::read_in_cell(&mut self.connection, revision).await
    }

    /// Says goodbye to the database.
    pub async fn close(self) {
        match time::timeout(CLOSE_TIMEOUT, self.connection.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "closing a lane's connection"),
            Err(_) => tracing::debug!("a lane's connection was cut"),
        }
    }
}
