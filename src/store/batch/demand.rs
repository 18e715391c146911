//! What a decision turned out to lack: read for blocks, limits and billing only,
//! so that a scan that may run never pays for it.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::{Demand, read};
use crate::{
    domain::{
        account::{AccountState, Holder, HolderScope, Missing},
        command::OperationKey,
        verdict::PendingPayment,
    },
    ids::{AccountId, CreditType, LotId, ProjectId, ReservationId},
    store::{StoreError, rows::id},
};

type States = BTreeMap<AccountId, AccountState>;

pub(super) async fn supply(
    connection: &mut PgConnection,
    demands: &[Demand],
    accounts: &mut States,
) -> Result<(), StoreError> {
    let mut scopes = Vec::new();
    let mut projects = Vec::new();
    let mut payers = Vec::new();
    let mut operations = Vec::new();
    for demand in demands {
        match &demand.missing {
            Missing::Holders(scope) => scopes.push((&demand.account_id, scope, demand.limit)),
            Missing::ProjectSlots(project) => projects.push((&demand.account_id, project)),
            Missing::PendingPayments => payers.push(&demand.account_id),
            Missing::Operations(keys) => {
                operations.extend(keys.iter().map(|key| (demand.account_id.clone(), key.clone())));
            }
        }
    }
    if !scopes.is_empty() {
        holders(connection, &scopes, accounts).await?;
    }
    if !projects.is_empty() {
        project_slots(connection, &projects, accounts).await?;
    }
    if !payers.is_empty() {
        pending_payments(connection, &payers, accounts).await?;
    }
    operations_with_lots(connection, &operations, accounts).await
}

async fn operations_with_lots(
    connection: &mut PgConnection,
    wanted: &[(AccountId, OperationKey)],
    accounts: &mut States,
) -> Result<(), StoreError> {
    read::operations(connection, wanted, accounts).await?;
    let lots: Vec<(AccountId, LotId)> = wanted
        .iter()
        .filter_map(|(account, key)| {
            let lot_id = accounts.get(account)?.operations.get(key)?.lot_id?;
            Some((account.clone(), lot_id))
        })
        .collect();
    read::lots_by_id(connection, &lots, accounts).await
}

async fn holders(
    connection: &mut PgConnection,
    scopes: &[(&AccountId, &HolderScope, i64)],
    accounts: &mut States,
) -> Result<(), StoreError> {
    let mut account_ids = Vec::new();
    let mut credit_types: Vec<Option<String>> = Vec::new();
    let mut project_ids: Vec<Option<String>> = Vec::new();
    let mut limits = Vec::new();
    for (account, scope, limit) in scopes {
        account_ids.push(account.to_string());
        limits.push(*limit);
        let (credit_type, project) = match scope {
            HolderScope::Account => (None, None),
            HolderScope::Credits(credit_type) => (Some(credit_type.to_string()), None),
            HolderScope::Project(project) => (None, Some(project.to_string())),
        };
        credit_types.push(credit_type);
        project_ids.push(project);
        if let Some(state) = accounts.get_mut(*account) {
            state.holders.insert((*scope).clone(), Vec::new());
        }
    }
    let rows = sqlx::query!(
        r#"
        SELECT k.position AS "position!", r.expire_time, r.reservation_id
          FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bigint[]) WITH ORDINALITY
               AS k (account_id, credit_type, project_id, at_most, position)
         CROSS JOIN LATERAL (
               SELECT r.expire_time, r.reservation_id
                 FROM reservations r
                WHERE r.account_id COLLATE "POSIX" = k.account_id AND r.settle_time IS NULL
                  AND (k.project_id IS NULL OR r.project_id = k.project_id)
                  AND (k.credit_type IS NULL OR (r.credit_type = k.credit_type AND r.credits > 0))
                ORDER BY r.expire_time, r.reservation_id
                LIMIT k.at_most) r
        "#,
        &account_ids,
        &credit_types as &[Option<String>],
        &project_ids as &[Option<String>],
        &limits
    )
    .fetch_all(connection)
    .await?;
    for row in rows {
        let position = usize::try_from(row.position - 1).ok();
        let Some((account, scope, _)) = position.and_then(|position| scopes.get(position)) else {
            continue;
        };
        let holder = Holder {
            expire_time: row.expire_time,
            reservation_id: id(&row.reservation_id, ReservationId::new)?,
        };
        if let Some(state) = accounts.get_mut(*account) {
            state.holders.entry((*scope).clone()).or_default().push(holder);
        }
    }
    Ok(())
}

async fn project_slots(
    connection: &mut PgConnection,
    projects: &[(&AccountId, &ProjectId)],
    accounts: &mut States,
) -> Result<(), StoreError> {
    let account_ids: Vec<String> =
        projects.iter().map(|(account, _)| account.to_string()).collect();
    let project_ids: Vec<String> =
        projects.iter().map(|(_, project)| project.to_string()).collect();
    let rows = sqlx::query!(
        r#"
        SELECT k.account_id AS "account_id!", k.project_id AS "project_id!", r.held AS "held!"
          FROM UNNEST($1::text[], $2::text[]) AS k (account_id, project_id)
         CROSS JOIN LATERAL (
               SELECT count(*) AS held FROM reservations r
                WHERE r.account_id COLLATE "POSIX" = k.account_id
                  AND r.project_id = k.project_id AND r.settle_time IS NULL) r
        "#,
        &account_ids,
        &project_ids
    )
    .fetch_all(connection)
    .await?;
    for row in rows {
        let account = id(&row.account_id, AccountId::new)?;
        let project = id(&row.project_id, ProjectId::new)?;
        if let Some(state) = accounts.get_mut(&account) {
            state.project_slots.insert(project, row.held);
        }
    }
    Ok(())
}

async fn pending_payments(
    connection: &mut PgConnection,
    payers: &[&AccountId],
    accounts: &mut States,
) -> Result<(), StoreError> {
    let account_ids: Vec<String> = payers.iter().map(ToString::to_string).collect();
    for account in payers {
        if let Some(state) = accounts.get_mut(*account) {
            state.pending_payments = Some(Vec::new());
        }
    }
    let rows = sqlx::query!(
        r#"
        SELECT t.account_id, t.top_up_id, t.credit_type, t.credits, t.create_time, t.expire_time
          FROM UNNEST($1::text[]) AS k (account_id)
         CROSS JOIN LATERAL (
               SELECT * FROM top_ups t
                WHERE t.account_id COLLATE "POSIX" = k.account_id AND t.status = 1
                ORDER BY t.create_time, t.top_up_id
                LIMIT 1000) t
        "#,
        &account_ids
    )
    .fetch_all(connection)
    .await?;
    for row in rows {
        let account = id(&row.account_id, AccountId::new)?;
        let payment = PendingPayment {
            top_up_id: row.top_up_id,
            credit_type: id(&row.credit_type, CreditType::new)?,
            create_time: row.create_time,
            expire_time: row.expire_time,
            credits: row.credits,
        };
        if let Some(state) = accounts.get_mut(&account) {
            state.pending_payments.get_or_insert_default().push(payment);
        }
    }
    Ok(())
}
