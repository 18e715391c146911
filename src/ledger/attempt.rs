//! One batch in one transaction: lock, read, decide, write, commit.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use crate::{
    clock::Clock,
    domain::{
        account::{Account, AccountState, Missing},
        catalog::RevisedCatalog,
        command::{Action, Command, Outcome, Refusal},
        context::Context,
        decide::decide_all,
        verdict::MAX_HOLDERS,
    },
    ids::{AccountId, LotId},
    planted::{self, Bug},
    store::{
        StoreError,
        batch::{Demand, LaneConnection, Named, Snapshot},
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
    commands: &[&Command],
    locking: Locking,
    clock: &Clock,
) -> Result<Vec<Answer>, StoreError> {
    let named = Named::by(commands.iter().copied());
    let begun = Instant::now();
    let locked = match locking {
        Locking::Wait => {
            connection.begin().await?;
            if planted::has(Bug::NoRowLock) || planted::has(Bug::NoLockNoGuard) {
                connection.look(&named).await?
            } else {
                connection.lock(&named).await?
            }
        }
        Locking::Skip => {
            connection.begin().await?;
            connection.lock_free(&named).await?
        }
        Locking::None => {
            connection.begin_read_only().await?;
            connection.look(&named).await?
        }
    };
    let absent = absent(connection, &named, &locked, locking).await?;
    phase("lock", begun);

    let begun = Instant::now();
    let snapshot = connection.read(&named, locked, clock.fixed()).await?;
    if catalog.revision != snapshot.catalog_revision {
        let revision = snapshot.catalog_revision;
        let read = connection.catalog(revision).await?;
        *catalog = Arc::new(RevisedCatalog { revision, catalog: read });
    }
    phase("read", begun);

    let begun = Instant::now();
    let now = snapshot.now;
    let decided = decide(connection, catalog, commands, snapshot).await?;
    phase("decide", begun);

    let begun = Instant::now();
    if locking != Locking::None {
        let changes = decided.iter().map(|account| (&account.read, &account.state));
        connection.write(now, catalog.revision, changes).await?;
    }
    phase("write", begun);
    let begun = Instant::now();
    match connection.commit_and_chain().await {
        Err(_) if planted::has(Bug::AnswersWhateverCommitSays) => {}
        committed => committed?,
    }
    phase("commit", begun);
    Ok(answers(commands, decided, &absent))
}

/// Which of the named accounts do not exist: of those that were not locked, the
/// ones that cannot be seen either.
async fn absent(
    connection: &mut LaneConnection,
    named: &Named,
    locked: &[Account],
    locking: Locking,
) -> Result<Vec<AccountId>, StoreError> {
    let lacks = |found: &[Account], id: &AccountId| found.iter().all(|a| a.account_id != *id);
    if locked.len() == named.accounts.len() {
        return Ok(Vec::new());
    }
    let mut absent: Vec<AccountId> =
        named.accounts.iter().filter(|id| lacks(locked, id)).cloned().collect();
    if locking == Locking::Skip {
        let seen = connection.look(named).await?;
        absent.retain(|id| lacks(&seen, id));
    }
    Ok(absent)
}

/// An account, as it was read and as it was decided.
struct Decided {
    read: AccountState,
    state: AccountState,
    answers: Vec<Result<Outcome, Refusal>>,
}

/// Decides each account's commands in their order. What a decision turns out to
/// lack is read, and that account is decided again from the start.
async fn decide(
    connection: &mut LaneConnection,
    catalog: &RevisedCatalog,
    commands: &[&Command],
    snapshot: Snapshot,
) -> Result<Vec<Decided>, StoreError> {
    let mut open: States = snapshot.accounts;
    let mut by_account: BTreeMap<AccountId, Vec<&Command>> = BTreeMap::new();
    for command in commands {
        by_account.entry(command.account_id.clone()).or_default().push(command);
    }
    let mut done = Vec::with_capacity(open.len());
    while !open.is_empty() {
        let mut demands = Vec::new();
        let mut lacking = States::new();
        for (account_id, read) in open {
            let commands = by_account.get(&account_id).map_or(&[][..], Vec::as_slice);
            let mut state = read.clone();
            let last = state.balances.values().map(|balance| balance.last_entry_time).max();
            let context = Context {
                now: last.map_or(snapshot.now, |last| last.max(snapshot.now)),
                catalog: &catalog.catalog,
                new_lot_id: LotId::generate,
            };
            match decide_all(&mut state, commands.iter().copied(), &context) {
                Ok(answers) => done.push(Decided { read, state, answers }),
                Err(missing) => {
                    demands.extend(demand(&account_id, missing, commands));
                    lacking.insert(account_id, read);
                }
            }
        }
        if !demands.is_empty() {
            connection.supply(&demands, &mut lacking).await?;
        }
        open = lacking;
    }
    Ok(done)
}

/// What to read for an account: what is missing, and where that is a project's
/// slots, those of all its projects at once.
fn demand(account_id: &AccountId, missing: Missing, commands: &[&Command]) -> Vec<Demand> {
    // Each command settles one hold at most.
    let limit = i64::try_from(MAX_HOLDERS + commands.len()).unwrap_or(i64::MAX);
    let wanted = match missing {
        Missing::ProjectSlots(_) => commands
            .iter()
            .filter_map(|command| match &command.action {
                Action::Reserve(reserve) => reserve.scan.project_id.clone(),
                Action::Check(scan) => scan.project_id.clone(),
                _ => None,
            })
            .map(Missing::ProjectSlots)
            .collect(),
        other => vec![other],
    };
    wanted
        .into_iter()
        .map(|missing| Demand { account_id: account_id.clone(), missing, limit })
        .collect()
}

/// The answers in the order of the commands.
fn answers(commands: &[&Command], decided: Vec<Decided>, absent: &[AccountId]) -> Vec<Answer> {
    let mut by_account: BTreeMap<AccountId, _> = decided
        .into_iter()
        .map(|mut account| {
            if planted::has(Bug::AnswersSwapped) {
                account.answers.reverse();
            }
            (account.read.account.account_id, account.answers.into_iter())
        })
        .collect();
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
