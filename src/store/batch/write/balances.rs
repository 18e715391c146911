//! Balances, column by column; and those that begin.

use sqlx::PgConnection;

use super::Change;
use crate::{
    clock::Timestamp,
    domain::credit::Balance,
    ids::{AccountId, CreditType},
    store::StoreError,
};

/// Rows of `balances`.
#[derive(Default)]
pub(super) struct Balances {
    pub(super) account_ids: Vec<String>,
    pub(super) credit_types: Vec<String>,
    /// The sequences that were read: what guards an update.
    pub(super) expected: Vec<i64>,
    pub(super) available: Vec<i64>,
    pub(super) reserved: Vec<i64>,
    pub(super) spent: Vec<i64>,
    pub(super) held: Vec<i64>,
    pub(super) sequences: Vec<i64>,
    pub(super) times: Vec<Timestamp>,
    /// End to end.
    pub(super) hashes: Vec<u8>,
}

impl Balances {
    /// Those that were read and have changed.
    pub(super) fn changed(changes: &[Change<'_>]) -> Self {
        let mut columns = Self::default();
        for (old, new) in changes {
            for (credit_type, balance) in &new.balances {
                let read = old.balances.get(credit_type).filter(|read| *read != balance);
                if let Some(read) = read {
                    columns.push(&new.account.account_id, credit_type, read.sequence, balance);
                }
            }
        }
        columns
    }

    /// Those of an account's first credits of a type.
    fn begun(changes: &[Change<'_>]) -> Self {
        let mut columns = Self::default();
        for (old, new) in changes {
            for (credit_type, balance) in &new.balances {
                if !old.balances.contains_key(credit_type) {
                    columns.push(&new.account.account_id, credit_type, 0, balance);
                }
            }
        }
        columns
    }

    fn push(
        &mut self,
        account_id: &AccountId,
        credit_type: &CreditType,
        expected: i64,
        balance: &Balance,
    ) {
        self.account_ids.push(account_id.to_string());
        self.credit_types.push(credit_type.to_string());
        self.expected.push(expected);
        self.available.push(balance.available);
        self.reserved.push(balance.reserved);
        self.spent.push(balance.spent);
        self.held.push(balance.held_scans);
        self.sequences.push(balance.sequence);
        self.times.push(balance.last_entry_time);
        self.hashes.extend_from_slice(&balance.last_hash);
    }
}

pub(super) async fn insert(
    connection: &mut PgConnection,
    changes: &[Change<'_>],
) -> Result<(), StoreError> {
    let rows = Balances::begun(changes);
    if rows.account_ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"
        INSERT INTO balances (account_id, credit_type, available, reserved, spent, held_scans,
                              sequence, last_entry_time, last_hash)
        SELECT u.account_id, u.credit_type, ($3::bigint[])[u.i], ($4::bigint[])[u.i],
               ($5::bigint[])[u.i], ($6::bigint[])[u.i], ($7::bigint[])[u.i],
               ($8::timestamptz[])[u.i], substring($9::bytea FROM 32 * u.i::int - 31 FOR 32)
          FROM UNNEST($1::text[], $2::text[]) WITH ORDINALITY AS u (account_id, credit_type, i)
        "#,
        &rows.account_ids,
        &rows.credit_types,
        &rows.available,
        &rows.reserved,
        &rows.spent,
        &rows.held,
        &rows.sequences,
        &rows.times,
        &rows.hashes
    )
    .execute(connection)
    .await?;
    Ok(())
}
