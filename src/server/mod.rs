//! The server: assembles the parts, runs them, drains them.

pub mod access;
mod carrying;
pub mod checkpoints;
mod connections;
pub mod doctor;
mod gathering;
pub mod import;
mod inbox;
mod maintenance;
mod prepare;
mod ready;
mod start_checks;
mod tls;

pub use crate::store::{inbox::InboxState, migrate::Plan as MigrationPlan, queries::InboxEvent};
pub use inbox::{Replay, Replayed, inbox_events, replay};
pub use maintenance::{Audit, audit, migrate};
pub use tls::TlsError;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, task::JoinHandle, time};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use self::{
    gathering::Gathering,
    prepare::{issuer, listen, verifier, wait_for},
    ready::{end_watches, set_serving, watch_database},
    tls::Certificate,
};
use crate::{
    auth::{Access, AccessError, Issuer, IssuerError, Keyring},
    billing::{Billing, Inbox},
    clock::Clock,
    config::{Auth, ConfigError, Settings},
    delivery::{
        self, Endpoints,
        mail::{MailError, Mailer, Mails},
        sender::Sender,
    },
    events::Events,
    grpc,
    http::{self, Readiness, webhooks::Webhooks},
    ledger::{Ledger, LedgerOptions},
    proto,
    store::{Database, StoreError},
    telemetry, workers,
};

/// Streams that one connection may have open: hyper's own limit, which tonic
/// switches off where it is not set.
const MAX_STREAMS: u32 = 1024;
/// Resets that a connection may cause before it is closed (rapid reset).
const MAX_RESETS: usize = 1024;
/// How old a connection may become: callers then make another, which a balancer may
/// send to a replica that was added meanwhile. Calls on it are still answered.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(60 * 60);
/// Bytes of headers of one call.
const MAX_HEADERS: u32 = 16 * 1024;
/// How often an idle connection is asked whether it lives, and for how long.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that any call may take, whatever deadline it came with.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long calls in flight, and then streams, may take to end in a drain.
const DRAIN_LIMIT: Duration = Duration::from_secs(15);
/// How often the database is looked at for readiness, and waited for at the start.
const PROBE_PERIOD: Duration = Duration::from_millis(500);

/// How often recorded metrics are folded into their buckets.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

/// Why a server does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Of the settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Of the database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}: is another one running?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// TLS cannot be served.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// TLS cannot be served with what this program was built with.
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
    /// gRPC ended.
    #[error("gRPC ended: {0}")]
    Grpc(#[from] tonic::transport::Error),
    /// HTTP ended.
    #[error("HTTP ended: {0}")]
    Http(#[from] std::io::Error),
    /// Metrics cannot be collected.
    #[error("metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// Reflection cannot be served: the descriptors are broken.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// Callers cannot be let in, or sent away.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The issuer's tokens cannot be taken.
    #[error("tokens: {0}")]
    Issuer(#[from] IssuerError),
    /// No mail can be sent.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// Of an import.
    #[error(transparent)]
    Import(#[from] crate::import::ImportError),
    /// It was told to stop while it waited for the database.
    #[error("stopped before it was ready")]
    Stopped,
}

/// A running server.
#[derive(Debug)]
pub struct Running {
    /// Where gRPC is served.
    pub grpc_addr: SocketAddr,
    /// Where HTTP is served.
    pub http_addr: SocketAddr,
    task: JoinHandle<Result<(), ServerError>>,
}

impl Running {
    /// Waits until it has ended: drained after `stop`, or by a failure.
    ///
    /// # Errors
    ///
    /// What made it end.
    pub async fn ended(self) -> Result<(), ServerError> {
        match self.task.await {
            Ok(result) => result,
            Err(error) => Err(std::io::Error::other(error).into()),
        }
    }
}

/// Starts a server. HTTP is there at once, so that an orchestrator sees that the
/// process lives; gRPC once the database is there and its schema fits. `stop`
/// drains it: what was accepted is answered.
///
/// # Errors
///
/// Settings, an address that is taken, a schema that does not fit.
pub async fn start(
    settings: &Settings,
    clock: Clock,
    stop: CancellationToken,
) -> Result<Running, ServerError> {
    settings.check_auth()?;
    let tls = settings.tls()?.map(Certificate::read).transpose()?;
    let metrics = telemetry::init_metrics()?;
    let readiness = Readiness::default();
    let url = settings.database_url()?.reveal();
    let database = Database::for_server(url, settings.read_connections)?;
    let inbox = Inbox::new(database.clone());
    let webhooks = Webhooks::new(verifier(settings)?, inbox.clone(), clock.clone());
    let (http_listener, http_addr) = listen(settings.http_addr).await?;
    let ended = CancellationToken::new();
    let routes = http::routes(readiness.clone(), metrics.clone()).merge(webhooks.routes());
    let routes = http::with_headers(routes);
    let http =
        axum::serve(http_listener, routes).with_graceful_shutdown(ended.clone().cancelled_owned());
    let http = tokio::spawn(async move { http.await });
    // Where the start fails from here on, HTTP must not be left behind.
    let started = ended.clone().drop_guard();

    wait_for(&database, &stop).await?;
    start_checks::tell(&database).await?;
    let options = LedgerOptions {
        lanes: settings.lanes,
        check_lanes: settings.check_lanes,
        queue: settings.queue,
        kept_accounts: settings.kept_accounts,
        clock,
        ..LedgerOptions::default()
    };
    let ledger = Ledger::start(database.clone(), database.cells().await?, &options);
    if database.catalog().await?.revision == 0 {
        tracing::warn!("there is no catalog yet, so no scan is known: `creditgate catalog apply`");
    }
    let issuer = settings.tokens()?.map(issuer).transpose()?;
    if let Some(issuer) = &issuer {
        let read = issuer.refresh().await;
        issuer.tell(&read, true);
    }
    let keyring = match settings.auth {
        Auth::Keys => {
            Some(Keyring::read(database.clone(), issuer.clone(), settings.rate_limit).await?)
        }
        Auth::Loopback | Auth::Anyone => None,
    };
    if keyring.as_ref().is_some_and(|keyring| keyring.good() == 0) {
        tracing::warn!(
            "nobody may call yet: `creditgate key create`, or `creditgate principal add`"
        );
    }
    let mailer = prepare::mailer(settings)?;
    delivery::begin(&ledger, mailer.is_some()).await?;
    let (grpc_listener, grpc_addr) = listen(settings.grpc_addr).await?;
    tokio::spawn(upkeep(metrics, ledger.clone(), ended.clone()));
    let parts =
        Parts { database, ledger, inbox, keyring, issuer, mailer, tls, readiness, http, ended };
    started.disarm();
    let task = tokio::spawn(parts.run(grpc_listener, settings.clone(), stop));
    Ok(Running { grpc_addr, http_addr, task })
}

/// What a running server consists of.
struct Parts {
    database: Database,
    ledger: Ledger,
    inbox: Inbox,
    keyring: Option<Keyring>,
    issuer: Option<Arc<Issuer>>,
    mailer: Option<Mailer>,
    tls: Option<Certificate>,
    readiness: Readiness,
    http: JoinHandle<std::io::Result<()>>,
    ended: CancellationToken,
}

impl Parts {
    async fn run(
        self,
        listener: TcpListener,
        settings: Settings,
        stop: CancellationToken,
    ) -> Result<(), ServerError> {
        let (reporter, health) = tonic_health::server::health_reporter();
        let reflection = || {
            let builder = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .with_service_name("grpc.health.v1.Health");
            // Of the contract, what is served.
            grpc::SERVICE_NAMES
                .into_iter()
                .fold(builder, |builder, name| builder.with_service_name(name))
        };
        let billing = Billing::new(self.database.clone(), self.ledger.clone());
        let access = Access::new(self.database.clone());
        let events = Events::start(self.ledger.clone());
        let sender = Sender::new(settings.webhook_private_addresses)?;
        let parts = grpc::Parts {
            ledger: self.ledger.clone(),
            billing: billing.clone(),
            access,
            events: events.clone(),
            endpoints: Endpoints::new(self.database.clone(), self.ledger.clone(), sender.clone()),
            mails: Mails::new(self.database.clone(), self.ledger.clone()),
        };
        let (gate, others) = grpc::services(parts);
        let router = Server::builder()
            .max_concurrent_streams(MAX_STREAMS)
            .http2_max_local_error_reset_streams(Some(MAX_RESETS))
            .http2_max_pending_accept_reset_streams(Some(MAX_RESETS))
            .http2_max_header_list_size(MAX_HEADERS)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .max_connection_age(MAX_CONNECTION_AGE)
            .max_connection_age_grace(CALL_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .layer(grpc::ObserveLayer::new())
            .layer(grpc::GuardLayer::new(self.keyring.clone()))
            .layer(grpc::ShedLayer::new(self.ledger.clone()))
            .layer(gate)
            .add_routes(others)
            .add_service(health)
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?);

        set_serving(&reporter, &self.readiness, true).await;
        let workers_stop = CancellationToken::new();
        let reaper = tokio::spawn(workers::reaper::run(self.ledger.clone(), workers_stop.clone()));
        let keys = self.keyring.map(|keyring| tokio::spawn(keyring.run(workers_stop.clone())));
        if let Some(issuer) = self.issuer {
            tokio::spawn(issuer.run(workers_stop.clone()));
        }
        let inbox = workers::inbox::Worker::new(self.ledger.clone(), billing, self.inbox.clone());
        let inbox = tokio::spawn(inbox.run(workers_stop.clone()));
        let (database, ledger) = (self.database.clone(), self.ledger.clone());
        let webhooks = delivery::start(database, ledger, sender, self.mailer, &workers_stop);
        let grace = Duration::from_secs(settings.readiness_grace_seconds);
        let watch = tokio::spawn(watch_database(
            self.database.clone(),
            reporter.clone(),
            self.readiness.clone(),
            grace,
            workers_stop.clone(),
        ));

        let close = CancellationToken::new();
        let incoming = connections::accept(listener, settings.max_connections);
        let closed = close.clone().cancelled_owned();
        let mut serve = match self.tls {
            None => {
                let incoming = incoming.map(|accepted| accepted.map(Gathering::new));
                tokio::spawn(router.serve_with_incoming_shutdown(incoming, closed))
            }
            Some(certificate) => {
                let incoming = tls::accept(incoming, certificate.acceptor())
                    .map(|accepted| accepted.map(Gathering::new));
                tokio::spawn(certificate.watch(workers_stop.clone()));
                tokio::spawn(router.serve_with_incoming_shutdown(incoming, closed))
            }
        };

        let result = tokio::select! {
            ended = &mut serve => ended.map_err(std::io::Error::other)?.map_err(ServerError::from),
            () = stop.cancelled() => {
                tracing::info!("draining: no longer ready, calls are still answered");
                workers_stop.cancel();
                // Before the word is given, or it could take it back.
                watch.abort();
                set_serving(&reporter, &self.readiness, false).await;
                time::sleep(settings.drain()).await;
                close.cancel();
                // Watchers of health would keep their connections open.
                end_watches(reporter).await;
                events.close().await;
                match time::timeout(DRAIN_LIMIT, &mut serve).await {
                    Ok(ended) => ended.map_err(std::io::Error::other)?.map_err(ServerError::from),
                    Err(_) => {
                        tracing::warn!("some connections did not end in time and are cut");
                        serve.abort();
                        Ok(())
                    }
                }
            }
        };
        workers_stop.cancel();
        events.close().await;
        let _ended = tokio::join!(reaper, inbox, watch);
        webhooks.wait().await;
        if let Some(keys) = keys {
            let _ended = keys.await;
        }
        self.ledger.close().await;
        self.database.close().await;
        self.ended.cancel();
        if time::timeout(Duration::from_secs(1), self.http).await.is_err() {
            tracing::debug!("an HTTP connection was cut");
        }
        tracing::info!("drained");
        result
    }
}

/// Folds what was recorded into its buckets: where nobody scrapes, it would pile
/// up in memory. And tells what has to be looked at to be known.
async fn upkeep(metrics: PrometheusHandle, ledger: Ledger, ended: CancellationToken) {
    let process = metrics_process::Collector::default();
    loop {
        ledger.tell_queues();
        process.collect();
        tokio::select! {
            () = ended.cancelled() => return,
            () = time::sleep(UPKEEP_PERIOD) => metrics.run_upkeep(),
        }
    }
}
