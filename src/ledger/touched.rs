//! Tells those who wait for a change of an account that there was one. Where nobody
//! waits, a batch pays one load for it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::Notify;

use crate::ids::AccountId;

/// The accounts that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct Touched {
    count: AtomicUsize,
    accounts: Mutex<HashMap<AccountId, Arc<Notify>>>,
}

/// Hears of changes of one account by this process, until it is dropped. For one
/// account there is one at a time.
#[derive(Debug)]
pub struct Changes {
    touched: Arc<Touched>,
    account_id: AccountId,
    changed: Arc<Notify>,
}

impl Touched {
    /// Hears of an account's changes from now on.
    pub(super) fn listen(self: &Arc<Self>, account_id: &AccountId) -> Changes {
        let changed = Arc::new(Notify::new());
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.insert(account_id.clone(), Arc::clone(&changed));
        self.count.store(accounts.len(), Relaxed);
        Changes { touched: Arc::clone(self), account_id: account_id.clone(), changed }
    }

    /// Tells of commands that have been carried out.
    pub(super) fn tell<'a>(&self, changed: impl Iterator<Item = &'a AccountId>) {
        if self.count.load(Relaxed) == 0 {
            return;
        }
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        for account_id in changed {
            if let Some(changed) = accounts.get(account_id) {
                changed.notify_one();
            }
        }
    }
}

impl Changes {
    /// Waits for a change; one that came before, and was not waited for, counts.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        let mut accounts = self.touched.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.get(&self.account_id).is_some_and(|known| Arc::ptr_eq(known, &self.changed)) {
            accounts.remove(&self.account_id);
        }
        self.touched.count.store(accounts.len(), Relaxed);
    }
}
