//! Schedulers that call, retry and repeat themselves, each from a seed of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::sleep;

use crate::{
    faults::{Fault, Fired},
    history::{Answer, Ask, Call},
    send::{Clients, POISON, Sent},
};

/// How long a caller waits for an answer.
const DEADLINE: Duration = Duration::from_millis(2500);
/// How often a call is tried.
const TRIES: u32 = 12;
/// Holds that a client has at most before it settles some.
const HOLDS: usize = 12;
/// Accounts; half of all calls are for the first.
pub const ACCOUNTS: usize = 6;

/// The first of those that hardly ever have credits.
pub const POOR: usize = 3;

/// The name of an account.
pub fn account(number: usize) -> String {
    format!("account-{number}")
}

/// What all clients of a run share.
#[derive(Clone)]
pub struct Scene {
    /// What time is counted from.
    pub epoch: Instant,
    pub replicas: Vec<(Clients, Arc<AtomicU64>)>,
    pub stop: Arc<AtomicBool>,
    pub fired: Arc<Fired>,
}

impl Scene {
    /// Sends a call to a replica, and gives what goes into the history.
    pub async fn call(&self, replica: usize, sent: &Sent, deadline: Duration) -> Call {
        let (clients, answered) = &self.replicas[replica % self.replicas.len()];
        let begun = self.epoch.elapsed();
        let answer = clients.send(sent, deadline).await;
        let ended = answer.map(|answer| (self.epoch.elapsed(), answer));
        self.note(answered, ended.as_ref());
        Call { account: sent.account.clone(), ask: sent.ask.clone(), begun, ended }
    }

    fn note(&self, answered: &AtomicU64, ended: Option<&(Duration, Answer)>) {
        if let Some((at, answer)) = ended
            && !matches!(answer, Answer::NotDone)
        {
            let at = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
            answered.fetch_max(at, Relaxed);
        }
    }
}

/// A hold that a client has to settle.
struct Hold {
    account: String,
    id: String,
    credits: i64,
}

/// One client.
pub struct Client {
    number: usize,
    rng: StdRng,
    scene: Scene,
    holds: Vec<Hold>,
    /// Settled ones: what is asked of them again has no effect.
    settled: Vec<Hold>,
    made: u64,
    calls: Vec<Call>,
}

impl Client {
    pub fn new(number: usize, seed: u64, scene: Scene) -> Self {
        let rng = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003) + number as u64);
        let (holds, settled, calls) = (Vec::new(), Vec::new(), Vec::new());
        Self { number, rng, scene, holds, settled, made: 0, calls }
    }

    /// Works until it is told to stop; gives what it asked and heard.
    pub async fn run(mut self) -> Vec<Call> {
        while !self.scene.stop.load(Relaxed) {
            match self.rng.random_range(0..100) {
                _ if self.holds.len() >= HOLDS => self.settle().await,
                0..34 => self.reserve().await,
                34..64 => self.settle().await,
                64..72 => self.extend().await,
                72..80 => self.read(Ask::Balance).await,
                80..88 => {
                    let credits = self.price();
                    self.read(Ask::Check { credits }).await;
                }
                88..91 => self.grant().await,
                91..94 => self.reserve_many().await,
                94..97 => self.ask_again().await,
                97..98 => self.misuse().await,
                98..99 => self.poison().await,
                _ => self.race().await,
            }
        }
        self.calls
    }

    fn account(&mut self) -> String {
        let hot = self.rng.random_bool(0.5);
        account(if hot { 0 } else { self.rng.random_range(0..ACCOUNTS) })
    }

    fn price(&mut self) -> i64 {
        if self.rng.random_bool(0.8) { 1 } else { 3 }
    }

    fn name(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}-{}-{}", self.number, self.made)
    }

    fn lease(&mut self) -> Option<Duration> {
        self.rng.random_bool(0.3).then(|| Duration::from_millis(self.rng.random_range(50..1500)))
    }

    /// Asks until there is an answer, and repeats itself now and then.
    async fn ask(&mut self, sent: &Sent) -> Option<Answer> {
        for attempt in 0..TRIES {
            let replica = self.rng.random_range(0..self.scene.replicas.len());
            let answer = self.once(replica, sent).await;
            match answer {
                None | Some(Answer::NotDone) => {
                    // What the run ends in need not be waited for.
                    if self.scene.stop.load(Relaxed) {
                        return None;
                    }
                    let pause = 10 << attempt.min(5);
                    sleep(Duration::from_millis(self.rng.random_range(pause / 2..=pause))).await;
                }
                answer => return answer,
            }
        }
        None
    }

    /// One call, or two of the same at once, or one whose caller goes away.
    async fn once(&mut self, replica: usize, sent: &Sent) -> Option<Answer> {
        let scene = self.scene.clone();
        let call = match self.rng.random_range(0..100) {
            0..10 => {
                scene.fired.count(Fault::RepeatedAtOnce);
                let one = scene.call(replica, sent, DEADLINE);
                let (one, other) = tokio::join!(one, scene.call(replica + 1, sent, DEADLINE));
                self.calls.push(other);
                one
            }
            10..20 => {
                scene.fired.count(Fault::RepeatedLater);
                let first = scene.call(replica, sent, DEADLINE).await;
                self.calls.push(first);
                scene.call(replica + 1, sent, DEADLINE).await
            }
            20..23 => {
                scene.fired.count(Fault::Canceled);
                let within = Duration::from_micros(self.rng.random_range(100..20_000));
                scene.call(replica, sent, within).await
            }
            _ => scene.call(replica, sent, DEADLINE).await,
        };
        let answer = call.ended.as_ref().map(|(_, answer)| answer.clone());
        self.calls.push(call);
        answer
    }

    async fn reserve(&mut self) {
        let (account, credits, lease) = (self.account(), self.price(), self.lease());
        let id = self.name("scan");
        let ask = Ask::Reserve { id: id.clone(), credits };
        let sent = Sent { account: account.clone(), ask, lease };
        if let Some(Answer::Held { .. }) = self.ask(&sent).await {
            self.holds.push(Hold { account, id, credits });
        }
    }

    async fn settle(&mut self) {
        if self.holds.is_empty() {
            return;
        }
        let position = self.rng.random_range(0..self.holds.len());
        let hold = self.holds.swap_remove(position);
        let ask = self.way_to_settle(&hold);
        self.ask(&Sent { account: hold.account.clone(), ask, lease: None }).await;
        if self.settled.len() < 200 {
            self.settled.push(hold);
        }
    }

    fn way_to_settle(&mut self, hold: &Hold) -> Ask {
        let id = hold.id.clone();
        match self.rng.random_range(0..10) {
            0..5 => Ask::Commit { id, credits: None },
            5 => {
                let credits = Some(self.rng.random_range(1..=hold.credits));
                Ask::Commit { id, credits }
            }
            6..9 => Ask::Release { id, restores: true },
            _ => Ask::Release { id, restores: false },
        }
    }

    async fn extend(&mut self) {
        if self.holds.is_empty() {
            return;
        }
        let position = self.rng.random_range(0..self.holds.len());
        let lease = Some(Duration::from_millis(self.rng.random_range(50..3000)));
        let hold = &self.holds[position];
        let (account, ask) = (hold.account.clone(), Ask::Extend { id: hold.id.clone() });
        self.ask(&Sent { account, ask, lease }).await;
    }

    async fn read(&mut self, ask: Ask) {
        let account = self.account();
        self.ask(&Sent { account, ask, lease: None }).await;
    }

    async fn grant(&mut self) {
        let number = self.rng.random_range(0..ACCOUNTS);
        let most = if number < POOR { 60 } else { 4 };
        let (account, credits) = (account(number), self.rng.random_range(1..most));
        let ask = Ask::Grant { id: self.name("grant"), credits };
        self.ask(&Sent { account, ask, lease: None }).await;
    }

    /// Many at once, the same batch again where any was not judged.
    async fn reserve_many(&mut self) {
        let count = self.rng.random_range(2..12);
        let mut batch = Vec::new();
        for _ in 0..count {
            let (account, credits, lease) = (self.account(), self.price(), self.lease());
            batch.push(Sent {
                account,
                ask: Ask::Reserve { id: self.name("many"), credits },
                lease,
            });
        }
        let mut held = vec![false; batch.len()];
        for _ in 0..3 {
            let replica = self.rng.random_range(0..self.scene.replicas.len());
            let begun = self.scene.epoch.elapsed();
            let answers = self.scene.replicas[replica].0.send_batch(&batch, DEADLINE).await;
            self.scene.fired.count(Fault::BadItem);
            let ended = self.scene.epoch.elapsed();
            for ((sent, answer), held) in batch.iter().zip(&answers).zip(&mut held) {
                *held |= matches!(answer, Some(Answer::Held { .. }));
                let ended = answer.clone().map(|answer| (ended, answer));
                let (account, ask) = (sent.account.clone(), sent.ask.clone());
                self.calls.push(Call { account, ask, begun, ended });
            }
            if answers.iter().all(Option::is_some) {
                break;
            }
        }
        for (sent, held) in batch.into_iter().zip(held) {
            if let (Ask::Reserve { id, credits }, true) = (sent.ask, held) {
                self.holds.push(Hold { account: sent.account, id, credits });
            }
        }
    }

    /// Asks once more about what is settled: any way of settling it.
    async fn ask_again(&mut self) {
        if self.settled.is_empty() {
            return;
        }
        self.scene.fired.count(Fault::SettledTwice);
        let position = self.rng.random_range(0..self.settled.len());
        let hold = self.settled.swap_remove(position);
        let ask = self.way_to_settle(&hold);
        self.ask(&Sent { account: hold.account, ask, lease: None }).await;
    }

    /// The same id for something else.
    async fn misuse(&mut self) {
        let Some(hold) = self.holds.last() else { return };
        self.scene.fired.count(Fault::OtherPayload);
        let ask = Ask::Reserve { id: hold.id.clone(), credits: 4 - hold.credits };
        let sent = Sent { account: hold.account.clone(), ask, lease: None };
        let call = self.scene.call(0, &sent, DEADLINE).await;
        self.calls.push(call);
    }

    /// What the database refuses, among what it takes.
    async fn poison(&mut self) {
        self.scene.fired.count(Fault::Poison);
        let (account, id) = (self.account(), self.name(POISON));
        let sent = Sent { account, ask: Ask::Reserve { id, credits: 1 }, lease: None };
        let replica = self.rng.random_range(0..self.scene.replicas.len());
        let call = self.scene.call(replica, &sent, DEADLINE).await;
        self.calls.push(call);
    }

    /// Commits a hold just when its lease ends.
    async fn race(&mut self) {
        let account = self.account();
        let lease = Some(Duration::from_millis(self.rng.random_range(300..1200)));
        let id = self.name("race");
        let sent = Sent { account, ask: Ask::Reserve { id: id.clone(), credits: 1 }, lease };
        let Some(Answer::Held { expires, .. }) = self.ask(&sent).await else { return };
        self.scene.fired.count(Fault::CommitAtExpiry);
        let left = (expires - chrono::Utc::now()).to_std().unwrap_or_default();
        let by = Duration::from_micros(self.rng.random_range(0..10_000));
        // An answer may be another's, where a bug is planted.
        let left = left.min(Duration::from_secs(2));
        sleep((left + by).saturating_sub(Duration::from_millis(5))).await;
        self.ask(&Sent { ask: Ask::Commit { id, credits: None }, lease: None, ..sent }).await;
    }
}
