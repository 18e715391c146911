//! Balances of an account's first credits of a type.

use sqlx::PgConnection;

use super::{Change, rows::WrittenBalance};
use crate::store::StoreError;

pub(super) async fn insert(
    connection: &mut PgConnection,
    changes: &[Change<'_>],
) -> Result<(), StoreError> {
    let begun = WrittenBalance::begun(changes);
    if begun.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"
        INSERT INTO balances (account_id, credit_type, available, reserved, spent, held_scans,
                              sequence, last_entry_time, last_hash)
        SELECT u.account_id, u.credit_type, u.available, u.reserved, u.spent, u.held_scans,
               u.sequence, u.last_entry_time, u.last_hash
          FROM UNNEST($1::written_balance[]) AS u
        "#,
        begun.as_slice() as &[WrittenBalance<'_>]
    )
    .execute(connection)
    .await?;
    Ok(())
}
