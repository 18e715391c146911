//! Imported lots by their keys, as far as they are there.

use crate::{
    clock::Timestamp,
    domain::{command::OperationKind, credit::LotSource},
    ids::{AccountId, CreditType, OperationId},
    store::{
        Cell, Database, StoreError,
        rows::{id, known},
    },
};

/// A lot that was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedLot {
    /// Whose.
    pub account_id: AccountId,
    /// Its id in the other system: its key here.
    pub operation_id: OperationId,
    /// The type of its credits.
    pub credit_type: CreditType,
    /// How many.
    pub credits: i64,
    /// When they expire.
    pub expire_time: Option<Timestamp>,
    /// Why.
    pub reason: String,
    /// Where they came from: its lot says so.
    pub source: LotSource,
}

impl Cell {
    /// Those of these lots that were imported.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn imported_lots(
        &self,
        keys: &[(AccountId, OperationId)],
    ) -> Result<Vec<ImportedLot>, StoreError> {
        let (account_ids, operation_ids): (Vec<String>, Vec<String>) = keys
            .iter()
            .map(|(account, operation)| (account.to_string(), operation.to_string()))
            .unzip();
        let rows = sqlx::query!(
            r#"
            SELECT o.account_id, o.operation_id, o.credit_type, o.credits, o.expire_time, o.reason,
                   l.source
              FROM UNNEST($1::text[], $2::text[]) AS k (account_id, operation_id)
             CROSS JOIN LATERAL (
                   SELECT * FROM operations o
                    WHERE o.account_id = k.account_id AND o.kind = $3
                      AND o.operation_id = k.operation_id
                    LIMIT 1) o
             CROSS JOIN LATERAL (
                   SELECT * FROM lots l
                    WHERE l.account_id = o.account_id AND l.lot_id = o.lot_id
                    LIMIT 1) l
            "#,
            &account_ids,
            &operation_ids,
            OperationKind::Import as i16
        )
        .fetch_all(&mut *self.pool.acquire().await?)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(ImportedLot {
                    account_id: id(&row.account_id, AccountId::new)?,
                    operation_id: id(&row.operation_id, OperationId::new)?,
                    credit_type: id(&row.credit_type, CreditType::new)?,
                    credits: row.credits,
                    expire_time: row.expire_time,
                    reason: row.reason,
                    source: known(LotSource::from_number(row.source), "source", row.source)?,
                })
            })
            .collect()
    }
}

impl Database {
    /// What its clock shows.
    ///
    /// # Errors
    ///
    /// It is away.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        let mut connection = self.directories().acquire().await?;
        Ok(sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#)
            .fetch_one(&mut *connection)
            .await?)
    }
}
