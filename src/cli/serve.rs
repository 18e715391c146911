//! `creditgate serve`: the server, on a database that exists.

use std::{num::NonZeroU32, path::PathBuf};

use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{CliError, Outcome};
use crate::{
    clock::Clock,
    config::{Auth, LogFormat, Settings},
    server,
    telemetry::{self, TraceSettings},
};

/// Settings by flag; those that are not given come from the environment, the
/// file, or are built in.
#[derive(Debug, Args, Serialize)]
pub(super) struct ServeArgs {
    /// A TOML file with settings by their names: lanes = 4.
    #[arg(long, env = "CREDITGATE_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// The database: postgres://role@host/name. Also DATABASE_URL, which does
    /// not show in the list of processes.
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    database_url: Option<String>,
    /// Where gRPC is served [default: 127.0.0.1:50051].
    #[arg(long, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_addr: Option<std::net::SocketAddr>,
    /// Where health and metrics are served over HTTP [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    http_addr: Option<std::net::SocketAddr>,
    /// Who may call; others than this machine only with `keys` or `anyone` [default: loopback].
    #[arg(long, value_enum, value_name = "WHO")]
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<Auth>,
    /// A chain of certificates, the server's own first, as PEM: gRPC over TLS. Read again when
    /// the file changes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_key: Option<PathBuf>,
    /// Authorities as PEM, whose certificates of clients are believed; with --auth keys. See
    /// `creditgate principal`.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_client_ca: Option<PathBuf>,
    /// The OpenID Connect issuer whose tokens are taken; with --auth keys. See `creditgate
    /// principal`.
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    token_issuer: Option<String>,
    /// What those tokens have to name as their audience.
    #[arg(long, value_name = "AUDIENCE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    token_audience: Option<String>,
    /// Where the issuer's keys are, if not where it says itself.
    #[arg(long, value_name = "URL|FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    token_keys: Option<String>,
    /// Calls a second that each key may make of this replica; with --auth keys
    /// [default: any number].
    #[arg(long, value_name = "CALLS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<NonZeroU32>,
    /// gRPC connections at once; one more is closed [default: 4096].
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_connections: Option<usize>,
    /// Lanes that write; more where the database has idle cores [default: 2].
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    lanes: Option<usize>,
    /// Lanes that answer CheckEligibility [default: 2].
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    check_lanes: Option<usize>,
    /// Commands that may wait in a lane's queue before calls are shed
    /// [default: 4096].
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<usize>,
    /// Accounts that each lane that writes keeps in memory: while no other
    /// replica writes them, their commands take no read; 0: none
    /// [default: 16384].
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_accounts: Option<usize>,
    /// Connections for reads [default: 8].
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    read_connections: Option<u32>,
    /// For how long calls are still taken after SIGTERM [default: 5].
    #[arg(long, value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    drain_seconds: Option<u64>,
    /// For how long the database may be away before this replica is not ready
    /// [default: 30].
    #[arg(long, value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    readiness_grace_seconds: Option<u64>,
    /// What is logged: info, creditgate=debug, ... [default: info].
    #[arg(long, value_name = "FILTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    /// How log lines look [default: text].
    #[arg(long, value_enum, value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log_format: Option<LogFormat>,
    /// Where spans go: a collector that takes OTLP by gRPC, such as
    /// http://127.0.0.1:4317 [default: nowhere].
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    otlp_endpoint: Option<String>,
    /// One call in so many is traced, unless its caller has decided
    /// [default: 100].
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_one_in: Option<NonZeroU32>,
    /// Webhooks may go to this machine and its network, and without TLS.
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    webhook_private_addresses: bool,
    /// Who mails are from, such as "Credits <credits@example.com>"; where they are
    /// handed in says CREDITGATE_SMTP_URL.
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mail_from: Option<String>,
}

impl ServeArgs {
    /// The settings that these options give, with file and environment.
    pub(super) fn settings(&self) -> Result<Settings, CliError> {
        let settings = Settings::load(self.config.as_deref(), self);
        Ok(settings.map_err(server::ServerError::from)?)
    }
}

/// Serves until SIGTERM or Ctrl-C.
pub(super) async fn run(args: ServeArgs) -> Result<Outcome, CliError> {
    let settings = args.settings()?;
    let traces = settings
        .otlp_endpoint
        .clone()
        .map(|endpoint| TraceSettings { endpoint, one_in: settings.trace_one_in });
    let telemetry = telemetry::init(&settings.log, settings.log_format, traces.as_ref())?;
    let open = (settings.auth == Auth::Anyone).then_some(("grpc", settings.grpc_addr));
    for (name, address) in open.into_iter().chain([("http", settings.http_addr)]) {
        if !address.ip().is_loopback() {
            tracing::warn!(
                "{name} is served on {address}: whoever can reach it may call it, so let only \
                 your own network reach it"
            );
        }
    }
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    change_logs_on_hangup(args)?;
    let running = match server::start(&settings, Clock::Database, stop).await {
        Err(server::ServerError::Stopped) => return Ok(Outcome::Done),
        started => started?,
    };
    tracing::info!(grpc = %running.grpc_addr, http = %running.http_addr, "ready");
    let ended = running.ended().await;
    telemetry.flush().await;
    ended?;
    Ok(Outcome::Done)
}

/// Starts to log; a filter that is not understood is a usage error.
pub(super) fn start_logs(filter: &str, format: LogFormat) -> Result<(), CliError> {
    // Without spans there is nothing to flush.
    let _telemetry = telemetry::init(filter, format, None)?;
    Ok(())
}

/// Reads the settings again at SIGHUP, and takes what they say of logs: everything
/// else stays as it was at the start.
fn change_logs_on_hangup(args: ServeArgs) -> Result<(), CliError> {
    let mut hangup =
        signal(SignalKind::hangup()).map_err(|error| CliError::io("catch signals", error))?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let changed = args.settings().and_then(|settings| {
                let log = settings.log;
                telemetry::set_log_filter(&log)?;
                Ok(log)
            });
            match changed {
                Ok(log) => tracing::info!(log, "the settings were read again, for the log alone"),
                Err(error) => tracing::warn!(%error, "the log goes on as it was"),
            }
        }
    });
    Ok(())
}

/// Cancels the token at SIGTERM or Ctrl-C.
pub(super) fn stop_on_signals(stop: CancellationToken) -> Result<(), CliError> {
    let catch = |kind| signal(kind).map_err(|error| CliError::io("catch signals", error));
    let mut terminate = catch(SignalKind::terminate())?;
    let mut interrupt = catch(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}
