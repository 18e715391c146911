//! Webhooks of Paddle's, from the wire to the inbox to the ledger.

mod catalog;
mod commands;
mod effects;
mod flood;
mod inbox;
mod library;
mod outage;
mod purchases;
pub mod send;
mod webhook;
