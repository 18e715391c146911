//! Keys of callers, made and taken away on the database, as its owner: whoever may
//! do that needs no key to begin with.

use std::time::Duration;

use super::{ServerError, maintenance::open};
pub use crate::{
    auth::{ApiKey, KeyId, Scope},
    store::api_keys::StoredKey,
};
use crate::{
    config::Settings,
    ids::AccountId,
    store::{Database, api_keys::NewKey},
};

/// What a key is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRequest {
    /// What it is for.
    pub name: String,
    /// What it may do: at least one.
    pub scopes: Vec<Scope>,
    /// The accounts that it sees; `None` for all.
    pub accounts: Option<Vec<AccountId>>,
    /// For how long it is good; `None` for ever.
    pub lifetime: Option<Duration>,
}

/// Makes a key. It is in the answer alone: only a hash is kept.
///
/// # Errors
///
/// No database, or its role may not.
pub async fn create(settings: &Settings, request: &KeyRequest) -> Result<ApiKey, ServerError> {
    let database = open(settings, 1).await?;
    let key = make(&database, request).await?;
    database.close().await;
    Ok(key)
}

/// All keys, the newest first.
///
/// # Errors
///
/// No database.
pub async fn list(settings: &Settings) -> Result<Vec<StoredKey>, ServerError> {
    let database = open(settings, 1).await?;
    let keys = database.api_keys().await?;
    database.close().await;
    Ok(keys)
}

/// Makes a key like another, which goes on to be good for `overlap`. `None` where
/// the other is good no longer.
///
/// # Errors
///
/// No database, or its role may not.
pub async fn rotate(
    settings: &Settings,
    old: &KeyId,
    overlap: Duration,
    lifetime: Option<Duration>,
) -> Result<Option<ApiKey>, ServerError> {
    let database = open(settings, 1).await?;
    let keys = database.api_keys().await?;
    let is_it = |key: &&StoredKey| key.key_id == old.as_str() && !key.is_expired && !key.is_revoked;
    let made = match keys.iter().find(is_it) {
        None => None,
        Some(stored) => {
            let scopes = stored.scopes.iter().filter_map(|name| Scope::from_name(name)).collect();
            let ids = stored.account_ids.as_ref();
            let accounts =
                ids.map(|ids| ids.iter().filter_map(|id| AccountId::new(id).ok()).collect());
            let request = KeyRequest { name: stored.name.clone(), scopes, accounts, lifetime };
            // The new one first: if the rest fails, its owner still has one that works.
            let key = make(&database, &request).await?;
            database.expire_api_key(old.as_str(), overlap.as_secs_f64()).await?;
            Some(key)
        }
    };
    database.close().await;
    Ok(made)
}

/// Revokes a key: every replica refuses it within seconds. False where there is
/// none of that id.
///
/// # Errors
///
/// No database, or its role may not.
pub async fn revoke(settings: &Settings, key_id: &KeyId) -> Result<bool, ServerError> {
    let database = open(settings, 1).await?;
    let revoked = database.revoke_api_key(key_id.as_str()).await?;
    database.close().await;
    Ok(revoked)
}

async fn make(database: &Database, request: &KeyRequest) -> Result<ApiKey, ServerError> {
    let key = ApiKey::generate();
    let new = NewKey {
        key_id: key.id().to_string(),
        name: request.name.clone(),
        secret_hash: key.hash(),
        scopes: request.scopes.iter().map(|scope| scope.name().to_owned()).collect(),
        account_ids: request
            .accounts
            .as_ref()
            .map(|accounts| accounts.iter().map(ToString::to_string).collect()),
        lifetime_seconds: request.lifetime.map(|lifetime| lifetime.as_secs_f64()),
    };
    database.create_api_key(&new).await?;
    Ok(key)
}
