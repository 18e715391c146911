//! The head of a ledger: how far it went at one time, and what vouches for all
//! that was before.

use super::entry::Entry;
use crate::ids::{AccountId, CreditType};

/// The last entry of one account's ledger of one credit type, at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Whose ledger.
    pub account_id: AccountId,
    /// Of which credits.
    pub credit_type: CreditType,
    /// The entry's sequence: at least 1.
    pub sequence: i64,
    /// The entry's hash, which every entry before it is in.
    pub hash: [u8; 32],
}

impl Head {
    /// What is wrong with a ledger that should have come by this head; `None`
    /// where it did. `entries` are those of the head's account, sorted by credit
    /// type and sequence.
    #[must_use]
    pub fn missing_from(&self, entries: &[Entry]) -> Option<String> {
        let Self { credit_type, sequence, .. } = self;
        let key = (credit_type, sequence);
        let found = entries.binary_search_by_key(&key, |e| (&e.credit_type, &e.sequence));
        match found.ok().and_then(|place| entries.get(place)) {
            None => Some(format!("{credit_type} {sequence}: is in the checkpoint, and gone")),
            Some(entry) if entry.hash != self.hash => {
                Some(format!("{credit_type} {sequence}: was another entry at the checkpoint"))
            }
            Some(_) => None,
        }
    }
}
