//! What a server would find if it were started with these settings: everything is
//! looked at, nothing is changed.

mod outward;

use chrono::{TimeDelta, Utc};

use super::{
    issuer,
    start_checks::{self, CLOCK_TOLERANCE, LEAST_VERSION},
    tls::Certificate,
};
use crate::{
    auth::Keyring,
    config::{Auth, Settings},
    store::{Database, StoreError},
};

/// A certificate that runs out sooner than this should have been replaced.
const EXPIRES_SOON: TimeDelta = TimeDelta::days(14);
/// Part of a database's connections that one replica should take at most, so that
/// two of them can serve while a third takes over: one in so many.
const CONNECTION_SHARE: usize = 4;

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// As it should be.
    Good,
    /// A server would start, and something should be mended.
    Warning,
    /// A server would not start, serve nobody, or lose credits in a crash.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How it is.
    pub health: Health,
    /// What was seen, and what to do where it is not good.
    pub said: String,
}

/// What was found.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, what: &'static str, health: Health, said: impl Into<String>) {
        self.0.push(Finding { what, health, said: said.into() });
    }

    fn good(&mut self, what: &'static str, said: impl Into<String>) {
        self.add(what, Health::Good, said);
    }

    fn warn(&mut self, what: &'static str, said: impl Into<String>) {
        self.add(what, Health::Warning, said);
    }

    fn bad(&mut self, what: &'static str, said: impl Into<String>) {
        self.add(what, Health::Bad, said);
    }
}

/// Looks at everything that these settings name.
pub async fn examine(settings: &Settings) -> Vec<Finding> {
    let mut found = Findings::default();
    addresses(&mut found, settings);
    certificate(&mut found, settings);
    tokens(&mut found, settings).await;
    paddle(&mut found, settings);
    outward::collector(&mut found, settings).await;
    outward::mail(&mut found, settings).await;
    match settings.database_url() {
        Err(error) => found.bad("database", error.to_string()),
        Ok(url) => match Database::for_server(url.reveal(), settings.read_connections) {
            Err(error) => found.bad("database", error.to_string()),
            Ok(database) => {
                on_database(&mut found, settings, &database).await;
                database.close().await;
            }
        },
    }
    found.0
}

fn addresses(found: &mut Findings, settings: &Settings) {
    let (grpc, http) = (settings.grpc_addr, settings.http_addr);
    match (settings.check_auth(), settings.auth) {
        (Err(error), _) => found.bad("who may call", error.to_string()),
        (Ok(()), Auth::Anyone) if !grpc.ip().is_loopback() => found.warn(
            "who may call",
            format!("whoever can reach {grpc}: let only your own network reach it, or --auth keys"),
        ),
        (Ok(()), Auth::Anyone | Auth::Loopback) => {
            found.good("who may call", format!("whoever can reach {grpc}"));
        }
        (Ok(()), Auth::Keys) => found.good("who may call", "whoever has a credential"),
    }
    if http.ip().is_loopback() {
        found.good("HTTP", format!("{http}, this machine alone"));
    } else {
        found
            .warn("HTTP", format!("{http} is open: let only probes, scrapers and Paddle reach it"));
    }
}

fn certificate(found: &mut Findings, settings: &Settings) {
    let files = match settings.tls() {
        Err(error) => return found.bad("TLS", error.to_string()),
        Ok(None) if settings.grpc_addr.ip().is_loopback() => {
            return found.good("TLS", "none, on this machine alone");
        }
        Ok(None) => {
            let said = "none: keys and answers travel in plain text; --tls-cert and --tls-key";
            return found.warn("TLS", said);
        }
        Ok(Some(files)) => files,
    };
    let expires = match Certificate::read(files) {
        Err(error) => return found.bad("TLS", error.to_string()),
        Ok(certificate) => certificate.expires(),
    };
    let Some(expires) = expires else {
        return found.warn("TLS", "it cannot be told when the certificate runs out");
    };
    let left = expires - Utc::now();
    let when = format!("{} ({} days)", expires.format("%Y-%m-%d"), left.num_days());
    if left <= TimeDelta::zero() {
        found.bad("TLS", format!("the certificate ran out on {when}: replace its files"));
    } else if left < EXPIRES_SOON {
        found.warn("TLS", format!("the certificate runs out on {when}: replace its files"));
    } else {
        found.good("TLS", format!("the certificate is good until {when}"));
    }
}

async fn tokens(found: &mut Findings, settings: &Settings) {
    let tokens = match settings.tokens() {
        Err(error) => return found.bad("tokens", error.to_string()),
        Ok(None) => return found.good("tokens", "none are taken"),
        Ok(Some(tokens)) => tokens,
    };
    let named = tokens.issuer.to_owned();
    match issuer(tokens) {
        Err(error) => found.bad("tokens", error.to_string()),
        Ok(issuer) => match issuer.refresh().await {
            Ok(()) => found.good("tokens", format!("the keys of {named} were read")),
            Err(error) => found.warn("tokens", format!("none are believed: {error}")),
        },
    }
}

fn paddle(found: &mut Findings, settings: &Settings) {
    match settings.paddle_secrets() {
        Err(error) => found.bad("Paddle", error.to_string()),
        Ok(secrets) if secrets.is_empty() => found.good("Paddle", "no webhooks are taken"),
        Ok(secrets) => {
            found.good("Paddle", format!("webhooks are believed by {} secrets", secrets.len()));
        }
    }
}

async fn on_database(found: &mut Findings, settings: &Settings, database: &Database) {
    let facts = match database.server_facts().await {
        Ok(facts) => facts,
        // What the database says may be a sentence of several lines.
        Err(error) => {
            let said = error.to_string().replace('\n', " ");
            return found
                .bad("database", format!("{said}: look at DATABASE_URL, and whether it runs"));
        }
    };
    let said = format!("PostgreSQL {}, as {}", facts.version, facts.role);
    if facts.version_number < LEAST_VERSION {
        found.warn("database", format!("{said}: nothing older than 15 is tested"));
    } else {
        found.good("database", said);
    }
    let apart = start_checks::apart(&facts);
    let said = format!("{} ms apart from the database's", apart.num_milliseconds());
    if apart > CLOCK_TOLERANCE {
        found.warn("clock", format!("{said}: set both by NTP, or webhooks may seem too old"));
    } else {
        found.good("clock", said);
    }
    match database.risky_settings().await {
        Err(error) => found.warn("durability", error.to_string()),
        Ok(risky) if risky.is_empty() => found.good("durability", "commits are on the disk"),
        Ok(risky) => {
            let names = risky.join(", ");
            found.bad("durability", format!("{names} is off: a crash loses acknowledged credits"));
        }
    }
    if let Err(error) = database.check_schema().await {
        let advice = match error {
            StoreError::SchemaNotReady(_) => ": `creditgate migrate`, as the owner",
            _ => "",
        };
        return found.bad("schema", format!("{error}{advice}"));
    }
    let cells = match database.cells().await {
        Err(error) => return found.bad("schema", error.to_string()),
        Ok(cells) => cells.len(),
    };
    found.good("schema", format!("up to date, cells: {cells}"));
    connections(found, settings, cells, facts.max_connections);
    rights(found, database).await;
    contents(found, settings, database).await;
    outward::endpoints(found, database).await;
}

fn connections(found: &mut Findings, settings: &Settings, cells: usize, most: i32) {
    let reads = usize::try_from(settings.read_connections).unwrap_or(usize::MAX);
    let each = settings.lanes + settings.check_lanes + reads;
    // The directories have a pool of their own.
    let wanted = each.saturating_mul(cells).saturating_add(reads);
    let said = format!("this replica takes up to {wanted} of the database's {most}");
    let most = usize::try_from(most).unwrap_or(0);
    if wanted > most / CONNECTION_SHARE {
        let advice = "fewer --read-connections or lanes, or a larger max_connections";
        found.warn("connections", format!("{said}: {advice}"));
    } else {
        found.good("connections", said);
    }
}

async fn rights(found: &mut Findings, database: &Database) {
    match database.excessive_rights().await {
        Err(error) => found.warn("rights", error.to_string()),
        Ok(tables) if tables.is_empty() => {
            found.good("rights", "this role cannot rewrite history");
        }
        Ok(tables) => found.warn(
            "rights",
            format!(
                "this role may rewrite {}: connect as the one that `creditgate migrate` made",
                tables.join(", ")
            ),
        ),
    }
}

async fn contents(found: &mut Findings, settings: &Settings, database: &Database) {
    match database.catalog().await {
        Err(error) => found.bad("catalog", error.to_string()),
        Ok(revised) if revised.revision == 0 => {
            found.warn("catalog", "there is none, so no scan is known: `creditgate catalog apply`");
        }
        Ok(revised) => {
            let kinds = revised.catalog.scan_kinds.len();
            found.good("catalog", format!("revision {}, {kinds} scan kinds", revised.revision));
        }
    }
    if settings.auth != Auth::Keys {
        return;
    }
    match Keyring::read(database.clone(), None, None).await {
        Err(error) => found.bad("callers", error.to_string()),
        Ok(keyring) if keyring.good() == 0 => found.warn(
            "callers",
            "nobody may call yet: `creditgate key create`, or `creditgate principal add`",
        ),
        Ok(keyring) => found.good("callers", format!("{} may call", keyring.good())),
    }
}
