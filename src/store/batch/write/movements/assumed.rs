//! What a batch assumes of accounts that it knew from an earlier one: all that a decision
//! looks at, and that no guard of a changed row shows.

use crate::store::batch::{Footing, write::Change};

#[derive(Default)]
pub(in crate::store::batch::write) struct Assumed {
    /// In key order: they are locked in it. None where they are locked already.
    pub(super) account_ids: Vec<String>,
    pub(super) versions: Vec<i64>,
    /// Projects that have to exist.
    pub(super) project_accounts: Vec<String>,
    pub(super) project_ids: Vec<String>,
    /// Accounts with a plan: it may limit what they hold of all types.
    pub(super) subscribed: Vec<String>,
    /// Of all their balances, added up.
    pub(super) sequences: i64,
    pub(super) catalog_revision: Option<i64>,
}

impl Assumed {
    pub(in crate::store::batch::write) fn by(
        footing: &Footing,
        changes: &[Change<'_>],
        catalog_revision: i64,
    ) -> Self {
        let mut assumed = Self { catalog_revision: Some(catalog_revision), ..Self::default() };
        let known = |(old, _): &&Change<'_>| footing.known.contains(&old.account.account_id);
        for (old, _) in changes.iter().filter(known) {
            let account_id = old.account.account_id.to_string();
            for project_id in &old.projects {
                assumed.project_accounts.push(account_id.clone());
                assumed.project_ids.push(project_id.to_string());
            }
            if !old.subscriptions.is_empty() {
                assumed.subscribed.push(account_id.clone());
                assumed.sequences += old.balances.values().map(|b| b.sequence).sum::<i64>();
            }
            if !footing.is_locked {
                assumed.versions.push(old.account.version);
                assumed.account_ids.push(account_id);
            }
        }
        assumed
    }
}
