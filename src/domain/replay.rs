//! Follows one credit type's entries from the first: sequence, time, sums, lots,
//! hashes. Sums saturate: books that somebody has tampered with may hold any number.

use std::collections::BTreeMap;

use super::{
    credit::{Balance, Lot, LotPortion, LotSource, total},
    entry::{Entry, EntryKind, HASH_VERSION},
};
use crate::ids::{AccountId, CreditType, LotId};

/// Follows the entries and gives the balance that they lead to. `remaining` is what
/// they leave in each lot, nothing where none has touched it yet.
pub fn replay(
    account_id: &AccountId,
    credit_type: &CreditType,
    entries: &[&Entry],
    lots: &BTreeMap<LotId, &Lot>,
    remaining: &mut BTreeMap<LotId, i64>,
    findings: &mut Vec<String>,
) -> Balance {
    let mut balance = Balance::EMPTY;
    let mut made: i64 = 0;
    for entry in entries {
        let mut say =
            |what: String| findings.push(format!("{credit_type} {}: {what}", entry.sequence));
        if entry.sequence != balance.sequence.saturating_add(1) {
            say(format!("follows entry {}", balance.sequence));
        }
        if entry.create_time < balance.last_entry_time {
            say("is older than the entry before it".to_owned());
        }
        if total(&entry.portions) != entry.credits {
            say(format!(
                "moves {} credits, its portions {}",
                entry.credits,
                total(&entry.portions)
            ));
        }
        let effect = entry.kind.effect();
        let credits = entry.credits;
        let after = (
            balance.available.saturating_add(effect.available.saturating_mul(credits)),
            balance.reserved.saturating_add(effect.reserved.saturating_mul(credits)),
            balance.spent.saturating_add(effect.spent.saturating_mul(credits)),
        );
        if after != (entry.available_after, entry.reserved_after, entry.spent_after) {
            say(format!(
                "leaves {}/{}/{}, the entries add up to {}/{}/{}",
                entry.available_after,
                entry.reserved_after,
                entry.spent_after,
                after.0,
                after.1,
                after.2
            ));
        }
        if after.0 < 0 || after.1 < 0 || after.2 < 0 {
            say("leaves less than nothing".to_owned());
        }
        made = match entry.kind {
            EntryKind::Grant => made.saturating_add(credits),
            EntryKind::LotExpire | EntryKind::Revoke => made.saturating_sub(credits),
            _ => made,
        };
        for portion in &entry.portions {
            let Some(lot) = lots.get(&portion.lot_id) else {
                say(format!("lot {} does not exist", portion.lot_id));
                continue;
            };
            if lot.credit_type != *credit_type {
                say(format!("lot {} is of type {}", portion.lot_id, lot.credit_type));
            }
            let before = remaining.get(&portion.lot_id).copied();
            let moved = effect.available.saturating_mul(portion.credits);
            let left = before.unwrap_or(0).saturating_add(moved);
            remaining.insert(portion.lot_id, left);
            if left < 0 || left > lot.credits {
                say(format!("leaves {left} of {} credits in lot {}", lot.credits, portion.lot_id));
            }
            // A lot is filled at once: by its grant, a restored one by what returned.
            let fills = entry.kind == EntryKind::Grant || lot.source == LotSource::Restored;
            if before.is_none() && (left != lot.credits || !fills) {
                let kind = entry.kind;
                say(format!(
                    "fills lot {} with {left} of {} by a {kind:?}",
                    portion.lot_id, lot.credits
                ));
            }
        }
        if !(1..=HASH_VERSION).contains(&entry.hash_version) {
            say(format!("has hash version {}", entry.hash_version));
        }
        let lot_of = |id: &LotPortion| lots.get(&id.lot_id).copied();
        let hash = entry.compute_hash(account_id, &balance.last_hash, lot_of);
        if hash != entry.hash {
            say("its hash does not match what it says and the hash before it".to_owned());
        }
        balance = entry.balance_after();
    }
    let sum = balance.available.saturating_add(balance.reserved).saturating_add(balance.spent);
    if sum != made {
        findings.push(format!("{credit_type}: has {sum} credits, was given {made}"));
    }
    balance
}
