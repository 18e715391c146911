//! The rows of movements, as they travel: each struct is a composite type of the cell's
//! (migration `0006_rows.sql`), its fields in the type's order.

use std::collections::BTreeMap;

use sqlx::{
    Encode, Postgres, Type,
    postgres::{PgHasArrayType, PgTypeInfo},
    types::Json,
};
use uuid::Uuid;

use super::Change;
use crate::{
    clock::Timestamp,
    domain::{
        credit::{Balance, LotPortion},
        entry::Entry,
        reservation::Reservation,
    },
    ids::AccountId,
};

/// An account that was not read.
#[derive(Encode)]
pub(super) struct KnownAccount<'c> {
    pub(super) account_id: &'c str,
    pub(super) version: i64,
}

/// A project that was not read.
#[derive(Encode)]
pub(super) struct KnownProject<'c> {
    pub(super) account_id: &'c str,
    pub(super) project_id: &'c str,
}

/// A balance that has changed, or begins.
#[derive(Encode)]
pub(super) struct WrittenBalance<'c> {
    account_id: &'c str,
    credit_type: &'c str,
    /// The sequence that was read guards the update.
    expected: i64,
    available: i64,
    reserved: i64,
    spent: i64,
    held_scans: i64,
    sequence: i64,
    last_entry_time: Timestamp,
    last_hash: &'c [u8],
}

/// A lot that was read and has changed.
#[derive(Encode)]
pub(super) struct ChangedLot<'c> {
    account_id: &'c str,
    lot_id: Uuid,
    /// What was read guards the update.
    expected_remaining: i64,
    expected_unrecovered: i64,
    remaining: i64,
    unrecovered: i64,
}

#[derive(Encode)]
pub(super) struct NewReservation<'c> {
    account_id: &'c str,
    reservation_id: &'c str,
    project_id: Option<&'c str>,
    scan_kind: &'c str,
    credit_type: Option<&'c str>,
    state: i16,
    release_cause: Option<i16>,
    late: bool,
    credits: i64,
    committed_credits: i64,
    sent_credits: i64,
    sent_lease_micros: Option<i64>,
    create_time: Timestamp,
    expire_time: Timestamp,
    settle_time: Option<Timestamp>,
    labels: Option<Json<&'c BTreeMap<String, String>>>,
    lot_ids: Vec<Uuid>,
    lot_credits: Vec<i64>,
    entries: &'c [i64],
}

/// A reservation that was read and has changed.
#[derive(Encode)]
pub(super) struct ChangedReservation<'c> {
    account_id: &'c str,
    reservation_id: &'c str,
    /// What was read guards the update.
    expected_state: i16,
    expected_expire_time: Timestamp,
    state: i16,
    release_cause: Option<i16>,
    late: bool,
    committed_credits: i64,
    expire_time: Timestamp,
    settle_time: Option<Timestamp>,
    lot_ids: Vec<Uuid>,
    lot_credits: Vec<i64>,
    entries: &'c [i64],
}

#[derive(Encode)]
pub(super) struct NewEntry<'c> {
    account_id: &'c str,
    credit_type: &'c str,
    sequence: i64,
    kind: i16,
    hash_version: i16,
    credits: i64,
    available_after: i64,
    reserved_after: i64,
    spent_after: i64,
    create_time: Timestamp,
    reservation_id: Option<&'c str>,
    reference: &'c str,
    actor: &'c str,
    hash: &'c [u8],
    lot_ids: Vec<Uuid>,
    lot_credits: Vec<i64>,
}

/// The names of a composite type and of its array.
macro_rules! composite {
    ($row:ident, $name:literal) => {
        impl Type<Postgres> for $row<'_> {
            fn type_info() -> PgTypeInfo {
                PgTypeInfo::with_name($name)
            }
        }

        impl PgHasArrayType for $row<'_> {
            fn array_type_info() -> PgTypeInfo {
                PgTypeInfo::with_name(concat!("_", $name))
            }
        }
    };
}

composite!(KnownAccount, "known_account");
composite!(KnownProject, "known_project");
composite!(WrittenBalance, "written_balance");
composite!(ChangedLot, "changed_lot");
composite!(NewReservation, "new_reservation");
composite!(ChangedReservation, "changed_reservation");
composite!(NewEntry, "new_entry");

impl<'c> WrittenBalance<'c> {
    /// Those that were read and have changed.
    pub(super) fn changed(changes: &[Change<'c>]) -> Vec<Self> {
        let mut rows = Vec::with_capacity(changes.len());
        for (old, new) in changes {
            for (credit_type, balance) in &new.balances {
                let read = old.balances.get(credit_type).filter(|read| *read != balance);
                let account_id = &new.account.account_id;
                rows.extend(read.map(|read| {
                    Self::of(account_id, credit_type.as_str(), read.sequence, balance)
                }));
            }
        }
        rows
    }

    /// Those of an account's first credits of a type.
    pub(super) fn begun(changes: &[Change<'c>]) -> Vec<Self> {
        let mut rows = Vec::new();
        for (old, new) in changes {
            let begun = new.balances.iter().filter(|(of, _)| !old.balances.contains_key(of));
            let account_id = &new.account.account_id;
            rows.extend(begun.map(|(of, balance)| Self::of(account_id, of.as_str(), 0, balance)));
        }
        rows
    }

    fn of(
        account_id: &'c AccountId,
        credit_type: &'c str,
        expected: i64,
        balance: &'c Balance,
    ) -> Self {
        Self {
            account_id: account_id.as_str(),
            credit_type,
            expected,
            available: balance.available,
            reserved: balance.reserved,
            spent: balance.spent,
            held_scans: balance.held_scans,
            sequence: balance.sequence,
            last_entry_time: balance.last_entry_time,
            last_hash: &balance.last_hash,
        }
    }
}

impl<'c> ChangedLot<'c> {
    pub(super) fn of(changes: &[Change<'c>]) -> Vec<Self> {
        let mut rows = Vec::with_capacity(changes.len());
        for (old, new) in changes {
            for (lot_id, lot) in &new.lots {
                let read = old.lots.get(lot_id).filter(|read| *read != lot);
                rows.extend(read.map(|read| Self {
                    account_id: new.account.account_id.as_str(),
                    lot_id: lot_id.0,
                    expected_remaining: read.remaining,
                    expected_unrecovered: read.unrecovered,
                    remaining: lot.remaining,
                    unrecovered: lot.unrecovered,
                }));
            }
        }
        rows
    }
}

impl<'c> NewReservation<'c> {
    pub(super) fn of(changes: &[Change<'c>]) -> Vec<Self> {
        let mut rows = Vec::with_capacity(changes.len());
        for (old, new) in changes {
            let is_new = |made: &&Reservation| !old.reservations.contains_key(&made.reservation_id);
            let made = new.reservations.values().filter(is_new);
            rows.extend(made.map(|made| Self::row(&new.account.account_id, made)));
        }
        rows
    }

    fn row(account_id: &'c AccountId, made: &'c Reservation) -> Self {
        let (lot_ids, lot_credits) = columns(&made.portions);
        Self {
            account_id: account_id.as_str(),
            reservation_id: made.reservation_id.as_str(),
            project_id: made.sent.project_id.as_ref().map(|id| id.as_str()),
            scan_kind: made.sent.scan_kind.as_str(),
            credit_type: made.credit_type.as_ref().map(|of| of.as_str()),
            state: made.state as i16,
            release_cause: made.release_cause.map(|cause| cause as i16),
            late: made.late,
            credits: made.credits,
            committed_credits: made.committed_credits,
            sent_credits: made.sent.credits,
            sent_lease_micros: made.sent_lease.and_then(|lease| lease.num_microseconds()),
            create_time: made.create_time,
            expire_time: made.expire_time,
            settle_time: made.settle_time,
            labels: (!made.labels.is_empty()).then_some(Json(&made.labels)),
            lot_ids,
            lot_credits,
            entries: &made.entries,
        }
    }
}

impl<'c> ChangedReservation<'c> {
    pub(super) fn of(changes: &[Change<'c>]) -> Vec<Self> {
        let mut rows = Vec::new();
        for (old, new) in changes {
            for (id, changed) in &new.reservations {
                let read = old.reservations.get(id).filter(|read| *read != changed);
                rows.extend(read.map(|read| Self::row(&new.account.account_id, read, changed)));
            }
        }
        rows
    }

    fn row(account_id: &'c AccountId, read: &Reservation, changed: &'c Reservation) -> Self {
        let (lot_ids, lot_credits) = columns(&changed.portions);
        Self {
            account_id: account_id.as_str(),
            reservation_id: changed.reservation_id.as_str(),
            expected_state: read.state as i16,
            expected_expire_time: read.expire_time,
            state: changed.state as i16,
            release_cause: changed.release_cause.map(|cause| cause as i16),
            late: changed.late,
            committed_credits: changed.committed_credits,
            expire_time: changed.expire_time,
            settle_time: changed.settle_time,
            lot_ids,
            lot_credits,
            entries: &changed.entries,
        }
    }
}

impl<'c> NewEntry<'c> {
    /// All entries are new.
    pub(super) fn of(changes: &[Change<'c>]) -> Vec<Self> {
        let mut rows = Vec::with_capacity(changes.len());
        for (_, new) in changes {
            rows.extend(new.entries.iter().map(|entry| Self::row(&new.account.account_id, entry)));
        }
        rows
    }

    fn row(account_id: &'c AccountId, entry: &'c Entry) -> Self {
        let (lot_ids, lot_credits) = columns(&entry.portions);
        Self {
            account_id: account_id.as_str(),
            credit_type: entry.credit_type.as_str(),
            sequence: entry.sequence,
            kind: entry.kind as i16,
            hash_version: entry.hash_version,
            credits: entry.credits,
            available_after: entry.available_after,
            reserved_after: entry.reserved_after,
            spent_after: entry.spent_after,
            create_time: entry.create_time,
            reservation_id: entry.reservation_id.as_ref().map(|id| id.as_str()),
            reference: &entry.reference,
            actor: &entry.actor,
            hash: &entry.hash,
            lot_ids,
            lot_credits,
        }
    }
}

fn columns(portions: &[LotPortion]) -> (Vec<Uuid>, Vec<i64>) {
    portions.iter().map(|portion| (portion.lot_id.0, portion.credits)).unzip()
}
