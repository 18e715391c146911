//! What the database says of a file: what is there already, what is in the way,
//! and what remains to be done. Reads only.
//!
//! What is there as the file has it is left alone and not looked at further: so a
//! file that was applied can be applied again, also when its lots have expired
//! meanwhile, or the catalog has changed.

mod subscriptions;

pub(super) use subscriptions::claimed;

use std::collections::{HashMap, HashSet};

use super::{
    ImportError, Progress,
    input::{At, Input},
    record::{AccountSubscription, Lot, Project},
    report::{Report, Tally},
};
use crate::{
    billing::{
        Billing,
        bulk::{ImportedLot, NewAccount, differs},
    },
    clock::Timestamp,
    domain::{catalog::Catalog, subscription::Subscription},
    ids::{AccountId, OperationId, ProjectId},
};

/// Rows that are asked for at once.
const CHUNK: usize = 5_000;

/// What is not there yet.
#[derive(Debug, Default)]
pub(super) struct Todo {
    pub(super) accounts: Vec<At<NewAccount>>,
    pub(super) projects: Vec<At<Project>>,
    /// By account; those of one account in the order of the file.
    pub(super) lots: Vec<At<Lot>>,
    pub(super) subscriptions: Vec<At<AccountSubscription>>,
}

/// What is read once.
struct Known {
    now: Timestamp,
    catalog: Catalog,
    /// The accounts that exist.
    accounts: HashSet<AccountId>,
    /// Their subscriptions, as far as the file names the account.
    subscriptions: HashMap<AccountId, Vec<Subscription>>,
    /// The accounts that the file brings.
    coming: HashSet<AccountId>,
}

/// Compares a file with the database.
pub(super) async fn check(
    mut input: Input,
    billing: &Billing,
    progress: &Progress<'_>,
) -> Result<(Report, Todo), ImportError> {
    input.lots.sort_unstable_by(|a, b| {
        (&a.record.account_id, a.line).cmp(&(&b.record.account_id, b.line))
    });
    let mut report = Report {
        lines: input.lines,
        bad: std::mem::take(&mut input.bad),
        accounts: Tally::of(input.accounts.len()),
        projects: Tally::of(input.projects.len()),
        lots: Tally::of(input.lots.len()),
        subscriptions: Tally::of(input.subscriptions.len()),
        ..Report::default()
    };
    let known = accounts(&mut input, billing, &mut report, progress).await?;
    projects(&mut input, billing, &known, &mut report).await?;
    lots(&mut input, billing, &known, &mut report, progress).await?;
    subscriptions::check(&mut input, billing, &known, &mut report).await?;
    let todo = Todo {
        accounts: input.accounts,
        projects: input.projects,
        lots: input.lots,
        subscriptions: input.subscriptions,
    };
    report.accounts.new = todo.accounts.len() as u64;
    report.projects.new = todo.projects.len() as u64;
    report.lots.new = todo.lots.len() as u64;
    report.subscriptions.new = todo.subscriptions.len() as u64;
    Ok((report, todo))
}

/// What became of a record.
enum Found {
    /// It is to be done.
    New,
    /// It is there.
    There,
    /// Something is in its way.
    Bad(String),
}

/// Keeps what is new, counts what is there, notes what is bad.
fn sift<T>(
    records: &mut Vec<At<T>>,
    tally: &mut Tally,
    bad: &mut super::report::BadLines,
    mut find: impl FnMut(&T) -> Found,
) {
    records.retain(|at| match find(&at.record) {
        Found::New => true,
        Found::There => {
            tally.already_there += 1;
            false
        }
        Found::Bad(what) => {
            tally.in_file -= 1;
            bad.add(at.line, what);
            false
        }
    });
}

async fn accounts(
    input: &mut Input,
    billing: &Billing,
    report: &mut Report,
    progress: &Progress<'_>,
) -> Result<Known, ImportError> {
    let mut known = Known {
        now: billing.now().await?,
        catalog: billing.catalog().await?.catalog,
        accounts: HashSet::new(),
        subscriptions: HashMap::new(),
        coming: input.accounts.iter().map(|at| at.record.account_id.clone()).collect(),
    };
    known.coming.extend(input.excused.drain());
    let wanted: HashMap<&AccountId, &NewAccount> =
        input.accounts.iter().map(|at| (&at.record.account_id, &at.record)).collect();
    let named = input.accounts.iter().map(|at| &at.record.account_id);
    let named = named
        .chain(input.projects.iter().map(|at| &at.record.account_id))
        .chain(input.lots.iter().map(|at| &at.record.account_id))
        .chain(input.subscriptions.iter().map(|at| &at.record.account_id));
    let mut named: Vec<AccountId> = named.cloned().collect();
    named.sort();
    named.dedup();
    let mut differing = HashMap::new();
    for (index, chunk) in named.chunks(CHUNK).enumerate() {
        progress.tell("accounts checked", index * CHUNK, named.len());
        for (account, subscriptions) in billing.accounts_named(chunk.to_vec()).await? {
            let account_id = account.account_id.clone();
            if let Some(field) = wanted.get(&account_id).and_then(|new| differs(&account, new)) {
                differing.insert(account_id.clone(), field);
            }
            if !subscriptions.is_empty() {
                known.subscriptions.insert(account_id.clone(), subscriptions);
            }
            known.accounts.insert(account_id);
        }
    }
    sift(&mut input.accounts, &mut report.accounts, &mut report.bad, |account| {
        let account_id = &account.account_id;
        match differing.get(account_id) {
            Some(field) => Found::Bad(format!("account {account_id} exists with another {field}")),
            None if known.accounts.contains(account_id) => Found::There,
            None => Found::New,
        }
    });
    Ok(known)
}

impl Known {
    /// What is wrong with a reference to an account.
    fn lacks(&self, account_id: &AccountId) -> Option<String> {
        let is_known = self.accounts.contains(account_id) || self.coming.contains(account_id);
        (!is_known).then(|| {
            format!("there is no account {account_id}, neither in the database nor in the file")
        })
    }
}

async fn projects(
    input: &mut Input,
    billing: &Billing,
    known: &Known,
    report: &mut Report,
) -> Result<(), ImportError> {
    let mut owners: HashMap<ProjectId, AccountId> = HashMap::new();
    for chunk in input.projects.chunks(CHUNK) {
        let named = chunk.iter().map(|at| at.record.project_id.clone()).collect();
        owners.extend(billing.project_owners(named).await?);
    }
    sift(&mut input.projects, &mut report.projects, &mut report.bad, |project| {
        if let Some(what) = known.lacks(&project.account_id) {
            return Found::Bad(what);
        }
        match owners.get(&project.project_id) {
            None => Found::New,
            Some(owner) if *owner == project.account_id => Found::There,
            Some(owner) => Found::Bad(project_conflict(&project.project_id, owner)),
        }
    });
    Ok(())
}

/// What to say of a project that another account has.
pub(super) fn project_conflict(project_id: &ProjectId, owner: &AccountId) -> String {
    format!("project {project_id} belongs to account {owner}: `creditgate project assign` moves it")
}

async fn lots(
    input: &mut Input,
    billing: &Billing,
    known: &Known,
    report: &mut Report,
    progress: &Progress<'_>,
) -> Result<(), ImportError> {
    // By key, a chunk at a time: all that is there of a large file would take as much
    // memory as the file.
    let all = std::mem::take(&mut input.lots);
    let (count, mut done) = (all.len(), 0);
    let mut new = Vec::with_capacity(count);
    let mut rest = all.into_iter();
    loop {
        let mut chunk: Vec<At<Lot>> = rest.by_ref().take(CHUNK).collect();
        if chunk.is_empty() {
            break;
        }
        progress.tell("lots checked", done, count);
        done += chunk.len();
        let keys: Vec<(AccountId, OperationId)> = chunk
            .iter()
            .map(|at| (at.record.account_id.clone(), at.record.lot_id.clone()))
            .filter(|(account_id, _)| known.accounts.contains(account_id))
            .collect();
        let made = if keys.is_empty() { Vec::new() } else { billing.imported_lots(keys).await? };
        let made: HashMap<(AccountId, OperationId), ImportedLot> = made
            .into_iter()
            .map(|lot| ((lot.account_id.clone(), lot.operation_id.clone()), lot))
            .collect();
        let credits = &mut report.credits;
        sift(&mut chunk, &mut report.lots, &mut report.bad, |lot| {
            let key = (lot.account_id.clone(), lot.lot_id.clone());
            let found = lot_found(lot, made.get(&key), known);
            let tally = credits.entry(lot.credit_type.clone()).or_default();
            let amount = u64::try_from(lot.credits).unwrap_or(0);
            match &found {
                Found::New => tally.new += amount,
                Found::There => tally.already_there += amount,
                Found::Bad(_) => return found,
            }
            tally.in_file += amount;
            found
        });
        new.extend(chunk);
    }
    report.credits.retain(|_, tally| tally.in_file > 0);
    input.lots = new;
    Ok(())
}

fn lot_found(lot: &Lot, made: Option<&ImportedLot>, known: &Known) -> Found {
    if let Some(made) = made {
        return match lot_difference(lot, made) {
            None => Found::There,
            Some(field) => {
                Found::Bad(format!("lot {} was imported with another {field}", lot.lot_id))
            }
        };
    }
    let mut wrong: Vec<String> = known.lacks(&lot.account_id).into_iter().collect();
    if !known.catalog.has_credit_type(&lot.credit_type) {
        wrong.push(format!("the catalog has no credit type {:?}", lot.credit_type.as_str()));
    }
    if let Some(time) = lot.expire_time.filter(|time| *time <= known.now) {
        wrong.push(format!("the lot has expired, at {}: leave it out", time.to_rfc3339()));
    }
    if wrong.is_empty() { Found::New } else { Found::Bad(wrong.join("; ")) }
}

fn lot_difference(lot: &Lot, made: &ImportedLot) -> Option<&'static str> {
    if made.credit_type != lot.credit_type {
        Some("credit type")
    } else if made.credits != lot.credits {
        Some("number of credits")
    } else if made.expire_time != lot.expire_time {
        Some("expiry")
    } else if made.reason != *lot.reason {
        Some("reason")
    } else if made.source != lot.source {
        Some("source")
    } else {
        None
    }
}
