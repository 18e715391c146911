//! Mails: written down once for each event, sent by whoever takes them.

use std::{collections::BTreeMap, time::Duration};

use uuid::Uuid;

use super::{Cell, Database, StoreError, delivery_state::DeliveryState, event_cursors::Handover};
use crate::clock::Timestamp;

/// Whom an account's mails go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressee {
    /// The account.
    pub account_id: String,
    /// Its name, for people; may be empty.
    pub display_name: String,
    /// The address.
    pub billing_email: String,
}

/// A mail that is to be sent.
#[derive(Debug, Clone)]
pub struct NewMail {
    /// Of which event.
    pub event_id: Uuid,
    /// Whose.
    pub account_id: String,
    /// Of which kind.
    pub kind: i16,
    /// About which credits; empty for none.
    pub credit_type: String,
    /// To whom.
    pub recipient: String,
    /// Its subject.
    pub subject: String,
    /// Its text.
    pub body_text: String,
    /// The same as HTML.
    pub body_html: String,
    /// The most of this kind, for this account and type, within an hour.
    pub most_an_hour: i64,
}

/// A mail that a worker has taken.
#[derive(Debug, Clone)]
pub struct TakenMail {
    /// Of which event.
    pub event_id: Uuid,
    /// Of whose.
    pub account_id: String,
    /// To whom.
    pub recipient: String,
    /// Its subject.
    pub subject: String,
    /// Its text.
    pub body_text: String,
    /// The same as HTML.
    pub body_html: String,
    /// How often it has been taken, this time included.
    pub attempts: i32,
}

/// A mail, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMail {
    /// Of which event.
    pub event_id: Uuid,
    /// Whose.
    pub account_id: String,
    /// Of which kind.
    pub kind: i16,
    /// To whom.
    pub recipient: String,
    /// Its subject.
    pub subject: String,
    /// Its text.
    pub body_text: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Attempts so far.
    pub attempts: i32,
    /// What went wrong, or why it was held back.
    pub error: String,
    /// When the event was handed on.
    pub create_time: Timestamp,
    /// When it was sent, given up or held back.
    pub settle_time: Option<Timestamp>,
}

impl Cell {
    /// Of these accounts, those that have an address.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn addressees(&self, account_ids: &[String]) -> Result<Vec<Addressee>, StoreError> {
        let rows = sqlx::query_as!(
            Addressee,
            r#"
            SELECT account_id, display_name, billing_email FROM accounts
             WHERE account_id = ANY ($1) AND billing_email <> ''
            "#,
            account_ids
        );
        Ok(rows.fetch_all(&mut *self.pool.acquire().await?).await?)
    }
}

impl Database {
    /// What of these accounts have chosen to be mailed.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn mail_choices(
        &self,
        account_ids: &[String],
    ) -> Result<BTreeMap<String, Vec<i16>>, StoreError> {
        let rows = sqlx::query!(
            "SELECT account_id, kinds FROM public.mail_choices WHERE account_id = ANY ($1)",
            account_ids
        )
        .fetch_all(&mut *self.directories().acquire().await?)
        .await?;
        Ok(rows.into_iter().map(|row| (row.account_id, row.kinds)).collect())
    }

    /// Notes what an account wants to be mailed; `None` for what is usual.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn choose_mails(
        &self,
        account_id: &str,
        kinds: Option<&[i16]>,
        actor: &str,
    ) -> Result<(), StoreError> {
        let mut connection = self.directories().acquire().await?;
        match kinds {
            Some(kinds) => {
                sqlx::query!(
                    r#"
                    INSERT INTO public.mail_choices (account_id, kinds, change_actor)
                    VALUES ($1, $2, $3)
                        ON CONFLICT ON CONSTRAINT mail_choices_pkey DO UPDATE
                       SET kinds = $2, change_actor = $3, change_time = clock_timestamp()
                    "#,
                    account_id,
                    kinds,
                    actor
                )
                .execute(&mut *connection)
                .await?;
            }
            None => {
                sqlx::query!("DELETE FROM public.mail_choices WHERE account_id = $1", account_id)
                    .execute(&mut *connection)
                    .await?;
            }
        }
        Ok(())
    }

    /// Takes up to `limit` mails that are due, for `lease`.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn take_mails(
        &self,
        limit: i64,
        lease: Duration,
    ) -> Result<Vec<TakenMail>, StoreError> {
        let rows = sqlx::query_as!(
            TakenMail,
            r#"
            UPDATE public.mails m
               SET attempts = attempts + 1,
                   next_attempt_time = clock_timestamp() + make_interval(secs => $2)
              FROM (SELECT event_id FROM public.mails
                     WHERE settle_time IS NULL AND next_attempt_time <= clock_timestamp()
                     ORDER BY next_attempt_time LIMIT $1 FOR UPDATE SKIP LOCKED) due
             WHERE m.event_id = due.event_id
         RETURNING m.event_id, m.account_id, m.recipient, m.subject, m.body_text, m.body_html,
                   m.attempts
            "#,
            limit,
            lease.as_secs_f64()
        );
        Ok(rows.fetch_all(&mut *self.directories().acquire().await?).await?)
    }

    /// Writes down what became of a mail, which, where it still waits, is tried again
    /// after `rest`. Only whoever took it last may.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn settle_mail(
        &self,
        taken: &TakenMail,
        state: DeliveryState,
        rest: Duration,
        error: &str,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            UPDATE public.mails
               SET state = $3::smallint, error = $4,
                   next_attempt_time = CASE WHEN $3::smallint = 1
                       THEN clock_timestamp() + make_interval(secs => $5) END,
                   settle_time = CASE WHEN $3::smallint <> 1 THEN clock_timestamp() END
             WHERE event_id = $1 AND attempts = $2 AND settle_time IS NULL
            "#,
            taken.event_id,
            taken.attempts,
            state as i16,
            error,
            rest.as_secs_f64()
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        Ok(())
    }

    /// Forgets up to `limit` mails that were settled so long ago.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn forget_mails(&self, after: Duration, limit: i64) -> Result<u64, StoreError> {
        let forgotten = sqlx::query!(
            r#"
            DELETE FROM public.mails WHERE ctid = ANY (ARRAY(
                   SELECT ctid FROM public.mails
                    WHERE settle_time < clock_timestamp() - make_interval(secs => $1) LIMIT $2))
            "#,
            after.as_secs_f64(),
            limit
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        Ok(forgotten.rows_affected())
    }

    /// An account's mails, the newest first, those before (when, event).
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn mails(
        &self,
        account_id: &str,
        before: Option<(Timestamp, Uuid)>,
        limit: i64,
    ) -> Result<Vec<StoredMail>, StoreError> {
        let (time, event_id) = before.unzip();
        let rows = sqlx::query_as!(
            StoredMail,
            r#"
            SELECT event_id, account_id, kind, recipient, subject, body_text,
                   state AS "state: DeliveryState", attempts, error, create_time, settle_time
              FROM public.mails
             WHERE account_id = $1
               AND ($2::timestamptz IS NULL OR (create_time, event_id) < ($2, $3::uuid))
             ORDER BY create_time DESC, event_id DESC LIMIT $4
            "#,
            account_id,
            time,
            event_id,
            limit
        );
        Ok(rows.fetch_all(&mut *self.directories().acquire().await?).await?)
    }
}

impl Handover {
    /// Hands mails on, each once; of a kind no more than there may be within an hour:
    /// the others are held back.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn mail(&mut self, new: &[NewMail]) -> Result<(), StoreError> {
        let accounts: Vec<String> = new.iter().map(|mail| mail.account_id.clone()).collect();
        // Nobody else writes those of this cell's accounts: the cursor is ours.
        let counted = sqlx::query!(
            r#"
            SELECT account_id, kind, credit_type, count(*) AS "count!" FROM public.mails
             WHERE account_id = ANY ($1) AND create_time > clock_timestamp() - interval '1 hour'
               AND state <> 4
             GROUP BY account_id, kind, credit_type
            "#,
            &accounts
        )
        .fetch_all(&mut *self.transaction)
        .await?;
        let mut sent: BTreeMap<(String, i16, String), i64> = counted
            .into_iter()
            .map(|row| ((row.account_id, row.kind, row.credit_type), row.count))
            .collect();
        for mail in new {
            let key = (mail.account_id.clone(), mail.kind, mail.credit_type.clone());
            let before = sent.entry(key).or_default();
            let state = match *before < mail.most_an_hour {
                true => DeliveryState::Waiting,
                false => DeliveryState::HeldBack,
            };
            // Of what nobody gets, that it was held back is enough: a busy account has many.
            let (text, html) = match state {
                DeliveryState::Waiting => (mail.body_text.as_str(), mail.body_html.as_str()),
                _ => ("", ""),
            };
            let inserted = sqlx::query!(
                r#"
                INSERT INTO public.mails (event_id, account_id, kind, credit_type, recipient,
                       subject, body_text, body_html, state, next_attempt_time, settle_time, error)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::smallint,
                        CASE WHEN $9::smallint = 1 THEN clock_timestamp() END,
                        CASE WHEN $9::smallint <> 1 THEN clock_timestamp() END,
                        CASE WHEN $9::smallint <> 1 THEN 'one too many within an hour' ELSE '' END)
                    ON CONFLICT ON CONSTRAINT mails_pkey DO NOTHING
                "#,
                mail.event_id,
                mail.account_id,
                mail.kind,
                mail.credit_type,
                mail.recipient,
                mail.subject,
                text,
                html,
                state as i16
            )
            .execute(&mut *self.transaction)
            .await?;
            if state == DeliveryState::Waiting && inserted.rows_affected() > 0 {
                *before += 1;
            }
        }
        Ok(())
    }
}
