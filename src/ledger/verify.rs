//! Recomputes an account's books from its entries, and says what does not agree.
//!
//! What must hold, for each credit type: sequences without gaps, times that
//! never run back, a whole hash chain; balance = last entry = sum of the
//! entries; available + reserved + spent = granted - expired - revoked; what
//! the lots have left = available; what held reservations hold = reserved. Each
//! reservation has at most one terminal state and the lots that its entries name.
//! Each grant and each revocation has one cause, which is real: a purchase that is
//! paid, a period of a subscription. Of each purchase as much was taken back as it
//! says, and credits that live on in another lot say which they were of.

mod causes;
mod chain;
mod purchases;
mod settlements;

use std::collections::BTreeMap;

use crate::{
    domain::{
        credit::{Lot, LotSource},
        entry::Entry,
        head::Head,
    },
    ids::{AccountId, CreditType, LotId},
    store::{Cell, StoreError, queries::AccountBooks},
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

/// Reads an account's books and checks them, also against heads of before; `None`
/// where there is no such account. A row that is not understood is a finding: this
/// program has never written one.
///
/// # Errors
///
/// The database is away.
pub async fn read(
    cell: &Cell,
    account_id: &AccountId,
    heads: &[Head],
) -> Result<Option<VerifyReport>, StoreError> {
    match cell.books(account_id).await {
        Ok(None) => Ok(None),
        Ok(Some(books)) => {
            let mut report = check(&books);
            let gone = heads.iter().filter_map(|head| head.missing_from(&books.entries));
            report.findings.extend(gone);
            Ok(Some(report))
        }
        Err(StoreError::Corrupt(what)) => {
            let findings = vec![format!("a row is not understood: {what}")];
            Ok(Some(VerifyReport { entries: 0, findings }))
        }
        Err(error) => Err(error),
    }
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
    let mut remaining: BTreeMap<LotId, i64> = BTreeMap::new();
    for (credit_type, entries) in &by_type {
        chain::check(books, credit_type, entries, &lots, &mut remaining, &mut findings);
    }
    for credit_type in books.balances.keys().filter(|name| !by_type.contains_key(name)) {
        findings.push(format!("{credit_type}: there is a balance and no entry"));
    }
    for lot in &books.lots {
        match remaining.get(&lot.lot_id) {
            None => findings.push(format!("lot {}: nothing brought its credits", lot.lot_id)),
            Some(replayed) if *replayed != lot.remaining => findings.push(format!(
                "lot {}: {} credits remain, the entries leave {replayed}",
                lot.lot_id, lot.remaining
            )),
            Some(_) => {}
        }
        origin(lot, &lots, &mut findings);
    }
    settlements::check(books, &by_type, &mut findings);
    causes::check(books, &by_type, &lots, &mut findings);
    purchases::check(books, &lots, &mut findings);
    if findings.len() > MAX_FINDINGS {
        let more = findings.len() - MAX_FINDINGS;
        findings.truncate(MAX_FINDINGS);
        findings.push(format!("and {more} more"));
    }
    VerifyReport { entries: i64::try_from(books.entries.len()).unwrap_or(i64::MAX), findings }
}

/// Restored credits alone come from elsewhere: from a first lot of their type, and
/// what is owed is noted there.
fn origin(lot: &Lot, lots: &BTreeMap<LotId, &Lot>, findings: &mut Vec<String>) {
    let Some(origin) = lot.origin else { return };
    let is_first = |first: &&Lot| first.origin.is_none() && first.credit_type == lot.credit_type;
    if lot.source != LotSource::Restored || !lots.get(&origin).is_some_and(is_first) {
        findings.push(format!("lot {}: its credits cannot be of lot {origin}", lot.lot_id));
    }
    if lot.unrecovered != 0 {
        findings.push(format!("lot {}: owes what its origin has to", lot.lot_id));
    }
}
