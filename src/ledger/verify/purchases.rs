//! Payments of a provider, and what they brought, against the ledger; what was
//! taken back of them; and what a lapse has left.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::{
    domain::{
        command::{OperationKey, OperationKind},
        credit::Lot,
        entry::EntryKind,
        payment::Purchase,
    },
    ids::LotId,
    store::queries::{AccountBooks, BookedOperation},
};

pub(super) fn check(
    books: &AccountBooks,
    lots: &BTreeMap<LotId, &Lot>,
    findings: &mut Vec<String>,
) {
    let operations: BTreeMap<&OperationKey, &BookedOperation> =
        books.operations.iter().map(|operation| (&operation.key, operation)).collect();
    // Lines of a payment may share in one lot.
    let mut shared: BTreeMap<&OperationKey, i64> = BTreeMap::new();
    for purchase in &books.purchases {
        let sum = shared.entry(&purchase.key).or_default();
        *sum = sum.saturating_add(purchase.credits);
    }
    for purchase in &books.purchases {
        let credits = shared.get(&purchase.key).copied().unwrap_or(0);
        let operation = operations.get(&purchase.key).copied();
        one(books, purchase, operation, credits, findings);
    }
    taken_back(books, lots, findings);
    lapsed(books, findings);
    if books.account.subscriptions == 0 && !books.subscriptions.is_empty() {
        findings.push("the account has subscriptions, its row says that it never had".to_owned());
    }
}

/// Its payment is known, its operation granted its lot, and no more of it was taken
/// back than there was.
fn one(
    books: &AccountBooks,
    purchase: &Purchase,
    operation: Option<&BookedOperation>,
    credits: i64,
    findings: &mut Vec<String>,
) {
    let Purchase { provider, transaction_id, item_id, credit_type, .. } = purchase;
    let mut say = |what: String| {
        findings.push(format!("purchase {transaction_id}:{item_id} of {credit_type}: {what}"));
    };
    if !books.transactions.contains(&(provider.clone(), transaction_id.clone())) {
        say("its payment has not been completed".to_owned());
    }
    if !operation.is_some_and(|operation| {
        operation.credit_type == *credit_type
            && operation.credits == credits
            && operation.lot_id == Some(purchase.lot_id)
    }) {
        let id = &purchase.key.1;
        say(format!("operation {id} is not its grant of {credits} credits"));
    }
    if purchase.reversed_credits < 0 || purchase.reversed_credits > purchase.credits {
        say(format!("{} of {} were taken back", purchase.reversed_credits, purchase.credits));
    }
}

/// Of each lot, the purchases that it is know how much of it was taken back:
/// reversals, and what was revoked on its return or still is to be, less what was
/// reinstated; of its credits wherever they live on.
fn taken_back(books: &AccountBooks, lots: &BTreeMap<LotId, &Lot>, findings: &mut Vec<String>) {
    let mut taken: BTreeMap<LotId, i64> = BTreeMap::new();
    let mut add = |lot_id: LotId, credits: i64| {
        let sum = taken.entry(lot_id).or_default();
        *sum = sum.saturating_add(credits);
    };
    for lot in lots.values() {
        add(lot.lot_id, lot.unrecovered);
    }
    for entry in &books.entries {
        if entry.kind == EntryKind::Revoke && entry.reservation_id.is_some() {
            for portion in &entry.portions {
                let root = lots.get(&portion.lot_id).map_or(portion.lot_id, |lot| lot.root());
                add(root, portion.credits);
            }
        }
    }
    let mut said: BTreeMap<LotId, i64> = BTreeMap::new();
    for purchase in &books.purchases {
        let sum = said.entry(purchase.lot_id).or_default();
        *sum = sum.saturating_add(purchase.reversed_credits);
    }
    for operation in &books.operations {
        let (kind, id) = &operation.key;
        let credits = match kind {
            OperationKind::Reversal => operation.credits,
            OperationKind::Reinstatement => operation.credits.saturating_neg(),
            _ => continue,
        };
        // Credits may have been reinstated elsewhere: the key names the lot.
        let lot_id = id.as_str().rsplit(':').next().and_then(|text| Uuid::parse_str(text).ok());
        match lot_id.map(LotId) {
            Some(lot_id) if said.contains_key(&lot_id) => add(lot_id, credits),
            _ => findings.push(format!("operation {id}: is a {kind:?} of no purchase")),
        }
    }
    for (lot_id, taken) in taken {
        let said = said.get(&lot_id).copied().unwrap_or(0);
        if taken != said {
            findings.push(format!(
                "lot {lot_id}: {taken} credits were taken back or are owed, its purchases say {said}"
            ));
        }
    }
}

/// No credits outlive the lapse that took them.
fn lapsed(books: &AccountBooks, findings: &mut Vec<String>) {
    let Some(time) = books.account.lapse_time else { return };
    for lot in &books.lots {
        if lot.remaining > 0 && lot.create_time <= time {
            findings.push(format!("lot {}: has credits that lapsed", lot.lot_id));
        }
    }
}
