//! Who may call: API keys, what each may do, and the keys that this replica knows.
//!
//! - [`key`]: what a caller shows, and what is kept of it;
//! - [`scope`]: which call takes which scope, in one table;
//! - [`keyring`]: all keys in memory, renewed every second, so that no call waits
//!   for the database and a revoked key is refused within seconds everywhere.

pub mod key;
pub mod keyring;
pub mod scope;

pub use key::{ApiKey, KeyId};
pub use keyring::{Caller, Denied, Keyring};
pub use scope::Scope;
