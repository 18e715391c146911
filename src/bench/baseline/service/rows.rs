//! Its SQL: one row at a time.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use sqlx::{PgConnection, Row, postgres::PgRow, types::Json};
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    domain::{
        account::{Account, AccountState},
        credit::{Balance, Lot, LotPortion, LotSource},
        entry::Entry,
        reservation::{Reservation, ReservationState, Scan},
    },
    ids::{AccountId, CreditType, LotId, ReservationId, ScanKindName},
};

/// The account with its balance locked, its open lots, and the reservation
/// where it exists; and the time.
pub(super) async fn read(
    connection: &mut PgConnection,
    account_id: &AccountId,
    credit_type: &CreditType,
    reservation_id: &ReservationId,
) -> Result<(AccountState, Timestamp), sqlx::Error> {
    let locked = sqlx::query(
        "SELECT a.version, a.suspended, a.suspension_reason, a.held_scans, a.subscriptions,
                a.lapse_time, a.create_time, b.available, b.reserved, b.spent, b.held_scans AS holding,
                b.sequence, b.last_entry_time, b.last_hash
           FROM balances b JOIN accounts a ON a.account_id = b.account_id
          WHERE b.account_id = $1 AND b.credit_type = $2
            FOR UPDATE OF b",
    )
    .bind(account_id.as_str())
    .bind(credit_type.as_str())
    .fetch_one(&mut *connection)
    .await?;
    let mut state = account(&locked, account_id, credit_type)?;
    let made = sqlx::query(
        "SELECT scan_kind, state, late, credits, committed_credits, sent_credits,
                sent_lease_micros, create_time, expire_time, settle_time, labels, lot_ids,
                lot_credits, entries
           FROM reservations WHERE account_id = $1 AND reservation_id = $2",
    )
    .bind(account_id.as_str())
    .bind(reservation_id.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(row) = made {
        let made = reservation(&row, reservation_id, credit_type)?;
        state.reservations.insert(reservation_id.clone(), made);
    }
    let now = lots(connection, &mut state, account_id, credit_type).await?;
    Ok((state, now))
}

/// As [`read`], without locks and without a reservation.
pub(super) async fn look(
    connection: &mut PgConnection,
    account_id: &AccountId,
    credit_type: &CreditType,
) -> Result<(AccountState, Timestamp), sqlx::Error> {
    let row = sqlx::query(
        "SELECT a.version, a.suspended, a.suspension_reason, a.held_scans, a.subscriptions,
                a.lapse_time, a.create_time, b.available, b.reserved, b.spent, b.held_scans AS holding,
                b.sequence, b.last_entry_time, b.last_hash
           FROM balances b JOIN accounts a ON a.account_id = b.account_id
          WHERE b.account_id = $1 AND b.credit_type = $2",
    )
    .bind(account_id.as_str())
    .bind(credit_type.as_str())
    .fetch_one(&mut *connection)
    .await?;
    let mut state = account(&row, account_id, credit_type)?;
    let now = lots(connection, &mut state, account_id, credit_type).await?;
    Ok((state, now))
}

fn unclear(what: impl ToString) -> sqlx::Error {
    sqlx::Error::Decode(what.to_string().into())
}

fn account(
    row: &PgRow,
    account_id: &AccountId,
    credit_type: &CreditType,
) -> Result<AccountState, sqlx::Error> {
    let mut account = Account::new(account_id.clone(), row.try_get("create_time")?);
    account.version = row.try_get("version")?;
    account.suspended = row.try_get("suspended")?;
    account.suspension_reason = row.try_get("suspension_reason")?;
    account.held_scans = row.try_get("held_scans")?;
    account.lapse_time = row.try_get("lapse_time")?;
    account.subscriptions = row.try_get("subscriptions")?;
    let hash: Vec<u8> = row.try_get("last_hash")?;
    let balance = Balance {
        available: row.try_get("available")?,
        reserved: row.try_get("reserved")?,
        spent: row.try_get("spent")?,
        held_scans: row.try_get("holding")?,
        sequence: row.try_get("sequence")?,
        last_entry_time: row.try_get("last_entry_time")?,
        last_hash: hash.try_into().map_err(|_| unclear("a hash is not of 32 bytes"))?,
    };
    let mut state = AccountState::new(account);
    state.balances.insert(credit_type.clone(), balance);
    Ok(state)
}

/// Reads the lots that are open or that the reservation holds, and the time.
async fn lots(
    connection: &mut PgConnection,
    state: &mut AccountState,
    account_id: &AccountId,
    credit_type: &CreditType,
) -> Result<Timestamp, sqlx::Error> {
    let held = state.reservations.values().flat_map(|reservation| &reservation.portions);
    let pinned: Vec<Uuid> = held.map(|portion| portion.lot_id.0).collect();
    let rows = sqlx::query(
        "SELECT clock_timestamp() AS now, lot_id, source, credits, remaining, unrecovered,
                expire_time, create_time, reference
           FROM lots
          WHERE account_id = $1 AND credit_type = $2 AND (remaining > 0 OR lot_id = ANY ($3))",
    )
    .bind(account_id.as_str())
    .bind(credit_type.as_str())
    .bind(pinned)
    .fetch_all(connection)
    .await?;
    let last = state.balances.get(credit_type).map(|balance| balance.last_entry_time);
    let mut now = last.unwrap_or_default();
    for row in rows {
        now = now.max(row.try_get("now")?);
        let source: i16 = row.try_get("source")?;
        let lot = Lot {
            lot_id: LotId(row.try_get("lot_id")?),
            credit_type: credit_type.clone(),
            source: LotSource::from_number(source).ok_or_else(|| unclear("a lot's source"))?,
            reference: row.try_get("reference")?,
            credits: row.try_get("credits")?,
            remaining: row.try_get("remaining")?,
            unrecovered: row.try_get("unrecovered")?,
            expire_time: row.try_get("expire_time")?,
            create_time: row.try_get("create_time")?,
            origin: None,
        };
        state.lots.insert(lot.lot_id, lot);
    }
    Ok(now)
}

fn reservation(
    row: &PgRow,
    reservation_id: &ReservationId,
    credit_type: &CreditType,
) -> Result<Reservation, sqlx::Error> {
    let scan_kind: &str = row.try_get("scan_kind")?;
    let state: i16 = row.try_get("state")?;
    let sent_lease: Option<i64> = row.try_get("sent_lease_micros")?;
    let labels: Option<Json<BTreeMap<String, String>>> = row.try_get("labels")?;
    let lot_ids: Vec<Uuid> = row.try_get("lot_ids")?;
    let lot_credits: Vec<i64> = row.try_get("lot_credits")?;
    Ok(Reservation {
        reservation_id: reservation_id.clone(),
        sent: Scan {
            project_id: None,
            scan_kind: ScanKindName::new(scan_kind).map_err(unclear)?,
            credits: row.try_get("sent_credits")?,
        },
        sent_lease: sent_lease.map(TimeDelta::microseconds),
        credit_type: Some(credit_type.clone()),
        credits: row.try_get("credits")?,
        committed_credits: row.try_get("committed_credits")?,
        state: ReservationState::from_number(state).ok_or_else(|| unclear("a state"))?,
        create_time: row.try_get("create_time")?,
        expire_time: row.try_get("expire_time")?,
        settle_time: row.try_get("settle_time")?,
        release_cause: None,
        late: row.try_get("late")?,
        labels: labels.map(|labels| labels.0).unwrap_or_default(),
        portions: lot_ids
            .into_iter()
            .zip(lot_credits)
            .map(|(lot_id, credits)| LotPortion { lot_id: LotId(lot_id), credits })
            .collect(),
        entries: row.try_get("entries")?,
    })
}

/// Writes what has changed.
pub(super) async fn write(
    connection: &mut PgConnection,
    read: &AccountState,
    now: &AccountState,
) -> Result<(), sqlx::Error> {
    let account_id = now.account.account_id.as_str();
    for (credit_type, balance) in &now.balances {
        if read.balances.get(credit_type) == Some(balance) {
            continue;
        }
        sqlx::query(
            "UPDATE balances
                SET available = $3, reserved = $4, spent = $5, held_scans = $6, sequence = $7,
                    last_entry_time = $8, last_hash = $9
              WHERE account_id = $1 AND credit_type = $2",
        )
        .bind(account_id)
        .bind(credit_type.as_str())
        .bind(balance.available)
        .bind(balance.reserved)
        .bind(balance.spent)
        .bind(balance.held_scans)
        .bind(balance.sequence)
        .bind(balance.last_entry_time)
        .bind(balance.last_hash.as_slice())
        .execute(&mut *connection)
        .await?;
    }
    for (lot_id, lot) in &now.lots {
        if read.lots.get(lot_id) == Some(lot) {
            continue;
        }
        sqlx::query(
            "UPDATE lots SET remaining = $3, is_open = $3 > 0 WHERE account_id = $1 AND lot_id = $2",
        )
        .bind(account_id)
        .bind(lot_id.0)
        .bind(lot.remaining)
        .execute(&mut *connection)
        .await?;
    }
    for (id, reservation) in &now.reservations {
        match read.reservations.get(id) {
            None => insert_reservation(connection, account_id, reservation).await?,
            Some(before) if before == reservation => {}
            Some(_) => settle_reservation(connection, account_id, reservation).await?,
        }
    }
    for entry in &now.entries {
        insert_entry(connection, account_id, entry).await?;
    }
    Ok(())
}

fn columns(portions: &[LotPortion]) -> (Vec<Uuid>, Vec<i64>) {
    portions.iter().map(|portion| (portion.lot_id.0, portion.credits)).unzip()
}

async fn insert_reservation(
    connection: &mut PgConnection,
    account_id: &str,
    made: &Reservation,
) -> Result<(), sqlx::Error> {
    let (lot_ids, lot_credits) = columns(&made.portions);
    sqlx::query(
        "INSERT INTO reservations (
                account_id, reservation_id, project_id, scan_kind, credit_type, state,
                release_cause, late, credits, committed_credits, sent_credits, sent_lease_micros,
                create_time, expire_time, settle_time, labels, lot_ids, lot_credits, entries)
         VALUES ($1, $2, NULL, $3, $4, $5, NULL, $6, $7, $8, $9, $10, $11, $12, NULL, $13, $14,
                 $15, $16)",
    )
    .bind(account_id)
    .bind(made.reservation_id.as_str())
    .bind(made.sent.scan_kind.as_str())
    .bind(made.credit_type.as_ref().map(CreditType::as_str))
    .bind(made.state as i16)
    .bind(made.late)
    .bind(made.credits)
    .bind(made.committed_credits)
    .bind(made.sent.credits)
    .bind(made.sent_lease.and_then(|lease| lease.num_microseconds()))
    .bind(made.create_time)
    .bind(made.expire_time)
    .bind((!made.labels.is_empty()).then_some(Json(&made.labels)))
    .bind(lot_ids)
    .bind(lot_credits)
    .bind(&made.entries)
    .execute(connection)
    .await?;
    Ok(())
}

async fn settle_reservation(
    connection: &mut PgConnection,
    account_id: &str,
    made: &Reservation,
) -> Result<(), sqlx::Error> {
    let (lot_ids, lot_credits) = columns(&made.portions);
    sqlx::query(
        "UPDATE reservations
            SET state = $3, late = $4, committed_credits = $5, settle_time = $6, lot_ids = $7,
                lot_credits = $8, entries = $9
          WHERE account_id = $1 AND reservation_id = $2",
    )
    .bind(account_id)
    .bind(made.reservation_id.as_str())
    .bind(made.state as i16)
    .bind(made.late)
    .bind(made.committed_credits)
    .bind(made.settle_time)
    .bind(lot_ids)
    .bind(lot_credits)
    .bind(&made.entries)
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_entry(
    connection: &mut PgConnection,
    account_id: &str,
    entry: &Entry,
) -> Result<(), sqlx::Error> {
    let (lot_ids, lot_credits) = columns(&entry.portions);
    sqlx::query(
        "INSERT INTO ledger_entries (
                account_id, credit_type, sequence, kind, hash_version, credits, available_after,
                reserved_after, spent_after, create_time, reservation_id, reference, actor, hash,
                lot_ids, lot_credits)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
    )
    .bind(account_id)
    .bind(entry.credit_type.as_str())
    .bind(entry.sequence)
    .bind(entry.kind as i16)
    .bind(entry.hash_version)
    .bind(entry.credits)
    .bind(entry.available_after)
    .bind(entry.reserved_after)
    .bind(entry.spent_after)
    .bind(entry.create_time)
    .bind(entry.reservation_id.as_ref().map(ReservationId::as_str))
    .bind(&entry.reference)
    .bind(&entry.actor)
    .bind(entry.hash.as_slice())
    .bind(lot_ids)
    .bind(lot_credits)
    .execute(connection)
    .await?;
    Ok(())
}
