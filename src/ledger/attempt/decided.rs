//! One account's part of a batch: as it was read, and what its commands make of it.

use crate::{
    clock::Timestamp,
    domain::{
        account::{AccountState, Missing},
        catalog::Catalog,
        command::{Action, Command, Outcome, Refusal},
        context::Context,
        decide::decide_all,
        verdict::MAX_HOLDERS,
    },
    ids::{AccountId, LotId},
    store::batch::Demand,
};

/// Of one account's commands, in their order.
type Answers = Vec<Result<Outcome, Refusal>>;

/// An account, as it was read and as it was decided.
pub(super) struct Decided {
    pub(super) read: Box<AccountState>,
    pub(super) state: Box<AccountState>,
    pub(super) answers: Answers,
}

/// As each was read, and as it is now.
pub(super) fn changes(decided: &[Decided]) -> impl Iterator<Item = (&AccountState, &AccountState)> {
    decided.iter().map(|account| (&*account.read, &*account.state))
}

/// Whose they are.
pub(super) fn account_ids(decided: &[Decided]) -> impl Iterator<Item = AccountId> {
    decided.iter().map(|account| account.read.account.account_id.clone())
}

/// Decides one account's commands: what they make of it, and their answers.
pub(super) fn decide_account(
    read: &AccountState,
    commands: &[&Command],
    catalog: &Catalog,
    now: Timestamp,
) -> Result<(Box<AccountState>, Answers), Missing> {
    let mut state = Box::new(read.clone());
    let last = state.balances.values().map(|balance| balance.last_entry_time).max();
    let context = Context {
        now: last.map_or(now, |last| last.max(now)),
        catalog,
        new_lot_id: LotId::generate,
    };
    let answers = decide_all(&mut state, commands.iter().copied(), &context)?;
    Ok((state, answers))
}

/// What to read for an account: what is missing, and where that is a project's
/// slots, those of all its projects at once.
pub(super) fn demand(
    account_id: &AccountId,
    missing: Missing,
    commands: &[&Command],
) -> Vec<Demand> {
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
