//! Paddle Billing: from the raw bytes of a webhook to what they mean for an
//! account.
//!
//! Reading order: [`signature`] (who sent it), [`event`] (what it says),
//! [`translate`] (what that means here). Nothing here waits or stores: the HTTP port keeps an event as it came, a worker applies it
//! afterwards.

pub mod event;
pub mod signature;
pub mod translate;

/// What this provider is called in the catalog, in directories and in the inbox.
pub const PROVIDER: &str = "paddle";
