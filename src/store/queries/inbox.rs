//! The inbox of webhooks, for people: lists, figures, and trying again.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    ids::AccountId,
    store::{Database, StoreError, inbox::InboxState, rows::id},
};

/// An event of the inbox, without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxEvent {
    /// The sender's id.
    pub event_id: String,
    /// Such as `transaction.completed`.
    pub event_type: String,
    /// When it happened there.
    pub occurred_at: Timestamp,
    /// When it came, the first time.
    pub receive_time: Timestamp,
    /// Where it stands.
    pub state: InboxState,
    /// How often it was tried.
    pub attempts: i32,
    /// When it is tried again.
    pub next_attempt_time: Option<Timestamp>,
    /// Whose it is, where that is known.
    pub account_id: Option<AccountId>,
    /// Why it waits or failed.
    pub error: String,
}

/// How many events are in a state that somebody may have to look at, and how
/// old the oldest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxFigure {
    /// The state.
    pub state: InboxState,
    /// How many.
    pub events: i64,
    /// Since when the oldest is there; zero where there is none.
    pub oldest: Duration,
}

impl Database {
    /// The events that came last, at most `limit`, all or those in one state.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn inbox_events(
        &self,
        provider: &str,
        state: Option<InboxState>,
        limit: i64,
    ) -> Result<Vec<InboxEvent>, StoreError> {
        let rows = sqlx::query!(
            r#"
            SELECT event_id, event_type, occurred_at, receive_time, state, attempts,
                   next_attempt_time, account_id, error
              FROM public.webhook_inbox
             WHERE provider COLLATE "POSIX" = $1 AND ($2::integer IS NULL OR state::integer = $2)
             ORDER BY receive_time DESC, event_id LIMIT $3
            "#,
            provider,
            state.map(|state| i32::from(state as i16)),
            limit
        )
        .fetch_all(&mut *self.directories().acquire().await?)
        .await?;
        rows.into_iter()
            .map(|row| {
                let account = row.account_id.as_deref();
                Ok(InboxEvent {
                    event_id: row.event_id,
                    event_type: row.event_type,
                    occurred_at: row.occurred_at,
                    receive_time: row.receive_time,
                    state: InboxState::decode(row.state)?,
                    attempts: row.attempts,
                    next_attempt_time: row.next_attempt_time,
                    account_id: account.map(|text| id(text, AccountId::new)).transpose()?,
                    error: row.error,
                })
            })
            .collect()
    }

    /// How many events are new, parked and failed, in this order.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn inbox_figures(&self, provider: &str) -> Result<Vec<InboxFigure>, StoreError> {
        let rows = sqlx::query!(
            r#"
            SELECT s.state AS "state!", f.events AS "events!", f.oldest AS "oldest!"
              FROM UNNEST(ARRAY[1, 2, 5]::smallint[]) AS s (state)
             CROSS JOIN LATERAL (
                SELECT count(*) AS events,
                       coalesce(extract(epoch FROM now() - min(receive_time)), 0)::float8 AS oldest
                  FROM public.webhook_inbox
                 WHERE state::integer = s.state AND provider COLLATE "POSIX" = $1) AS f
             ORDER BY s.state
            "#,
            provider
        )
        .fetch_all(&mut *self.directories().acquire().await?)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(InboxFigure {
                    state: InboxState::decode(row.state)?,
                    events: row.events,
                    oldest: Duration::try_from_secs_f64(row.oldest).unwrap_or_default(),
                })
            })
            .collect()
    }

    /// Has these events tried again, whatever became of them; gives those that
    /// there are.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn replay_events(
        &self,
        provider: &str,
        event_ids: &[String],
    ) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            UPDATE public.webhook_inbox
               SET state = 1, parks = 0, next_attempt_time = clock_timestamp(), settle_time = NULL
             WHERE provider = $1 AND event_id = ANY ($2::text[])
            RETURNING event_id
            "#,
            provider,
            event_ids
        )
        .fetch_all(&mut *self.directories().acquire().await?)
        .await?)
    }

    /// Has all events in a state tried again; gives how many there are.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn replay_state(&self, provider: &str, state: InboxState) -> Result<u64, StoreError> {
        let replayed = sqlx::query!(
            r#"
            UPDATE public.webhook_inbox
               SET state = 1, parks = 0, next_attempt_time = clock_timestamp(), settle_time = NULL
             WHERE provider COLLATE "POSIX" = $1 AND state::integer = $2
            "#,
            provider,
            i32::from(state as i16)
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        Ok(replayed.rows_affected())
    }
}
