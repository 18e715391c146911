//! A database, a ledger and a server of its own for each test.

mod callers;
mod db;
pub mod hand;
mod server;
pub mod shop;
pub mod words;

pub use callers::{ACTOR, access, make_key, revoke, rights};
pub use db::{TABLES, TestDb};
pub use server::{TestServer, catalog, owner_settings, settings};

use std::time::{Duration, Instant};

/// Asks again and again until the answer is yes; panics after ten seconds.
pub async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !ask().await {
        assert!(begun.elapsed() < Duration::from_secs(10), "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
