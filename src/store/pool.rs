//! The connections that reads share.
//!
//! A connection is asked whether it still lives where it is taken, and only
//! there: a caller waits for the answer, so there is a limit to it, and whatever
//! became of the connection meanwhile shows. sqlx's own pool asks where it is
//! given back too, without a limit: where the network went silent just then, the
//! connection was lost until TCP gave up, a quarter of an hour later.

use std::{
    ops::{Deref, DerefMut},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use deadpool::managed::{self, Manager, Metrics, Object, PoolError, RecycleError, RecycleResult};
use futures_util::future;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::time;

use super::{StoreError, connect::CLOSE_TIMEOUT};

/// How long a read waits for a connection before the database counts as away.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a connection may take to say that it still lives: shorter, so that
/// there is time left to make another one.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// How old a connection may become: plans and the server's memory age with it.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// The longest pause before a database that is starting is tried again.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Connections with the same settings, made when they are needed.
#[derive(Debug, Clone)]
pub(super) struct Pool(managed::Pool<Maker>);

/// A connection, until it is dropped.
pub(super) struct Lease(Object<Maker>);

/// A transaction on a connection of the pool. One that is dropped before its
/// end, be it by an error or because its caller has gone, ends with its
/// connection: to say ROLLBACK, somebody would have to wait for the answer.
pub(super) struct Transaction {
    // The order matters: the connection goes back first, then it is thrown out.
    lease: Lease,
    _sweep: Sweep,
}

/// Throws connections out of the pool on which a transaction was left open.
struct Sweep(managed::Pool<Maker>);

/// A connection in the pool.
#[derive(Debug)]
struct Member {
    connection: PgConnection,
    /// True from before BEGIN until after the answer to COMMIT or ROLLBACK.
    in_transaction: bool,
}

/// Makes connections, and says whether one may be used again.
#[derive(Debug)]
struct Maker {
    options: PgConnectOptions,
    /// When the last ping was sent that got no answer.
    silence: Mutex<Option<Instant>>,
}

impl Pool {
    /// At most `max_connections`; makes none yet.
    pub(super) fn new(options: PgConnectOptions, max_connections: u32) -> Result<Self, StoreError> {
        let pool = managed::Pool::builder(Maker { options, silence: Mutex::default() })
            .max_size(usize::try_from(max_connections).unwrap_or(usize::MAX))
            .build()
            .map_err(|error| sqlx::Error::Configuration(error.into()))?;
        Ok(Self(pool))
    }

    /// A connection that lives.
    pub(super) async fn acquire(&self) -> Result<Lease, StoreError> {
        // One limit for all: a wait for others, pings of connections that turn
        // out to be dead, and a new connection.
        match time::timeout(ACQUIRE_TIMEOUT, self.0.get()).await {
            Ok(Ok(object)) => Ok(Lease(object)),
            Ok(Err(PoolError::Backend(error))) => Err(error.into()),
            // It has neither limits of its own nor hooks that could fail.
            Ok(Err(_)) => Err(sqlx::Error::PoolClosed.into()),
            Err(_) => Err(sqlx::Error::PoolTimedOut.into()),
        }
    }

    /// Begins a transaction.
    pub(super) async fn begin(&self) -> Result<Transaction, StoreError> {
        self.begin_with("BEGIN").await
    }

    /// Begins a transaction with a statement of its own.
    pub(super) async fn begin_with(
        &self,
        statement: &'static str,
    ) -> Result<Transaction, StoreError> {
        let lease = self.acquire().await?;
        let mut transaction = Transaction { lease, _sweep: Sweep(self.0.clone()) };
        transaction.lease.0.in_transaction = true;
        transaction.execute(statement).await?;
        Ok(transaction)
    }

    /// Gives out no more connections, and says goodbye on those that are not in
    /// use, for as long as somebody listens.
    pub(super) async fn close(&self) {
        let idle = self.0.retain(|_, _| false).removed;
        self.0.close();
        let goodbyes = idle.into_iter().map(|member| member.connection.close());
        if time::timeout(CLOSE_TIMEOUT, future::join_all(goodbyes)).await.is_err() {
            tracing::debug!("connections to the database were cut");
        }
    }
}

impl Transaction {
    /// Commits. Where this fails, what became of the transaction is unknown.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.end("COMMIT").await
    }

    /// Undoes what was done.
    pub(super) async fn rollback(self) -> Result<(), StoreError> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, statement: &'static str) -> Result<(), StoreError> {
        self.execute(statement).await?;
        self.lease.0.in_transaction = false;
        Ok(())
    }
}

impl Manager for Maker {
    type Type = Member;
    type Error = sqlx::Error;

    /// Connects. While the database starts, or has no place, this tries again,
    /// for as long as the caller waits.
    async fn create(&self) -> Result<Member, sqlx::Error> {
        let mut pause = Duration::from_millis(10);
        loop {
            match self.options.connect().await {
                Ok(connection) => return Ok(Member { connection, in_transaction: false }),
                Err(error) if !passes(&error) => return Err(error),
                Err(_) => {}
            }
            time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// A read that was dropped leaves an answer behind that is still to come: the
    /// ping's own comes after it.
    async fn recycle(&self, member: &mut Member, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        let last_heard = metrics.recycled.unwrap_or(metrics.created);
        if member.in_transaction || metrics.age() > MAX_AGE || self.has_been_silent(last_heard) {
            return Err(RecycleError::message("it is not to be used again"));
        }
        let asked = Instant::now();
        match time::timeout(PING_TIMEOUT, member.connection.ping()).await {
            Ok(answer) => Ok(answer?),
            Err(_) => {
                tracing::warn!("a connection to the database fell silent and is given up");
                *self.silence.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
                Err(RecycleError::message("it is silent"))
            }
        }
    }
}

impl Maker {
    /// True where a ping got no answer since then. What silenced one connection
    /// silenced all that are as old: to ask each of them would take longer than
    /// any caller waits.
    fn has_been_silent(&self, since: Instant) -> bool {
        let silence = *self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        silence.is_some_and(|asked| since < asked)
    }
}

/// True where a failure to connect is likely to pass: nobody listens yet, there
/// are too many connections, or the database is starting.
fn passes(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => {
            matches!(error.code().as_deref(), Some("53300" | "57P03"))
        }
        _ => false,
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        self.0.retain(|member, _| !member.in_transaction);
    }
}

impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0.connection
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0.connection
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.lease
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.lease
    }
}
