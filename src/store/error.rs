//! What can go wrong in the database, by what to do about it. Errors are
//! recognised by SQLSTATE and by constraint name, never by their text.

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, restarting, or refuses connections. Try again on a
    /// new connection.
    #[error("the database is unavailable: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// An account's row was not to be had within `lock_timeout`.
    #[error("a row is locked by somebody else")]
    Locked,
    /// Somebody else was faster, or a deadlock was broken. Read again.
    #[error("a concurrent change: {0}")]
    Conflict(String),
    /// The database refuses the data. Sending it again will not help.
    #[error("the database refuses the data: {0}")]
    Data(#[source] sqlx::Error),
    /// A stored value is none that this program writes.
    #[error("stored data is not understood: {0}")]
    Corrupt(String),
    /// The schema is older than this program.
    #[error("the database schema is not ready: run `creditgate migrate` ({0})")]
    SchemaNotReady(String),
    /// Anything else: a bug, or a right that is missing.
    #[error("database error: {0}")]
    Other(#[source] sqlx::Error),
    /// A migration failed.
    #[error("migration failed: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match &error {
            E::Io(_)
            | E::Tls(_)
            | E::Protocol(_)
            | E::PoolTimedOut
            | E::PoolClosed
            | E::WorkerCrashed => Self::Unavailable(error),
            E::Database(database) => {
                let code = database.code().unwrap_or_default().into_owned();
                Self::from_sqlstate(&code, error)
            }
            _ => Self::Other(error),
        }
    }
}

impl StoreError {
    /// No answer came in time.
    #[must_use]
    pub fn timed_out() -> Self {
        Self::Unavailable(std::io::Error::from(std::io::ErrorKind::TimedOut).into())
    }

    /// The codes are PostgreSQL's, appendix A of its manual.
    fn from_sqlstate(code: &str, error: sqlx::Error) -> Self {
        match code {
            "55P03" => Self::Locked,
            // Serialization failure, deadlock, and a key that somebody else has
            // just written: the guards again.
            "40001" | "40P01" | "23505" => Self::Conflict(error.to_string()),
            // Statement timeout; the transaction was idle for too long; a
            // standby that is not (or no longer) the primary.
            "57014" | "25P03" | "25006" => Self::Unavailable(error),
            // Undefined table, column, schema, function.
            "42P01" | "42703" | "3F000" | "42883" => Self::SchemaNotReady(error.to_string()),
            _ => match code.get(..2) {
                // Connection exceptions, insufficient resources, operator
                // intervention, system errors.
                Some("08" | "53" | "57" | "58") => Self::Unavailable(error),
                // Data exceptions, constraints, errors that a trigger raises.
                Some("22" | "23" | "P0") => Self::Data(error),
                _ => Self::Other(error),
            },
        }
    }

    /// True where the connection must not be used again.
    #[must_use]
    pub fn breaks_connection(&self) -> bool {
        !matches!(self, Self::Locked | Self::Conflict(_) | Self::Data(_) | Self::Corrupt(_))
    }
}
