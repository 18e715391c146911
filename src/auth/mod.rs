//! Who may call: keys, certificates and tokens, what each may do, and the callers that
//! this replica knows.
//!
//! - [`key`]: an API key, and what is kept of it;
//! - [`principal`]: names that others vouch for;
//! - [`token`], [`issuer`]: whose tokens are believed, with which keys; [`fetch`] reads
//!   those;
//! - [`scope`]: which call takes which scope, in one table;
//! - [`keyring`]: all callers in memory, renewed every second, so that no call waits
//!   for the database and a revoked key is refused within seconds everywhere;
//! - [`standing`]: whether who was let in still would be, for calls that last;
//! - [`access`]: callers are let in, and sent away.

pub mod access;
pub mod fetch;
pub mod issuer;
pub mod key;
pub mod keyring;
pub mod principal;
pub mod scope;
pub mod standing;
pub mod token;

pub use access::{Access, AccessError};
pub use issuer::{Issuer, IssuerError, IssuerSettings};
pub use key::{ApiKey, KeyId};
pub use keyring::{Caller, Denied, Keyring, Shown};
pub use principal::{PeerNames, Principal};
pub use scope::Scope;
pub use standing::Standing;

pub use crate::store::{api_keys::StoredKey, principals::StoredPrincipal};
