//! Does what a check has found to be new: accounts, projects, lots, and then the
//! subscriptions, so that none is renewed before its account has all its lots.

use std::collections::HashMap;

use tokio::time::{self, Instant};

use super::{
    Options,
    check::{Todo, claimed, project_conflict},
    feed::{Fed, PATIENCE, PAUSE, Stopped, feed, go_on},
    input::At,
    record::{AccountSubscription, Lot, PROVIDER_PADDLE, Project},
    report::{Report, Tally},
};
use crate::{
    billing::{
        Billing, BillingError,
        bulk::{NewAccount, differs},
    },
    domain::command::{Action, Command, Grant, OperationKind, Outcome, PROVIDER_MANUAL},
    ids::AccountId,
    ledger::{Ledger, LedgerError},
};

/// Who asks: it stands in the ledger.
const ACTOR: &str = "import";
/// Accounts or projects that are written in one transaction.
const ROWS: usize = 2_000;

impl Fed for Lot {
    fn account_id(&self) -> &AccountId {
        &self.account_id
    }

    fn command(&self) -> Command {
        let grant = Grant {
            key: (OperationKind::Import, self.lot_id.clone()),
            source: self.source,
            credit_type: self.credit_type.clone(),
            credits: self.credits,
            expire_time: self.expire_time,
            reason: self.reason.to_string(),
        };
        command(&self.account_id, Action::Grant(grant))
    }
}

impl Fed for AccountSubscription {
    fn account_id(&self) -> &AccountId {
        &self.account_id
    }

    fn command(&self) -> Command {
        let subscription = Box::new(self.subscription.clone());
        command(&self.account_id, Action::ImportSubscription(subscription))
    }
}

fn command(account_id: &AccountId, action: Action) -> Command {
    Command { account_id: account_id.clone(), actor: ACTOR.to_owned(), action }
}

/// Does it, and counts in the report what was new; where it has to stop, the
/// report says why.
pub(super) async fn apply(
    todo: Todo,
    report: &mut Report,
    billing: &Billing,
    ledger: &Ledger,
    options: &Options<'_>,
) {
    // Until now they counted what is to be done.
    for tally in
        [&mut report.accounts, &mut report.projects, &mut report.lots, &mut report.subscriptions]
            .into_iter()
            .chain(report.credits.values_mut())
    {
        tally.new = 0;
    }
    report.stopped = steps(&todo, report, billing, ledger, options).await.err();
}

async fn steps(
    todo: &Todo,
    report: &mut Report,
    billing: &Billing,
    ledger: &Ledger,
    options: &Options<'_>,
) -> Result<(), Stopped> {
    accounts(&todo.accounts, &mut report.accounts, billing, options).await?;
    projects(&todo.projects, &mut report.projects, billing, options).await?;
    let (lots, credits) = (&mut report.lots, &mut report.credits);
    feed(&todo.lots, "lots granted", ledger, options, |lot, outcome| {
        let replayed = matches!(outcome, Outcome::Granted { replayed: true, .. });
        count(lots, 1, replayed);
        let amount = u64::try_from(lot.credits).unwrap_or(0);
        if let Some(tally) = credits.get_mut(&lot.credit_type) {
            count(tally, amount, replayed);
        }
    })
    .await?;
    claims(&todo.subscriptions, billing, options).await?;
    let subscriptions = &mut report.subscriptions;
    feed(&todo.subscriptions, "subscriptions taken over", ledger, options, |_, outcome| {
        let replayed = matches!(outcome, Outcome::Subscribed { replayed: true, .. });
        count(subscriptions, 1, replayed);
    })
    .await
}

/// What was done before, by another import or by this one where an answer was
/// lost, is there and not new.
fn count(tally: &mut Tally, by: u64, is_there: bool) {
    *(if is_there { &mut tally.already_there } else { &mut tally.new }) += by;
}

/// Tries again while the database is away.
async fn patiently<T>(
    mut call: impl AsyncFnMut() -> Result<T, BillingError>,
) -> Result<T, Stopped> {
    let begun = Instant::now();
    loop {
        match call().await {
            Err(BillingError::Ledger(LedgerError::Unavailable)) if begun.elapsed() < PATIENCE => {
                time::sleep(PAUSE).await;
            }
            result => return result.map_err(|error| error.to_string()),
        }
    }
}

async fn accounts(
    accounts: &[At<NewAccount>],
    tally: &mut Tally,
    billing: &Billing,
    options: &Options<'_>,
) -> Result<(), Stopped> {
    for (index, chunk) in accounts.chunks(ROWS).enumerate() {
        go_on(options)?;
        options.progress.tell("accounts created", index * ROWS, accounts.len());
        let wanted: Vec<NewAccount> = chunk.iter().map(|at| at.record.clone()).collect();
        let there = patiently(async || billing.create_accounts(wanted.clone()).await).await?;
        let there: HashMap<_, _> =
            there.into_iter().map(|made| (made.account.account_id.clone(), made)).collect();
        for At { line, record } in chunk {
            let Some(made) = there.get(&record.account_id) else { continue };
            if let Some(field) = differs(&made.account, record) {
                let id = &record.account_id;
                return Err(format!("line {line}: account {id} exists with another {field}"));
            }
            count(tally, 1, !made.is_new);
        }
    }
    Ok(())
}

async fn projects(
    projects: &[At<Project>],
    tally: &mut Tally,
    billing: &Billing,
    options: &Options<'_>,
) -> Result<(), Stopped> {
    for (index, chunk) in projects.chunks(ROWS).enumerate() {
        go_on(options)?;
        options.progress.tell("projects assigned", index * ROWS, projects.len());
        let claims: Vec<_> = chunk
            .iter()
            .map(|at| (at.record.project_id.clone(), at.record.account_id.clone()))
            .collect();
        let there = patiently(async || billing.claim_projects(claims.clone()).await).await?;
        let there: HashMap<_, _> =
            there.into_iter().map(|claimed| (claimed.project_id.clone(), claimed)).collect();
        for At { line, record } in chunk {
            let Some(claimed) = there.get(&record.project_id) else { continue };
            if claimed.account_id != record.account_id {
                let what = project_conflict(&record.project_id, &claimed.account_id);
                return Err(format!("line {line}: {what}"));
            }
            count(tally, 1, !claimed.is_new);
        }
    }
    Ok(())
}

/// Before a provider's subscription is there, it is said whose it is: an import
/// that ends in between says it again.
async fn claims(
    subscriptions: &[At<AccountSubscription>],
    billing: &Billing,
    options: &Options<'_>,
) -> Result<(), Stopped> {
    let provided: Vec<&At<AccountSubscription>> = subscriptions
        .iter()
        .filter(|at| at.record.subscription.provider != PROVIDER_MANUAL)
        .collect();
    for chunk in provided.chunks(ROWS) {
        go_on(options)?;
        let id = |at: &At<AccountSubscription>| at.record.subscription.subscription_id.clone();
        let claims: Vec<_> =
            chunk.iter().map(|at| (id(at), at.record.account_id.clone())).collect();
        let owners =
            patiently(async || billing.claim_subscriptions(PROVIDER_PADDLE, claims.clone()).await);
        let owners: HashMap<_, _> = owners.await?.into_iter().collect();
        for at in chunk {
            let owner = owners.get(&id(at));
            if let Some(owner) = owner.filter(|owner| **owner != at.record.account_id) {
                return Err(format!("line {}: {}", at.line, claimed(&id(at), owner)));
            }
        }
    }
    Ok(())
}
