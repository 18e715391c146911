//! One schedule: a database, three replicas, callers, faults, and the reckoning.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use creditgate::{
    proto::{
        self, account_service_client::AccountServiceClient,
        catalog_service_client::CatalogServiceClient,
    },
    store::{Database, migrate},
};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::{process::Command, task::JoinSet, time::sleep};
use tonic::transport::{Channel, Endpoint};

use crate::{
    books, checker,
    clients::{ACCOUNTS, Client, POOR, Scene, account},
    faults::{Fault, Fired},
    history::{Ask, Call},
    nemesis::{Nemesis, Timings},
    postgres::Postgres,
    replica::Replica,
    send::{CREDIT_TYPE, Clients, POISON, Sent},
    told, webhooks,
};

/// Replicas of the service.
const REPLICAS: usize = 3;
/// Callers.
const CLIENTS: usize = 24;
/// How long what was taken in may take to have its effect.
const SETTLE_PATIENCE: Duration = Duration::from_secs(60);

/// What a schedule is made of. The same one goes the same way again, as far as the
/// operating system allows.
#[derive(Clone)]
pub struct Schedule {
    pub seed: u64,
    pub length: Duration,
    /// What goes wrong.
    pub deck: Vec<Fault>,
    /// All of it, however long that takes.
    pub all: bool,
    /// The program.
    pub program: PathBuf,
    /// An earlier one, which the first replica runs.
    pub earlier: Option<PathBuf>,
    /// A bug that is planted in it, for the checker to find.
    pub planted: Option<&'static str>,
    /// What takes away by which the schema would stop such a bug.
    pub unguard: &'static str,
}

/// What came of it.
#[derive(Default)]
pub struct Report {
    pub calls: usize,
    pub unknown: usize,
    pub unknown_done: usize,
    pub entries: usize,
    pub events: usize,
    pub timings: Timings,
    pub fired: Fired,
    pub findings: Vec<String>,
    pub diary: Vec<String>,
}

impl Schedule {
    /// Carries it out on a database of its own.
    pub async fn run(&self, postgres: &mut Postgres) -> Report {
        let database = format!("faults_{}", self.seed);
        self.make_database(postgres, &database).await;
        let mut replicas = self.raise(postgres, &database).await;
        let scene = Scene {
            epoch: Instant::now(),
            replicas: replicas
                .iter()
                .map(|replica| (Clients::of(channel(replica)), replica.answered.clone()))
                .collect(),
            stop: Arc::new(AtomicBool::new(false)),
            fired: Arc::default(),
        };
        let mut calls = found(&replicas[0], &scene).await;

        let mut work = JoinSet::new();
        for number in 0..CLIENTS {
            let replicas = replicas.iter().map(|r| (Clients::of(channel(r)), r.answered.clone()));
            let scene = Scene { replicas: replicas.collect(), ..scene.clone() };
            work.spawn(Client::new(number, self.seed, scene).run());
        }
        let addresses = replicas.iter().map(|replica| replica.http).collect();
        work.spawn(webhooks::run(scene.clone(), addresses, self.seed));
        let reader = told::Reader::start(replicas.iter().map(channel).collect());
        let mut nemesis =
            Nemesis::new(postgres, &mut replicas, scene.clone(), &database, self.seed);
        nemesis.run(&self.deck, Instant::now() + self.length, self.all).await;
        let Nemesis { timings, mut findings, calls: own, diary, .. } = nemesis;
        calls.extend(own);
        calls.extend(work.join_all().await.into_iter().flatten());

        let fired = Fired::default();
        fired.add(&scene.fired);
        let verified = self.reckon(postgres, &database, &fired).await;
        let mut owner = postgres.owner(&database).await;
        let to_be_told = told::expected(&mut owner).await;
        owner.close().await.unwrap();
        let (heard, mut told) = reader.finish(&to_be_told).await;
        for replica in &mut replicas {
            if !replica.stop().await {
                findings.push(format!("replica {} does not end as it should", replica.number));
            }
        }
        let mut owner = postgres.owner(&database).await;
        let books = books::read(&mut owner).await;
        told.extend(told::check(&heard, &told::expected(&mut owner).await));
        owner.close().await.unwrap();
        let verdict = checker::check(&calls, &books);
        findings.extend(verdict.findings);
        // What the listener and `verify` find comes last: it is the calls that are judged here.
        findings.extend(told);
        findings.extend(verified);
        if findings.is_empty() {
            let mut owner = postgres.owner("postgres").await;
            let drop = format!("DROP DATABASE {database} WITH (FORCE)");
            owner.execute(AssertSqlSafe(drop)).await.unwrap();
        }
        Report {
            calls: calls.len(),
            unknown: verdict.unknown,
            unknown_done: verdict.unknown_done,
            entries: books.values().map(|books| books.entries.len()).sum(),
            events: heard.len(),
            timings,
            fired,
            findings,
            diary,
        }
    }

    /// Migrated, with a reservation that it refuses, and without what would keep a
    /// planted bug from doing harm.
    pub async fn make_database(&self, postgres: &Postgres, name: &str) {
        let mut owner = postgres.owner("postgres").await;
        let create = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        owner.execute(AssertSqlSafe(create)).await.unwrap();
        owner.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        owner.close().await.unwrap();
        let database = Database::new(&postgres.owner_url(name), 1).unwrap();
        let serving_role = "creditgate_app".to_owned();
        database.migrate(&migrate::Plan { serving_role, cells: 1 }).await.unwrap();
        database.close().await;
        let mut owner = postgres.owner(name).await;
        let refuse = format!(
            "ALTER TABLE cell_00.reservations
               ADD CONSTRAINT poison CHECK (reservation_id NOT LIKE '{POISON}%');
             ALTER DATABASE {name} SET deadlock_timeout = '50ms'"
        );
        owner.execute(AssertSqlSafe(refuse)).await.unwrap();
        owner.execute(self.unguard).await.unwrap();
        owner.close().await.unwrap();
    }

    async fn raise(&self, postgres: &Postgres, database: &str) -> Vec<Replica> {
        let mut replicas = Vec::new();
        for number in 0..REPLICAS {
            let log = postgres.home().join(format!("replica{number}.log"));
            let socket = postgres.socket();
            let program = match &self.earlier {
                Some(earlier) if number == 0 => earlier.clone(),
                _ => self.program.clone(),
            };
            let mut replica =
                Replica::new(number, program, socket, database, log, self.planted).await;
            replica.start();
            replicas.push(replica);
        }
        for replica in &replicas {
            let ready = replica.ready_after(SETTLE_PATIENCE).await;
            assert!(ready.is_some(), "a replica does not start: {}", replica.last_words());
        }
        replicas
    }

    /// Waits until what was stored has had its effect, and has the books checked by
    /// the program itself.
    async fn reckon(&self, postgres: &Postgres, database: &str, fired: &Fired) -> Vec<String> {
        let mut owner = postgres.owner(database).await;
        let waiting = "SELECT count(*) FROM public.webhook_inbox WHERE settle_time IS NULL";
        let begun = Instant::now();
        let mut findings = Vec::new();
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut owner).await.unwrap() > 0 {
            if begun.elapsed() > SETTLE_PATIENCE {
                let why = "SELECT format('%s, state %s, attempt %s, for %s: %s', event_id, state,
                                         attempts, next_attempt_time - now(), error)
                             FROM public.webhook_inbox WHERE settle_time IS NULL LIMIT 3";
                let why: Vec<String> = sqlx::query_scalar(why).fetch_all(&mut owner).await.unwrap();
                findings.push(format!("payments wait for ever: {why:?}"));
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        let deadlocks: i64 = sqlx::query_scalar(deadlocks).fetch_one(&mut owner).await.unwrap();
        for _ in 0..deadlocks {
            fired.count(Fault::Deadlock);
        }
        owner.close().await.unwrap();
        let verified = Command::new(&self.program)
            .arg("verify")
            .env("DATABASE_URL", postgres.owner_url(database))
            .env_remove("CREDITGATE_CONFIG")
            .output()
            .await
            .unwrap();
        if !verified.status.success() {
            let said = String::from_utf8_lossy(&verified.stdout).into_owned();
            findings.push(format!("verify: {said}{}", String::from_utf8_lossy(&verified.stderr)));
        }
        findings
    }
}

fn channel(replica: &Replica) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", replica.grpc)).unwrap();
    endpoint.connect_timeout(Duration::from_secs(1)).connect_lazy()
}

/// What accounts begin with.
async fn found(replica: &Replica, scene: &Scene) -> Vec<Call> {
    found_accounts(replica).await;
    let mut calls = Vec::new();
    for number in 0..ACCOUNTS {
        let credits = if number < POOR { 300 } else { 10 };
        let ask = Ask::Grant { id: format!("first-{number}"), credits };
        let sent = Sent { account: account(number), ask, lease: None };
        calls.push(scene.call(0, &sent, SETTLE_PATIENCE).await);
    }
    calls
}

/// A catalog, accounts, and their customers.
pub async fn found_accounts(replica: &Replica) {
    let channel = channel(replica);
    let kind = |name: &str, credits| proto::ScanKind {
        name: name.to_owned(),
        credit_type: CREDIT_TYPE.to_owned(),
        credits,
        default_lease: None,
        max_lease: None,
    };
    let pack = proto::CreditPack {
        provider: "paddle".to_owned(),
        price_id: webhooks::PRICE.to_owned(),
        credits_per_unit: webhooks::CREDITS,
    };
    let price = proto::CreditPrice {
        credit_type: CREDIT_TYPE.to_owned(),
        unit_price_minor: 980,
        currency: "USD".to_owned(),
        packs: vec![pack],
    };
    let catalog = proto::Catalog {
        scan_kinds: vec![kind("live_audit", 1), kind("deep_audit", 3)],
        policy: Some(proto::Policy { planless_accounts_may_spend: true, ..Default::default() }),
        prices: vec![price],
        ..proto::Catalog::default()
    };
    let request = proto::ApplyCatalogRequest { catalog: Some(catalog), validate_only: false };
    CatalogServiceClient::new(channel.clone()).apply_catalog(request).await.unwrap();
    let mut accounts = AccountServiceClient::new(channel);
    for number in 0..ACCOUNTS {
        let account_id = account(number);
        let request = proto::CreateAccountRequest {
            account_id: account_id.clone(),
            ..proto::CreateAccountRequest::default()
        };
        accounts.create_account(request).await.unwrap();
        let request = proto::LinkProviderRequest {
            account_id: account_id.clone(),
            provider: "paddle".to_owned(),
            customer_id: webhooks::customer(&account_id),
        };
        accounts.link_provider(request).await.unwrap();
    }
}

/// The program that was built with these tests, or the one that is named.
pub fn program() -> PathBuf {
    match std::env::var_os("CREDITGATE_FAULTS_PROGRAM") {
        Some(named) => PathBuf::from(named),
        None => Path::new(env!("CARGO_BIN_EXE_creditgate")).to_owned(),
    }
}

/// The program of an earlier commit, where one is named.
pub fn earlier() -> Option<PathBuf> {
    std::env::var_os("CREDITGATE_FAULTS_EARLIER").map(PathBuf::from)
}
