//! The inbox of webhooks: stored as they came, taken by workers, settled.
//!
//! A worker takes an event by moving the time of its next attempt ahead: if it
//! dies, another one takes the event then. Who has taken it for the nth time may
//! settle it as the nth only (to be woken counts), so a worker that was paused and wakes up late
//! settles nothing. Applying twice is harmless: the account's cell knows what was
//! applied.
//!
//! Why statements say the same in different words: see the migration, at the
//! indexes.

use std::time::Duration;

use super::{Database, StoreError, provider::ProviderKeys};
use crate::{clock::Timestamp, ids::AccountId};

/// Where an event stands. The numbers are the database's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum InboxState {
    /// Stored, not applied yet.
    New = 1,
    /// Waits for its account, or for an event that comes before it.
    Parked = 2,
    /// Has had its effect.
    Applied = 3,
    /// Changes nothing here.
    Ignored = 4,
    /// Cannot be applied. Kept, and tried again when somebody says so.
    Failed = 5,
}

impl InboxState {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::New, Self::Parked, Self::Applied, Self::Ignored, Self::Failed];

    /// Its name, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Parked => "parked",
            Self::Applied => "applied",
            Self::Ignored => "ignored",
            Self::Failed => "failed",
        }
    }

    /// The state with this number.
    pub(super) fn decode(number: i16) -> Result<Self, StoreError> {
        Self::ALL
            .into_iter()
            .find(|state| *state as i16 == number)
            .ok_or_else(|| StoreError::Corrupt(format!("an event in state {number}")))
    }

    fn waits(self) -> bool {
        matches!(self, Self::New | Self::Parked)
    }
}

/// An event as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Who sent it, such as "paddle".
    pub provider: String,
    /// The sender's id: the same however often it is sent.
    pub event_id: String,
    /// Such as `transaction.completed`.
    pub event_type: String,
    /// When it happened there.
    pub occurred_at: Timestamp,
    /// The body, byte for byte.
    pub body: Vec<u8>,
}

/// An event that a worker has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenEvent {
    /// The sender's id.
    pub event_id: String,
    /// When it happened there.
    pub occurred_at: Timestamp,
    /// The body, byte for byte.
    pub body: Vec<u8>,
    /// How often it has been taken, this time included.
    pub attempt: i32,
    /// How often it was parked since it was last woken.
    pub parks: i32,
    /// How long ago it came.
    pub age: Duration,
}

/// What became of an event that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Which.
    pub event_id: String,
    /// The attempt that this is the end of.
    pub attempt: i32,
    /// Where it stands now.
    pub state: InboxState,
    /// When to take it again, counted from now; for states that wait.
    pub retry_after: Duration,
    /// Why it waits or failed, for people.
    pub error: String,
    /// Whose it is, where that is known.
    pub account_id: Option<AccountId>,
    /// What it names: a link or a payment that becomes known wakes it.
    pub keys: ProviderKeys,
}

impl Database {
    /// Stores an event, to be taken at once. False where it is there already:
    /// then nothing is changed.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn store_event(&self, event: &NewEvent) -> Result<bool, StoreError> {
        let stored = sqlx::query!(
            r#"
            INSERT INTO public.webhook_inbox (provider, event_id, event_type, occurred_at, body)
            VALUES ($1, $2, $3, $4, $5)
                ON CONFLICT ON CONSTRAINT webhook_inbox_pkey DO NOTHING
            "#,
            event.provider,
            event.event_id,
            event.event_type,
            event.occurred_at,
            event.body
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        Ok(stored.rows_affected() > 0)
    }

    /// Takes up to `limit` events that are due, in the order in which they
    /// happened, for `lease`: until then nobody else takes them.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn take_events(
        &self,
        provider: &str,
        limit: i64,
        lease: Duration,
    ) -> Result<Vec<TakenEvent>, StoreError> {
        // By their place in the table: no statistics can lead that astray.
        let rows = sqlx::query!(
            r#"
            UPDATE public.webhook_inbox AS w
               SET attempts = attempts + 1,
                   next_attempt_time = clock_timestamp() + make_interval(secs => $3)
             WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM public.webhook_inbox
                 WHERE settle_time IS NULL AND next_attempt_time <= now()
                   AND provider COLLATE "POSIX" = $1
                 ORDER BY occurred_at LIMIT $2
                   FOR UPDATE SKIP LOCKED))
            RETURNING event_id, occurred_at, body, attempts, parks,
                      extract(epoch FROM now() - receive_time)::float8 AS "age!"
            "#,
            provider,
            limit,
            lease.as_secs_f64()
        )
        .fetch_all(&mut *self.directories().acquire().await?)
        .await?;
        let mut events: Vec<TakenEvent> = rows
            .into_iter()
            .map(|row| TakenEvent {
                event_id: row.event_id,
                occurred_at: row.occurred_at,
                body: row.body,
                attempt: row.attempts,
                parks: row.parks,
                age: Duration::try_from_secs_f64(row.age).unwrap_or_default(),
            })
            .collect();
        events.sort_by(|a, b| (a.occurred_at, &a.event_id).cmp(&(b.occurred_at, &b.event_id)));
        Ok(events)
    }

    /// Writes down what became of events that were taken, in one transaction.
    /// What somebody else has taken meanwhile stays as it is.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn settle_events(
        &self,
        provider: &str,
        settlements: &[Settlement],
    ) -> Result<(), StoreError> {
        // In the order of their keys, as everywhere: nobody waits in a circle.
        let mut sorted: Vec<&Settlement> = settlements.iter().collect();
        sorted.sort_by(|a, b| a.event_id.cmp(&b.event_id));
        let mut transaction = self.directories().begin().await?;
        for settled in sorted {
            let waits = settled.state.waits().then_some(settled.retry_after.as_secs_f64());
            sqlx::query!(
                r#"
                UPDATE public.webhook_inbox
                   SET state = $4::smallint,
                       parks = parks + CASE WHEN $4::smallint = 2 THEN 1 ELSE 0 END,
                       next_attempt_time = clock_timestamp() + make_interval(secs => $5),
                       settle_time = CASE WHEN $5::float8 IS NULL THEN clock_timestamp() END,
                       error = $6, account_id = coalesce($7, account_id),
                       customer_id = coalesce($8, customer_id),
                       transaction_id = coalesce($9, transaction_id)
                 WHERE provider = $1 AND event_id = $2 AND attempts = $3
                   AND next_attempt_time IS NOT NULL
                "#,
                provider,
                settled.event_id,
                settled.attempt,
                settled.state as i16,
                waits,
                settled.error,
                settled.account_id.as_ref().map(AccountId::as_str),
                settled.keys.customer_id.as_deref(),
                settled.keys.transaction_id.as_deref()
            )
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Has the parked events of a customer taken at once: its account is known
    /// now. Whoever has one of them looked before that: it is no longer theirs to
    /// settle, or it would rest for an hour.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn wake_customer(
        &self,
        provider: &str,
        customer_id: &str,
    ) -> Result<u64, StoreError> {
        // One that is being settled right now is left out: it rests for a short
        // time at first, and nobody waits in a circle.
        let woken = sqlx::query!(
            r#"
            UPDATE public.webhook_inbox
               SET next_attempt_time = clock_timestamp(), parks = 0, attempts = attempts + 1
             WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM public.webhook_inbox
                 WHERE customer_id = $2 AND state = 2 AND provider COLLATE "POSIX" = $1
                   FOR UPDATE SKIP LOCKED))
            "#,
            provider,
            customer_id
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        Ok(woken.rows_affected())
    }

    /// Has the parked events of a payment taken at once: its account is known
    /// now, or it has been completed. As for a customer.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn wake_transaction(
        &self,
        provider: &str,
        transaction_id: &str,
    ) -> Result<u64, StoreError> {
        let woken = sqlx::query!(
            r#"
            UPDATE public.webhook_inbox
               SET next_attempt_time = clock_timestamp(), parks = 0, attempts = attempts + 1
             WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM public.webhook_inbox
                 WHERE transaction_id = $2 AND state = 2 AND provider COLLATE "POSIX" = $1
                   FOR UPDATE SKIP LOCKED))
            "#,
            provider,
            transaction_id
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        Ok(woken.rows_affected())
    }
}
