//! Endpoints: added, turned off and on, removed, and what was sent to them.

use std::{sync::Arc, time::Duration};

use rand::RngExt;
use uuid::Uuid;

use super::{
    sender::{Sender, UrlError},
    sign,
};
use crate::{
    domain::event::EventKind,
    ids::AccountId,
    ledger::{Ledger, LedgerError, detached},
    store::{
        Database,
        webhooks::{NewEndpoint, StoredDelivery, StoredEndpoint},
    },
};

/// For how long what is sent is signed with the old secret as well.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// Why an endpoint is not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// Of the ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The URL cannot be one's.
    #[error("the URL {0}")]
    Url(#[from] UrlError),
    /// There is none of that id.
    #[error("there is no endpoint {0}")]
    NotFound(String),
}

/// An endpoint that was added.
#[derive(Debug)]
pub struct Added {
    /// Its id.
    pub endpoint_id: String,
    /// What signs: shown once.
    pub secret: String,
}

/// The endpoints. Clones share them.
#[derive(Debug, Clone)]
pub struct Endpoints {
    database: Database,
    ledger: Ledger,
    sender: Arc<Sender>,
}

impl Endpoints {
    /// Endpoints that this sender may send to.
    #[must_use]
    pub fn new(database: Database, ledger: Ledger, sender: Sender) -> Self {
        Self { database, ledger, sender: Arc::new(sender) }
    }

    /// Adds an endpoint, which is told what happens from now on.
    ///
    /// # Errors
    ///
    /// The URL cannot be one's; there is no such account; the database is away.
    pub async fn add(
        &self,
        account_id: Option<AccountId>,
        url: &str,
        kinds: &[EventKind],
        actor: &str,
    ) -> Result<Added, DeliveryError> {
        self.sender.check(url)?;
        if let Some(account_id) = &account_id {
            self.ledger.cell_with(account_id).await?;
        }
        let secret: [u8; sign::SECRET_BYTES] = rand::rng().random();
        let endpoint_id = format!("ep_{}", Uuid::now_v7().simple());
        let new = NewEndpoint {
            endpoint_id: endpoint_id.clone(),
            account_id: account_id.map(|account_id| account_id.to_string()),
            url: url.to_owned(),
            kinds: kinds.iter().map(|kind| *kind as i16).collect(),
            secret: secret.to_vec(),
            actor: actor.to_owned(),
        };
        let database = self.database.clone();
        detached(async move { database.add_endpoint(&new).await }).await?;
        Ok(Added { endpoint_id, secret: sign::shown(&secret) })
    }

    /// All endpoints, by id.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn list(&self) -> Result<Vec<StoredEndpoint>, DeliveryError> {
        let database = self.database.clone();
        Ok(detached(async move { database.endpoints().await }).await?)
    }

    /// Tells an endpoint again, what waits for it first; or, with a reason, nothing more.
    ///
    /// # Errors
    ///
    /// There is none of that id; the database is away.
    pub async fn enable(
        &self,
        endpoint_id: &str,
        disable_reason: Option<String>,
    ) -> Result<(), DeliveryError> {
        let (database, id) = (self.database.clone(), endpoint_id.to_owned());
        let found =
            detached(async move { database.enable_endpoint(&id, disable_reason.as_deref()).await });
        known(found.await?, endpoint_id)
    }

    /// Removes an endpoint: what waits for it is sent no more.
    ///
    /// # Errors
    ///
    /// There is none of that id; the database is away.
    pub async fn remove(&self, endpoint_id: &str, actor: &str) -> Result<(), DeliveryError> {
        let (database, id, actor) =
            (self.database.clone(), endpoint_id.to_owned(), actor.to_owned());
        let found = detached(async move { database.remove_endpoint(&id, &actor).await });
        known(found.await?, endpoint_id)
    }

    /// Signs with a new secret, which this gives, and for a day with the old one too.
    ///
    /// # Errors
    ///
    /// There is none of that id; the database is away.
    pub async fn rotate(&self, endpoint_id: &str) -> Result<String, DeliveryError> {
        let secret: [u8; sign::SECRET_BYTES] = rand::rng().random();
        let (database, id) = (self.database.clone(), endpoint_id.to_owned());
        let found = detached(async move { database.rotate_endpoint(&id, &secret, OVERLAP).await });
        known(found.await?, endpoint_id)?;
        Ok(sign::shown(&secret))
    }

    /// What was sent to an endpoint, or waits, the newest first.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn deliveries(
        &self,
        endpoint_id: &str,
        state: Option<i16>,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<StoredDelivery>, DeliveryError> {
        let (database, id) = (self.database.clone(), endpoint_id.to_owned());
        let list = async move { database.deliveries(&id, state, before, limit).await };
        Ok(detached(list).await?)
    }

    /// Sends again: these events, or all that have failed. Gives how many.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn replay(
        &self,
        endpoint_id: &str,
        event_ids: Option<Vec<Uuid>>,
    ) -> Result<u64, DeliveryError> {
        let (database, id) = (self.database.clone(), endpoint_id.to_owned());
        let again = async move { database.replay_deliveries(&id, event_ids.as_deref()).await };
        Ok(detached(again).await?)
    }
}

fn known(found: bool, endpoint_id: &str) -> Result<(), DeliveryError> {
    if found { Ok(()) } else { Err(DeliveryError::NotFound(endpoint_id.to_owned())) }
}
