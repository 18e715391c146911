//! One credit type's entries, followed from the first, against the balance and the
//! lots that are stored.

use std::collections::BTreeMap;

use crate::{
    domain::{
        credit::{Balance, Lot},
        entry::Entry,
        replay::replay,
    },
    ids::{CreditType, LotId},
    store::queries::AccountBooks,
};

/// `remaining` is what the entries leave in each lot, nothing where none has
/// touched it.
pub(super) fn check(
    books: &AccountBooks,
    credit_type: &CreditType,
    entries: &[&Entry],
    lots: &BTreeMap<LotId, &Lot>,
    remaining: &mut BTreeMap<LotId, i64>,
    findings: &mut Vec<String>,
) {
    let account_id = &books.account.account_id;
    let balance = replay(account_id, credit_type, entries, lots, remaining, findings);
    match books.balances.get(credit_type) {
        None => findings.push(format!("{credit_type}: there are entries and no balance")),
        Some(stored) => {
            let held_scans = stored.held_scans;
            if *stored != (Balance { held_scans, ..balance.clone() }) {
                findings.push(format!(
                    "{credit_type}: the balance is {}/{}/{} at {}, the last entry leaves {}/{}/{} at {}",
                    stored.available,
                    stored.reserved,
                    stored.spent,
                    stored.sequence,
                    balance.available,
                    balance.reserved,
                    balance.spent,
                    balance.sequence
                ));
            }
            let open: i64 = books
                .lots
                .iter()
                .filter(|lot| lot.credit_type == *credit_type)
                .fold(0, |sum, lot| sum.saturating_add(lot.remaining));
            if open != stored.available {
                findings.push(format!(
                    "{credit_type}: {} credits are available, the lots have {open}",
                    stored.available
                ));
            }
        }
    }
}
