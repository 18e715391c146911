//! What a batch assumes of accounts that it knew from an earlier one: all that a decision
//! looks at, and that no guard of a changed row shows.

use crate::{
    clock::Timestamp,
    store::batch::{
        Footing,
        write::{
            Change,
            rows::{KnownAccount, KnownProject},
        },
    },
};

#[derive(Default)]
pub(in crate::store::batch::write) struct Assumed<'c> {
    /// In key order: they are locked in it. None where they are locked already.
    pub(super) accounts: Vec<KnownAccount<'c>>,
    /// Projects that have to exist.
    pub(super) projects: Vec<KnownProject<'c>>,
    /// Accounts with a plan: it may limit what they hold of all types.
    pub(super) subscribed: Vec<&'c str>,
    /// Of all their balances, added up.
    pub(super) sequences: i64,
    pub(super) catalog_revision: Option<i64>,
    pub(super) decided_at: Option<Timestamp>,
}

impl<'c> Assumed<'c> {
    pub(in crate::store::batch::write) fn by(
        footing: &Footing,
        changes: &[Change<'c>],
        catalog_revision: i64,
    ) -> Self {
        let mut assumed = Self {
            catalog_revision: Some(catalog_revision),
            decided_at: footing.decided_at,
            ..Self::default()
        };
        let known = |(old, _): &&Change<'_>| footing.known.contains(&old.account.account_id);
        for (old, _) in changes.iter().filter(known) {
            let account_id = old.account.account_id.as_str();
            let projects = old.projects.iter().map(|project_id| project_id.as_str());
            assumed
                .projects
                .extend(projects.map(|project_id| KnownProject { account_id, project_id }));
            if !old.subscriptions.is_empty() {
                assumed.subscribed.push(account_id);
                assumed.sequences += old.balances.values().map(|b| b.sequence).sum::<i64>();
            }
            if !footing.is_locked {
                assumed.accounts.push(KnownAccount { account_id, version: old.account.version });
            }
        }
        assumed
    }
}
