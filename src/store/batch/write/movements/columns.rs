//! The rows of movements, column by column.

use uuid::Uuid;

use crate::{
    clock::Timestamp,
    domain::{account::AccountState, reservation::Reservation},
    store::batch::write::{
        Change,
        columns::{Portions, Ragged},
    },
};

/// Lots that were read and have changed.
#[derive(Default)]
pub(super) struct Lots {
    pub(super) account_ids: Vec<String>,
    pub(super) lot_ids: Vec<Uuid>,
    /// What was read guards the update.
    pub(super) expected: Vec<i64>,
    pub(super) expected_unrecovered: Vec<i64>,
    pub(super) remaining: Vec<i64>,
    pub(super) unrecovered: Vec<i64>,
}

impl Lots {
    pub(super) fn changed(changes: &[Change<'_>]) -> Self {
        let mut columns = Self::default();
        for (old, new) in changes {
            for (lot_id, lot) in &new.lots {
                let Some(read) = old.lots.get(lot_id).filter(|read| *read != lot) else { continue };
                columns.account_ids.push(account_id(new));
                columns.lot_ids.push(lot_id.0);
                columns.expected.push(read.remaining);
                columns.expected_unrecovered.push(read.unrecovered);
                columns.remaining.push(lot.remaining);
                columns.unrecovered.push(lot.unrecovered);
            }
        }
        columns
    }
}

/// Reservations that are new.
#[derive(Default)]
pub(super) struct Reservations {
    pub(super) account_ids: Vec<String>,
    pub(super) reservation_ids: Vec<String>,
    pub(super) projects: Vec<Option<String>>,
    pub(super) kinds: Vec<String>,
    pub(super) credit_types: Vec<Option<String>>,
    pub(super) states: Vec<i16>,
    pub(super) causes: Vec<Option<i16>>,
    pub(super) late: Vec<bool>,
    pub(super) credits: Vec<i64>,
    pub(super) committed: Vec<i64>,
    pub(super) sent_credits: Vec<i64>,
    pub(super) sent_leases: Vec<Option<i64>>,
    pub(super) create_times: Vec<Timestamp>,
    pub(super) expire_times: Vec<Timestamp>,
    pub(super) settle_times: Vec<Option<Timestamp>>,
    pub(super) labels: Vec<Option<serde_json::Value>>,
    pub(super) lots: Portions,
    pub(super) entries: Ragged,
}

impl Reservations {
    pub(super) fn made(changes: &[Change<'_>]) -> Self {
        let mut columns = Self::default();
        for (old, new) in changes {
            let is_new = |r: &&Reservation| !old.reservations.contains_key(&r.reservation_id);
            for reservation in new.reservations.values().filter(is_new) {
                columns.push(account_id(new), reservation);
            }
        }
        columns
    }

    fn push(&mut self, account_id: String, made: &Reservation) {
        self.account_ids.push(account_id);
        self.reservation_ids.push(made.reservation_id.to_string());
        self.projects.push(made.sent.project_id.as_ref().map(ToString::to_string));
        self.kinds.push(made.sent.scan_kind.to_string());
        self.credit_types.push(made.credit_type.as_ref().map(ToString::to_string));
        self.states.push(made.state as i16);
        self.causes.push(made.release_cause.map(|cause| cause as i16));
        self.late.push(made.late);
        self.credits.push(made.credits);
        self.committed.push(made.committed_credits);
        self.sent_credits.push(made.sent.credits);
        self.sent_leases.push(made.sent_lease.and_then(|lease| lease.num_microseconds()));
        self.create_times.push(made.create_time);
        self.expire_times.push(made.expire_time);
        self.settle_times.push(made.settle_time);
        let labels = (!made.labels.is_empty()).then(|| serde_json::json!(made.labels));
        self.labels.push(labels);
        self.lots.push(&made.portions);
        self.entries.push(&made.entries);
    }
}

/// Ledger entries: all are new.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) account_ids: Vec<String>,
    pub(super) credit_types: Vec<String>,
    pub(super) sequences: Vec<i64>,
    pub(super) kinds: Vec<i16>,
    pub(super) versions: Vec<i16>,
    pub(super) credits: Vec<i64>,
    pub(super) available: Vec<i64>,
    pub(super) reserved: Vec<i64>,
    pub(super) spent: Vec<i64>,
    pub(super) times: Vec<Timestamp>,
    pub(super) reservations: Vec<Option<String>>,
    pub(super) references: Vec<String>,
    pub(super) actors: Vec<String>,
    /// End to end.
    pub(super) hashes: Vec<u8>,
    pub(super) lots: Portions,
}

impl Entries {
    pub(super) fn made(changes: &[Change<'_>]) -> Self {
        let mut columns = Self::default();
        for (_, new) in changes {
            for entry in &new.entries {
                columns.account_ids.push(account_id(new));
                columns.credit_types.push(entry.credit_type.to_string());
                columns.sequences.push(entry.sequence);
                columns.kinds.push(entry.kind as i16);
                columns.versions.push(entry.hash_version);
                columns.credits.push(entry.credits);
                columns.available.push(entry.available_after);
                columns.reserved.push(entry.reserved_after);
                columns.spent.push(entry.spent_after);
                columns.times.push(entry.create_time);
                columns.reservations.push(entry.reservation_id.as_ref().map(ToString::to_string));
                columns.references.push(entry.reference.clone());
                columns.actors.push(entry.actor.clone());
                columns.hashes.extend_from_slice(&entry.hash);
                columns.lots.push(&entry.portions);
            }
        }
        columns
    }
}

fn account_id(state: &AccountState) -> String {
    state.account.account_id.to_string()
}
