//! Reads. They go round the lanes, on a pool, and see what has been committed.

use std::{future::Future, time::Duration};

use tokio::time;

use super::{Ledger, LedgerError, VerifyReport, verify};
use crate::{
    clock::Timestamp,
    domain::{
        command::Refusal,
        credit::{Balance, Lot},
        entry::Entry,
        event::Event,
        reservation::Reservation,
    },
    ids::{AccountId, CreditType, ReservationId},
    store::{
        Cell, StoreError,
        queries::{EntryQuery, EventQuery, LotQuery, ReservationQuery},
    },
};

/// How long a read may take, all its statements together: longer than the
/// database lets one of them run, shorter than a call.
const READ_LIMIT: Duration = Duration::from_secs(25);

/// Runs a read to its end even where its caller goes away: a statement that is
/// dropped half-way would leave its connection in the middle of an answer. Only
/// one that takes too long is dropped all the same, and its connection with it:
/// a network that has gone silent would keep both for a quarter of an hour.
pub(crate) fn detached<T: Send + 'static>(
    read: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> impl Future<Output = Result<T, LedgerError>> {
    within(READ_LIMIT, read)
}

/// How long a worker waits for a statement of its own: nobody hears that it tries
/// again, and what it looks for waits meanwhile.
pub(crate) const WORK_LIMIT: Duration = Duration::from_secs(5);

/// As [`detached`], with a limit of one's own. It begins at once, so that whoever
/// waits carries no more than a handle.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    read: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> impl Future<Output = Result<T, LedgerError>> {
    let task = tokio::spawn(time::timeout(limit, read));
    async move {
        match task.await {
            Ok(Ok(result)) => Ok(result?),
            Ok(Err(_)) => Err(StoreError::timed_out().into()),
            Err(error) => {
                tracing::error!(%error, "a read ended early");
                Err(LedgerError::Internal)
            }
        }
    }
}

impl Ledger {
    async fn cell_of(&self, account_id: &AccountId) -> Result<Cell, LedgerError> {
        Ok(self.lanes_of(account_id).await?.cell.clone())
    }

    /// Refuses an account that does not exist: asked where a read found nothing.
    async fn expect_account(&self, cell: Cell, account_id: &AccountId) -> Result<(), LedgerError> {
        let key = account_id.clone();
        match detached(async move { cell.has_account(&key).await }).await? {
            true => Ok(()),
            false => Err(Refusal::AccountNotFound { account_id: account_id.clone() }.into()),
        }
    }

    /// The cell of an account that exists.
    ///
    /// # Errors
    ///
    /// It does not, or the database is away.
    pub(crate) async fn cell_with(&self, account_id: &AccountId) -> Result<Cell, LedgerError> {
        let cell = self.cell_of(account_id).await?;
        self.expect_account(cell.clone(), account_id).await?;
        Ok(cell)
    }

    /// One reservation.
    ///
    /// # Errors
    ///
    /// It, or its account, does not exist; or the database is away.
    pub async fn reservation(
        &self,
        account_id: &AccountId,
        reservation_id: &ReservationId,
    ) -> Result<Reservation, LedgerError> {
        let cell = self.cell_of(account_id).await?;
        let (reader, account, id) = (cell.clone(), account_id.clone(), reservation_id.clone());
        let found = detached(async move { reader.reservation(&account, &id).await }).await?;
        if let Some(reservation) = found {
            return Ok(reservation);
        }
        self.expect_account(cell, account_id).await?;
        Err(Refusal::ReservationNotFound { reservation_id: reservation_id.clone() }.into())
    }

    /// A page of reservations: one account's, or all that are held, then over
    /// all cells.
    ///
    /// # Errors
    ///
    /// The account does not exist, or the database is away.
    pub async fn reservations(
        &self,
        query: ReservationQuery,
    ) -> Result<Vec<(AccountId, Reservation)>, LedgerError> {
        if let Some(account_id) = query.account_id.clone() {
            let cell = self.cell_of(&account_id).await?;
            let reader = cell.clone();
            let page = detached(async move { reader.reservations(&query).await }).await?;
            if page.is_empty() {
                self.expect_account(cell, &account_id).await?;
            }
            return Ok(page);
        }
        let mut page = Vec::new();
        for lanes in &self.inner.cells {
            let (reader, query) = (lanes.cell.clone(), query.clone());
            page.extend(detached(async move { reader.reservations(&query).await }).await?);
        }
        page.sort_by(|(account, a), (other, b)| {
            (a.expire_time, account, &a.reservation_id).cmp(&(
                b.expire_time,
                other,
                &b.reservation_id,
            ))
        });
        page.truncate(usize::try_from(query.limit).unwrap_or(0));
        Ok(page)
    }

    /// An account's balances, by the name of their type, now or as they were.
    ///
    /// # Errors
    ///
    /// The account does not exist, or the database is away.
    pub async fn balances(
        &self,
        account_id: &AccountId,
        credit_type: Option<&CreditType>,
        as_of: Option<Timestamp>,
    ) -> Result<Vec<(CreditType, Balance)>, LedgerError> {
        let cell = self.cell_of(account_id).await?;
        let (reader, key) = (cell.clone(), account_id.clone());
        let wanted = credit_type.cloned();
        let found = detached(async move {
            let mut balances = reader.balances(&key).await?;
            balances.retain(|name, _| wanted.as_ref().is_none_or(|wanted| wanted == name));
            let Some(time) = as_of else { return Ok(balances.into_iter().collect()) };
            let mut then = Vec::new();
            for (name, balance) in balances {
                let head = balance.sequence;
                if let Some(balance) = reader.balance_as_of(&key, &name, head, time).await? {
                    then.push((name, balance));
                }
            }
            Ok(then)
        })
        .await?;
        if found.is_empty() {
            self.expect_account(cell, account_id).await?;
        }
        Ok(found)
    }

    /// A page of an account's lots.
    ///
    /// # Errors
    ///
    /// The account does not exist, or the database is away.
    pub async fn lots(&self, query: LotQuery) -> Result<Vec<Lot>, LedgerError> {
        let account_id = query.account_id.clone();
        let cell = self.cell_of(&account_id).await?;
        let reader = cell.clone();
        let page = detached(async move { reader.lots(&query).await }).await?;
        if page.is_empty() {
            self.expect_account(cell, &account_id).await?;
        }
        Ok(page)
    }

    /// A page of an account's ledger.
    ///
    /// # Errors
    ///
    /// The account does not exist, or the database is away.
    pub async fn entries(&self, query: EntryQuery) -> Result<Vec<Entry>, LedgerError> {
        let account_id = query.account_id.clone();
        let cell = self.cell_of(&account_id).await?;
        let reader = cell.clone();
        let page = detached(async move { reader.entries(&query).await }).await?;
        if page.is_empty() {
            self.expect_account(cell, &account_id).await?;
        }
        Ok(page)
    }

    /// A page of an account's events.
    ///
    /// # Errors
    ///
    /// The account does not exist, or the database is away.
    pub async fn events(&self, query: EventQuery) -> Result<Vec<Event>, LedgerError> {
        let account_id = query.account_id.clone();
        let cell = self.cell_of(&account_id).await?;
        let reader = cell.clone();
        let page = detached(async move { reader.account_events(&query).await }).await?;
        if page.is_empty() {
            self.expect_account(cell, &account_id).await?;
        }
        Ok(page)
    }

    /// All ledger entries of one reservation, the newest first.
    ///
    /// # Errors
    ///
    /// The account does not exist, or the database is away.
    pub async fn entries_of(
        &self,
        account_id: &AccountId,
        reservation_id: &ReservationId,
    ) -> Result<Vec<Entry>, LedgerError> {
        let cell = self.cell_of(account_id).await?;
        let (reader, account, id) = (cell.clone(), account_id.clone(), reservation_id.clone());
        let entries = detached(async move { reader.entries_of(&account, &id).await }).await?;
        if entries.is_empty() {
            self.expect_account(cell, account_id).await?;
        }
        Ok(entries)
    }

    /// Recomputes an account's books.
    ///
    /// # Errors
    ///
    /// The account does not exist, or the database is away.
    pub async fn verify(&self, account_id: &AccountId) -> Result<VerifyReport, LedgerError> {
        let cell = self.cell_of(account_id).await?;
        let key = account_id.clone();
        let report = detached(async move { verify::read(&cell, &key, &[]).await }).await?;
        let not_found = || Refusal::AccountNotFound { account_id: account_id.clone() };
        Ok(report.ok_or_else(not_found)?)
    }
}
