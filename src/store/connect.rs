//! Connections: pools for reading, one dedicated connection for each lane.

use std::time::Duration;

use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use tokio::time;

use super::StoreError;

/// The number of a cell.
pub type CellId = i16;

/// How long a batch waits for an account's row before it goes on without it.
const LOCK_TIMEOUT: &str = "500ms";
/// How long one statement of a batch may take.
const STATEMENT_TIMEOUT: &str = "10s";
/// How long one read of a server may take.
const READ_TIMEOUT: &str = "20s";
/// How long a stalled replica may hold its locks.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "2s";
/// How long a read waits for a connection before the database counts as away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the goodbye to a database that says nothing may take.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a connection may take to be ready for the next read.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// A database, with the settings that all connections to it share.
#[derive(Debug, Clone)]
pub struct Database {
    options: PgConnectOptions,
    directories: PgPool,
    max_connections: u32,
}

/// A cell: a schema of hot tables, and a pool to read them.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Its number.
    pub cell_id: CellId,
    /// Its schema.
    pub schema_name: String,
    pub(super) pool: PgPool,
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
        Ok(Self::with(options, max_connections))
    }

    /// As [`Database::new`], for a server: no read may take longer than
    /// 20 s, or a few slow ones would hold all connections.
    ///
    /// # Errors
    ///
    /// A URL that is not understood.
    pub fn for_server(url: &str, max_connections: u32) -> Result<Self, StoreError> {
        let options: PgConnectOptions = url.parse()?;
        Ok(Self::with(options.options([("statement_timeout", READ_TIMEOUT)]), max_connections))
    }

    fn with(options: PgConnectOptions, max_connections: u32) -> Self {
        let options = options
            .application_name("creditgate")
            // Statements are logged where they fail, with what they were for.
            .disable_statement_logging();
        let directories =
            pool(options.clone().options([("search_path", "public")]), max_connections);
        Self { options, directories, max_connections }
    }

    /// The pool for the directories in `public`.
    pub(super) fn directories(&self) -> &PgPool {
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
            .fetch_all(&self.directories)
            .await?;
        if rows.is_empty() {
            return Err(StoreError::SchemaNotReady("there is no cell".to_owned()));
        }
        Ok(rows.into_iter().map(|row| self.cell(row.cell_id, row.schema_name)).collect())
    }

    fn cell(&self, cell_id: CellId, schema_name: String) -> Cell {
        let options = self.options.clone().options([("search_path", &schema_name)]);
        let lane_options = options.clone().application_name("creditgate-lane").options([
            // A generic plan for each statement, made once: see the traps that
            // the module's header names.
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            // Switched-off scans have a huge cost, which would start the JIT.
            ("jit", "off"),
            ("lock_timeout", LOCK_TIMEOUT),
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
            // A client that is gone without a word is noticed within 30 s.
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "4"),
        ]);
        let pool = pool(options, self.max_connections);
        Cell { cell_id, schema_name, pool, lane_options }
    }

    /// Asks the database a trivial question; no answer within seconds is none.
    ///
    /// # Errors
    ///
    /// It is away.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let asked = sqlx::query!("SELECT 1 AS one").fetch_one(&self.directories);
        match time::timeout(ACQUIRE_TIMEOUT, asked).await {
            Ok(answer) => answer.map(|_| ()).map_err(StoreError::from),
            Err(_) => Err(StoreError::timed_out()),
        }
    }

    /// Closes the pool of the directories.
    pub async fn close(&self) {
        close(&self.directories).await;
    }
}

impl Cell {
    /// A connection of a lane's own.
    pub(super) async fn connect_lane(&self) -> Result<PgConnection, StoreError> {
        Ok(self.lane_options.connect().await?)
    }

    /// Closes the pool.
    pub async fn close(&self) {
        close(&self.pool).await;
    }
}

/// Turns the current transaction to a cell: unqualified names mean its tables,
/// until the transaction ends.
pub(super) async fn enter(connection: &mut PgConnection, schema: &str) -> Result<(), StoreError> {
    sqlx::query!("SELECT set_config('search_path', $1, true)", schema)
        .fetch_one(connection)
        .await?;
    Ok(())
}

/// What a read that was cut short leaves behind: an answer that is still to come,
/// or one that never comes, which the pool itself would wait for without end; or
/// a transaction. Such a connection is closed.
async fn is_reusable(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match time::timeout(RELEASE_TIMEOUT, connection.ping()).await {
        Ok(answer) => answer.map(|()| !connection.is_in_transaction()),
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

/// Says goodbye on all connections, for as long as somebody listens.
async fn close(pool: &PgPool) {
    if time::timeout(CLOSE_TIMEOUT, pool.close()).await.is_err() {
        tracing::debug!("connections to the database were cut");
    }
}

fn pool(options: PgConnectOptions, max_connections: u32) -> PgPool {
    // Nothing that is read here is best read by a scan of a whole table; a plan
    // made while one was empty would think so.
    let options = options.options([("enable_seqscan", "off"), ("jit", "off")]);
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_release(|connection, _| Box::pin(is_reusable(connection)))
        .connect_lazy_with(options)
}
