//! Webhooks of Paddle's, from the wire to the inbox to the ledger.

mod inbox;
mod library;
mod send;
mod webhook;
