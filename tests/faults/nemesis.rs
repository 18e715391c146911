//! Brings the faults about, one after the other, and measures how soon the service
//! is back.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::{task::JoinSet, time::sleep};
use tonic::transport::Endpoint;

use crate::{
    clients::{ACCOUNTS, Scene, account},
    faults::Fault,
    history::{Ask, Call},
    postgres::Postgres,
    proxy::{Trap, Weather},
    replica::Replica,
    send::{Clients, Sent},
};

/// How long the service may take to be back before that is a failure.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a trap waits for a COMMIT.
const TRAP_PATIENCE: Duration = Duration::from_secs(3);
/// Clients of a storm.
const STORM: usize = 2000;

/// How long things took.
#[derive(Debug, Default)]
pub struct Timings {
    /// From PostgreSQL taking connections to each replica answering.
    pub back: Vec<Duration>,
    /// From a replica's start to its being ready, where the database was there.
    pub ready: Vec<Duration>,
    /// How long a call waited for a replica that was stopped in a transaction.
    pub held_up: Vec<Duration>,
}

/// What goes wrong, and what it goes wrong with.
pub struct Nemesis<'a> {
    pub postgres: &'a mut Postgres,
    pub replicas: &'a mut Vec<Replica>,
    pub scene: Scene,
    pub database: String,
    pub rng: StdRng,
    pub timings: Timings,
    pub findings: Vec<String>,
    /// Calls of its own, for the history.
    pub calls: Vec<Call>,
    /// What it did, and when: for whoever has to understand a failure.
    pub diary: Vec<String>,
}

impl<'a> Nemesis<'a> {
    pub fn new(
        postgres: &'a mut Postgres,
        replicas: &'a mut Vec<Replica>,
        scene: Scene,
        database: &str,
        seed: u64,
    ) -> Self {
        Self {
            postgres,
            replicas,
            scene,
            database: database.to_owned(),
            rng: StdRng::seed_from_u64(seed ^ 0x4e45_4d45),
            timings: Timings::default(),
            findings: Vec::new(),
            calls: Vec::new(),
            diary: Vec::new(),
        }
    }

    /// Faults of `deck` in an order of its own, until the time is over, but each of
    /// them where `all`; then all is well again.
    pub async fn run(&mut self, deck: &[Fault], until: Instant, all: bool) {
        let mut deck = deck.to_vec();
        deck.shuffle(&mut self.rng);
        let least = if all { deck.len() } else { 0 };
        for (turn, fault) in deck.into_iter().cycle().enumerate() {
            if Instant::now() >= until && turn >= least {
                break;
            }
            let begun = self.scene.epoch.elapsed();
            Box::pin(self.bring(fault)).await;
            let took = self.scene.epoch.elapsed() - begun;
            self.diary.push(format!("{begun:>9.3?} {fault:?}, for {took:.3?}"));
            let calm = self.rng.random_range(100..600);
            sleep(Duration::from_millis(calm)).await;
        }
        self.heal().await;
    }

    async fn bring(&mut self, fault: Fault) {
        let victim = self.rng.random_range(0..self.replicas.len());
        let a_while = Duration::from_millis(self.rng.random_range(800..2500));
        match fault {
            Fault::Killed => {
                self.replicas[victim].kill().await;
                self.scene.fired.count(fault);
                sleep(a_while / 4).await;
                self.start(victim).await;
            }
            Fault::KilledAfterCommit => {
                if self.spring(victim, Trap::KeepAnswer).await {
                    self.replicas[victim].kill().await;
                    self.scene.fired.count(fault);
                    self.start(victim).await;
                }
            }
            Fault::Restarted => {
                if !self.replicas[victim].stop().await {
                    self.findings.push(format!("replica {victim} does not end as it should"));
                }
                self.scene.fired.count(fault);
                self.start(victim).await;
            }
            Fault::Paused => {
                self.replicas[victim].signal(Signal::SIGSTOP);
                self.scene.fired.count(fault);
                sleep(a_while + Duration::from_secs(1)).await;
                self.replicas[victim].signal(Signal::SIGCONT);
            }
            Fault::PausedInTransaction => self.pause_in_transaction(victim).await,
            Fault::Partition => {
                let all = self.rng.random_bool(0.5);
                for replica in self.replicas.iter().filter(|r| all || r.number == victim) {
                    replica.proxy.set(Weather::Silent);
                }
                self.scene.fired.count(fault);
                sleep(a_while).await;
                self.replicas.iter().for_each(|replica| replica.proxy.set(Weather::Fair));
                self.is_back("a partition", false).await;
            }
            Fault::Cut => {
                for _ in 0..5 {
                    self.replicas.iter().for_each(|replica| replica.proxy.cut());
                    self.scene.fired.count(fault);
                    sleep(a_while / 10).await;
                }
            }
            Fault::Slow => {
                let by = Duration::from_millis(self.rng.random_range(5..120));
                self.replicas.iter().for_each(|r| r.proxy.set(Weather::Slow(by)));
                self.scene.fired.count(fault);
                sleep(a_while).await;
                self.replicas.iter().for_each(|r| r.proxy.set(Weather::Fair));
            }
            Fault::CommitAnswerLost | Fault::CommitAnswerKept => {
                let trap = match fault {
                    Fault::CommitAnswerLost => Trap::LoseAnswer,
                    _ => Trap::KeepAnswer,
                };
                for victim in 0..self.replicas.len() {
                    if self.spring(victim, trap).await {
                        self.scene.fired.count(fault);
                    }
                }
            }
            Fault::Stopped | Fault::PostmasterKilled => {
                let signal = match fault {
                    Fault::Stopped => Signal::SIGQUIT,
                    _ => Signal::SIGKILL,
                };
                self.postgres.crash(signal).await;
                self.scene.fired.count(fault);
                sleep(a_while / 3).await;
                self.postgres.serve().await;
                self.is_back("PostgreSQL's restart", true).await;
            }
            Fault::FailedOver => {
                let standby = self.postgres.add_standby().await;
                sleep(a_while / 2).await;
                self.postgres.crash(Signal::SIGKILL).await;
                // Who fails over fences: a process of the old server that is busy
                // notices late that its postmaster is gone, and would go on to answer
                // reads from before.
                self.replicas.iter().for_each(|replica| replica.proxy.cut());
                self.postgres.promote(standby).await;
                let socket = self.postgres.socket();
                self.replicas.iter().for_each(|r| r.proxy.turn_to(socket.clone()));
                self.scene.fired.count(fault);
                self.is_back("a failover", true).await;
            }
            Fault::BackendStopped => self.stop_backend(a_while).await,
            Fault::RowsLocked => {
                let mut owner = self.postgres.owner(&self.database).await;
                let lock = "BEGIN; SELECT 1 FROM cell_00.accounts FOR UPDATE";
                owner.execute(lock).await.unwrap();
                self.scene.fired.count(fault);
                sleep(a_while).await;
                owner.close().await.unwrap();
            }
            Fault::Deadlock => self.lock_in_another_order(a_while).await,
            Fault::Storm => {
                self.storm().await;
                self.is_back("a storm", false).await;
            }
            _ => unreachable!("{fault:?} is the callers'"),
        }
    }

    /// Starts a replica, and sees that it is ready soon.
    async fn start(&mut self, victim: usize) {
        self.replicas[victim].start();
        match self.replicas[victim].ready_after(PATIENCE).await {
            Some(after) => self.timings.ready.push(after),
            None => self.findings.push(format!("replica {victim} is not ready after {PATIENCE:?}")),
        }
    }

    /// Sets a trap; whether a COMMIT went into it.
    async fn spring(&mut self, victim: usize, trap: Trap) -> bool {
        let mut sprung = self.replicas[victim].proxy.set_trap(trap);
        let hears = tokio::time::timeout(TRAP_PATIENCE, sprung.recv()).await;
        self.replicas[victim].proxy.remove_trap();
        matches!(hears, Ok(Some(())))
    }

    /// Stops a replica that has not committed, and sees how long others wait for the
    /// rows that it has locked.
    async fn pause_in_transaction(&mut self, victim: usize) {
        if !self.spring(victim, Trap::Hold).await {
            return;
        }
        self.replicas[victim].signal(Signal::SIGSTOP);
        self.scene.fired.count(Fault::PausedInTransaction);
        let (begun, other) = (Instant::now(), victim + 1);
        let id = format!("probe-{}", self.calls.len());
        let ask = Ask::Grant { id, credits: 1 };
        let sent = Sent { account: account(0), ask, lease: None };
        loop {
            let call = self.scene.call(other, &sent, PATIENCE).await;
            let is_done = call.ended.is_some();
            self.calls.push(call);
            if is_done || begun.elapsed() > PATIENCE {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.timings.held_up.push(begun.elapsed());
        sleep(Duration::from_millis(500)).await;
        self.replicas[victim].signal(Signal::SIGCONT);
    }

    /// Waits until every replica has answered a call that was made after now.
    async fn is_back(&mut self, from: &str, counts: bool) {
        let since = u64::try_from(self.scene.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        let begun = Instant::now();
        while self.replicas.iter().any(|replica| replica.last_answer() <= since) {
            if begun.elapsed() > PATIENCE {
                self.findings.push(format!("the service is not back {PATIENCE:?} after {from}"));
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
        if counts {
            self.timings.back.push(begun.elapsed());
        }
    }

    async fn stop_backend(&mut self, a_while: Duration) {
        let mut owner = self.postgres.owner(&self.database).await;
        let lanes = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
                        AND application_name = 'creditgate-lane' ORDER BY pid";
        let pids: Vec<i32> = sqlx::query_scalar(lanes).fetch_all(&mut owner).await.unwrap();
        if pids.is_empty() {
            return;
        }
        let pid = Pid::from_raw(pids[self.rng.random_range(0..pids.len())]);
        if kill(pid, Signal::SIGSTOP).is_ok() {
            self.scene.fired.count(Fault::BackendStopped);
            sleep(a_while).await;
            let _ended = kill(pid, Signal::SIGCONT);
        }
    }

    /// Locks accounts from the last to the first: those who lock them the other way
    /// round are told of a deadlock.
    async fn lock_in_another_order(&mut self, a_while: Duration) {
        let mut owner = self.postgres.owner(&self.database).await;
        // Whoever waits for so long looks whether it waits in a circle.
        let patience = if self.rng.random_bool(0.5) { "5ms" } else { "30s" };
        let set = format!("SET deadlock_timeout = '{patience}'");
        owner.execute(AssertSqlSafe(set)).await.unwrap();
        let begun = Instant::now();
        while begun.elapsed() < a_while {
            owner.execute("BEGIN").await.unwrap();
            for number in (0..ACCOUNTS).rev() {
                let id = account(number);
                let lock =
                    format!("SELECT 1 FROM cell_00.accounts WHERE account_id = '{id}' FOR UPDATE");
                if owner.execute(AssertSqlSafe(lock)).await.is_err() {
                    self.scene.fired.count(Fault::Deadlock);
                    break;
                }
                sleep(Duration::from_millis(self.rng.random_range(0..15))).await;
            }
            owner.execute("ROLLBACK").await.unwrap();
        }
    }

    /// Many clients connect at once, and each makes one call.
    async fn storm(&mut self) {
        let mut clients = JoinSet::new();
        for number in 0..STORM {
            let address = self.replicas[number % self.replicas.len()].grpc;
            let (scene, balance) = (self.scene.clone(), Ask::Balance);
            clients.spawn(async move {
                let sent = Sent { account: account(number % 3), ask: balance, lease: None };
                let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
                let channel = endpoint.connect_timeout(PATIENCE).connect_lazy();
                let begun = scene.epoch.elapsed();
                let answer = Clients::of(channel).send(&sent, PATIENCE).await;
                let ended = answer.map(|answer| (scene.epoch.elapsed(), answer));
                Call { account: sent.account, ask: sent.ask, begun, ended }
            });
        }
        self.calls.extend(clients.join_all().await);
        self.scene.fired.count(Fault::Storm);
    }

    /// Nothing goes wrong any more.
    async fn heal(&mut self) {
        for number in 0..self.replicas.len() {
            let replica = &self.replicas[number];
            replica.proxy.set(Weather::Fair);
            replica.signal(Signal::SIGCONT);
        }
        self.is_back("all was mended", false).await;
        self.scene.stop.store(true, Relaxed);
    }
}
