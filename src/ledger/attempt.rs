//! One batch in one transaction: lock, read, decide, write, commit. What the lane has
//! kept is not read; where that is all of it, the write locks as well.

mod decided;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use self::decided::{Decided, account_ids, changes, decide_account, demand};
use super::kept::{Kept, Known, Told, stands};
use crate::{
    clock::{Clock, Timestamp},
    domain::{
        account::{Account, AccountState},
        catalog::RevisedCatalog,
        command::{Command, Outcome, Refusal},
    },
    ids::AccountId,
    planted::{self, Bug},
    store::{
        StoreError,
        batch::{Footing, LaneConnection, Named, Snapshot},
    },
    telemetry::traces,
};

/// How the accounts are locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Locking {
    /// Wait for each, a while.
    Wait,
    /// Take those that are free, go on without the others.
    Skip,
    /// Not at all: the batch only looks.
    None,
}

/// What became of a command: `None` where its account was locked by somebody
/// else.
pub(super) type Answer = Option<Result<Outcome, Refusal>>;

type States = BTreeMap<AccountId, AccountState>;

/// Carries the commands out; nothing has happened unless this returns `Ok`, but
/// for an error of the connection: then it is unknown, and every command may be
/// sent again.
pub(super) async fn attempt(
    connection: &mut LaneConnection,
    catalog: &mut Arc<RevisedCatalog>,
    kept: &mut Kept,
    commands: &[&Command],
    locking: Locking,
    clock: &Clock,
) -> Result<Vec<Answer>, StoreError> {
    let mut batch = Batch { connection, catalog, commands: by_account(commands), locking, clock };
    let known = match locking {
        Locking::Wait => kept.take(&batch.commands, clock.fixed()),
        Locking::Skip | Locking::None => None,
    };
    let is_trusting = known.is_some();
    let done = match batch.carry_out(known).await {
        Err(StoreError::Conflict(why)) if is_trusting => {
            tracing::debug!(why, "what the lane had kept is no longer so");
            kept.was_stale();
            batch.connection.rollback().await?;
            batch.carry_out(None).await?
        }
        done => done?,
    };
    if done.stood > 0 {
        kept.has_stood();
    }
    if locking != Locking::None {
        kept.note_time(done.told);
    }
    let mut answered = BTreeMap::new();
    for Decided { read, state, mut answers } in done.decided {
        if locking != Locking::None {
            kept.keep(&read, state, &answers);
        }
        if planted::has(Bug::AnswersSwapped) {
            answers.reverse();
        }
        answered.insert(read.account.account_id, answers.into_iter());
    }
    Ok(answers(commands, answered, &done.absent))
}

/// A batch and what it is carried out with.
struct Batch<'b, 'c> {
    connection: &'b mut LaneConnection,
    catalog: &'b mut Arc<RevisedCatalog>,
    commands: BTreeMap<AccountId, Vec<&'c Command>>,
    locking: Locking,
    clock: &'b Clock,
}

/// What was committed.
struct Done {
    decided: Vec<Decided>,
    absent: Vec<AccountId>,
    /// How many accounts were decided on what was kept.
    stood: usize,
    /// The database's time.
    told: Told,
}

impl Batch<'_, '_> {
    /// Decides on what is known, as far as that goes; locks and reads the rest, writes,
    /// commits.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] where what is known is not so any more, or a guard did
    /// not hold.
    async fn carry_out(&mut self, known: Option<Known>) -> Result<Done, StoreError> {
        let begun = Instant::now();
        let revision = self.catalog.revision;
        let trusted = known.as_ref().map(|known| known.now);
        let mut decided = known.map(|known| self.stand_on(known)).unwrap_or_default();
        if trusted.is_some() {
            phase("known", begun);
        }

        if let Some(trusted) = trusted.filter(|_| decided.len() == self.commands.len()) {
            return self.write_alone(decided, trusted).await;
        }
        match self.locking {
            Locking::Wait | Locking::Skip => self.connection.begin().await?,
            Locking::None => self.connection.begin_read_only().await?,
        }
        let begun = Instant::now();
        let named = Named::by(self.commands.values().flatten().copied());
        let mut locked = self.lock(&named).await?;
        let absent = self.absent(&named, &locked).await?;
        phase("lock", begun);
        // Those that were decided need no read, where their rows are what they were.
        decided.retain(|account| is_among(&locked, &account.read.account));
        let known: BTreeSet<AccountId> = account_ids(&decided).collect();
        locked.retain(|account| !known.contains(&account.account_id));
        let (read, mut now) = self.read_and_decide(locked).await?;
        decided.extend(read);
        let stood = known.len();
        if stood > 0 && self.catalog.revision != revision {
            return Err(StoreError::Conflict("the catalog is another one".to_owned()));
        }
        if self.locking != Locking::None {
            let begun = Instant::now();
            let footing = Footing { is_locked: true, known, decided_at: self.told(trusted) };
            let revision = self.catalog.revision;
            now = self.connection.write(footing, now, revision, changes(&decided)).await?;
            phase("write", begun);
        }
        let told = (now, Instant::now());
        self.commit().await?;
        Ok(Done { decided, absent, stood, told })
    }

    /// Writes and commits what was decided on what is known of all accounts.
    async fn write_alone(
        &mut self,
        decided: Vec<Decided>,
        trusted: Timestamp,
    ) -> Result<Done, StoreError> {
        let begun = Instant::now();
        let known = account_ids(&decided).collect();
        let decided_at = self.told(Some(trusted));
        let footing = Footing { is_locked: false, known, decided_at };
        let revision = self.catalog.revision;
        let written =
            self.connection.write_alone(footing, trusted, revision, changes(&decided)).await;
        let now = match written {
            Err(error)
                if error.breaks_connection() && planted::has(Bug::AnswersWhateverCommitSays) =>
            {
                trusted
            }
            written => written?,
        };
        phase("write", begun);
        Ok(Done { stood: decided.len(), decided, absent: Vec::new(), told: (now, Instant::now()) })
    }

    /// The time that was told by the process's own clock, if it was.
    fn told(&self, trusted: Option<Timestamp>) -> Option<Timestamp> {
        trusted.filter(|_| self.clock.fixed().is_none())
    }

    /// Decides those accounts for which what is known will do.
    fn stand_on(&self, known: Known) -> Vec<Decided> {
        let mut decided = Vec::with_capacity(known.accounts.len());
        for read in known.accounts {
            let commands = self.of(&read.account.account_id);
            if let Ok((state, answers)) =
                decide_account(&read, commands, &self.catalog.catalog, known.now)
                && stands(&read, &state, commands)
            {
                decided.push(Decided { read: Box::new(read), state, answers });
            }
        }
        decided
    }

    fn of(&self, account_id: &AccountId) -> &[&Command] {
        self.commands.get(account_id).map_or(&[], Vec::as_slice)
    }

    async fn lock(&mut self, named: &Named) -> Result<Vec<Account>, StoreError> {
        match self.locking {
            Locking::Wait if planted::has(Bug::NoRowLock) || planted::has(Bug::NoLockNoGuard) => {
                self.connection.look(named).await
            }
            Locking::Wait => self.connection.lock(named).await,
            Locking::Skip => self.connection.lock_free(named).await,
            Locking::None => self.connection.look(named).await,
        }
    }

    /// Reads these accounts, as far as their commands name anything of them, and decides.
    async fn read_and_decide(
        &mut self,
        locked: Vec<Account>,
    ) -> Result<(Vec<Decided>, Timestamp), StoreError> {
        let begun = Instant::now();
        let commands = locked.iter().flat_map(|account| self.of(&account.account_id));
        let named = Named::by(commands.copied());
        let snapshot = self.connection.read(&named, locked, self.clock.fixed()).await?;
        let now = snapshot.now;
        if self.catalog.revision != snapshot.catalog_revision {
            let revision = snapshot.catalog_revision;
            let read = self.connection.catalog(revision).await?;
            *self.catalog = Arc::new(RevisedCatalog { revision, catalog: read });
        }
        phase("read", begun);
        let begun = Instant::now();
        let decided = self.decide(snapshot).await?;
        phase("decide", begun);
        Ok((decided, now))
    }

    /// Decides each account's commands in their order. What a decision turns out to
    /// lack is read, and that account is decided again from the start.
    async fn decide(&mut self, snapshot: Snapshot) -> Result<Vec<Decided>, StoreError> {
        let mut open: States = snapshot.accounts;
        let mut done = Vec::with_capacity(open.len());
        while !open.is_empty() {
            let mut demands = Vec::new();
            let mut lacking = States::new();
            for (account_id, read) in open {
                let commands = self.of(&account_id);
                match decide_account(&read, commands, &self.catalog.catalog, snapshot.now) {
                    Ok((state, answers)) => {
                        done.push(Decided { read: Box::new(read), state, answers });
                    }
                    Err(missing) => {
                        demands.extend(demand(&account_id, missing, commands));
                        lacking.insert(account_id, read);
                    }
                }
            }
            if !demands.is_empty() {
                self.connection.supply(&demands, &mut lacking).await?;
            }
            open = lacking;
        }
        Ok(done)
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        let begun = Instant::now();
        match self.connection.commit_and_chain().await {
            Err(_) if planted::has(Bug::AnswersWhateverCommitSays) => {}
            committed => committed?,
        }
        phase("commit", begun);
        Ok(())
    }

    /// Which of the named accounts do not exist: of those that were not locked, the
    /// ones that cannot be seen either.
    async fn absent(
        &mut self,
        named: &Named,
        locked: &[Account],
    ) -> Result<Vec<AccountId>, StoreError> {
        let lacks = |found: &[Account], id: &AccountId| found.iter().all(|a| a.account_id != *id);
        if locked.len() == named.accounts.len() {
            return Ok(Vec::new());
        }
        let mut absent: Vec<AccountId> =
            named.accounts.iter().filter(|id| lacks(locked, id)).cloned().collect();
        if self.locking == Locking::Skip {
            let seen = self.connection.look(named).await?;
            absent.retain(|id| lacks(&seen, id));
        }
        Ok(absent)
    }
}

/// `rows` are in the order of their keys.
fn is_among(rows: &[Account], row: &Account) -> bool {
    let found = rows.binary_search_by(|found| found.account_id.cmp(&row.account_id));
    found.is_ok_and(|at| rows.get(at) == Some(row))
}

/// Each account's commands, in their order.
fn by_account<'c>(commands: &[&'c Command]) -> BTreeMap<AccountId, Vec<&'c Command>> {
    let mut by_account: BTreeMap<AccountId, Vec<&Command>> = BTreeMap::new();
    for command in commands {
        by_account.entry(command.account_id.clone()).or_default().push(command);
    }
    by_account
}

/// The answers in the order of the commands.
fn answers(
    commands: &[&Command],
    mut by_account: BTreeMap<AccountId, impl Iterator<Item = Result<Outcome, Refusal>>>,
    absent: &[AccountId],
) -> Vec<Answer> {
    commands
        .iter()
        .map(|command| {
            let account_id = &command.account_id;
            if let Some(answers) = by_account.get_mut(account_id) {
                return answers.next();
            }
            absent
                .contains(account_id)
                .then(|| Err(Refusal::AccountNotFound { account_id: account_id.clone() }))
        })
        .collect()
}

fn phase(name: &'static str, begun: Instant) {
    let took = begun.elapsed();
    metrics::histogram!("creditgate_batch_phase_seconds", "phase" => name)
        .record(took.as_secs_f64());
    traces::phase(name, took);
}
