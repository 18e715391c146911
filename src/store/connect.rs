//! Connections: pools for reading, one dedicated connection for each lane.

use std::time::Duration;

use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};

use tokio::time;

use super::{
    StoreError,
    pool::{ACQUIRE_TIMEOUT, Pool},
};

/// The number of a cell.
pub type CellId = i16;

/// How long a batch waits for an account's row before it goes on without it.
const LOCK_TIMEOUT: &str = "500ms";
/// How long one statement of a batch may take.
const STATEMENT_TIMEOUT: &str = "10s";
/// How long one read of a server may take.
const READ_TIMEOUT: &str = "20s";
/// A client that is gone without a word is noticed within 30 s: the database's own
/// settings would have it hold its locks for two hours.
const KEEPALIVES: [(&str, &str); 3] = [
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "4"),
];
/// How long another transaction than a lane's may rest between two statements.
const ABANDONED_TIMEOUT: &str = "10s";
/// How long a stalled replica may hold its locks.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "2s";
/// How long the goodbye to a database that says nothing may take.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// A database, with the settings that all connections to it share.
#[derive(Debug, Clone)]
pub struct Database {
    options: PgConnectOptions,
    directories: Pool,
    max_connections: u32,
}

/// A cell: a schema of hot tables, and a pool to read them.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Its number.
    pub cell_id: CellId,
    /// Its schema.
    pub schema_name: String,
    pub(super) pool: Pool,
    lane_options: PgConnectOptions,
}

impl Database {
    /// Prepares connections to `url` (`postgres://...`); makes none yet.
    ///
    /// # Errors
    ///
    /// A URL that is not understood.
    pub fn new(url: &str, max_connections: u32) -> Result<Self, StoreError> {
        let options: PgConnectOptions = url.parse()?;
        Self::with(options, max_connections)
    }

    /// As [`Database::new`], for a server: no read may take longer than
    /// 20 s, or a few slow ones would hold all connections; and what a silent
    /// network has left in the middle of a transaction lets go of its rows.
    ///
    /// # Errors
    ///
    /// A URL that is not understood.
    pub fn for_server(url: &str, max_connections: u32) -> Result<Self, StoreError> {
        let options: PgConnectOptions = url.parse()?;
        let options = options.options([
            ("statement_timeout", READ_TIMEOUT),
            ("idle_in_transaction_session_timeout", ABANDONED_TIMEOUT),
        ]);
        Self::with(options.options(KEEPALIVES), max_connections)
    }

    fn with(options: PgConnectOptions, max_connections: u32) -> Result<Self, StoreError> {
        let options = options
            .application_name("creditgate")
            // Statements are logged where they fail, with what they were for.
            .disable_statement_logging();
        let directories =
            pool(options.clone().options([("search_path", "public")]), max_connections)?;
        Ok(Self { options, directories, max_connections })
    }

    /// The pool for the directories in `public`.
    pub(super) fn directories(&self) -> &Pool {
        &self.directories
    }

    /// One connection that works in `schema`.
    pub(super) async fn connect_to(&self, schema: &str) -> Result<PgConnection, StoreError> {
        Ok(self.options.clone().options([("search_path", schema)]).connect().await?)
    }

    /// The cells that this database has.
    ///
    /// # Errors
    ///
    /// The database is away, or has no schema yet.
    pub async fn cells(&self) -> Result<Vec<Cell>, StoreError> {
        let rows = sqlx::query!("SELECT cell_id, schema_name FROM public.cells ORDER BY cell_id")
            .fetch_all(&mut *self.directories.acquire().await?)
            .await?;
        if rows.is_empty() {
            return Err(StoreError::SchemaNotReady("there is no cell".to_owned()));
        }
        rows.into_iter().map(|row| self.cell(row.cell_id, row.schema_name)).collect()
    }

    fn cell(&self, cell_id: CellId, schema_name: String) -> Result<Cell, StoreError> {
        let options = self.options.clone().options([("search_path", &schema_name)]);
        let lane_options = options.clone().application_name("creditgate-lane").options([
            // A generic plan for each statement, made once: see the traps that
            // the module's header names.
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            // Set up anew for each of a batch's keys: dear where each finds a row.
            ("enable_bitmapscan", "off"),
            // Switched-off scans have a huge cost, which would start the JIT.
            ("jit", "off"),
            ("lock_timeout", LOCK_TIMEOUT),
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
        ]);
        let lane_options = lane_options.options(KEEPALIVES);
        let pool = pool(options, self.max_connections)?;
        Ok(Cell { cell_id, schema_name, pool, lane_options })
    }

    /// Asks the database a trivial question; no answer within seconds is none.
    ///
    /// # Errors
    ///
    /// It is away.
    pub async fn ping(&self) -> Result<(), StoreError> {
        promptly(async {
            let mut connection = self.directories.acquire().await?;
            sqlx::query!("SELECT 1 AS one").fetch_one(&mut *connection).await?;
            Ok(())
        })
        .await
    }

    /// Closes the pool of the directories.
    pub async fn close(&self) {
        self.directories.close().await;
    }
}

impl Cell {
    /// A connection of a lane's own.
    pub(super) async fn connect_lane(&self) -> Result<PgConnection, StoreError> {
        Ok(self.lane_options.connect().await?)
    }

    /// Closes the pool.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// What a server asks over and over, with nobody who waits for it: no answer
/// within seconds is none. Where the network went silent, TCP itself gives up
/// only after a quarter of an hour.
pub(super) fn promptly<T>(
    asked: impl Future<Output = Result<T, StoreError>>,
) -> impl Future<Output = Result<T, StoreError>> {
    let limited = time::timeout(ACQUIRE_TIMEOUT, Box::pin(asked));
    async move { limited.await.unwrap_or_else(|_| Err(StoreError::timed_out())) }
}

/// Turns the current transaction to a cell: unqualified names mean its tables,
/// until the transaction ends.
pub(super) async fn enter(connection: &mut PgConnection, schema: &str) -> Result<(), StoreError> {
    sqlx::query!("SELECT set_config('search_path', $1, true)", schema)
        .fetch_one(connection)
        .await?;
    Ok(())
}

fn pool(options: PgConnectOptions, max_connections: u32) -> Result<Pool, StoreError> {
    // Nothing that is read here is best read by a scan of a whole table; a plan
    // made while one was empty would think so.
    Pool::new(options.options([("enable_seqscan", "off"), ("jit", "off")]), max_connections)
}
