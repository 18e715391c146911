//! Callers are let in, and sent away: keys are made, principals are named. Every replica
//! knows within seconds.

use std::time::Duration;

use super::{
    key::{ApiKey, KeyId},
    principal::Principal,
    scope::Scope,
};
use crate::{
    ids::AccountId,
    store::{
        Database, StoreError,
        api_keys::{NewKey, StoredKey},
        principals::{NewPrincipal, StoredPrincipal},
    },
};

/// What a caller is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// What it is for, in people's words.
    pub name: String,
    /// What it may do: at least one.
    pub scopes: Vec<Scope>,
    /// The accounts that it sees; `None` for all.
    pub accounts: Option<Vec<AccountId>>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// There is no such key, or it is good no longer.
    #[error("key {0} is not good, or there is none")]
    NoKey(KeyId),
    /// It is not let in.
    #[error("{0} is not let in")]
    NoPrincipal(Principal),
    /// It is let in, and may do something else.
    #[error("{0} is let in already, with other rights: remove it first")]
    PrincipalExists(Principal),
    /// Of the database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Lets callers in.
#[derive(Debug, Clone)]
pub struct Access {
    database: Database,
}

impl Access {
    /// Of this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Ends its connections.
    pub async fn close(self) {
        self.database.close().await;
    }

    /// Makes a key, good for `lifetime`, or for ever. It is in the answer alone: only a
    /// hash is kept.
    ///
    /// # Errors
    ///
    /// No database, or its role may not.
    pub async fn create_key(
        &self,
        rights: &Rights,
        lifetime: Option<Duration>,
        actor: &str,
    ) -> Result<ApiKey, AccessError> {
        let key = ApiKey::generate();
        let new = NewKey {
            key_id: key.id().to_string(),
            name: rights.name.clone(),
            secret_hash: key.hash(),
            scopes: names(&rights.scopes),
            account_ids: texts(rights.accounts.as_ref()),
            lifetime_seconds: lifetime.map(|lifetime| lifetime.as_secs_f64()),
            actor: actor.to_owned(),
        };
        self.database.create_api_key(&new).await?;
        Ok(key)
    }

    /// All keys, the newest first: at most ten thousand.
    ///
    /// # Errors
    ///
    /// No database.
    pub async fn keys(&self) -> Result<Vec<StoredKey>, AccessError> {
        Ok(self.database.api_keys().await?)
    }

    /// Makes a key like another, which goes on to be good for `overlap`.
    ///
    /// # Errors
    ///
    /// The other is good no longer; no database, or its role may not.
    pub async fn rotate_key(
        &self,
        old: &KeyId,
        overlap: Duration,
        lifetime: Option<Duration>,
        actor: &str,
    ) -> Result<ApiKey, AccessError> {
        let keys = self.database.api_keys().await?;
        let is_it =
            |key: &&StoredKey| key.key_id == old.as_str() && !key.is_expired && !key.is_revoked;
        let none = || AccessError::NoKey(old.clone());
        let stored = keys.iter().find(is_it).ok_or_else(none)?;
        let ids = stored.account_ids.as_ref();
        let rights = Rights {
            name: stored.name.clone(),
            scopes: stored.scopes.iter().filter_map(|name| Scope::from_name(name)).collect(),
            accounts: ids.map(|ids| ids.iter().filter_map(|id| AccountId::new(id).ok()).collect()),
        };
        // The new one first: if the rest fails, its owner still has one that works.
        let key = self.create_key(&rights, lifetime, actor).await?;
        self.database.expire_api_key(old.as_str(), overlap.as_secs_f64()).await?;
        Ok(key)
    }

    /// Revokes a key; may be repeated.
    ///
    /// # Errors
    ///
    /// There is none; no database, or its role may not.
    pub async fn revoke_key(&self, key_id: &KeyId, actor: &str) -> Result<(), AccessError> {
        if self.database.revoke_api_key(key_id.as_str(), actor).await? {
            return Ok(());
        }
        Err(AccessError::NoKey(key_id.clone()))
    }

    /// Lets a principal in; the same again changes nothing.
    ///
    /// # Errors
    ///
    /// It is in with other rights; no database, or its role may not.
    pub async fn add_principal(
        &self,
        principal: &Principal,
        rights: &Rights,
        actor: &str,
    ) -> Result<(), AccessError> {
        let new = NewPrincipal {
            principal: principal.to_string(),
            name: rights.name.clone(),
            scopes: names(&rights.scopes),
            account_ids: texts(rights.accounts.as_ref()),
            actor: actor.to_owned(),
        };
        if self.database.add_principal(&new).await? {
            return Ok(());
        }
        let known = self.database.principals().await?;
        let is_same = |stored: &StoredPrincipal| {
            stored.principal == new.principal
                && stored.name == new.name
                && stored.scopes == new.scopes
                && stored.account_ids == new.account_ids
        };
        if known.iter().any(is_same) {
            return Ok(());
        }
        Err(AccessError::PrincipalExists(principal.clone()))
    }

    /// Those that are let in, by name: at most ten thousand.
    ///
    /// # Errors
    ///
    /// No database.
    pub async fn principals(&self) -> Result<Vec<StoredPrincipal>, AccessError> {
        Ok(self.database.principals().await?)
    }

    /// Lets a principal in no longer.
    ///
    /// # Errors
    ///
    /// It was not in; no database, or its role may not.
    pub async fn remove_principal(
        &self,
        principal: &Principal,
        actor: &str,
    ) -> Result<(), AccessError> {
        if self.database.remove_principal(principal.as_str(), actor).await? {
            return Ok(());
        }
        Err(AccessError::NoPrincipal(principal.clone()))
    }
}

/// In one order, each once: so the same rights are the same again.
fn names(scopes: &[Scope]) -> Vec<String> {
    let mut scopes = scopes.to_vec();
    scopes.sort_unstable();
    scopes.dedup();
    scopes.into_iter().map(|scope| scope.name().to_owned()).collect()
}

fn texts(accounts: Option<&Vec<AccountId>>) -> Option<Vec<String>> {
    accounts.map(|accounts| {
        let mut ids: Vec<String> = accounts.iter().map(ToString::to_string).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    })
}
