//! Callers are let in, and sent away, on the database itself: whoever may do that needs
//! no key to begin with.

use super::{ServerError, maintenance::open as open_database};
pub use crate::auth::{
    Access, AccessError, ApiKey, KeyId, Principal, Scope, StoredKey, StoredPrincipal,
    access::Rights,
};
use crate::config::Settings;

/// The callers of the settings' database.
///
/// # Errors
///
/// No database.
pub async fn open(settings: &Settings) -> Result<Access, ServerError> {
    Ok(Access::new(open_database(settings, 1).await?))
}
