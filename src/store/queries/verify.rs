//! All that the books of an account consist of, in one snapshot.

use sqlx::{PgConnection, types::Json};
use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::{
        account::Account,
        command::{OperationKey, OperationKind},
        credit::{Balance, Lot},
        entry::Entry,
        payment::{Purchase, TopUp},
        reservation::Reservation,
        subscription::{SentSubscription, Subscription},
    },
    ids::{AccountId, CreditType, LotId, OperationId},
    store::{
        Cell, StoreError,
        batch::look,
        rows::{
            EntryRow, LotRow, PurchaseRow, ReservationRow, SubscriptionRow, TopUpRow, id, known,
        },
    },
};

/// The books of one account.
#[derive(Debug)]
pub struct AccountBooks {
    /// The account row.
    pub account: Account,
    /// Its balances.
    pub balances: BTreeMap<CreditType, Balance>,
    /// All its lots, empty ones too.
    pub lots: Vec<Lot>,
    /// All its reservations.
    pub reservations: Vec<Reservation>,
    /// Its whole ledger, by credit type and sequence.
    pub entries: Vec<Entry>,
    /// What brought credits in or took them back.
    pub operations: Vec<BookedOperation>,
    /// Its subscriptions, ended ones too.
    pub subscriptions: Vec<Subscription>,
    /// All its top-ups.
    pub top_ups: Vec<TopUp>,
    /// What a provider's payments brought.
    pub purchases: Vec<Purchase>,
    /// These payments: provider and id.
    pub transactions: BTreeSet<(String, String)>,
}

/// An operation, as far as the books need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookedOperation {
    /// What it was, and its id.
    pub key: OperationKey,
    /// The type of credits.
    pub credit_type: CreditType,
    /// How many.
    pub credits: i64,
    /// The lot that it made, or took back from.
    pub lot_id: Option<LotId>,
    /// Its entry.
    pub sequence: i64,
}

impl Cell {
    /// Accounts that have rows in the ledger, or in what it adds up to, but no
    /// account row: at most 100.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn orphans(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            SELECT DISTINCT o.account_id AS "account_id!"
              FROM (SELECT account_id FROM balances
                     UNION ALL SELECT account_id FROM lots
                     UNION ALL SELECT account_id FROM reservations
                     UNION ALL SELECT account_id FROM operations
                     UNION ALL SELECT account_id FROM subscriptions
                     UNION ALL SELECT account_id FROM top_ups
                     UNION ALL SELECT account_id FROM purchases
                     UNION ALL SELECT account_id FROM transactions
                     UNION ALL SELECT account_id FROM ledger_entries) o
             WHERE NOT EXISTS (SELECT 1 FROM accounts a WHERE a.account_id = o.account_id)
             LIMIT 100
            "#
        )
        .fetch_all(&mut *self.pool.acquire().await?)
        .await?)
    }

    /// Ids of the cell's accounts after `after`, at most `limit`.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn account_ids(
        &self,
        after: Option<&AccountId>,
        limit: i64,
    ) -> Result<Vec<AccountId>, StoreError> {
        let rows = sqlx::query_scalar!(
            "SELECT account_id FROM accounts WHERE account_id > $1 ORDER BY account_id LIMIT $2",
            after.map_or("", AccountId::as_str),
            limit
        )
        .fetch_all(&mut *self.pool.acquire().await?)
        .await?;
        rows.into_iter().map(|row| id(&row, AccountId::new)).collect()
    }

    /// Reads an account's books; `None` where there is no such account. All of
    /// it is held in memory: about 400 bytes for each entry.
    ///
    /// # Errors
    ///
    /// The database is away, or a row is not understood.
    pub async fn books(&self, account_id: &AccountId) -> Result<Option<AccountBooks>, StoreError> {
        let mut transaction =
            self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let account = look(&mut transaction, &[account_id.to_string()]).await?.pop();
        let Some(account) = account else {
            transaction.commit().await?;
            return Ok(None);
        };
        let balances = super::balances::read(&mut transaction, account_id).await?;
        let lots = sqlx::query_as!(
            LotRow,
            r#"
            SELECT account_id, lot_id, credit_type, source, credits, remaining, unrecovered,
                   expire_time, create_time, reference, origin_lot_id
              FROM lots WHERE account_id = $1
            "#,
            account_id.as_str()
        )
        .fetch_all(&mut *transaction)
        .await?;
        let reservations = sqlx::query_as!(
            ReservationRow,
            r#"
            SELECT account_id, reservation_id, project_id, scan_kind, credit_type, state,
                   release_cause, late, credits, committed_credits, sent_credits,
                   sent_lease_micros, create_time, expire_time, settle_time,
                   labels AS "labels: Json<BTreeMap<String, String>>", lot_ids, lot_credits, entries
              FROM reservations WHERE account_id = $1
            "#,
            account_id.as_str()
        )
        .fetch_all(&mut *transaction)
        .await?;
        let entries = sqlx::query_as!(
            EntryRow,
            r#"
            SELECT credit_type, sequence, kind, hash_version, credits, available_after,
                   reserved_after, spent_after, create_time, reservation_id, reference, actor,
                   hash, lot_ids, lot_credits
              FROM ledger_entries WHERE account_id = $1 ORDER BY credit_type, sequence
            "#,
            account_id.as_str()
        )
        .fetch_all(&mut *transaction)
        .await?;
        let operations = operations(&mut transaction, account_id).await?;
        let subscriptions = subscriptions(&mut transaction, account_id).await?;
        let top_ups = top_ups(&mut transaction, account_id).await?;
        let purchases = purchases(&mut transaction, account_id).await?;
        let transactions = transactions(&mut transaction, account_id).await?;
        transaction.commit().await?;
        Ok(Some(AccountBooks {
            operations,
            account,
            balances,
            lots: lots.into_iter().map(LotRow::decode).collect::<Result<_, _>>()?,
            reservations: reservations
                .into_iter()
                .map(ReservationRow::decode)
                .collect::<Result<_, _>>()?,
            entries: entries.into_iter().map(EntryRow::decode).collect::<Result<_, _>>()?,
            subscriptions,
            top_ups,
            purchases,
            transactions,
        }))
    }
}

async fn operations(
    connection: &mut PgConnection,
    account_id: &AccountId,
) -> Result<Vec<BookedOperation>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT kind, operation_id, credit_type, credits, lot_id, sequence
          FROM operations WHERE account_id = $1
        "#,
        account_id.as_str()
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let kind = known(OperationKind::from_number(row.kind), "operation", row.kind)?;
            Ok(BookedOperation {
                key: (kind, id(&row.operation_id, OperationId::new)?),
                credit_type: id(&row.credit_type, CreditType::new)?,
                credits: row.credits,
                lot_id: row.lot_id.map(LotId),
                sequence: row.sequence,
            })
        })
        .collect()
}

async fn subscriptions(
    connection: &mut PgConnection,
    account_id: &AccountId,
) -> Result<Vec<Subscription>, StoreError> {
    let rows = sqlx::query_as!(
        SubscriptionRow,
        r#"
        SELECT account_id, subscription_id, plan, status, billing_interval, provider, anchor_time,
               period_start_time, period_end_time, cancel_at_period_end, create_time, end_time,
               sent AS "sent: Json<SentSubscription>", provider_time
          FROM subscriptions WHERE account_id = $1
        "#,
        account_id.as_str()
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(SubscriptionRow::decode).collect()
}

async fn top_ups(
    connection: &mut PgConnection,
    account_id: &AccountId,
) -> Result<Vec<TopUp>, StoreError> {
    let rows = sqlx::query_as!(
        TopUpRow,
        r#"
        SELECT account_id, top_up_id, credit_type, credits, price_minor, currency, status,
               provider, provider_reference, reason, create_time, expire_time, settle_time
          FROM top_ups WHERE account_id = $1
        "#,
        account_id.as_str()
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(TopUpRow::decode).collect()
}

async fn purchases(
    connection: &mut PgConnection,
    account_id: &AccountId,
) -> Result<Vec<Purchase>, StoreError> {
    let rows = sqlx::query_as!(
        PurchaseRow,
        r#"
        SELECT account_id, provider, transaction_id, item_id, credit_type, operation_kind,
               operation_id, lot_id, credits, paid_minor, reversed_credits
          FROM purchases WHERE account_id = $1
        "#,
        account_id.as_str()
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(PurchaseRow::decode).collect()
}

async fn transactions(
    connection: &mut PgConnection,
    account_id: &AccountId,
) -> Result<BTreeSet<(String, String)>, StoreError> {
    let rows = sqlx::query!(
        "SELECT provider, transaction_id FROM transactions WHERE account_id = $1",
        account_id.as_str()
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.provider, row.transaction_id)).collect())
}
