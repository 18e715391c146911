//! What is told: the feed, row by row, and one account's events, the newest first.

use crate::{
    clock::Timestamp,
    domain::{
        account::Notice,
        credit::LotSource,
        entry::EntryKind,
        event::{EntryFacts, Event, EventKind, EventPlace},
        report::REVERSAL,
        settle::UNSPENT,
    },
    ids::{AccountId, CreditType},
    store::{
        Cell, StoreError,
        rows::{id, known},
    },
};

/// How far a cell's feed has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedHead {
    /// The last position that is committed. Lower ones may not be yet.
    pub last: i64,
    /// A transaction id that is greater than that of whoever has drawn up to there;
    /// only where that is further than was known.
    pub barrier: Option<i64>,
    /// All transactions with a lower id have ended.
    pub horizon: i64,
    /// No transaction with this id, or a greater one, has ended.
    pub ended: i64,
}

/// What one row of the feed tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedRow {
    /// Its place.
    pub position: i64,
    /// In order: an account's events are together.
    pub events: Vec<Event>,
}

/// Which of an account's events.
#[derive(Debug, Clone)]
pub struct EventQuery {
    /// The account.
    pub account_id: AccountId,
    /// Only those before this one.
    pub before: Option<EventPlace>,
    /// At most so many.
    pub limit: i64,
}

impl Cell {
    /// How far the feed has come. Where that is further than `known`, this takes a
    /// transaction id: those who have drawn a position took theirs before.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn feed_head(&self, known: i64) -> Result<FeedHead, StoreError> {
        let row = sqlx::query!(
            r#"
            SELECT f.last AS "last!",
                   CASE WHEN f.last > $1 THEN pg_current_xact_id()::text::bigint END AS barrier,
                   pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS "horizon!",
                   pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS "ended!"
              FROM (SELECT coalesce(max(position), 0) AS last FROM feed) f
            "#,
            known
        )
        .fetch_one(&mut *self.pool.acquire().await?)
        .await?;
        let (last, barrier) = (row.last, row.barrier);
        Ok(FeedHead { last, barrier, horizon: row.horizon, ended: row.ended })
    }

    /// The first row after `after` and when it was written.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn feed_time(&self, after: i64) -> Result<Option<(i64, Timestamp)>, StoreError> {
        let row = sqlx::query!(
            "SELECT position, create_time FROM feed WHERE position > $1 ORDER BY position LIMIT 1",
            after
        )
        .fetch_optional(&mut *self.pool.acquire().await?)
        .await?;
        Ok(row.map(|row| (row.position, row.create_time)))
    }

    /// Rows after `after` up to `up_to`, at most `limit`, with what they tell; of one
    /// account, only rows that tell of it, and only that.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn feed(
        &self,
        after: i64,
        up_to: i64,
        account_id: Option<&AccountId>,
        limit: i64,
    ) -> Result<Vec<FeedRow>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let rows = sqlx::query!(
            r#"
            SELECT position, account_ids, credit_types, first_sequences, last_sequences,
                   notice_account_ids, notice_keys
              FROM feed
             WHERE position > $1 AND position <= $2
               AND ($3::text IS NULL OR $3 = ANY (account_ids) OR $3 = ANY (notice_account_ids))
             ORDER BY position LIMIT $4
            "#,
            after,
            up_to,
            account_id.map(AccountId::as_str),
            limit
        )
        .fetch_all(&mut *connection)
        .await?;
        let is_meant = |of: &str| account_id.is_none_or(|account_id| account_id.as_str() == of);
        let (mut accounts, mut types, mut first, mut last) = (vec![], vec![], vec![], vec![]);
        let (mut of, mut notice_of) = (vec![], vec![]);
        let (mut notice_accounts, mut notice_keys) = (vec![], vec![]);
        let mut told: Vec<FeedRow> = Vec::with_capacity(rows.len());
        for (index, row) in (0i64..).zip(rows) {
            told.push(FeedRow { position: row.position, events: Vec::new() });
            let ledgers = row.account_ids.into_iter().zip(row.credit_types);
            let sequences = row.first_sequences.into_iter().zip(row.last_sequences);
            for ((account, credit_type), (from, to)) in ledgers.zip(sequences) {
                if is_meant(&account) {
                    of.push(index);
                    accounts.push(account);
                    types.push(credit_type);
                    first.push(from);
                    last.push(to);
                }
            }
            for (account, key) in row.notice_account_ids.into_iter().zip(row.notice_keys) {
                if is_meant(&account) {
                    notice_of.push(index);
                    notice_accounts.push(account);
                    notice_keys.push(key);
                }
            }
        }
        if !accounts.is_empty() {
            let entries = sqlx::query_as!(
                FactsRow,
                r#"
                SELECT u.row AS "row!", e.account_id, e.credit_type, e.sequence, e.kind, e.credits,
                       e.available_after, e.create_time, e.reservation_id, e.reference, e.actor,
                       (SELECT l.source FROM lots l
                         WHERE e.kind = 1 AND l.account_id = e.account_id
                           AND l.lot_id = e.lot_ids[1] LIMIT 1) AS source
                  FROM UNNEST($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
                       AS u (row, account_id, credit_type, first, last)
                 CROSS JOIN LATERAL (
                       SELECT * FROM ledger_entries e
                        WHERE e.account_id = u.account_id AND e.credit_type = u.credit_type
                          AND e.sequence BETWEEN u.first AND u.last AND e.kind <> 2
                        ORDER BY e.sequence LIMIT 1000000) e
                "#,
                &of,
                &accounts,
                &types,
                &first,
                &last
            )
            .fetch_all(&mut *connection)
            .await?;
            for entry in entries {
                let row = entry.row;
                add(&mut told, row, entry.decode().map(Event::of_entry)?);
            }
        }
        if !notice_keys.is_empty() {
            let notices = sqlx::query_as!(
                NoticeRow,
                r#"
                SELECT u.row AS "row!", n.account_id, n.notice_key, n.kind, n.credit_type, n.credits,
                       n.subject, n.detail, n.sequence, n.available, n.create_time
                  FROM UNNEST($1::bigint[], $2::text[], $3::text[])
                       AS u (row, account_id, notice_key)
                 CROSS JOIN LATERAL (
                       SELECT * FROM notices n
                        WHERE n.account_id = u.account_id AND n.notice_key = u.notice_key
                        LIMIT 1) n
                "#,
                &notice_of,
                &notice_accounts,
                &notice_keys
            )
            .fetch_all(&mut *connection)
            .await?;
            for notice in notices {
                let row = notice.row;
                add(&mut told, row, notice.decode()?);
            }
        }
        for row in &mut told {
            row.events.sort_by(|a, b| (&a.account_id, &a.place).cmp(&(&b.account_id, &b.place)));
        }
        Ok(told)
    }

    /// A page of an account's events, the newest first: from the ends of its ledgers
    /// and of its notices.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn account_events(&self, query: &EventQuery) -> Result<Vec<Event>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let before = query.before.as_ref();
        let (time, sequence) = (before.map(|place| place.time), before.map(|place| place.sequence));
        let credit_type = before.map(|place| place.credit_type.as_str());
        let key = before.map(|place| place.notice_key.as_str());
        let entries = sqlx::query_as!(
            FactsRow,
            r#"
            SELECT 0::bigint AS "row!", e.account_id, e.credit_type, e.sequence, e.kind, e.credits,
                   e.available_after, e.create_time, e.reservation_id, e.reference, e.actor,
                   (SELECT l.source FROM lots l
                     WHERE e.kind = 1 AND l.account_id = e.account_id
                       AND l.lot_id = e.lot_ids[1] LIMIT 1) AS source
              FROM balances b
             CROSS JOIN LATERAL (
                   SELECT * FROM ledger_entries e
                    WHERE e.account_id = b.account_id AND e.credit_type = b.credit_type
                      AND e.kind <> 2 AND NOT (e.kind = 4 AND e.reference = $7)
                      AND NOT (e.kind = 8 AND starts_with(e.reference, $8))
                      AND e.sequence <= CASE WHEN b.credit_type = $3 THEN $4
                                             ELSE 9223372036854775807 END
                      AND ($2::timestamptz IS NULL
                           OR (e.create_time, e.credit_type, e.sequence, '' COLLATE "C")
                              < ($2, $3::text COLLATE "C", $4::bigint, $5::text COLLATE "C"))
                    ORDER BY e.sequence DESC LIMIT $6) e
             WHERE b.account_id = $1
             ORDER BY e.create_time DESC, e.credit_type DESC, e.sequence DESC
             LIMIT $6
            "#,
            query.account_id.as_str(),
            time,
            credit_type,
            sequence,
            key,
            query.limit,
            UNSPENT,
            REVERSAL
        )
        .fetch_all(&mut *connection)
        .await?;
        let notices = sqlx::query_as!(
            NoticeRow,
            r#"
            SELECT 0::bigint AS "row!", account_id, notice_key, kind, credit_type, credits, subject,
                   detail, sequence, available, create_time
              FROM notices
             WHERE account_id = $1 COLLATE "ucs_basic"
               AND ($2::timestamptz IS NULL OR create_time <= $2)
               AND ($2::timestamptz IS NULL
                    OR (create_time, coalesce(credit_type, '') COLLATE "C",
                        coalesce(sequence, 9223372036854775807), notice_key)
                       < ($2, $3::text COLLATE "C", $4::bigint, $5::text COLLATE "C"))
             ORDER BY create_time DESC, coalesce(credit_type, '') COLLATE "C" DESC,
                      coalesce(sequence, 9223372036854775807) DESC, notice_key DESC
             LIMIT $6
            "#,
            query.account_id.as_str(),
            time,
            credit_type,
            sequence,
            key,
            query.limit
        )
        .fetch_all(&mut *connection)
        .await?;
        let mut events = Vec::with_capacity(entries.len() + notices.len());
        for entry in entries {
            events.extend(entry.decode().map(Event::of_entry)?);
        }
        for notice in notices {
            events.extend(notice.decode()?);
        }
        events.sort_by(|a, b| b.place.cmp(&a.place));
        events.truncate(usize::try_from(query.limit).unwrap_or(0));
        Ok(events)
    }
}

/// Adds an event to the row that names it.
fn add(told: &mut [FeedRow], row: i64, event: Option<Event>) {
    let row = usize::try_from(row).ok().and_then(|row| told.get_mut(row));
    if let Some(row) = row {
        row.events.extend(event);
    }
}

/// An entry, as far as it is told.
struct FactsRow {
    row: i64,
    account_id: String,
    credit_type: String,
    sequence: i64,
    kind: i16,
    credits: i64,
    available_after: i64,
    create_time: Timestamp,
    reservation_id: Option<String>,
    reference: String,
    actor: String,
    source: Option<i16>,
}

impl FactsRow {
    fn decode(self) -> Result<EntryFacts, StoreError> {
        let source = self
            .source
            .map(|number| known(LotSource::from_number(number), "lot source", number))
            .transpose()?;
        Ok(EntryFacts {
            account_id: id(&self.account_id, AccountId::new)?,
            credit_type: id(&self.credit_type, CreditType::new)?,
            sequence: self.sequence,
            kind: known(EntryKind::from_number(self.kind), "entry kind", self.kind)?,
            credits: self.credits,
            available_after: self.available_after,
            create_time: self.create_time,
            reservation_id: self.reservation_id,
            reference: self.reference,
            actor: self.actor,
            source,
        })
    }
}

/// A notice.
struct NoticeRow {
    row: i64,
    account_id: String,
    notice_key: String,
    kind: i16,
    credit_type: Option<String>,
    credits: i64,
    subject: String,
    detail: String,
    sequence: Option<i64>,
    available: Option<i64>,
    create_time: Timestamp,
}

impl NoticeRow {
    /// `None` for a kind that is unknown here: a later program's.
    fn decode(self) -> Result<Option<Event>, StoreError> {
        let Some(kind) = EventKind::from_number(self.kind) else { return Ok(None) };
        let notice = Notice {
            key: self.notice_key,
            kind,
            credit_type: self.credit_type.map(|of| id(&of, CreditType::new)).transpose()?,
            credits: self.credits,
            subject: self.subject,
            detail: self.detail,
            sequence: self.sequence,
            available: self.available,
            create_time: self.create_time,
        };
        Ok(Some(Event::of_notice(id(&self.account_id, AccountId::new)?, notice)))
    }
}
