//! Rows to domain values. What this program never writes is [`StoreError::Corrupt`].

mod billing;

pub(super) use billing::{AdjustmentRow, PurchaseRow, SubscriptionRow, TopUpRow};

use std::collections::BTreeMap;

use chrono::TimeDelta;
use sqlx::types::Json;
use uuid::Uuid;

use super::StoreError;
use crate::{
    clock::Timestamp,
    domain::{
        credit::{Balance, Lot, LotPortion, LotSource},
        entry::{Entry, EntryKind},
        reservation::{ReleaseCause, Reservation, ReservationState, Scan},
    },
    ids::{CreditType, IdError, LotId, ProjectId, ReservationId, ScanKindName},
};

/// Checks a stored id.
pub(super) fn id<T>(text: &str, new: fn(&str) -> Result<T, IdError>) -> Result<T, StoreError> {
    new(text).map_err(|error| StoreError::Corrupt(format!("id {text:?} {error}")))
}

/// Checks a stored number of an enum.
pub(super) fn known<T>(value: Option<T>, what: &str, number: i16) -> Result<T, StoreError> {
    value.ok_or_else(|| StoreError::Corrupt(format!("{what} {number}")))
}

pub(super) fn hash(bytes: &[u8]) -> Result<[u8; 32], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Corrupt("a hash is not of 32 bytes".to_owned()))
}

pub(super) fn portions(lot_ids: Vec<Uuid>, credits: Vec<i64>) -> Vec<LotPortion> {
    lot_ids
        .into_iter()
        .zip(credits)
        .map(|(lot_id, credits)| LotPortion { lot_id: LotId(lot_id), credits })
        .collect()
}

/// A row of `balances`.
pub(super) struct BalanceRow {
    pub credit_type: String,
    pub available: i64,
    pub reserved: i64,
    pub spent: i64,
    pub held_scans: i64,
    pub sequence: i64,
    pub last_entry_time: Timestamp,
    pub last_hash: Vec<u8>,
}

impl BalanceRow {
    pub(super) fn decode(self) -> Result<(CreditType, Balance), StoreError> {
        let balance = Balance {
            available: self.available,
            reserved: self.reserved,
            spent: self.spent,
            held_scans: self.held_scans,
            sequence: self.sequence,
            last_entry_time: self.last_entry_time,
            last_hash: hash(&self.last_hash)?,
        };
        Ok((id(&self.credit_type, CreditType::new)?, balance))
    }
}

/// A row of `lots`.
pub(super) struct LotRow {
    pub account_id: String,
    pub lot_id: Uuid,
    pub credit_type: String,
    pub source: i16,
    pub credits: i64,
    pub remaining: i64,
    pub unrecovered: i64,
    pub expire_time: Option<Timestamp>,
    pub create_time: Timestamp,
    pub reference: String,
    pub origin_lot_id: Option<Uuid>,
}

impl LotRow {
    pub(super) fn decode(self) -> Result<Lot, StoreError> {
        Ok(Lot {
            lot_id: LotId(self.lot_id),
            credit_type: id(&self.credit_type, CreditType::new)?,
            source: known(LotSource::from_number(self.source), "lot source", self.source)?,
            reference: self.reference,
            credits: self.credits,
            remaining: self.remaining,
            unrecovered: self.unrecovered,
            expire_time: self.expire_time,
            create_time: self.create_time,
            origin: self.origin_lot_id.map(LotId),
        })
    }
}

/// A row of `reservations`.
pub(super) struct ReservationRow {
    pub account_id: String,
    pub reservation_id: String,
    pub project_id: Option<String>,
    pub scan_kind: String,
    pub credit_type: Option<String>,
    pub state: i16,
    pub release_cause: Option<i16>,
    pub late: bool,
    pub credits: i64,
    pub committed_credits: i64,
    pub sent_credits: i64,
    pub sent_lease_micros: Option<i64>,
    pub create_time: Timestamp,
    pub expire_time: Timestamp,
    pub settle_time: Option<Timestamp>,
    pub labels: Option<Json<BTreeMap<String, String>>>,
    pub lot_ids: Vec<Uuid>,
    pub lot_credits: Vec<i64>,
    pub entries: Vec<i64>,
}

impl ReservationRow {
    pub(super) fn decode(self) -> Result<Reservation, StoreError> {
        let project_id = self.project_id.map(|text| id(&text, ProjectId::new)).transpose()?;
        let release_cause = self
            .release_cause
            .map(|number| known(ReleaseCause::from_number(number), "release cause", number))
            .transpose()?;
        Ok(Reservation {
            reservation_id: id(&self.reservation_id, ReservationId::new)?,
            sent: Scan {
                project_id,
                scan_kind: id(&self.scan_kind, ScanKindName::new)?,
                credits: self.sent_credits,
            },
            sent_lease: self.sent_lease_micros.map(TimeDelta::microseconds),
            credit_type: self.credit_type.map(|text| id(&text, CreditType::new)).transpose()?,
            credits: self.credits,
            committed_credits: self.committed_credits,
            state: known(ReservationState::from_number(self.state), "state", self.state)?,
            create_time: self.create_time,
            expire_time: self.expire_time,
            settle_time: self.settle_time,
            release_cause,
            late: self.late,
            labels: self.labels.map(|labels| labels.0).unwrap_or_default(),
            portions: portions(self.lot_ids, self.lot_credits),
            entries: self.entries,
        })
    }
}

/// A row of `ledger_entries`.
pub(super) struct EntryRow {
    pub credit_type: String,
    pub sequence: i64,
    pub kind: i16,
    pub hash_version: i16,
    pub credits: i64,
    pub available_after: i64,
    pub reserved_after: i64,
    pub spent_after: i64,
    pub create_time: Timestamp,
    pub reservation_id: Option<String>,
    pub reference: String,
    pub actor: String,
    pub hash: Vec<u8>,
    pub lot_ids: Vec<Uuid>,
    pub lot_credits: Vec<i64>,
}

impl EntryRow {
    pub(super) fn decode(self) -> Result<Entry, StoreError> {
        Ok(Entry {
            credit_type: id(&self.credit_type, CreditType::new)?,
            sequence: self.sequence,
            kind: known(EntryKind::from_number(self.kind), "entry kind", self.kind)?,
            credits: self.credits,
            available_after: self.available_after,
            reserved_after: self.reserved_after,
            spent_after: self.spent_after,
            reservation_id: self
                .reservation_id
                .map(|text| id(&text, ReservationId::new))
                .transpose()?,
            reference: self.reference,
            actor: self.actor,
            create_time: self.create_time,
            portions: portions(self.lot_ids, self.lot_credits),
            hash: hash(&self.hash)?,
            hash_version: self.hash_version,
        })
    }
}
