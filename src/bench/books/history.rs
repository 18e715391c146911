//! What accounts did before: reservations that were made and committed, with their
//! ledger entries, decided and hashed by the domain, and loaded by COPY. Years of
//! it are there in minutes.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write},
};

use chrono::TimeDelta;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{SCAN_KIND, broken, halted};
use crate::{
    bench::BenchError,
    domain::{
        account::AccountState,
        catalog::Catalog,
        command::{Action, Command, Reserve},
        context::Context,
        credit::LotPortion,
        decide::decide,
        entry::Entry,
        reservation::{Reservation, Scan},
    },
    ids::{LotId, ReservationId, ScanKindName},
};

/// How long an account waits from one scan to the next.
const PAUSE: TimeDelta = TimeDelta::minutes(10);
/// How long a scan takes.
const SCAN: TimeDelta = TimeDelta::minutes(1);
/// Bytes of rows that are loaded at once.
const LARGE: usize = 32 << 20;
/// NULL, as COPY spells it.
const NULL: &str = "\\N";

/// How long it takes an account to make and commit so many reservations.
pub(super) fn duration(count: u64) -> TimeDelta {
    (PAUSE + SCAN) * i32::try_from(count).unwrap_or(i32::MAX)
}

/// Rows of some accounts, as COPY reads them.
#[derive(Debug, Default)]
pub(super) struct History {
    reservations: String,
    entries: String,
}

impl History {
    /// Lets an account make and commit so many reservations, from its grant on.
    /// Balance and lots are left in its state; reservations and entries are taken
    /// out of it, that of the grant too.
    pub(super) fn live(
        &mut self,
        state: &mut AccountState,
        count: u64,
        catalog: &Catalog,
    ) -> Result<(), BenchError> {
        let scan_kind = ScanKindName::new(SCAN_KIND).map_err(broken)?;
        let mut time = state.account.create_time;
        for _ in 0..count {
            let reservation_id = ReservationId::new(&Uuid::now_v7().to_string()).map_err(broken)?;
            let reserve = Reserve {
                reservation_id: reservation_id.clone(),
                scan: Scan { project_id: None, scan_kind: scan_kind.clone(), credits: 0 },
                lease: None,
                labels: BTreeMap::new(),
            };
            let commit = Action::Commit { reservation_id, credits: None };
            for (action, pause) in [(Action::Reserve(reserve), PAUSE), (commit, SCAN)] {
                time += pause;
                let context = Context { now: time, catalog, new_lot_id: LotId::generate };
                let account_id = state.account.account_id.clone();
                let command = Command { account_id, actor: "bench".to_owned(), action };
                decide(state, &command, &context).map_err(halted)?;
            }
            for (_, reservation) in std::mem::take(&mut state.reservations) {
                self.reservation(state, &reservation);
            }
        }
        for entry in std::mem::take(&mut state.entries) {
            self.entry(state, &entry);
        }
        Ok(())
    }

    fn reservation(&mut self, state: &AccountState, made: &Reservation) {
        row(
            &mut self.reservations,
            &[
                &state.account.account_id,
                &made.reservation_id,
                &made.sent.scan_kind,
                &or_null(made.credit_type.as_ref()),
                &(made.state as i16),
                &made.late,
                &made.credits,
                &made.committed_credits,
                &made.sent.credits,
                &made.create_time.to_rfc3339(),
                &made.expire_time.to_rfc3339(),
                &or_null(made.settle_time.map(|time| time.to_rfc3339())),
                &array(made.portions.iter().map(|portion| portion.lot_id.0)),
                &array(made.portions.iter().map(|portion| portion.credits)),
                &array(made.entries.iter()),
            ],
        );
    }

    fn entry(&mut self, state: &AccountState, entry: &Entry) {
        let mut hash = String::from("\\\\x");
        for byte in entry.hash {
            // Writing to a String cannot fail.
            let _ = write!(hash, "{byte:02x}");
        }
        let portions: &[LotPortion] = &entry.portions;
        row(
            &mut self.entries,
            &[
                &state.account.account_id,
                &entry.credit_type,
                &entry.sequence,
                &(entry.kind as i16),
                &entry.hash_version,
                &entry.credits,
                &entry.available_after,
                &entry.reserved_after,
                &entry.spent_after,
                &entry.create_time.to_rfc3339(),
                &or_null(entry.reservation_id.as_ref()),
                &entry.reference,
                &entry.actor,
                &hash,
                &array(portions.iter().map(|portion| portion.lot_id.0)),
                &array(portions.iter().map(|portion| portion.credits)),
            ],
        );
    }

    /// Loads what there is, and forgets it, before it takes too much memory.
    pub(super) async fn copy_if_large(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<(), BenchError> {
        if self.reservations.len() + self.entries.len() < LARGE {
            return Ok(());
        }
        self.copy(connection).await
    }

    /// Loads what there is, and forgets it.
    pub(super) async fn copy(&mut self, connection: &mut PgConnection) -> Result<(), BenchError> {
        let reservations = "COPY reservations (account_id, reservation_id, scan_kind, credit_type,
            state, late, credits, committed_credits, sent_credits, create_time, expire_time,
            settle_time, lot_ids, lot_credits, entries) FROM STDIN";
        let entries = "COPY ledger_entries (account_id, credit_type, sequence, kind, hash_version,
            credits, available_after, reserved_after, spent_after, create_time, reservation_id,
            reference, actor, hash, lot_ids, lot_credits) FROM STDIN";
        for (statement, rows) in
            [(reservations, &mut self.reservations), (entries, &mut self.entries)]
        {
            let mut copy = connection.copy_in_raw(statement).await?;
            copy.send(std::mem::take(rows).into_bytes()).await?;
            copy.finish().await?;
        }
        Ok(())
    }
}

/// A line of COPY's text format. None of our values has a character to escape.
fn row(text: &mut String, columns: &[&dyn Display]) {
    for (place, column) in columns.iter().enumerate() {
        let _ = write!(text, "{}{column}", if place == 0 { "" } else { "\t" });
    }
    text.push('\n');
}

fn or_null(value: Option<impl Display>) -> String {
    value.map_or_else(|| NULL.to_owned(), |value| value.to_string())
}

fn array<T: Display>(values: impl Iterator<Item = T>) -> String {
    let values: Vec<String> = values.map(|value| value.to_string()).collect();
    format!("{{{}}}", values.join(","))
}
