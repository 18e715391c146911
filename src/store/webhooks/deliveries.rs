//! What waits for endpoints, what was sent to them, and how that went.

use std::time::Duration;

use uuid::Uuid;

use super::{Attempt, NewDelivery, StoredDelivery, TakenEndpoint, WaitingDelivery};
use crate::store::{Database, StoreError, delivery_state::DeliveryState, event_cursors::Handover};

impl Database {
    /// The first delivery that waits for an endpoint; where there is none, it rests.
    /// `None` as well where somebody else has taken it since.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn next_delivery(
        &self,
        taken: &TakenEndpoint,
    ) -> Result<Option<WaitingDelivery>, StoreError> {
        // The row first, then what waits: what is handed on meanwhile waits for the row.
        let mut transaction = self.directories().begin().await?;
        let is_ours = sqlx::query_scalar!(
            r#"
            SELECT takes FROM public.webhook_endpoints
             WHERE endpoint_id = $1 AND takes = $2 AND remove_time IS NULL
               AND disable_time IS NULL FOR UPDATE
            "#,
            taken.endpoint_id,
            taken.takes
        )
        .fetch_optional(&mut *transaction)
        .await?
        .is_some();
        let mut waiting = None;
        if is_ours {
            waiting = sqlx::query_as!(
                WaitingDelivery,
                r#"
                SELECT event_id, body, attempts FROM public.webhook_deliveries
                 WHERE endpoint_id = $1 COLLATE "POSIX" AND settle_time IS NULL
                 ORDER BY delivery LIMIT 1
                "#,
                taken.endpoint_id
            )
            .fetch_optional(&mut *transaction)
            .await?;
            if waiting.is_none() {
                sqlx::query!(
                    "UPDATE public.webhook_endpoints SET next_attempt_time = NULL WHERE endpoint_id = $1",
                    taken.endpoint_id
                )
                .execute(&mut *transaction)
                .await?;
            }
        }
        transaction.commit().await?;
        Ok(waiting)
    }

    /// Writes down how a delivery went. False where somebody else has taken the endpoint
    /// since: then only the delivery is settled, where it was made.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn settle_delivery(
        &self,
        taken: &TakenEndpoint,
        event_id: Uuid,
        attempt: &Attempt,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.directories().begin().await?;
        let kept = sqlx::query!(
            r#"
            UPDATE public.webhook_endpoints
               SET failures = CASE WHEN $3 = 1 THEN failures + 1 ELSE 0 END,
                   next_attempt_time = CASE WHEN $4::float8 IS NULL THEN next_attempt_time
                       ELSE clock_timestamp() + make_interval(secs => $4) END,
                   disable_time = CASE WHEN $5::text IS NULL THEN disable_time
                                       ELSE clock_timestamp() END,
                   disable_reason = coalesce($5, disable_reason)
             WHERE endpoint_id = $1 AND takes = $2
            "#,
            taken.endpoint_id,
            taken.takes,
            i32::from(attempt.state as i16),
            attempt.rest.map(|rest| rest.as_secs_f64()),
            attempt.disable
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!(
            r#"
            UPDATE public.webhook_deliveries
               SET state = $3::smallint, attempts = attempts + 1, last_attempt_time = clock_timestamp(),
                   response_status = $4, error = $5,
                   settle_time = CASE WHEN $3::smallint <> 1 THEN clock_timestamp() END
             WHERE endpoint_id = $1 AND event_id = $2 AND settle_time IS NULL
            "#,
            taken.endpoint_id,
            event_id,
            attempt.state as i16,
            attempt.status,
            attempt.error
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(kept.rows_affected() > 0)
    }

    /// Deliveries of an endpoint, the newest first, those before `before`.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn deliveries(
        &self,
        endpoint_id: &str,
        state: Option<DeliveryState>,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<StoredDelivery>, StoreError> {
        let rows = sqlx::query_as!(
            StoredDelivery,
            r#"
            SELECT endpoint_id, event_id, delivery, account_id, kind,
                   state AS "state: DeliveryState", attempts,
                   last_attempt_time, response_status, error, create_time, settle_time
              FROM public.webhook_deliveries
             WHERE endpoint_id = $1 COLLATE "ucs_basic" AND ($2::smallint IS NULL OR state = $2)
               AND ($3::bigint IS NULL OR delivery < $3)
             ORDER BY delivery DESC LIMIT $4
            "#,
            endpoint_id,
            state.map(|state| state as i16),
            before,
            limit
        );
        Ok(rows.fetch_all(&mut *self.directories().acquire().await?).await?)
    }

    /// Sends deliveries of an endpoint again, whatever became of them: the named ones,
    /// or all that have failed. Gives how many.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn replay_deliveries(
        &self,
        endpoint_id: &str,
        event_ids: Option<&[Uuid]>,
    ) -> Result<u64, StoreError> {
        let mut transaction = self.directories().begin().await?;
        let again = sqlx::query!(
            r#"
            UPDATE public.webhook_deliveries SET state = 1, settle_time = NULL
             WHERE endpoint_id = $1 AND settle_time IS NOT NULL
               AND CASE WHEN $2::uuid[] IS NULL THEN state = 3 ELSE event_id = ANY ($2) END
            "#,
            endpoint_id,
            event_ids
        )
        .execute(&mut *transaction)
        .await?;
        wake(&mut transaction, &[endpoint_id.to_owned()]).await?;
        transaction.commit().await?;
        Ok(again.rows_affected())
    }

    /// Forgets up to `limit` deliveries that were settled so long ago.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn forget_deliveries(&self, after: Duration, limit: i64) -> Result<u64, StoreError> {
        let forgotten = sqlx::query!(
            r#"
            DELETE FROM public.webhook_deliveries WHERE ctid = ANY (ARRAY(
                   SELECT ctid FROM public.webhook_deliveries
                    WHERE settle_time < clock_timestamp() - make_interval(secs => $1) LIMIT $2))
            "#,
            after.as_secs_f64(),
            limit
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        Ok(forgotten.rows_affected())
    }
}

impl Handover {
    /// Hands deliveries on, each once, and wakes whoever sends them.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn deliver(&mut self, new: &[NewDelivery]) -> Result<(), StoreError> {
        let endpoints: Vec<String> = new.iter().map(|d| d.endpoint_id.clone()).collect();
        let events: Vec<Uuid> = new.iter().map(|d| d.event_id).collect();
        let accounts: Vec<String> = new.iter().map(|d| d.account_id.clone()).collect();
        let kinds: Vec<i16> = new.iter().map(|d| d.kind).collect();
        let bodies: Vec<String> = new.iter().map(|d| d.body.clone()).collect();
        sqlx::query!(
            r#"
            INSERT INTO public.webhook_deliveries (endpoint_id, event_id, account_id, kind, body)
            SELECT u.endpoint_id, u.event_id, u.account_id, u.kind, u.body
              FROM UNNEST($1::text[], $2::uuid[], $3::text[], $4::smallint[], $5::text[])
                   WITH ORDINALITY AS u (endpoint_id, event_id, account_id, kind, body, i)
             ORDER BY u.i
                ON CONFLICT ON CONSTRAINT webhook_deliveries_pkey DO NOTHING
            "#,
            &endpoints,
            &events,
            &accounts,
            &kinds,
            &bodies
        )
        .execute(&mut *self.transaction)
        .await?;
        wake(&mut self.transaction, &endpoints).await
    }
}

async fn wake(connection: &mut sqlx::PgConnection, endpoints: &[String]) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        UPDATE public.webhook_endpoints
           SET next_attempt_time = coalesce(next_attempt_time, clock_timestamp())
         WHERE endpoint_id = ANY ($1)
        "#,
        endpoints
    )
    .execute(connection)
    .await?;
    Ok(())
}
