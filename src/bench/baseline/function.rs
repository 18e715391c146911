//! The best that Postgres gives without batches: one PL/pgSQL function, called
//! once for each Reserve, without gRPC. See `function.sql`.

use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use uuid::Uuid;

use crate::bench::{
    BenchError,
    books::{CELL, CREDIT_TYPE, SCAN_KIND, SCAN_PRICE},
    load::{Choice, Done, Failure, write_account_id},
};

/// Connections that call it at once.
pub const CONNECTIONS: usize = 16;

const SOURCE: &str = include_str!("function.sql");

/// Creates the function. As the owner.
///
/// # Errors
///
/// The database refuses.
pub async fn install(owner_url: &str) -> Result<(), BenchError> {
    let options: PgConnectOptions = owner_url.parse()?;
    let mut connection = options.options([("search_path", CELL)]).connect().await?;
    sqlx::raw_sql(SOURCE).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// One caller, with a connection of its own.
#[derive(Debug)]
pub struct FunctionCaller {
    connection: PgConnection,
    choice: Choice,
    account_id: String,
}

impl FunctionCaller {
    /// Connects.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn connect(url: &str, choice: Choice) -> Result<Self, BenchError> {
        let options: PgConnectOptions = url.parse()?;
        // As a lane: no plan that was made while a table was empty.
        let connection = options
            .options([
                ("search_path", CELL),
                ("plan_cache_mode", "force_generic_plan"),
                ("enable_seqscan", "off"),
                ("enable_hashjoin", "off"),
                ("enable_mergejoin", "off"),
                ("enable_bitmapscan", "off"),
                ("jit", "off"),
            ])
            .disable_statement_logging()
            .connect()
            .await?;
        Ok(Self { connection, choice, account_id: String::new() })
    }

    /// One Reserve.
    ///
    /// # Errors
    ///
    /// The database refuses, or the scan is blocked.
    pub async fn call(&mut self) -> Result<Done, Failure> {
        write_account_id(&mut self.account_id, self.choice.draw());
        let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
        let id: &str = Uuid::now_v7().hyphenated().encode_lower(&mut id);
        let (verdict, _available, _reserved): (String, i64, i64) = sqlx::query_as(
            "SELECT verdict, available, reserved
               FROM bench_reserve($1, $2, $3, $4, $5, '1 hour', 'bench')",
        )
        .bind(&self.account_id)
        .bind(id)
        .bind(SCAN_KIND)
        .bind(CREDIT_TYPE)
        .bind(SCAN_PRICE)
        .fetch_one(&mut self.connection)
        .await?;
        if verdict == "HELD" {
            Ok(Done { calls: 1, units: 1 })
        } else {
            Err(Failure::new(format!("blocked: {verdict}")))
        }
    }
}
