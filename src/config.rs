//! Settings of the server: built-in values, then a TOML file, then the
//! environment (`CREDITGATE_*`, and `DATABASE_URL`), then flags.

mod secret;

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use serde::{Deserialize, Serialize};

pub use secret::Secret;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs, an object a line.
    Json,
}

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Whoever runs on this machine: gRPC has to be served on loopback.
    Loopback,
    /// Whoever has a key, see `creditgate key`; or, where they are set up, a certificate
    /// or a token, see `creditgate principal`.
    Keys,
    /// Whoever can reach it, wherever it is served.
    Anyone,
}

/// The files of TLS, all of them PEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsFiles<'a> {
    /// The server's chain of certificates.
    pub cert: &'a Path,
    /// The key of the first of them.
    pub key: &'a Path,
    /// Authorities of clients' certificates; `None` where those are not asked for.
    pub client_ca: Option<&'a Path>,
}

/// Which tokens are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens<'a> {
    /// What they say in `iss`.
    pub issuer: &'a str,
    /// What they have to name in `aud`.
    pub audience: &'a str,
    /// Where the issuer's keys are, an address or a file; `None` where it says itself.
    pub keys: Option<&'a str>,
}

/// The server's settings. A name that is not here is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The database: `postgres://role@host/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_url: Option<Secret>,
    /// Where gRPC is served.
    pub grpc_addr: SocketAddr,
    /// Where health and metrics are served over HTTP.
    pub http_addr: SocketAddr,
    /// Who may call.
    pub auth: Auth,
    /// A chain of certificates, the server's own first, as PEM: gRPC is then served
    /// over TLS. Read again when the file changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// Authorities as PEM, whose certificates of clients are believed: those say who
    /// calls. Read again when the file changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_client_ca: Option<PathBuf>,
    /// The issuer whose tokens are taken (OpenID Connect): an address, as its tokens
    /// say it in `iss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_issuer: Option<String>,
    /// What those tokens have to name in `aud`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_audience: Option<String>,
    /// Where the issuer's keys are, an address or a file, if not where it says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_keys: Option<String>,
    /// Calls a second that each key may make of one replica; more at once only after a
    /// rest. Without it, any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<NonZeroU32>,
    /// gRPC connections at once; one more is closed.
    pub max_connections: usize,
    /// Lanes that write, for each cell. Fewer make larger batches, more use more of the
    /// database's cores.
    pub lanes: usize,
    /// Lanes that answer `CheckEligibility`, for each cell.
    pub check_lanes: usize,
    /// Commands that may wait in one lane's queue before calls are shed.
    pub queue: usize,
    /// Accounts that a lane that writes keeps in memory: their commands take no read.
    pub kept_accounts: usize,
    /// Connections for reads, for each cell.
    pub read_connections: u32,
    /// Seconds for which calls are still taken after SIGTERM, while the
    /// readiness probes spread the word.
    pub drain_seconds: u64,
    /// Seconds for which the database may be away before this replica says
    /// that it is not ready: long, or every replica goes at once.
    pub readiness_grace_seconds: u64,
    /// Secrets of Paddle's notification destination, divided by commas: two
    /// while it is rotated, at most 4. Without one, no webhooks are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paddle_secrets: Option<Secret>,
    /// Seconds after which a signature of Paddle's is too old.
    pub paddle_tolerance_seconds: u32,
    /// Seconds that Paddle's clock may be ahead of this one.
    pub paddle_skew_seconds: u32,
    /// What is logged: `info`, `creditgate=debug`, ...
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// A collector that takes spans, as OTLP by gRPC: `http://collector:4317`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<String>,
    /// One call in so many is traced, unless its caller has decided.
    pub trace_one_in: NonZeroU32,
    /// Endpoints of webhooks may be on this machine or its network, and without TLS.
    pub webhook_private_addresses: bool,
    /// Where mails are handed in, with user and password; none: no mail is sent.
    pub smtp_url: Option<Secret>,
    /// Who mails are from.
    pub mail_from: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            database_url: None,
            grpc_addr: SocketAddr::from(([127, 0, 0, 1], 50051)),
            http_addr: SocketAddr::from(([127, 0, 0, 1], 8080)),
            auth: Auth::Loopback,
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            token_issuer: None,
            token_audience: None,
            token_keys: None,
            rate_limit: None,
            max_connections: 4096,
            lanes: 2,
            check_lanes: 2,
            queue: 4096,
            kept_accounts: 16_384,
            read_connections: 8,
            drain_seconds: 5,
            readiness_grace_seconds: 30,
            paddle_secrets: None,
            paddle_tolerance_seconds: 5,
            paddle_skew_seconds: 5,
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            otlp_endpoint: None,
            trace_one_in: NonZeroU32::MIN.saturating_add(99),
            webhook_private_addresses: false,
            smtp_url: None,
            mail_from: None,
        }
    }
}

/// The settings that the environment may give: `CREDITGATE_` and the name in
/// capitals. Other variables of that prefix belong to other commands.
const NAMES: [&str; 29] = [
    "database_url",
    "grpc_addr",
    "http_addr",
    "auth",
    "tls_cert",
    "tls_key",
    "tls_client_ca",
    "token_issuer",
    "token_audience",
    "token_keys",
    "rate_limit",
    "max_connections",
    "lanes",
    "check_lanes",
    "queue",
    "kept_accounts",
    "read_connections",
    "drain_seconds",
    "readiness_grace_seconds",
    "paddle_secrets",
    "paddle_tolerance_seconds",
    "paddle_skew_seconds",
    "log",
    "log_format",
    "otlp_endpoint",
    "trace_one_in",
    "webhook_private_addresses",
    "smtp_url",
    "mail_from",
];

/// Settings that are not understood.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Mails need both.
    #[error("smtp_url and mail_from go together: set both, or neither")]
    MailHalf,
    /// A file, a variable or a flag has a wrong value.
    #[error("the settings are not understood: {0}")]
    Invalid(#[from] Box<figment::Error>),
    /// The file does not exist.
    #[error("there is no settings file {0}")]
    NoFile(String),
    /// No database was named.
    #[error(
        "no database: set DATABASE_URL, or --database-url, or run `creditgate dev`, which brings its own"
    )]
    NoDatabase,
    /// Others could call, and nothing says that they may.
    #[error(
        "gRPC on {0} can be reached by others: set --auth keys, and make keys with `creditgate \
         key create`; or --auth anyone, where only your own scheduler can reach it"
    )]
    Open(SocketAddr),
    /// A limit for each key, and no keys.
    #[error("rate_limit is for each key: set --auth keys, or leave it out")]
    Limitless,
    /// Of a certificate and its key one is missing.
    #[error("TLS takes both: --tls-cert and --tls-key")]
    HalfTls,
    /// Clients' certificates, and no TLS or no use for them.
    #[error("tls_client_ca takes --auth keys, --tls-cert and --tls-key")]
    ClientCa,
    /// Tokens are not described.
    #[error("tokens take --auth keys, and both --token-issuer and --token-audience")]
    HalfTokens,
    /// A number must not be 0.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// The secrets are not a list of secrets.
    #[error("paddle_secrets must be 1 to 4 secrets divided by commas, without blanks in them")]
    PaddleSecrets,
}

/// The most secrets of one destination: two are needed while one is replaced.
const MAX_PADDLE_SECRETS: usize = 4;

impl Settings {
    /// Puts the settings together; `flags` serializes to those that were given.
    ///
    /// # Errors
    ///
    /// A value that is not understood: the message names its origin.
    pub fn load(file: Option<&Path>, flags: impl Serialize) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(path) = file {
            if !path.is_file() {
                return Err(ConfigError::NoFile(path.display().to_string()));
            }
            figment = figment.merge(Toml::file_exact(path));
        }
        let settings: Self = figment
            .merge(Env::raw().only(&["DATABASE_URL"]))
            .merge(Env::prefixed("CREDITGATE_").only(&NAMES))
            .merge(Serialized::defaults(flags))
            .extract()
            .map_err(Box::new)?;
        for (name, value) in [
            ("lanes", settings.lanes),
            ("check_lanes", settings.check_lanes),
            ("queue", settings.queue),
            ("read_connections", settings.read_connections as usize),
            ("paddle_tolerance_seconds", settings.paddle_tolerance_seconds as usize),
        ] {
            if value == 0 {
                return Err(ConfigError::Zero(name));
            }
        }
        settings.paddle_secrets()?;
        settings.tls()?;
        settings.tokens()?;
        Ok(settings)
    }

    /// The secrets of Paddle's notification destination; none where webhooks are
    /// not taken.
    ///
    /// # Errors
    ///
    /// Too many, an empty one, or one with blanks.
    pub fn paddle_secrets(&self) -> Result<Vec<Secret>, ConfigError> {
        let text = self.paddle_secrets.as_ref().map_or("", Secret::reveal);
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        let secrets: Vec<Secret> = text.split(',').map(|one| Secret::new(one.trim())).collect();
        let is_secret = |one: &Secret| {
            !one.reveal().is_empty() && one.reveal().bytes().all(|byte| byte.is_ascii_graphic())
        };
        if secrets.len() > MAX_PADDLE_SECRETS || !secrets.iter().all(is_secret) {
            return Err(ConfigError::PaddleSecrets);
        }
        Ok(secrets)
    }

    /// The database's URL.
    ///
    /// # Errors
    ///
    /// None was given.
    pub fn database_url(&self) -> Result<&Secret, ConfigError> {
        self.database_url.as_ref().ok_or(ConfigError::NoDatabase)
    }

    /// The files of TLS; `None` for none.
    ///
    /// # Errors
    ///
    /// One of them is missing, or those of clients have no use.
    pub fn tls(&self) -> Result<Option<TlsFiles<'_>>, ConfigError> {
        let client_ca = self.tls_client_ca.as_deref();
        let files = match (&self.tls_cert, &self.tls_key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key, client_ca }),
            _ => return Err(ConfigError::HalfTls),
        };
        if client_ca.is_some() && (files.is_none() || self.auth != Auth::Keys) {
            return Err(ConfigError::ClientCa);
        }
        Ok(files)
    }

    /// Whose tokens are taken; `None` for nobody's.
    ///
    /// # Errors
    ///
    /// A part of it is missing, or it has no use.
    pub fn tokens(&self) -> Result<Option<Tokens<'_>>, ConfigError> {
        match (&self.token_issuer, &self.token_audience) {
            (None, None) if self.token_keys.is_none() => Ok(None),
            (Some(issuer), Some(audience)) if self.auth == Auth::Keys => {
                Ok(Some(Tokens { issuer, audience, keys: self.token_keys.as_deref() }))
            }
            _ => Err(ConfigError::HalfTokens),
        }
    }

    /// Whether gRPC may be served where it is to be.
    ///
    /// # Errors
    ///
    /// Others could call, and nothing says that they may.
    pub fn check_auth(&self) -> Result<(), ConfigError> {
        if self.auth == Auth::Loopback && !self.grpc_addr.ip().is_loopback() {
            return Err(ConfigError::Open(self.grpc_addr));
        }
        if self.rate_limit.is_some() && self.auth != Auth::Keys {
            return Err(ConfigError::Limitless);
        }
        Ok(())
    }

    /// How long calls are still taken after SIGTERM.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }

    /// Where mails are handed in, and who they are from; nowhere where it is not set.
    ///
    /// # Errors
    ///
    /// One is set without the other.
    pub fn mail(&self) -> Result<Option<(&Secret, &str)>, ConfigError> {
        match (&self.smtp_url, self.mail_from.as_deref()) {
            (Some(url), Some(from)) => Ok(Some((url, from))),
            (None, None) => Ok(None),
            _ => Err(ConfigError::MailHalf),
        }
    }
}

#[cfg(test)]
mod tests;
