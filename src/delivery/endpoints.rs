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
    ids::{AccountId, SeenAccounts},
    ledger::{Ledger, LedgerError, detached},
    store::{
        Database,
        delivery_state::DeliveryState,
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
    /// Everybody's events are not for who sees some accounts alone.
    #[error("this key sees some accounts alone: name the one whose events are sent")]
    AccountRequired,
    /// There is none of that id, or it is not seen.
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

    /// The same for somebody who sees these accounts alone: endpoints that are told of
    /// others are answered as if they did not exist.
    #[must_use]
    pub fn seen_by(&self, accounts: SeenAccounts) -> Self {
        Self { ledger: self.ledger.seen_by(accounts), ..self.clone() }
    }

    /// Refuses an endpoint that there never was, or that is not seen. Whose events one is
    /// told never changes.
    async fn expect_seen(&self, endpoint_id: &str) -> Result<(), DeliveryError> {
        let (database, id) = (self.database.clone(), endpoint_id.to_owned());
        let account = detached(async move { database.endpoint_account(&id).await }).await?;
        let is_seen = |account: &Option<String>| match (self.ledger.seen(), account) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(seen), Some(account)) => seen.iter().any(|seen| seen.as_str() == account),
        };
        known(account.as_ref().is_some_and(is_seen), endpoint_id)
    }

    /// Adds an endpoint, which is told what happens from now on.
    ///
    /// # Errors
    ///
    /// The URL cannot be one's; there is no such account, or none is named by who sees some
    /// alone; the database is away.
    pub async fn add(
        &self,
        account_id: Option<AccountId>,
        url: &str,
        kinds: &[EventKind],
        actor: &str,
    ) -> Result<Added, DeliveryError> {
        self.sender.check(url)?;
        match &account_id {
            Some(account_id) => drop(self.ledger.cell_with(account_id).await?),
            None if self.ledger.seen().is_some() => return Err(DeliveryError::AccountRequired),
            None => {}
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
        let accounts: Option<Vec<String>> =
            self.ledger.seen().as_ref().map(|seen| seen.iter().map(ToString::to_string).collect());
        Ok(detached(async move { database.endpoints(accounts.as_deref()).await }).await?)
    }

    /// Sends to an endpoint again, what waits for it first.
    ///
    /// # Errors
    ///
    /// There is none of that id; the database is away.
    pub async fn enable(&self, endpoint_id: &str) -> Result<(), DeliveryError> {
        self.expect_seen(endpoint_id).await?;
        let (database, id) = (self.database.clone(), endpoint_id.to_owned());
        let found = detached(async move { database.enable_endpoint(&id).await }).await?;
        known(found, endpoint_id)
    }

    /// Sends nothing more to an endpoint, until it is enabled again.
    ///
    /// # Errors
    ///
    /// There is none of that id; the database is away.
    pub async fn disable(&self, endpoint_id: &str, reason: String) -> Result<(), DeliveryError> {
        self.expect_seen(endpoint_id).await?;
        let (database, id) = (self.database.clone(), endpoint_id.to_owned());
        let found = detached(async move { database.disable_endpoint(&id, &reason).await }).await?;
        known(found, endpoint_id)
    }

    /// Removes an endpoint: what waits for it is sent no more.
    ///
    /// # Errors
    ///
    /// There is none of that id; the database is away.
    pub async fn remove(&self, endpoint_id: &str, actor: &str) -> Result<(), DeliveryError> {
        self.expect_seen(endpoint_id).await?;
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
        self.expect_seen(endpoint_id).await?;
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
    /// There never was one of that id; the database is away.
    pub async fn deliveries(
        &self,
        endpoint_id: &str,
        state: Option<DeliveryState>,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<StoredDelivery>, DeliveryError> {
        self.expect_seen(endpoint_id).await?;
        let (database, id) = (self.database.clone(), endpoint_id.to_owned());
        let list = async move { database.deliveries(&id, state, before, limit).await };
        Ok(detached(list).await?)
    }

    /// Sends again: these events, or all that have failed. Gives how many.
    ///
    /// # Errors
    ///
    /// There never was one of that id; the database is away.
    pub async fn replay(
        &self,
        endpoint_id: &str,
        event_ids: Option<Vec<Uuid>>,
    ) -> Result<u64, DeliveryError> {
        self.expect_seen(endpoint_id).await?;
        let (database, id) = (self.database.clone(), endpoint_id.to_owned());
        let again = async move { database.replay_deliveries(&id, event_ids.as_deref()).await };
        Ok(detached(again).await?)
    }
}

fn known(found: bool, endpoint_id: &str) -> Result<(), DeliveryError> {
    if found { Ok(()) } else { Err(DeliveryError::NotFound(endpoint_id.to_owned())) }
}
