//! The Rust client of the gate: deadlines, retries that cannot do a thing
//! twice, typed verdicts, and errors that say whether anything happened.
//!
//! ```no_run
//! use creditgate::client::{Client, Verdict};
//! use creditgate::proto::{ReserveRequest, Scan};
//!
//! # async fn scan() -> Result<(), creditgate::client::ClientError> {
//! let gate = Client::lazy("http://127.0.0.1:50051")?;
//! let verdict = gate
//!     .reserve(ReserveRequest {
//!         reservation_id: "scan-run-123-attempt-1".into(),
//!         scan: Some(Scan {
//!             account_id: "acc_42".into(),
//!             scan_kind: "live_audit".into(),
//!             ..Default::default()
//!         }),
//!         ..Default::default()
//!     })
//!     .await?;
//! match verdict {
//!     Verdict::Held(held) => {
//!         let mut hold = gate.guard(&held.reservation);
//!         // ... scan ...
//!         hold.commit(None).await?;
//!     }
//!     Verdict::Blocked(blocked) => eprintln!("{}", blocked.block.message),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A caller fails closed: without a [`Held`] in hand the scan must not start,
//! whatever the error was.

mod builder;
mod error;
mod events;
mod gate;
mod guard;
mod retry;
mod services;

use std::sync::Arc;

use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

pub use builder::ClientBuilder;
pub use error::{ClientError, Exhausted, FieldViolation, Rejection};
pub use events::EventStream;
pub use gate::{Blocked, Eligibility, Held, Verdict};
pub use guard::HeldReservation;
pub use retry::RetryPolicy;

/// A connection to a gate. Cheap to clone: clones share one HTTP/2 connection,
/// which is made again by itself when it breaks.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    policy: Arc<RetryPolicy>,
    /// Marked as sensitive, so that it shows in no `Debug`.
    key: Option<MetadataValue<Ascii>>,
    /// The trace that calls belong to.
    trace: Option<MetadataValue<Ascii>>,
}

impl Client {
    /// Connects now, with the default settings.
    ///
    /// # Errors
    /// [`ClientError::Endpoint`] for an address that is none,
    /// [`ClientError::Unavailable`] where nothing answers there.
    pub async fn connect(endpoint: &str) -> Result<Self, ClientError> {
        ClientBuilder::new(endpoint).connect().await
    }

    /// Connects at the first call, with the default settings: for a program
    /// that may start before its gate does. Must be called within a Tokio
    /// runtime.
    ///
    /// # Errors
    /// [`ClientError::Endpoint`] for an address that is none.
    pub fn lazy(endpoint: &str) -> Result<Self, ClientError> {
        ClientBuilder::new(endpoint).lazy()
    }

    /// Sets deadlines and retries before connecting.
    #[must_use]
    pub fn builder(endpoint: &str) -> ClientBuilder {
        ClientBuilder::new(endpoint)
    }

    /// The same connection under another policy: a heartbeat wants to hear of
    /// a failure soon, a settlement wants to get through.
    #[must_use]
    pub fn with_policy(&self, policy: RetryPolicy) -> Self {
        Self { policy: Arc::new(policy), ..self.clone() }
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &RetryPolicy {
        &self.policy
    }
}
