//! Webhook endpoints and what was sent to them. An endpoint's deliveries are sent one
//! after the other; whoever has taken the endpoint sends.

mod deliveries;

use std::time::Duration;

use uuid::Uuid;

use super::{Database, StoreError, delivery_state::DeliveryState};
use crate::clock::Timestamp;

/// An endpoint, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEndpoint {
    /// Its id.
    pub endpoint_id: String,
    /// Whose events it is told; `None` for all.
    pub account_id: Option<String>,
    /// Where it is.
    pub url: String,
    /// Of these kinds; empty for all.
    pub kinds: Vec<i16>,
    /// When it was added.
    pub create_time: Timestamp,
    /// Who added it.
    pub create_actor: String,
    /// Since when nothing is sent to it.
    pub disable_time: Option<Timestamp>,
    /// Why.
    pub disable_reason: String,
    /// Failed attempts at what waits first.
    pub failures: i32,
    /// When it is tried again.
    pub next_attempt_time: Option<Timestamp>,
    /// Deliveries that wait.
    pub waiting: i64,
}

/// An endpoint that is to be added.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    /// Its id.
    pub endpoint_id: String,
    /// Whose events it is told; `None` for all.
    pub account_id: Option<String>,
    /// Where it is.
    pub url: String,
    /// Of these kinds; empty for all.
    pub kinds: Vec<i16>,
    /// What signs.
    pub secret: Vec<u8>,
    /// Who adds it.
    pub actor: String,
}

/// Where events are to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The endpoint.
    pub endpoint_id: String,
    /// Whose events it is told; `None` for all.
    pub account_id: Option<String>,
    /// Of these kinds; empty for all.
    pub kinds: Vec<i16>,
    /// Of what happened since.
    pub create_time: Timestamp,
}

/// A delivery that is to be made.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// To which endpoint.
    pub endpoint_id: String,
    /// Of which event.
    pub event_id: Uuid,
    /// Whose.
    pub account_id: String,
    /// Of which kind.
    pub kind: i16,
    /// What is sent.
    pub body: String,
}

/// An endpoint that a worker has taken.
#[derive(Debug, Clone)]
pub struct TakenEndpoint {
    /// Its id.
    pub endpoint_id: String,
    /// Where it is.
    pub url: String,
    /// What signs.
    pub secret: Vec<u8>,
    /// What signed before, and still does.
    pub old_secret: Option<Vec<u8>>,
    /// How often it has been taken, this time included.
    pub takes: i64,
    /// Failed attempts at what waits first.
    pub failures: i32,
}

/// A delivery that waits.
#[derive(Debug, Clone)]
pub struct WaitingDelivery {
    /// Of which event.
    pub event_id: Uuid,
    /// What is sent.
    pub body: String,
    /// Attempts so far.
    pub attempts: i32,
}

/// How a delivery went.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Where it stands.
    pub state: DeliveryState,
    /// What was answered, if anything.
    pub status: Option<i32>,
    /// What went wrong, for people.
    pub error: String,
    /// When the endpoint is to be taken again; `None` for at once, where something
    /// waits.
    pub rest: Option<Duration>,
    /// Why nothing more is sent to it.
    pub disable: Option<String>,
}

/// A delivery, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDelivery {
    /// To which endpoint.
    pub endpoint_id: String,
    /// Of which event.
    pub event_id: Uuid,
    /// Its place among all.
    pub delivery: i64,
    /// Whose event.
    pub account_id: String,
    /// Of which kind.
    pub kind: i16,
    /// Where it stands: a webhook is never held back.
    pub state: DeliveryState,
    /// Attempts so far.
    pub attempts: i32,
    /// When the last was made.
    pub last_attempt_time: Option<Timestamp>,
    /// What was answered to it.
    pub response_status: Option<i32>,
    /// What went wrong with it.
    pub error: String,
    /// When the event was handed on.
    pub create_time: Timestamp,
    /// When it was delivered, or given up.
    pub settle_time: Option<Timestamp>,
}

impl Database {
    /// Adds an endpoint. False where there is one of that id.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn add_endpoint(&self, new: &NewEndpoint) -> Result<bool, StoreError> {
        let added = sqlx::query!(
            r#"
            INSERT INTO public.webhook_endpoints (endpoint_id, account_id, url, kinds, secret,
                                                  create_actor)
            VALUES ($1, $2, $3, $4, $5, $6)
                ON CONFLICT ON CONSTRAINT webhook_endpoints_pkey DO NOTHING
            "#,
            new.endpoint_id,
            new.account_id,
            new.url,
            &new.kinds,
            new.secret,
            new.actor
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        Ok(added.rows_affected() > 0)
    }

    /// Endpoints that have not been removed, by id: at most ten thousand; those of these
    /// accounts, or all.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn endpoints(
        &self,
        account_ids: Option<&[String]>,
    ) -> Result<Vec<StoredEndpoint>, StoreError> {
        let rows = sqlx::query_as!(
            StoredEndpoint,
            r#"
            SELECT e.endpoint_id, e.account_id, e.url, e.kinds, e.create_time, e.create_actor,
                   e.disable_time, e.disable_reason, e.failures, e.next_attempt_time,
                   (SELECT count(*) FROM (
                       SELECT 1 FROM public.webhook_deliveries d
                        WHERE d.endpoint_id = e.endpoint_id COLLATE "POSIX" AND d.settle_time IS NULL
                        LIMIT 100000) w) AS "waiting!"
              FROM public.webhook_endpoints e
             WHERE e.remove_time IS NULL AND ($1::text[] IS NULL OR e.account_id = ANY ($1))
             ORDER BY e.endpoint_id LIMIT 10000
            "#,
            account_ids
        );
        Ok(rows.fetch_all(&mut *self.directories().acquire().await?).await?)
    }

    /// Whom events are sent to.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn listeners(&self) -> Result<Vec<Listener>, StoreError> {
        let rows = sqlx::query_as!(
            Listener,
            r#"
            SELECT endpoint_id, account_id, kinds, create_time FROM public.webhook_endpoints
             WHERE remove_time IS NULL AND disable_time IS NULL
             ORDER BY endpoint_id LIMIT 10000
            "#
        );
        Ok(rows.fetch_all(&mut *self.directories().acquire().await?).await?)
    }

    /// Whose events an endpoint is told, `Some(None)` for everybody's; `None` where there
    /// never was one of that id: what was sent to one that was removed stays on record.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn endpoint_account(
        &self,
        endpoint_id: &str,
    ) -> Result<Option<Option<String>>, StoreError> {
        let account_id = sqlx::query_scalar!(
            "SELECT account_id FROM public.webhook_endpoints WHERE endpoint_id = $1",
            endpoint_id
        );
        Ok(account_id.fetch_optional(&mut *self.directories().acquire().await?).await?)
    }

    /// Sends to an endpoint again, what waits for it first. False where there is none.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn enable_endpoint(&self, endpoint_id: &str) -> Result<bool, StoreError> {
        let changed = sqlx::query!(
            r#"
            UPDATE public.webhook_endpoints
               SET disable_time = NULL, disable_reason = '', failures = 0, takes = takes + 1,
                   next_attempt_time = clock_timestamp()
             WHERE endpoint_id = $1 AND remove_time IS NULL
            "#,
            endpoint_id
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        Ok(changed.rows_affected() > 0)
    }

    /// Sends nothing more to an endpoint. False where there is none.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn disable_endpoint(
        &self,
        endpoint_id: &str,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let changed = sqlx::query!(
            r#"
            UPDATE public.webhook_endpoints
               SET disable_time = coalesce(disable_time, clock_timestamp()), disable_reason = $2,
                   takes = takes + 1
             WHERE endpoint_id = $1 AND remove_time IS NULL
            "#,
            endpoint_id,
            reason
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        Ok(changed.rows_affected() > 0)
    }

    /// Removes an endpoint; what was sent to it stays on record. False where there is
    /// none.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn remove_endpoint(
        &self,
        endpoint_id: &str,
        actor: &str,
    ) -> Result<bool, StoreError> {
        let removed = sqlx::query!(
            r#"
            UPDATE public.webhook_endpoints
               SET remove_time = clock_timestamp(), remove_actor = $2, takes = takes + 1
             WHERE endpoint_id = $1 AND remove_time IS NULL
            "#,
            endpoint_id,
            actor
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        Ok(removed.rows_affected() > 0)
    }

    /// Signs with another secret, and with the one before for a while. False where there
    /// is no such endpoint.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn rotate_endpoint(
        &self,
        endpoint_id: &str,
        secret: &[u8],
        overlap: Duration,
    ) -> Result<bool, StoreError> {
        let rotated = sqlx::query!(
            r#"
            UPDATE public.webhook_endpoints
               SET old_secret = secret, secret = $2,
                   old_secret_until = clock_timestamp() + make_interval(secs => $3)
             WHERE endpoint_id = $1 AND remove_time IS NULL
            "#,
            endpoint_id,
            secret,
            overlap.as_secs_f64()
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        Ok(rotated.rows_affected() > 0)
    }

    /// Takes up to `limit` endpoints that are due, for `lease`: until then nobody else
    /// takes them.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn take_endpoints(
        &self,
        limit: i64,
        lease: Duration,
    ) -> Result<Vec<TakenEndpoint>, StoreError> {
        let rows = sqlx::query_as!(
            TakenEndpoint,
            r#"
            UPDATE public.webhook_endpoints e
               SET takes = takes + 1,
                   next_attempt_time = clock_timestamp() + make_interval(secs => $2)
              FROM (SELECT endpoint_id FROM public.webhook_endpoints
                     WHERE disable_time IS NULL AND remove_time IS NULL
                       AND next_attempt_time IS NOT NULL
                       AND next_attempt_time <= clock_timestamp()
                     ORDER BY next_attempt_time LIMIT $1 FOR UPDATE SKIP LOCKED) due
             WHERE e.endpoint_id = due.endpoint_id
         RETURNING e.endpoint_id, e.url, e.secret,
                   CASE WHEN e.old_secret_until > clock_timestamp() THEN e.old_secret END
                   AS old_secret,
                   e.takes, e.failures
            "#,
            limit,
            lease.as_secs_f64()
        );
        Ok(rows.fetch_all(&mut *self.directories().acquire().await?).await?)
    }
}
