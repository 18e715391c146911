//! The stage: a PostgreSQL that is thrown away afterwards, and in it a database
//! for each contestant, all of them copies of one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};

use super::{BenchError, books};
use crate::{
    dev::postgres::{ManagedPostgres, OWNER_ROLE, Options},
    server::MigrationPlan,
    store::Database,
};

/// The database that the others are copies of.
const TEMPLATE: &str = "bench_template";

/// Settings in which the stage's PostgreSQL differs from PostgreSQL as it comes.
/// What makes a commit durable (fsync, `synchronous_commit`, `full_page_writes`)
/// is never among them. A checkpoint that falls into one contestant's seconds
/// and not into another's would be all that is measured: there is none in a run. And
/// where one is asked for between two runs, files of the log that it is done with are
/// kept and written over, as on a server that is not new: a new file is first filled
/// with zeros, while everybody waits.
const SETTINGS: [(&str, &str); 5] = [
    ("shared_buffers", "512MB"),
    ("min_wal_size", "4GB"),
    ("max_wal_size", "32GB"),
    ("checkpoint_timeout", "1d"),
    ("max_connections", "200"),
];

/// A running PostgreSQL. Its data goes when it is dropped.
#[derive(Debug)]
pub(super) struct Stage {
    // In this order they are dropped.
    admin: PgConnection,
    postgres: ManagedPostgres,
    settings: Vec<(String, String)>,
    _directory: Directory,
}

/// A contestant's database.
#[derive(Debug, Clone)]
pub(super) struct Venue {
    /// Its name.
    pub database: String,
    /// For the role that serves.
    pub url: String,
    /// For the owner.
    pub owner_url: String,
}

/// A directory that goes with this value.
#[derive(Debug)]
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "cannot remove the bench's data");
        }
    }
}

/// Where the data lies unless said otherwise: on a disk, which the temporary
/// directory often is not, and memory has no fsync.
#[must_use]
pub fn default_parent() -> PathBuf {
    let disk = Path::new("/var/tmp");
    if disk.is_dir() { disk.to_owned() } else { std::env::temp_dir() }
}

impl Stage {
    /// Starts PostgreSQL in a new directory below `parent`, and prepares the
    /// database that all contestants get a copy of: accounts, and reservations
    /// that they have made before.
    ///
    /// # Errors
    ///
    /// There is no PostgreSQL, or it refuses.
    pub(super) async fn raise(
        parent: &Path,
        asked: &[(String, String)],
        accounts: u32,
        history: u64,
    ) -> Result<Self, BenchError> {
        let data_dir = parent.join(format!("creditgate-bench-{}", std::process::id()));
        let directory = Directory(data_dir.clone());
        let own = SETTINGS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings: Vec<(String, String)> = own.chain(asked.iter().cloned()).collect();
        let options = Options { data_dir, settings: settings.clone() };
        let postgres = ManagedPostgres::start(options).await?;
        postgres.ensure_database(TEMPLATE).await?;
        let owner_url = postgres.url(OWNER_ROLE, TEMPLATE);
        let database = Database::new(&owner_url, 1)?;
        let serving_role = MigrationPlan::DEFAULT_SERVING_ROLE.to_owned();
        database.migrate(&MigrationPlan { serving_role, cells: 1 }).await?;
        database.close().await;
        books::load(&owner_url, accounts, history).await?;
        let admin: PgConnectOptions = postgres.url(OWNER_ROLE, "postgres").parse()?;
        let admin = admin.disable_statement_logging().connect().await?;
        Ok(Self { admin, postgres, settings, _directory: directory })
    }

    /// A new database with all accounts, whose rows nobody has touched.
    ///
    /// # Errors
    ///
    /// The server refuses.
    pub(super) async fn venue(&mut self, name: &str) -> Result<Venue, BenchError> {
        let database = format!("bench_{name}");
        // The name is one of ours. Files are copied as files: the other way writes
        // all of it into the log too.
        let create = format!("CREATE DATABASE {database} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY");
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut self.admin).await?;
        Ok(Venue {
            url: self.postgres.url(MigrationPlan::DEFAULT_SERVING_ROLE, &database),
            owner_url: self.postgres.url(OWNER_ROLE, &database),
            database,
        })
    }

    /// Writes all that is dirty to disk, so that what went before is not paid
    /// for by what comes.
    ///
    /// # Errors
    ///
    /// The server refuses.
    pub(super) async fn checkpoint(&mut self) -> Result<(), BenchError> {
        sqlx::raw_sql("CHECKPOINT").execute(&mut self.admin).await?;
        Ok(())
    }

    /// Bytes of a database, and bytes that were ever written to the log.
    ///
    /// # Errors
    ///
    /// The server refuses.
    pub(super) async fn sizes(&mut self, venue: &Venue) -> Result<Sizes, BenchError> {
        let (database, log) = sqlx::query_as(
            "SELECT pg_database_size($1), (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint",
        )
        .bind(&venue.database)
        .fetch_one(&mut self.admin)
        .await?;
        Ok(Sizes { database, log })
    }

    /// The server's version, and the settings that it runs with.
    ///
    /// # Errors
    ///
    /// The server refuses.
    pub(super) async fn describe(&mut self) -> Result<(String, Vec<(String, String)>), BenchError> {
        let version: String =
            sqlx::query_scalar("SHOW server_version").fetch_one(&mut self.admin).await?;
        let durable: Vec<(String, String)> = sqlx::query_as(
            "SELECT name, setting FROM pg_settings
              WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'wal_sync_method')
              ORDER BY name",
        )
        .fetch_all(&mut self.admin)
        .await?;
        Ok((version, durable.into_iter().chain(self.settings.iter().cloned()).collect()))
    }

    /// The process id of its PostgreSQL.
    #[must_use]
    pub(super) fn process_id(&self) -> u32 {
        self.postgres.process_id()
    }

    /// Ends PostgreSQL and removes its data.
    ///
    /// # Errors
    ///
    /// It will not go.
    pub(super) async fn strike(self) -> Result<(), BenchError> {
        let Self { admin, postgres, _directory: directory, .. } = self;
        admin.close().await?;
        postgres.stop().await?;
        drop(directory);
        Ok(())
    }
}

/// What is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Of the database.
    pub database: i64,
    /// Of the log, ever.
    pub log: i64,
}
