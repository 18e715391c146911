//! What is only ever inserted by a batch, beside its movements: operations and
//! notices.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::Change;
use crate::{
    domain::account::{Notice, Operation},
    ids::AccountId,
    store::StoreError,
};

pub(super) async fn operations(
    connection: &mut PgConnection,
    changes: &[Change<'_>],
) -> Result<(), StoreError> {
    let rows: Vec<(&AccountId, &Operation)> = changes
        .iter()
        .flat_map(|(old, new)| {
            let made = new.operations.iter().filter(|(key, _)| !old.operations.contains_key(*key));
            made.map(|(_, operation)| (&new.account.account_id, operation))
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let keys: Vec<String> = rows.iter().map(|(account, _)| account.to_string()).collect();
    let made = || rows.iter().map(|(_, operation)| *operation);
    let kinds: Vec<i16> = made().map(|o| o.key.0 as i16).collect();
    let ids: Vec<String> = made().map(|o| o.key.1.to_string()).collect();
    let types: Vec<String> = made().map(|o| o.credit_type.to_string()).collect();
    let credits: Vec<i64> = made().map(|o| o.credits).collect();
    let expiries: Vec<_> = made().map(|o| o.expire_time).collect();
    let reasons: Vec<String> = made().map(|o| o.reason.clone()).collect();
    let lots: Vec<_> = made().map(|o| o.lot_id.map(|lot| lot.0)).collect();
    let sequences: Vec<i64> = made().map(|o| o.sequence).collect();
    let times: Vec<_> = made().map(|o| o.create_time).collect();
    sqlx::query!(
        r#"
        INSERT INTO operations (account_id, kind, operation_id, credit_type, credits, expire_time,
                                reason, lot_id, sequence, create_time)
        SELECT * FROM UNNEST($1::text[], $2::smallint[], $3::text[], $4::text[], $5::bigint[],
                             $6::timestamptz[], $7::text[], $8::uuid[], $9::bigint[],
                             $10::timestamptz[])
        "#,
        &keys,
        &kinds,
        &ids,
        &types,
        &credits,
        &expiries as &[Option<crate::clock::Timestamp>],
        &reasons,
        &lots as &[Option<uuid::Uuid>],
        &sequences,
        &times
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A notice is told once: the same again is passed over. Gives accounts and keys of those
/// that are new.
pub(super) async fn notices(
    connection: &mut PgConnection,
    changes: &[Change<'_>],
) -> Result<BTreeSet<(String, String)>, StoreError> {
    let rows: Vec<(&AccountId, &Notice)> = changes
        .iter()
        .flat_map(|(_, new)| new.notices.iter().map(|notice| (&new.account.account_id, notice)))
        .collect();
    if rows.is_empty() {
        return Ok(BTreeSet::new());
    }
    let keys: Vec<String> = rows.iter().map(|(account, _)| account.to_string()).collect();
    let notices = || rows.iter().map(|(_, notice)| *notice);
    let ids: Vec<String> = notices().map(|n| n.key.clone()).collect();
    let kinds: Vec<i16> = notices().map(|n| n.kind as i16).collect();
    let types: Vec<Option<String>> =
        notices().map(|n| n.credit_type.as_ref().map(ToString::to_string)).collect();
    let credits: Vec<i64> = notices().map(|n| n.credits).collect();
    let subjects: Vec<String> = notices().map(|n| n.subject.clone()).collect();
    let times: Vec<_> = notices().map(|n| n.create_time).collect();
    let sequences: Vec<Option<i64>> = notices().map(|n| n.sequence).collect();
    let available: Vec<Option<i64>> = notices().map(|n| n.available).collect();
    let details: Vec<String> = notices().map(|n| n.detail.clone()).collect();
    let new = sqlx::query!(
        r#"
        INSERT INTO notices (account_id, notice_key, kind, credit_type, credits, subject,
                             create_time, sequence, available, detail)
        SELECT * FROM UNNEST($1::text[], $2::text[], $3::smallint[], $4::text[], $5::bigint[],
                             $6::text[], $7::timestamptz[], $8::bigint[], $9::bigint[],
                             $10::text[])
            ON CONFLICT ON CONSTRAINT notices_pkey DO NOTHING
     RETURNING account_id, notice_key
        "#,
        &keys,
        &ids,
        &kinds,
        &types as &[Option<String>],
        &credits,
        &subjects,
        &times,
        &sequences as &[Option<i64>],
        &available as &[Option<i64>],
        &details
    )
    .fetch_all(connection)
    .await?;
    Ok(new.into_iter().map(|row| (row.account_id, row.notice_key)).collect())
}
