//! Parked scans: blocked ones whose schedulers are told when they could run, in the
//! order in which they came, and no more of them than could.
//!
//! For each account with parked scans there is an attendant: one task. It looks again
//! when something happened to the account: here (`ledger::touched`), on another
//! replica (the feed of events), or by itself after a while, for what neither tells. A
//! scan that could run has a head start: what it needs is kept, here, from those behind
//! it, for two seconds. It is a promise of this replica's and holds no credits: only
//! Reserve does.

mod queue;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rand::RngExt;
use tokio::{sync::mpsc, time};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        command::{Command, Outcome},
        entry::EntryKind,
    },
    events::{Events, Start, watch::Filter},
    ids::AccountId,
    ledger::{EntryQuery, Ledger, LedgerError},
};
use queue::{Promises, Scarce, Turn};

/// The most accounts of which one replica keeps scans parked.
const MAX_ACCOUNTS: usize = 20_000;
/// And the most scans of one.
const MAX_OF_ACCOUNT: usize = 2_000;
/// After how long an account is looked at again, whatever was heard: at first, and
/// doubled up to the longest while nothing changes.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LONGEST_LOOK: Duration = Duration::from_secs(15);
/// The rest between two rounds.
const PACE: Duration = Duration::from_millis(10);
/// Of those whom a change may or may not concern, so many are asked at each.
const OTHERS: usize = 16;
/// How many of a ledger's entries are looked through for holds.
const NEWEST: i64 = 200;

/// What a parked scan hears.
type Verdict = Result<Outcome, LedgerError>;

/// A scan that was parked. Dropping it gives its place up.
#[derive(Debug)]
pub struct Parked {
    account_id: AccountId,
    verdicts: mpsc::Receiver<Verdict>,
}

impl Parked {
    /// The next verdict: why it is blocked, where it is; later, or at once, that it
    /// could run, and then none.
    ///
    /// # Errors
    ///
    /// Of the item: too many are parked, the request can never be granted, the service is
    /// shutting down.
    pub async fn next(&mut self) -> Option<Verdict> {
        self.verdicts.recv().await
    }

    /// Whose it is.
    #[must_use]
    pub fn account_id(&self) -> &AccountId {
        &self.account_id
    }
}

/// A scan that waits.
#[derive(Debug)]
struct Waiting {
    command: Command,
    sender: mpsc::Sender<Verdict>,
    waits_for: Option<Scarce>,
    /// Whether it has heard why it waits.
    told: bool,
}

/// All parked scans of this replica. Clones share them.
#[derive(Debug, Clone)]
pub struct Parking {
    ledger: Ledger,
    events: Events,
    arrivals: Arc<Mutex<HashMap<AccountId, mpsc::UnboundedSender<Waiting>>>>,
}

/// Counts a parked scan as long as it is one.
#[derive(Debug)]
struct Place;

impl Place {
    fn take() -> Self {
        metrics::gauge!("creditgate_parked_scans").increment(1);
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!("creditgate_parked_scans").decrement(1);
    }
}

impl Parking {
    /// Parks scans of this ledger, and hears of what other replicas do by its events.
    #[must_use]
    pub fn new(ledger: Ledger, events: Events) -> Self {
        Self { ledger, events, arrivals: Arc::default() }
    }

    /// Is cancelled when parked scans are to be parked elsewhere.
    #[must_use]
    pub fn ending(&self) -> CancellationToken {
        self.events.ending()
    }

    /// Parks a scan: a command that checks it, by somebody who sees this ledger.
    ///
    /// # Errors
    ///
    /// Too many are parked; the account does not exist; the database is away.
    pub async fn park(&self, seen: &Ledger, command: Command) -> Result<Parked, LedgerError> {
        let account_id = command.account_id.clone();
        seen.cell_with(&account_id).await?;
        // Why it is blocked, and that it could run.
        let (sender, verdicts) = mpsc::channel(2);
        let mut waiting = Waiting { command, sender, waits_for: None, told: false };
        let parked = Parked { account_id: account_id.clone(), verdicts };
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(attendant) = arrivals.get(&account_id) {
            match attendant.send(waiting) {
                Ok(()) => return Ok(parked),
                Err(mpsc::error::SendError(back)) => waiting = back,
            }
        }
        if arrivals.len() >= MAX_ACCOUNTS {
            return Err(LedgerError::Overloaded);
        }
        let (attendant, arriving) = mpsc::unbounded_channel();
        let _first = attendant.send(waiting);
        arrivals.insert(account_id.clone(), attendant);
        drop(arrivals);
        let this = self.clone();
        tokio::spawn(this.attend(account_id, arriving));
        Ok(parked)
    }

    /// Looks after one account's parked scans, until there is none.
    async fn attend(self, account_id: AccountId, mut arriving: mpsc::UnboundedReceiver<Waiting>) {
        let changes = self.ledger.changes_of(&account_id);
        let filter = Filter { account_id: Some(account_id.clone()), ..Filter::default() };
        let mut watch = self.events.watch(filter.clone(), Start::Now).await.ok();
        let mut queue: Vec<(Waiting, Place)> = Vec::new();
        let mut promises = Promises::default();
        let mut pause = FIRST_LOOK;
        let ending = self.events.ending();
        let mut all = true;
        loop {
            while let Ok(parked) = arriving.try_recv() {
                admit(&mut queue, parked);
            }
            queue.retain(|(parked, _)| !parked.sender.is_closed());
            if queue.is_empty() && self.leave(&account_id, &mut arriving) {
                return;
            }
            self.round(&mut queue, &mut promises, all).await;
            all = false;
            let jittered = pause.mul_f64(rand::rng().random_range(0.75..1.0));
            let look = Instant::now() + jittered;
            let look = promises.end().map_or(look, |end| end.min(look));
            tokio::select! {
                () = ending.cancelled() => {
                    for (parked, _) in queue {
                        let _gone = parked.sender.try_send(Err(LedgerError::Closed));
                    }
                    self.leave(&account_id, &mut arriving);
                    return;
                }
                () = changes.changed() => pause = FIRST_LOOK,
                next = next_event(&mut watch) => {
                    pause = FIRST_LOOK;
                    if next.is_err() {
                        watch = self.events.watch(filter.clone(), Start::Now).await.ok();
                    }
                }
                Some(parked) = arriving.recv() => admit(&mut queue, parked),
                () = time::sleep_until(look.into()) => {
                    pause = (pause * 2).min(LONGEST_LOOK);
                    all = true;
                }
            }
            // A busy account changes with every batch.
            time::sleep(PACE).await;
        }
    }

    /// Closes the account's door, unless somebody has just come in. True where it is
    /// closed.
    fn leave(
        &self,
        account_id: &AccountId,
        arriving: &mut mpsc::UnboundedReceiver<Waiting>,
    ) -> bool {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        if !arriving.is_empty() {
            return false;
        }
        arriving.close();
        arrivals.remove(account_id);
        true
    }

    /// Asks for each one's verdict in its turn, and tells who may run. Of those who wait
    /// for nothing that others wait for, each has to be asked: not `all` of them at every
    /// change.
    async fn round(&self, queue: &mut Vec<(Waiting, Place)>, promises: &mut Promises, all: bool) {
        let mut others = 0;
        self.settle(queue, promises).await;
        let mut round = promises.round(Instant::now());
        let mut done = Vec::new();
        for (index, (parked, _)) in queue.iter_mut().enumerate() {
            if parked.told && parked.waits_for.as_ref().is_some_and(|scarce| round.is_taken(scarce))
            {
                continue;
            }
            if parked.told && parked.waits_for.is_none() {
                others += 1;
                if others > OTHERS && !all {
                    continue;
                }
            }
            let outcome = match self.ledger.submit(parked.command.clone()).await {
                Ok(outcome) => outcome,
                // The database is away: the next round asks again.
                Err(LedgerError::Unavailable | LedgerError::Overloaded) => break,
                Err(error) => {
                    let _gone = parked.sender.try_send(Err(error));
                    done.push(index);
                    continue;
                }
            };
            match round.turn(&outcome, parked.waits_for.as_ref()) {
                Turn::Run => {
                    let _gone = parked.sender.try_send(Ok(outcome));
                    done.push(index);
                }
                Turn::Stay(waits_for) => {
                    parked.waits_for = waits_for;
                    // That it is eligible and has to wait all the same is told nobody.
                    if !parked.told && matches!(outcome, Outcome::Blocked { .. }) {
                        let _gone = parked.sender.try_send(Ok(outcome));
                    }
                    parked.told = true;
                }
            }
        }
        for index in done.iter().rev() {
            queue.remove(*index);
        }
    }

    /// Looks which promises have been kept: by holds that were made since.
    async fn settle(&self, queue: &[(Waiting, Place)], promises: &mut Promises) {
        let Some((waiting, _)) = queue.first() else { return };
        for (credit_type, since) in promises.looked_at() {
            let query = EntryQuery {
                account_id: waiting.command.account_id.clone(),
                credit_type: Some(credit_type.clone()),
                before: None,
                limit: NEWEST,
            };
            // Where they cannot be read, promises end by themselves.
            let Ok(entries) = self.ledger.entries(query).await else { return };
            let newest = entries.first().map_or(since, |entry| entry.sequence);
            let holds = entries.iter().take_while(|entry| entry.sequence > since);
            for hold in holds.filter(|entry| entry.kind == EntryKind::Reserve) {
                promises.kept(&credit_type, hold.credits);
            }
            promises.look(&credit_type, newest);
        }
    }
}

/// Takes somebody into the queue, where there is room.
fn admit(queue: &mut Vec<(Waiting, Place)>, parked: Waiting) {
    if queue.len() >= MAX_OF_ACCOUNT {
        let _gone = parked.sender.try_send(Err(LedgerError::Overloaded));
    } else {
        queue.push((parked, Place::take()));
    }
}

/// The next event of an account; never, where they cannot be watched.
async fn next_event(watch: &mut Option<crate::events::watch::Watch>) -> Result<(), LedgerError> {
    match watch {
        Some(watch) => watch.next().await.map(drop),
        None => std::future::pending().await,
    }
}
