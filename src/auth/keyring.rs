//! The callers that this replica knows: all keys and principals, read anew every
//! second.
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
    issuer::Issuer,
    key::{ApiKey, KeyId},
    principal::{PeerNames, Principal},
    scope::{self, Scope},
    token::TokenError,
};
use crate::{
    ids::{AccountId, SeenAccounts},
    store::{Database, StoreError, api_keys::StoredKey, principals::StoredPrincipal},
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
    /// It came with a token that is not believed.
    Token(TokenError),
    /// Whoever vouches for its caller is believed, but no operator has let it in.
    Stranger {
        /// Its name: the first of several.
        principal: Principal,
    },
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
            Self::Token(_) => "token",
            Self::Stranger { .. } => "stranger",
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

/// What a call shows of its caller.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Its `authorization` header.
    pub authorization: Option<&'a str>,
    /// Who its connection's certificate says that it is.
    pub peer: &'a PeerNames,
}

/// A caller as this replica knows it.
#[derive(Debug)]
struct Known {
    scopes: Vec<Scope>,
    /// Who calls.
    caller: Caller,
    /// Since it was noted last.
    is_used: AtomicBool,
}

impl Known {
    fn new(
        actor: String,
        scopes: &[String],
        account_ids: Option<&Vec<String>>,
        before: Option<&Self>,
    ) -> Self {
        // An id that is none is no account's: the caller sees the others.
        let accounts = account_ids
            .map(|ids| Arc::new(ids.iter().filter_map(|id| AccountId::new(id).ok()).collect()));
        let is_used = before.is_some_and(|known| known.is_used.load(Ordering::Relaxed));
        Self {
            // A scope that a later release knows gives nothing here.
            scopes: scopes.iter().filter_map(|name| Scope::from_name(name)).collect(),
            caller: Caller { actor, accounts },
            is_used: AtomicBool::new(is_used),
        }
    }
}

/// A key as this replica knows it.
#[derive(Debug)]
struct KnownKey {
    hash: [u8; 32],
    is_expired: bool,
    is_revoked: bool,
    known: Known,
}

/// All callers of one time.
#[derive(Debug, Default)]
struct Callers {
    keys: HashMap<KeyId, KnownKey>,
    principals: HashMap<Principal, Known>,
}

impl Callers {
    fn by_key(&self, key: &ApiKey) -> Result<&Known, Denied> {
        let found = self.keys.get(key.id()).ok_or(Denied::Unknown)?;
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
        Ok(&found.known)
    }

    fn by_principal(&self, principal: &Principal) -> Result<&Known, Denied> {
        let stranger = || Denied::Stranger { principal: principal.clone() };
        self.principals.get(principal).ok_or_else(stranger)
    }

    /// By a certificate: the first of its names that is let in.
    fn by_peer(&self, peer: &PeerNames) -> Result<&Known, Denied> {
        let first = peer.0.first().ok_or(Denied::NoKey)?;
        let known = peer.0.iter().find_map(|name| self.principals.get(name));
        known.ok_or_else(|| Denied::Stranger { principal: first.clone() })
    }
}

/// All callers. Clones share them.
#[derive(Debug, Clone)]
pub struct Keyring {
    database: Database,
    known: Arc<RwLock<Arc<Callers>>>,
    /// Whose tokens are taken, if anybody's.
    issuer: Option<Arc<Issuer>>,
    /// How often each caller may call this replica, by its actor: so often a second,
    /// and after a rest as often at once.
    limiter: Option<Arc<DefaultKeyedRateLimiter<String>>>,
}

impl Keyring {
    /// Reads all callers. Each may call so often a second; `None` for any number.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn read(
        database: Database,
        issuer: Option<Arc<Issuer>>,
        rate_limit: Option<NonZeroU32>,
    ) -> Result<Self, StoreError> {
        let limiter = |limit| Arc::new(RateLimiter::keyed(Quota::per_second(limit)));
        let (known, limiter) = (Arc::default(), rate_limit.map(limiter));
        let keyring = Self { database, known, issuer, limiter };
        keyring.refresh().await?;
        Ok(keyring)
    }

    /// How many callers there are, those that are good for nothing left out.
    #[must_use]
    pub fn good(&self) -> usize {
        let known = self.known();
        let is_good = |key: &&KnownKey| !key.is_expired && !key.is_revoked;
        known.keys.values().filter(is_good).count() + known.principals.len()
    }

    /// Whether a call of this path is let through. Gives who makes it: by what its
    /// header says, and without one by its connection's certificate.
    ///
    /// # Errors
    ///
    /// Why not. That a key has run out or was revoked hears only who has it.
    pub fn admit(&self, shown: Shown<'_>, path: &str) -> Result<Caller, Denied> {
        let callers = self.known();
        let found = match shown.authorization {
            Some(header) => self.by_header(&callers, header)?,
            None => callers.by_peer(shown.peer)?,
        };
        let caller = &found.caller;
        if !scope::may(&found.scopes, path) {
            let wanted = scope::scopes_of(path).unwrap_or_default();
            let wanted = wanted.iter().copied().chain([Scope::Operator]).collect();
            return Err(Denied::Scope { wanted });
        }
        if caller.accounts.is_some() && !scope::is_of_one_account(path) {
            return Err(Denied::Bound);
        }
        // Of callers that there are alone, so that strangers fill no memory.
        if let Some(Err(early)) =
            self.limiter.as_ref().map(|limits| limits.check_key(&caller.actor))
        {
            return Err(Denied::TooFast {
                wait: early.wait_time_from(DefaultClock::default().now()),
            });
        }
        if !found.is_used.load(Ordering::Relaxed) {
            found.is_used.store(true, Ordering::Relaxed);
        }
        Ok(caller.clone())
    }

    fn by_header<'a>(&self, callers: &'a Callers, header: &str) -> Result<&'a Known, Denied> {
        let (scheme, text) = header.split_once(' ').ok_or(Denied::Unknown)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Denied::Unknown);
        }
        let text = text.trim_start();
        if let Some(key) = ApiKey::parse(text) {
            return callers.by_key(&key);
        }
        let issuer = self.issuer.as_ref().ok_or(Denied::Unknown)?;
        let believed = issuer.verify(text).map_err(Denied::Token)?;
        callers.by_principal(&believed.principal)
    }

    /// Reads callers again, and notes which have called, until `stop`.
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

    fn known(&self) -> Arc<Callers> {
        let known = self.known.read();
        Arc::clone(&known.unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    async fn refresh(&self) -> Result<(), StoreError> {
        let keys = self.database.api_keys().await?;
        let principals = self.database.principals().await?;
        let before = self.known();
        let mut callers = Callers::default();
        for key in keys {
            let StoredKey { key_id, secret_hash, scopes, account_ids, is_expired, .. } = &key;
            let Some(id) = KeyId::new(key_id) else { continue };
            let before = before.keys.get(&id).map(|key| &key.known);
            let known = Known::new(format!("key:{id}"), scopes, account_ids.as_ref(), before);
            let (hash, is_expired, is_revoked) = (*secret_hash, *is_expired, key.is_revoked);
            callers.keys.insert(id, KnownKey { hash, is_expired, is_revoked, known });
        }
        for stored in principals {
            let StoredPrincipal { principal, scopes, account_ids, .. } = stored;
            let Some(name) = Principal::new(&principal) else { continue };
            let before = before.principals.get(&name);
            let known = Known::new(principal, &scopes, account_ids.as_ref(), before);
            callers.principals.insert(name, known);
        }
        let mut known = self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        *known = Arc::new(callers);
        Ok(())
    }

    async fn note_use(&self) -> Result<(), StoreError> {
        let known = self.known();
        let is_used = |known: &Known| known.is_used.swap(false, Ordering::Relaxed);
        let keys: Vec<String> = (known.keys.iter())
            .filter(|(_, key)| is_used(&key.known))
            .map(|(id, _)| id.to_string())
            .collect();
        if !keys.is_empty() {
            self.database.note_api_keys_used(&keys).await?;
        }
        let principals: Vec<String> = (known.principals.iter())
            .filter(|(_, known)| is_used(known))
            .map(|(name, _)| name.to_string())
            .collect();
        if !principals.is_empty() {
            self.database.note_principals_used(&principals).await?;
        }
        Ok(())
    }
}
