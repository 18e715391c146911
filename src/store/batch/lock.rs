//! The account rows: locked in key order, before anything else is read.

use sqlx::PgConnection;

use super::Named;
use crate::{
    clock::Timestamp,
    domain::account::Account,
    ids::AccountId,
    store::{StoreError, rows},
};

/// A row of `accounts`.
pub(in crate::store) struct AccountRow {
    pub account_id: String,
    pub version: i64,
    pub held_scans: i64,
    pub subscriptions: i64,
    pub suspended: bool,
    pub suspension_reason: String,
    pub display_name: String,
    pub billing_email: String,
    pub lapse_time: Option<Timestamp>,
    pub create_time: Timestamp,
}

impl AccountRow {
    pub(in crate::store) fn decode(self) -> Result<Account, StoreError> {
        Ok(Account {
            account_id: rows::id(&self.account_id, AccountId::new)?,
            version: self.version,
            display_name: self.display_name,
            billing_email: self.billing_email,
            suspended: self.suspended,
            suspension_reason: self.suspension_reason,
            held_scans: self.held_scans,
            subscriptions: self.subscriptions,
            lapse_time: self.lapse_time,
            create_time: self.create_time,
        })
    }
}

fn keys(named: &Named) -> Vec<String> {
    named.accounts.iter().map(ToString::to_string).collect()
}

fn decode(rows: Vec<AccountRow>) -> Result<Vec<Account>, StoreError> {
    rows.into_iter().map(AccountRow::decode).collect()
}

/// Waits for each row, at most `lock_timeout`. Postgres locks above the sort, so
/// ORDER BY is the order of the locks.
pub(super) async fn wait(
    connection: &mut PgConnection,
    named: &Named,
) -> Result<Vec<Account>, StoreError> {
    let rows = sqlx::query_as!(
        AccountRow,
        r#"
        SELECT a.account_id, a.version, a.held_scans, a.subscriptions, a.suspended,
               a.suspension_reason, a.display_name, a.billing_email, a.lapse_time, a.create_time
          FROM accounts a
         WHERE a.account_id = ANY ($1::text[])
         ORDER BY a.account_id
           FOR UPDATE OF a
        "#,
        &keys(named)
    )
    .fetch_all(connection)
    .await?;
    decode(rows)
}

/// Takes the rows that nobody has locked, at once.
pub(super) async fn skip(
    connection: &mut PgConnection,
    named: &Named,
) -> Result<Vec<Account>, StoreError> {
    let rows = sqlx::query_as!(
        AccountRow,
        r#"
        SELECT a.account_id, a.version, a.held_scans, a.subscriptions, a.suspended,
               a.suspension_reason, a.display_name, a.billing_email, a.lapse_time, a.create_time
          FROM accounts a
         WHERE a.account_id = ANY ($1::text[])
         ORDER BY a.account_id
           FOR UPDATE OF a SKIP LOCKED
        "#,
        &keys(named)
    )
    .fetch_all(connection)
    .await?;
    decode(rows)
}

/// Reads the rows and locks none.
pub(super) async fn none(
    connection: &mut PgConnection,
    named: &Named,
) -> Result<Vec<Account>, StoreError> {
    look(connection, &keys(named)).await
}

/// The rows of these accounts, by id; unknown ones are left out.
pub(in crate::store) async fn look(
    connection: &mut PgConnection,
    account_ids: &[String],
) -> Result<Vec<Account>, StoreError> {
    let rows = sqlx::query_as!(
        AccountRow,
        r#"
        SELECT a.account_id, a.version, a.held_scans, a.subscriptions, a.suspended,
               a.suspension_reason, a.display_name, a.billing_email, a.lapse_time, a.create_time
          FROM accounts a
         WHERE a.account_id = ANY ($1::text[])
         ORDER BY a.account_id
        "#,
        account_ids
    )
    .fetch_all(connection)
    .await?;
    decode(rows)
}
