//! Recomputes an account's books from its entries, and says what does not agree.
//!
//! What must hold, for each credit type: sequences without gaps, times that
//! never run back, a whole hash chain; balance = last entry = sum of the
//! entries; available + reserved + spent = granted - expired - revoked; what
//! the lots have left = available; what held reservations hold = reserved. Each
//! reservation has at most one terminal state and the lots that its entries name,
//! and each grant and each revocation one cause.

mod chain;
mod settlements;

use std::collections::BTreeMap;

use crate::{
    domain::{
        command::OperationKind,
        credit::Lot,
        entry::{Entry, EntryKind},
    },
    ids::{CreditType, LotId},
    store::queries::AccountBooks,
};

/// The most findings that a report lists: books that are wrong throughout would
/// fill a response.
const MAX_FINDINGS: usize = 1_000;

/// What a check of an account's books found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Ledger entries read.
    pub entries: i64,
    /// What is wrong, for people; empty where all holds.
    pub findings: Vec<String>,
}

/// Checks an account's books.
#[must_use]
pub fn check(books: &AccountBooks) -> VerifyReport {
    let mut findings = Vec::new();
    let lots: BTreeMap<LotId, &Lot> = books.lots.iter().map(|lot| (lot.lot_id, lot)).collect();
    let mut by_type: BTreeMap<&CreditType, Vec<&Entry>> = BTreeMap::new();
    for entry in &books.entries {
        by_type.entry(&entry.credit_type).or_default().push(entry);
    }
    let mut remaining: BTreeMap<LotId, i64> = lots.keys().map(|lot_id| (*lot_id, 0)).collect();
    for (credit_type, entries) in &by_type {
        chain::check(books, credit_type, entries, &lots, &mut remaining, &mut findings);
    }
    for credit_type in books.balances.keys().filter(|name| !by_type.contains_key(name)) {
        findings.push(format!("{credit_type}: there is a balance and no entry"));
    }
    for lot in &books.lots {
        let replayed = remaining.get(&lot.lot_id).copied().unwrap_or(0);
        if lot.remaining != replayed {
            findings.push(format!(
                "lot {}: {} credits remain, the entries leave {replayed}",
                lot.lot_id, lot.remaining
            ));
        }
    }
    settlements::check(books, &by_type, &mut findings);
    causes(books, &by_type, &mut findings);
    if findings.len() > MAX_FINDINGS {
        let more = findings.len() - MAX_FINDINGS;
        findings.truncate(MAX_FINDINGS);
        findings.push(format!("and {more} more"));
    }
    VerifyReport { entries: i64::try_from(books.entries.len()).unwrap_or(i64::MAX), findings }
}

/// Each grant and each revocation has exactly one cause, and each cause its entry:
/// without it, the same request would be carried out a second time.
fn causes(
    books: &AccountBooks,
    by_type: &BTreeMap<&CreditType, Vec<&Entry>>,
    findings: &mut Vec<String>,
) {
    let mut causes: BTreeMap<(&CreditType, i64), usize> = BTreeMap::new();
    for operation in &books.operations {
        *causes.entry((&operation.credit_type, operation.sequence)).or_default() += 1;
        let entry = by_type.get(&operation.credit_type).and_then(|entries| {
            let found = entries.binary_search_by_key(&operation.sequence, |e| e.sequence);
            entries.get(found.ok()?)
        });
        let wanted = match operation.kind {
            OperationKind::Revocation | OperationKind::Reversal => EntryKind::Revoke,
            OperationKind::Grant
            | OperationKind::TopUp
            | OperationKind::Period
            | OperationKind::Reinstatement => EntryKind::Grant,
        };
        let lot_agrees = |entry: &Entry| {
            operation.lot_id.is_none_or(|lot| entry.portions.iter().all(|p| p.lot_id == lot))
        };
        if !entry.is_some_and(|entry| {
            entry.kind == wanted && entry.credits == operation.credits && lot_agrees(entry)
        }) {
            findings.push(format!(
                "operation {}: entry {} of {} is not its {wanted:?} of {} credits",
                operation.operation_id,
                operation.sequence,
                operation.credit_type,
                operation.credits
            ));
        }
    }
    for (credit_type, entries) in by_type {
        // What is revoked on its way back to a lot has its reservation for a cause.
        let caused = entries.iter().filter(|entry| match entry.kind {
            EntryKind::Grant => true,
            EntryKind::Revoke => entry.reservation_id.is_none(),
            _ => false,
        });
        for entry in caused {
            let count = causes.get(&(*credit_type, entry.sequence)).copied().unwrap_or(0);
            if count != 1 {
                let Entry { sequence, kind, .. } = entry;
                findings.push(format!("{credit_type} {sequence}: a {kind:?} with {count} causes"));
            }
        }
    }
}
