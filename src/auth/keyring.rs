//! The keys that this replica knows: all of them, read anew every second.
//!
//! A call is checked against memory alone. While the database is away, what was
//! known stays good: no key can be revoked then either, and nothing that a caller
//! asks for can be done.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

use super::{
    key::{ApiKey, KeyId},
    scope::{self, Scope},
};
use crate::{
    ids::{AccountId, SeenAccounts},
    store::{Database, StoreError, api_keys::StoredKey},
};

/// How often keys are read: a revoked one is refused within so long, and the time
/// that the statement takes.
const PERIOD: Duration = Duration::from_secs(1);
/// How often it is noted which keys were used.
const NOTE_PERIOD: Duration = Duration::from_secs(60);

/// Why a call is not let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// It came without a key.
    NoKey,
    /// It came with none that there is.
    Unknown,
    /// Its key has run out.
    Expired,
    /// Its key was revoked.
    Revoked,
    /// Its key sees some accounts alone, and the call is not about one of them.
    Bound,
    /// Its key has called too often.
    TooFast {
        /// For how long it is to wait.
        wait: Duration,
    },
    /// Its key is for other calls.
    Scope {
        /// The scopes of which it takes one.
        wanted: Vec<Scope>,
    },
}

impl Denied {
    /// Its name, as a metric's label.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Bound => "bound",
            Self::TooFast { .. } => "too_fast",
            Self::Scope { .. } => "scope",
        }
    }
}

/// Who makes a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// What ledger entries name.
    pub actor: String,
    /// What it sees.
    pub accounts: SeenAccounts,
}

/// A key as this replica knows it.
#[derive(Debug)]
struct Known {
    hash: [u8; 32],
    scopes: Vec<Scope>,
    /// Who calls with it.
    caller: Caller,
    is_expired: bool,
    is_revoked: bool,
    /// Since it was noted last.
    is_used: AtomicBool,
}

/// All keys. Clones share them.
#[derive(Debug, Clone)]
pub struct Keyring {
    database: Database,
    known: Arc<RwLock<Arc<HashMap<KeyId, Known>>>>,
    /// How often each key may call this replica: so often a second, and after a
    /// rest as often at once.
    limiter: Option<Arc<DefaultKeyedRateLimiter<KeyId>>>,
}

impl Keyring {
    /// Reads all keys. Each may call so often a second; `None` for any number.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn read(
        database: Database,
        rate_limit: Option<NonZeroU32>,
    ) -> Result<Self, StoreError> {
        let limiter = |limit| Arc::new(RateLimiter::keyed(Quota::per_second(limit)));
        let keyring = Self { database, known: Arc::default(), limiter: rate_limit.map(limiter) };
        keyring.refresh().await?;
        Ok(keyring)
    }

    /// How many keys there are, those that are good for nothing left out.
    #[must_use]
    pub fn good(&self) -> usize {
        self.known().values().filter(|key| !key.is_expired && !key.is_revoked).count()
    }

    /// Whether a call is let through: the value of its `authorization` header, and
    /// its path. Gives who makes it.
    ///
    /// # Errors
    ///
    /// Why not. That a key has run out or was revoked hears only who has it.
    pub fn admit(&self, authorization: Option<&str>, path: &str) -> Result<Caller, Denied> {
        let shown = authorization.ok_or(Denied::NoKey)?;
        let (scheme, text) = shown.split_once(' ').ok_or(Denied::Unknown)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Denied::Unknown);
        }
        let key = ApiKey::parse(text.trim_start()).ok_or(Denied::Unknown)?;
        let known = self.known();
        let found = known.get(key.id()).ok_or(Denied::Unknown)?;
        // Hashes are compared, which nobody can steer: how long it takes tells nothing.
        if key.hash() != found.hash {
            return Err(Denied::Unknown);
        }
        if found.is_revoked {
            return Err(Denied::Revoked);
        }
        if found.is_expired {
            return Err(Denied::Expired);
        }
        if !scope::may(&found.scopes, path) {
            let wanted = scope::scopes_of(path).unwrap_or_default();
            let wanted = wanted.iter().copied().chain([Scope::Operator]).collect();
            return Err(Denied::Scope { wanted });
        }
        if found.caller.accounts.is_some() && !scope::is_of_one_account(path) {
            return Err(Denied::Bound);
        }
        // Of keys that there are alone, so that strangers fill no memory.
        if let Some(Err(early)) = self.limiter.as_ref().map(|limits| limits.check_key(key.id())) {
            return Err(Denied::TooFast {
                wait: early.wait_time_from(DefaultClock::default().now()),
            });
        }
        if !found.is_used.load(Ordering::Relaxed) {
            found.is_used.store(true, Ordering::Relaxed);
        }
        Ok(found.caller.clone())
    }

    /// Reads keys again, and notes their use, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut note = Instant::now() + NOTE_PERIOD;
        let mut fails = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = time::sleep(PERIOD) => {}
            }
            let mut result = self.refresh().await;
            if result.is_ok() && Instant::now() >= note {
                result = self.note_use().await;
                note = Instant::now() + NOTE_PERIOD;
            }
            match result {
                Ok(()) => fails = false,
                Err(error) => {
                    metrics::counter!("creditgate_keyring_errors_total").increment(1);
                    if !fails {
                        tracing::warn!(%error, "keys cannot be read: those that were known stay good");
                    }
                    fails = true;
                }
            }
        }
        if let Err(error) = self.note_use().await {
            tracing::debug!(%error, "which keys were used last is not noted");
        }
    }

    fn known(&self) -> Arc<HashMap<KeyId, Known>> {
        let known = self.known.read();
        Arc::clone(&known.unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    async fn refresh(&self) -> Result<(), StoreError> {
        let stored = self.database.api_keys().await?;
        let before = self.known();
        let mut keys = HashMap::with_capacity(stored.len());
        for key in stored {
            let StoredKey { key_id, secret_hash, is_expired, is_revoked, .. } = &key;
            let Some(id) = KeyId::new(key_id) else { continue };
            let is_used = before.get(&id).is_some_and(|key| key.is_used.load(Ordering::Relaxed));
            // An id that is none is no account's: the key sees the others.
            let accounts = key
                .account_ids
                .as_ref()
                .map(|ids| Arc::new(ids.iter().filter_map(|id| AccountId::new(id).ok()).collect()));
            let known = Known {
                hash: *secret_hash,
                // A scope that a later release knows gives nothing here.
                scopes: key.scopes.iter().filter_map(|name| Scope::from_name(name)).collect(),
                caller: Caller { actor: format!("key:{id}"), accounts },
                is_expired: *is_expired,
                is_revoked: *is_revoked,
                is_used: AtomicBool::new(is_used),
            };
            keys.insert(id, known);
        }
        let mut known = self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        *known = Arc::new(keys);
        Ok(())
    }

    async fn note_use(&self) -> Result<(), StoreError> {
        let known = self.known();
        let used: Vec<String> = known
            .iter()
            .filter(|(_, key)| key.is_used.swap(false, Ordering::Relaxed))
            .map(|(id, _)| id.to_string())
            .collect();
        if used.is_empty() {
            return Ok(());
        }
        self.database.note_api_keys_used(&used).await
    }
}
