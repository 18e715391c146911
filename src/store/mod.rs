//! The database: every SQL statement, the schema, its migrations, and the rules
//! of locking.
//!
//! # Locking
//!
//! A batch works on one cell, in one READ COMMITTED transaction, in this order:
//!
//! 1. lock the account rows, in key order: two batches never wait for each other
//!    in a circle, and whoever holds an account's row may read and write all
//!    that is the account's;
//! 2. read, in later statements: a statement that had to wait for a lock still
//!    sees every other table as it was before the wait;
//! 3. write. The row lock is for order and fairness; the guards are for truth:
//!    each update names the sequence, version or state that was read, and the
//!    rows written are counted. A mismatch aborts the batch, which reads again.
//!
//! # Statements
//!
//! Lookups are shaped `UNNEST ... CROSS JOIN LATERAL (... LIMIT)` and lanes switch
//! sequential scans, hash joins and custom plans off: a plan that was made while
//! a table was empty then stays right when it is full. Which index is meant is
//! said by a collation: see the head of `migrations/cell/0001_ledger.sql`.

pub mod accounts;
pub mod api_keys;
pub mod batch;
pub mod catalogs;
pub mod connect;
pub mod delivery_state;
pub mod error;
pub mod event_cursors;
pub mod inbox;
pub mod mails;
pub mod migrate;
mod pool;
pub mod principals;
pub mod projects;
pub mod provider;
pub mod queries;
mod rows;
pub mod server_facts;
pub mod top_ups;
pub mod webhooks;

pub use connect::{Cell, CellId, Database};
pub use error::StoreError;
