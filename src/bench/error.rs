//! Why a bench cannot be run.

use crate::{client::ClientError, config::ConfigError, dev::DevError, store::StoreError};

/// Why a bench gave no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The throw-away PostgreSQL.
    #[error(transparent)]
    Dev(#[from] DevError),
    /// The product's own statements.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The statements of a baseline, or about the database as a whole.
    #[error("the bench's own statement failed: {0}")]
    Sql(#[from] sqlx::Error),
    /// A gate that is not ours.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A server cannot be reached.
    #[error("cannot connect to {address}: {why}")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        why: String,
    },
    /// A server of the bench's own did not start.
    #[error("{name} did not start: {why}")]
    Start {
        /// Which.
        name: &'static str,
        /// The end of what it said.
        why: String,
    },
    /// Options that cannot be met.
    #[error("{0}")]
    Usage(String),
    /// Anything else, said in full.
    #[error("{0}")]
    Other(String),
}
