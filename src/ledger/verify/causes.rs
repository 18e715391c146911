//! Where credits came from and why they were taken back: each grant and each
//! revocation has exactly one cause, and the cause is real.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::{
        command::{OperationKey, OperationKind},
        credit::{Lot, LotPortion, LotSource},
        entry::{Entry, EntryKind},
        payment::TopUp,
    },
    ids::{CreditType, LotId},
    store::queries::{AccountBooks, BookedOperation},
};

pub(super) fn check(
    books: &AccountBooks,
    by_type: &BTreeMap<&CreditType, Vec<&Entry>>,
    lots: &BTreeMap<LotId, &Lot>,
    findings: &mut Vec<String>,
) {
    entries(books, by_type, lots, findings);
    operations(books, lots, findings);
    top_ups(books, findings);
}

/// Each grant and each revocation has exactly one cause, and each cause its entry:
/// without it, the same request would be carried out a second time.
fn entries(
    books: &AccountBooks,
    by_type: &BTreeMap<&CreditType, Vec<&Entry>>,
    lots: &BTreeMap<LotId, &Lot>,
    findings: &mut Vec<String>,
) {
    let mut causes: BTreeMap<(&CreditType, i64), usize> = BTreeMap::new();
    for operation in &books.operations {
        *causes.entry((&operation.credit_type, operation.sequence)).or_default() += 1;
        let entry = by_type.get(&operation.credit_type).and_then(|entries| {
            let found = entries.binary_search_by_key(&operation.sequence, |e| e.sequence);
            entries.get(found.ok()?)
        });
        let wanted = match operation.key.0 {
            OperationKind::Revocation | OperationKind::Reversal => EntryKind::Revoke,
            OperationKind::Grant
            | OperationKind::TopUp
            | OperationKind::Period
            | OperationKind::Reinstatement
            | OperationKind::Import => EntryKind::Grant,
        };
        // What is taken back may have moved on from the lot that it came in with.
        let is_of = |lot_id: LotId, portion: &LotPortion| {
            portion.lot_id == lot_id
                || (operation.key.0 == OperationKind::Reversal
                    && lots.get(&portion.lot_id).is_some_and(|lot| lot.root() == lot_id))
        };
        let lot_agrees = |entry: &Entry| {
            operation.lot_id.is_none_or(|lot| entry.portions.iter().all(|p| is_of(lot, p)))
        };
        if !entry.is_some_and(|entry| {
            entry.kind == wanted && entry.credits == operation.credits && lot_agrees(entry)
        }) {
            findings.push(format!(
                "operation {}: entry {} of {} is not its {wanted:?} of {} credits",
                operation.key.1, operation.sequence, operation.credit_type, operation.credits
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

/// Behind each cause stands what it says: a purchase that was paid, a period of a
/// subscription, the lot that is taken back from.
fn operations(books: &AccountBooks, lots: &BTreeMap<LotId, &Lot>, findings: &mut Vec<String>) {
    let paid: BTreeSet<_> =
        books.top_ups.iter().filter(|t| t.status.is_paid()).map(|t| &t.top_up_id).collect();
    let purchased: BTreeSet<&OperationKey> = books.purchases.iter().map(|p| &p.key).collect();
    for operation in &books.operations {
        let (kind, id) = &operation.key;
        let mut say = |what: &str| findings.push(format!("operation {id}: {what}"));
        let source = operation.lot_id.and_then(|id| lots.get(&id)).map(|lot| lot.source);
        let (sources, is_real): (&[LotSource], bool) = match kind {
            OperationKind::Revocation => continue,
            OperationKind::Grant => (&[LotSource::Grant], true),
            OperationKind::TopUp => (&[LotSource::TopUp], paid.contains(id)),
            OperationKind::Period => {
                let known = is_known_period(books, operation);
                (&[LotSource::Plan, LotSource::Trial], known || purchased.contains(&operation.key))
            }
            // That it is a purchase's is checked with the purchases.
            OperationKind::Reversal => (&[LotSource::Plan, LotSource::TopUp], true),
            OperationKind::Reinstatement => {
                (&[LotSource::Plan, LotSource::TopUp, LotSource::Restored], true)
            }
            // What it was there, its cause and all, is for the other system to show.
            OperationKind::Import => {
                (&[LotSource::Plan, LotSource::TopUp, LotSource::Trial, LotSource::Grant], true)
            }
        };
        if !is_real {
            say(if *kind == OperationKind::TopUp {
                "granted the credits of a top-up that is not paid"
            } else {
                "granted the credits of a subscription that there is not"
            });
        }
        match source {
            None => say("its lot does not exist"),
            Some(source) if !sources.contains(&source) => {
                say(&format!("is a {kind:?}, its lot is of source {source:?}"));
            }
            Some(_) => {}
        }
    }
}

/// A period's key begins with its subscription and its credit type.
fn is_known_period(books: &AccountBooks, operation: &BookedOperation) -> bool {
    books.subscriptions.iter().any(|subscription| {
        let rest = operation.key.1.as_str().strip_prefix(subscription.subscription_id.as_str());
        let rest = rest.and_then(|rest| rest.strip_prefix(':'));
        let rest = rest.and_then(|rest| rest.strip_prefix(operation.credit_type.as_str()));
        rest.is_some_and(|rest| rest.starts_with(':'))
    })
}

/// What is paid has been granted.
fn top_ups(books: &AccountBooks, findings: &mut Vec<String>) {
    let granted: BTreeMap<_, _> = books
        .operations
        .iter()
        .filter(|operation| operation.key.0 == OperationKind::TopUp)
        .map(|operation| (&operation.key.1, operation))
        .collect();
    for top_up in books.top_ups.iter().filter(|top_up| top_up.status.is_paid()) {
        let TopUp { top_up_id, credit_type, credits, .. } = top_up;
        let mut say = |what: String| findings.push(format!("top-up {top_up_id}: {what}"));
        match granted.get(top_up_id) {
            None => say(format!("is {}, its credits were not granted", top_up.status.name())),
            // What a provider's payment brings is the catalog's to say.
            Some(operation)
                if top_up.is_manual()
                    && (operation.credit_type != *credit_type || operation.credits != *credits) =>
            {
                say(format!(
                    "is of {credits} {credit_type} credits, granted were {} {}",
                    operation.credits, operation.credit_type
                ));
            }
            Some(_) => {}
        }
    }
}
