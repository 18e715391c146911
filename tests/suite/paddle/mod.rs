//! Webhooks of Paddle's, from the wire to the inbox to the ledger.

mod commands;
mod inbox;
mod library;
mod send;
mod webhook;
