//! What a batch reads under its locks: the clock, the catalog's revision, and
//! each account as far as the commands name it.

mod credits;
mod payments;
mod subscriptions;

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use super::{Named, Snapshot};
use crate::{
    clock::Timestamp,
    domain::{
        account::{Account, AccountState, Operation},
        command::{OperationKey, OperationKind},
    },
    ids::{AccountId, CreditType, LotId, OperationId, ProjectId},
    store::{
        StoreError,
        rows::{LotRow, id, known},
    },
};

type States = BTreeMap<AccountId, AccountState>;

pub(super) async fn read(
    connection: &mut PgConnection,
    named: &Named,
    locked: Vec<Account>,
    fixed_now: Option<Timestamp>,
) -> Result<Snapshot, StoreError> {
    let mut accounts: States = locked
        .into_iter()
        .map(|account| (account.account_id.clone(), AccountState::new(account)))
        .collect();
    let (now, catalog_revision) = credits::read(connection, named, &mut accounts).await?;
    payments::reports(connection, named, &mut accounts).await?;
    payments::top_ups(connection, named, &mut accounts).await?;
    let wanted = of_known(&named.operations, &accounts).cloned().collect::<Vec<_>>();
    operations(connection, &wanted, &mut accounts).await?;
    pinned_lots(connection, &mut accounts).await?;
    projects(connection, named, &mut accounts).await?;
    subscriptions::live(connection, &mut accounts).await?;
    subscriptions::named(connection, named, &mut accounts).await?;
    Ok(Snapshot { now: fixed_now.unwrap_or(now), catalog_revision, accounts })
}

fn keys(accounts: &States) -> Vec<String> {
    accounts.keys().map(ToString::to_string).collect()
}

/// What is named of accounts that were found.
fn of_known<'n, T>(
    named: &'n BTreeSet<(AccountId, T)>,
    accounts: &States,
) -> impl Iterator<Item = &'n (AccountId, T)> {
    named.iter().filter(|(account, _)| accounts.contains_key(account))
}

/// The state that a row belongs to; rows are only asked for locked accounts.
fn state<'a>(accounts: &'a mut States, key: &str) -> Result<&'a mut AccountState, StoreError> {
    let key = id(key, AccountId::new)?;
    accounts.get_mut(&key).ok_or_else(|| StoreError::Corrupt(format!("a row of account {key}")))
}

/// Operations by their keys. Where there is none, that is known from then on.
pub(super) async fn operations(
    connection: &mut PgConnection,
    wanted: &[(AccountId, OperationKey)],
    accounts: &mut States,
) -> Result<(), StoreError> {
    if wanted.is_empty() {
        return Ok(());
    }
    for (account, key) in wanted {
        if let Some(state) = accounts.get_mut(account) {
            state.looked_up.insert(key.clone());
        }
    }
    let account_ids: Vec<String> = wanted.iter().map(|(account, _)| account.to_string()).collect();
    let kinds: Vec<i16> = wanted.iter().map(|(_, (kind, _))| *kind as i16).collect();
    let operation_ids: Vec<String> = wanted.iter().map(|(_, (_, id))| id.to_string()).collect();
    let rows = sqlx::query!(
        r#"
        SELECT o.account_id, o.kind, o.operation_id, o.credit_type, o.credits, o.expire_time,
               o.reason, o.lot_id, o.sequence, o.create_time
          FROM UNNEST($1::text[], $2::smallint[], $3::text[]) AS k (account_id, kind, operation_id)
         CROSS JOIN LATERAL (
               SELECT * FROM operations o
                WHERE o.account_id = k.account_id AND o.kind = k.kind
                  AND o.operation_id = k.operation_id
                LIMIT 1) o
        "#,
        &account_ids,
        &kinds,
        &operation_ids
    )
    .fetch_all(connection)
    .await?;
    for row in rows {
        let kind = known(OperationKind::from_number(row.kind), "operation", row.kind)?;
        let key = (kind, id(&row.operation_id, OperationId::new)?);
        let operation = Operation {
            key: key.clone(),
            credit_type: id(&row.credit_type, CreditType::new)?,
            credits: row.credits,
            expire_time: row.expire_time,
            reason: row.reason,
            lot_id: row.lot_id.map(LotId),
            sequence: row.sequence,
            create_time: row.create_time,
        };
        state(accounts, &row.account_id)?.operations.insert(key, operation);
    }
    Ok(())
}

/// The lots that named reservations, operations and purchases refer to, where they
/// are not among the open ones; and of what is to return, those that it came from.
async fn pinned_lots(
    connection: &mut PgConnection,
    accounts: &mut States,
) -> Result<(), StoreError> {
    let mut wanted = Vec::new();
    for (account, state) in accounts.iter() {
        let pinned = state.reservations.values().flat_map(|r| r.portions.iter().map(|p| p.lot_id));
        let granted = state.operations.values().filter_map(|operation| operation.lot_id);
        let bought = state.purchases.iter().map(|purchase| purchase.lot_id);
        let named: BTreeSet<LotId> = pinned.chain(granted).chain(bought).collect();
        let closed = named.into_iter().filter(|lot_id| !state.lots.contains_key(lot_id));
        wanted.extend(closed.map(|lot_id| (account.clone(), lot_id)));
    }
    lots_by_id(connection, &wanted, accounts).await?;
    let mut origins = BTreeSet::new();
    for (account, state) in accounts.iter() {
        let pinned = state.reservations.values().flat_map(|r| r.portions.iter().map(|p| p.lot_id));
        let roots = pinned.filter_map(|lot_id| state.lots.get(&lot_id)?.origin);
        let unread = roots.filter(|root| !state.lots.contains_key(root));
        origins.extend(unread.map(|root| (account.clone(), root)));
    }
    let origins: Vec<_> = origins.into_iter().collect();
    lots_by_id(connection, &origins, accounts).await
}

/// Lots by their ids, where they have not been read yet.
pub(super) async fn lots_by_id(
    connection: &mut PgConnection,
    wanted: &[(AccountId, LotId)],
    accounts: &mut States,
) -> Result<(), StoreError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let account_ids: Vec<String> = wanted.iter().map(|(account, _)| account.to_string()).collect();
    let lot_ids: Vec<_> = wanted.iter().map(|(_, lot_id)| lot_id.0).collect();
    let rows = sqlx::query_as!(
        LotRow,
        r#"
        SELECT l.account_id, l.lot_id, l.credit_type, l.source, l.credits, l.remaining,
               l.unrecovered, l.expire_time, l.create_time, l.reference, l.origin_lot_id
          FROM UNNEST($1::text[], $2::uuid[]) AS k (account_id, lot_id)
         CROSS JOIN LATERAL (
               SELECT * FROM lots l WHERE l.account_id = k.account_id AND l.lot_id = k.lot_id
                LIMIT 1) l
        "#,
        &account_ids,
        &lot_ids
    )
    .fetch_all(connection)
    .await?;
    for row in rows {
        let state = state(accounts, &row.account_id)?;
        let lot = row.decode()?;
        state.lots.entry(lot.lot_id).or_insert(lot);
    }
    Ok(())
}

async fn projects(
    connection: &mut PgConnection,
    named: &Named,
    accounts: &mut States,
) -> Result<(), StoreError> {
    let (account_ids, project_ids): (Vec<String>, Vec<String>) =
        of_known(&named.projects, accounts)
            .map(|(account, project)| (account.to_string(), project.to_string()))
            .unzip();
    if account_ids.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query!(
        r#"
        SELECT p.account_id, p.project_id
          FROM UNNEST($1::text[], $2::text[]) AS k (account_id, project_id)
         CROSS JOIN LATERAL (
               SELECT * FROM projects p
                WHERE p.account_id = k.account_id AND p.project_id = k.project_id
                LIMIT 1) p
        "#,
        &account_ids,
        &project_ids
    )
    .fetch_all(connection)
    .await?;
    for row in rows {
        let project = id(&row.project_id, ProjectId::new)?;
        state(accounts, &row.account_id)?.projects.insert(project);
    }
    Ok(())
}
