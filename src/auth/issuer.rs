//! The issuer whose tokens are taken: its keys, read anew every few minutes, and at
//! once when a token names one that is not known yet.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use bytes::Bytes;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::{
    sync::Notify,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use super::{
    fetch::{FetchError, Fetcher, is_safe},
    token::{Believed, TokenError, TrustedIssuer},
};

/// How often keys are read. One that the issuer shows no longer is good for so long.
const PERIOD: Duration = Duration::from_secs(300);
/// How soon they are read again because of a token: strangers may name any key.
const LEAST_PERIOD: Duration = Duration::from_secs(5);
/// Tokens that are remembered, so that a signature is checked once.
const REMEMBERED: usize = 4096;

/// Whose tokens are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSettings {
    /// What `iss` has to say: an address, below which the issuer describes itself.
    pub issuer: String,
    /// What `aud` has to name.
    pub audience: String,
    /// Where its keys are, an address or a file, if not where it says itself.
    pub keys: Option<String>,
}

/// Why the keys are not there.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// They could not be read.
    #[error("{0}: {1}")]
    Fetch(String, FetchError),
    /// The file could not be read.
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    /// What was read is not what it should be.
    #[error("{0}: {1}")]
    Form(String, String),
}

/// What an issuer says of itself (OpenID Connect Discovery 1.0, section 4).
#[derive(Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
}

/// Where an issuer's keys come from.
#[derive(Debug)]
enum Source {
    /// A file: nothing that this machine trusts is asked for.
    File(PathBuf),
    /// An address.
    Address(Fetcher, String),
    /// Where the issuer says.
    Described(Fetcher),
}

impl Source {
    fn new(settings: &IssuerSettings) -> Result<Self, IssuerError> {
        let fetcher = |address: &str| {
            is_safe(address).map_err(|error| IssuerError::Fetch(address.to_owned(), error))?;
            Fetcher::new()
                .map_err(|error| IssuerError::File("what this machine trusts".to_owned(), error))
        };
        Ok(match &settings.keys {
            Some(file) if !file.contains("://") => Self::File(file.into()),
            Some(address) => Self::Address(fetcher(address)?, address.clone()),
            None => Self::Described(fetcher(&settings.issuer)?),
        })
    }

    /// The place, and what is there.
    async fn read(&self, issuer: &str) -> Result<(String, Bytes), IssuerError> {
        match self {
            Self::File(path) => {
                let place = path.display().to_string();
                match tokio::fs::read(path).await {
                    Ok(document) => Ok((place, document.into())),
                    Err(error) => Err(IssuerError::File(place, error)),
                }
            }
            Self::Address(fetcher, address) => Ok((address.clone(), get(fetcher, address).await?)),
            Self::Described(fetcher) => {
                let address = described(fetcher, issuer).await?;
                let document = get(fetcher, &address).await?;
                Ok((address, document))
            }
        }
    }
}

/// Where an issuer's keys are, as it says itself.
async fn described(fetcher: &Fetcher, issuer: &str) -> Result<String, IssuerError> {
    let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let document = get(fetcher, &address).await?;
    let bad = |why: String| IssuerError::Form(address.clone(), why);
    let description: Description =
        serde_json::from_slice(&document).map_err(|error| bad(error.to_string()))?;
    if description.issuer != issuer {
        return Err(bad(format!("it is of the issuer {:?}", description.issuer)));
    }
    Ok(description.jwks_uri)
}

async fn get(fetcher: &Fetcher, address: &str) -> Result<Bytes, IssuerError> {
    let failed = |error| IssuerError::Fetch(address.to_owned(), error);
    fetcher.get(address).await.map_err(failed)
}

/// An issuer as this replica knows it.
#[derive(Debug)]
pub struct Issuer {
    settings: IssuerSettings,
    source: Source,
    known: RwLock<Option<Arc<Known>>>,
    unknown_key: Notify,
}

/// Keys, and what was believed because of them: it goes with them.
#[derive(Debug)]
struct Known {
    keys: TrustedIssuer,
    /// By the tokens' hashes.
    believed: Mutex<HashMap<[u8; 32], Believed>>,
}

impl Known {
    fn verify(&self, token: &str) -> Result<Believed, TokenError> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.believed().get(&hash).cloned();
        if let Some(believed) = known {
            let now = jsonwebtoken::get_current_timestamp();
            return if now <= believed.expires { Ok(believed) } else { Err(TokenError::Expired) };
        }
        let believed = self.keys.verify(token)?;
        let mut remembered = self.believed();
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(hash, believed.clone());
        Ok(believed)
    }

    fn believed(&self) -> MutexGuard<'_, HashMap<[u8; 32], Believed>> {
        self.believed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Issuer {
    /// One whose keys are still to be read.
    ///
    /// # Errors
    ///
    /// An address that is not safe; what this machine trusts cannot be read.
    pub fn new(settings: IssuerSettings) -> Result<Self, IssuerError> {
        let source = Source::new(&settings)?;
        Ok(Self { settings, source, known: RwLock::default(), unknown_key: Notify::new() })
    }

    /// Whose a token is.
    ///
    /// # Errors
    ///
    /// Why it is not believed.
    pub fn verify(&self, token: &str) -> Result<Believed, TokenError> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        let result = known.ok_or(TokenError::UnknownKey).and_then(|known| known.verify(token));
        if result == Err(TokenError::UnknownKey) {
            self.unknown_key.notify_one();
        }
        result
    }

    /// Reads the keys now.
    ///
    /// # Errors
    ///
    /// They are not there: those that were known stay good.
    pub async fn refresh(&self) -> Result<(), IssuerError> {
        let IssuerSettings { issuer, audience, .. } = &self.settings;
        let (place, document) = self.source.read(issuer).await?;
        let keys = TrustedIssuer::new(issuer, audience, &document)
            .map_err(|error| IssuerError::Form(place.clone(), error.to_string()))?;
        if keys.keys() == 0 {
            return Err(IssuerError::Form(place, "no key for signatures is in it".to_owned()));
        }
        let known = Known { keys, believed: Mutex::default() };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(known));
        Ok(())
    }

    /// Reads keys again, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut fails = false;
        loop {
            let due = Instant::now() + if fails { LEAST_PERIOD } else { PERIOD };
            let not_before = Instant::now() + LEAST_PERIOD;
            tokio::select! {
                () = stop.cancelled() => return,
                () = time::sleep_until(due) => {}
                () = self.unknown_key.notified() => {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = time::sleep_until(not_before) => {}
                    }
                }
            }
            let read = self.refresh().await;
            self.tell(&read, !fails);
            fails = read.is_err();
        }
    }

    /// Counts and logs a failure: the first of several.
    pub fn tell(&self, read: &Result<(), IssuerError>, is_first: bool) {
        let Err(error) = read else { return };
        metrics::counter!("creditgate_issuer_errors_total").increment(1);
        if is_first {
            tracing::warn!(%error, "the issuer's keys cannot be read: those that were known stay good");
        }
    }
}
