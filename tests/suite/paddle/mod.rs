//! Webhooks of Paddle's, from the wire to the inbox to the ledger.

mod inbox;
mod send;
mod webhook;
