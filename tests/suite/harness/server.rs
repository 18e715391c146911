//! A server of a test's own, on ports of its own, and clients of it.

use creditgate::{
    clock::Clock,
    config::{Secret, Settings},
    proto::{
        self, account_service_client::AccountServiceClient,
        billing_service_client::BillingServiceClient, catalog_service_client::CatalogServiceClient,
        delivery_service_client::DeliveryServiceClient, event_service_client::EventServiceClient,
        gate_service_client::GateServiceClient, ledger_service_client::LedgerServiceClient,
    },
    server::{self, Running},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::TestDb;

/// A running server.
pub struct TestServer {
    running: Running,
    stop: CancellationToken,
    channel: Channel,
}

/// Settings for tests: any port, no grace.
pub fn settings(db: &TestDb) -> Settings {
    Settings {
        database_url: Some(Secret::new(db.url())),
        grpc_addr: ([127, 0, 0, 1], 0).into(),
        http_addr: ([127, 0, 0, 1], 0).into(),
        lanes: 2,
        check_lanes: 1,
        drain_seconds: 0,
        ..Settings::default()
    }
}

/// For whoever works on the database directly, as its owner.
pub fn owner_settings(db: &TestDb) -> Settings {
    Settings { database_url: Some(Secret::new(db.owner_url())), ..Settings::default() }
}

impl TestServer {
    pub async fn start(db: &TestDb) -> Self {
        Self::with(&settings(db), Clock::Database).await
    }

    pub async fn with(settings: &Settings, clock: Clock) -> Self {
        let stop = CancellationToken::new();
        let running = server::start(settings, clock, stop.clone()).await.unwrap();
        let channel = Channel::from_shared(format!("http://{}", running.grpc_addr)).unwrap();
        let channel = channel.connect().await.unwrap();
        Self { running, stop, channel }
    }

    /// With a catalog and one account that has credits.
    pub async fn open(db: &TestDb, account_id: &str, credits: i64) -> Self {
        let server = Self::start(db).await;
        server.apply_catalog().await;
        server.create_account(account_id).await;
        if credits > 0 {
            server.grant(account_id, "g1", "scan", credits).await;
        }
        server
    }

    /// `127.0.0.1:PORT`.
    pub fn grpc_addr(&self) -> String {
        self.running.grpc_addr.to_string()
    }

    /// `127.0.0.1:PORT`.
    pub fn http_addr(&self) -> String {
        self.running.http_addr.to_string()
    }

    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub fn gate(&self) -> GateServiceClient<Channel> {
        GateServiceClient::new(self.channel())
    }

    pub fn ledger(&self) -> LedgerServiceClient<Channel> {
        LedgerServiceClient::new(self.channel())
    }

    pub fn accounts(&self) -> AccountServiceClient<Channel> {
        AccountServiceClient::new(self.channel())
    }

    pub fn billing(&self) -> BillingServiceClient<Channel> {
        BillingServiceClient::new(self.channel())
    }

    pub fn events(&self) -> EventServiceClient<Channel> {
        EventServiceClient::new(self.channel())
    }

    pub fn deliveries(&self) -> DeliveryServiceClient<Channel> {
        DeliveryServiceClient::new(self.channel())
    }

    pub fn catalog(&self) -> CatalogServiceClient<Channel> {
        CatalogServiceClient::new(self.channel())
    }

    /// The catalog of [`catalog`].
    pub async fn apply_catalog(&self) {
        let request = proto::ApplyCatalogRequest { catalog: Some(catalog()), validate_only: false };
        self.catalog().apply_catalog(request).await.unwrap();
    }

    pub async fn create_account(&self, account_id: &str) {
        let request = proto::CreateAccountRequest {
            account_id: account_id.to_owned(),
            ..proto::CreateAccountRequest::default()
        };
        self.accounts().create_account(request).await.unwrap();
    }

    pub async fn grant(&self, account_id: &str, id: &str, credit_type: &str, credits: i64) {
        let request = proto::GrantCreditsRequest {
            grant_id: id.to_owned(),
            account_id: account_id.to_owned(),
            credit_type: credit_type.to_owned(),
            credits,
            expire_time: None,
            reason: "welcome".to_owned(),
        };
        self.billing().grant_credits(request).await.unwrap();
    }

    /// Tells it to stop, as SIGTERM does.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Drains it.
    pub async fn finish(self) {
        self.stop.cancel();
        drop(self.channel);
        self.running.ended().await.unwrap();
    }
}

/// As `words::catalog`, on the wire.
pub fn catalog() -> proto::Catalog {
    let kind = |name: &str, credit_type: &str, credits| proto::ScanKind {
        name: name.to_owned(),
        credit_type: credit_type.to_owned(),
        credits,
        default_lease: None,
        max_lease: None,
    };
    proto::Catalog {
        scan_kinds: vec![
            kind("quick_scan", "", 0),
            kind("live_audit", "scan", 1),
            kind("deep_audit", "scan", 3),
            kind("auto_fix", "fix", 0),
        ],
        policy: Some(proto::Policy {
            planless_accounts_may_spend: true,
            ..proto::Policy::default()
        }),
        ..proto::Catalog::default()
    }
}
