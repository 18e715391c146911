//! The inbox of provider webhooks: received here, applied afterwards by a worker.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time};

use crate::{
    ledger::{LedgerError, WORK_LIMIT, detached, within},
    store::{
        Database, StoreError,
        inbox::{NewEvent, Settlement, TakenEvent},
        queries::InboxFigure,
    },
};

/// How long storing an event may take: senders wait for 5 s, and send again.
const STORE_LIMIT: Duration = Duration::from_secs(3);

/// How long writing down what became of events may take, a round trip for each. Then
/// their lease has ended, and another worker has them.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);

/// The inbox. Clones share it.
#[derive(Debug, Clone)]
pub struct Inbox {
    database: Database,
    arrived: Arc<Notify>,
}

impl Inbox {
    /// The inbox of this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database, arrived: Arc::default() }
    }

    /// Stores an event as it came, within 3 s, and tells this process's worker.
    /// False where it had come before. Nothing else is done: what the event does
    /// to an account, or whether it can, is not for its sender to wait for.
    ///
    /// # Errors
    ///
    /// The database is away, or slow. It may be stored all the same: to be sent
    /// again is harmless.
    pub async fn receive(&self, event: NewEvent) -> Result<bool, LedgerError> {
        let database = self.database.clone();
        let store = detached(async move { database.store_event(&event).await });
        let is_new = match time::timeout(STORE_LIMIT, store).await {
            Ok(stored) => stored?,
            Err(_) => return Err(StoreError::timed_out().into()),
        };
        if is_new {
            self.arrived.notify_one();
        }
        Ok(is_new)
    }

    /// Waits until this process has received a new event since it last waited.
    pub async fn arrival(&self) {
        self.arrived.notified().await;
    }

    /// Takes events that are due: see [`Database::take_events`].
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn take(
        &self,
        provider: &'static str,
        limit: i64,
        lease: Duration,
    ) -> Result<Vec<TakenEvent>, LedgerError> {
        let database = self.database.clone();
        within(WORK_LIMIT, async move { database.take_events(provider, limit, lease).await }).await
    }

    /// Writes down what became of events: see [`Database::settle_events`]. One
    /// that the database refuses does not keep the others from it.
    ///
    /// # Errors
    ///
    /// The database is away: they are taken again when their lease has ended.
    pub async fn settle(
        &self,
        provider: &'static str,
        settlements: Vec<Settlement>,
    ) -> Result<(), LedgerError> {
        let database = self.database.clone();
        within(SETTLE_LIMIT, async move {
            match database.settle_events(provider, &settlements).await {
                Err(error @ (StoreError::Data(_) | StoreError::Conflict(_))) => {
                    tracing::warn!(%error, "events are settled one by one");
                    for one in &settlements {
                        if let Err(error) =
                            database.settle_events(provider, std::slice::from_ref(one)).await
                        {
                            tracing::error!(event_id = one.event_id, %error, "not settled");
                        }
                    }
                    Ok(())
                }
                done => done,
            }
        })
        .await
    }

    /// Has what waits for a payment taken at once.
    ///
    /// # Errors
    ///
    /// The database is away: what waits is taken later.
    pub async fn wake_transaction(
        &self,
        provider: &'static str,
        transaction_id: String,
    ) -> Result<u64, LedgerError> {
        let database = self.database.clone();
        within(
            WORK_LIMIT,
            async move { database.wake_transaction(provider, &transaction_id).await },
        )
        .await
    }

    /// How many events wait or have failed.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn figures(&self, provider: &'static str) -> Result<Vec<InboxFigure>, LedgerError> {
        let database = self.database.clone();
        within(WORK_LIMIT, async move { database.inbox_figures(provider).await }).await
    }
}
