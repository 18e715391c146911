//! Webhooks of Paddle's, from the wire to the inbox to the ledger.

pub mod catalog;
mod commands;
mod effects;
mod flood;
pub mod inbox;
mod library;
mod outage;
mod purchases;
pub mod send;
mod webhook;
