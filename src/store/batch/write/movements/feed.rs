//! The row of the feed: which entries and notices of a batch are worth telling.

use std::collections::BTreeSet;

use crate::{
    clock::Timestamp,
    domain::{entry::Entry, event::kind_of},
    store::batch::write::Change,
};

/// Entries by ledger, from the first to the last of them, and notices.
#[derive(Default)]
pub(super) struct Feed {
    pub(super) account_ids: Vec<String>,
    pub(super) credit_types: Vec<String>,
    pub(super) first: Vec<i64>,
    pub(super) last: Vec<i64>,
    pub(super) notice_account_ids: Vec<String>,
    pub(super) notice_keys: Vec<String>,
    /// When the last of it happened.
    pub(super) time: Option<Timestamp>,
}

impl Feed {
    /// `news`: accounts and keys of the notices that were not known before: what was told
    /// is not told again.
    pub(super) fn of(changes: &[Change<'_>], mut news: BTreeSet<(String, String)>) -> Self {
        let mut feed = Self::default();
        for (_, new) in changes {
            // Of one type they follow one another but for those of another type.
            let begun = feed.account_ids.len();
            for entry in new.entries.iter().filter(|entry| is_told(entry)) {
                feed.time = feed.time.max(Some(entry.create_time));
                let of_type = feed.credit_types.iter().skip(begun);
                let known = of_type.clone().position(|of| *of == entry.credit_type.as_str());
                match known.and_then(|at| feed.last.get_mut(begun + at)) {
                    Some(last) => *last = entry.sequence,
                    None => {
                        feed.account_ids.push(new.account.account_id.to_string());
                        feed.credit_types.push(entry.credit_type.to_string());
                        feed.first.push(entry.sequence);
                        feed.last.push(entry.sequence);
                    }
                }
            }
            for notice in &new.notices {
                let named = (new.account.account_id.to_string(), notice.key.clone());
                if news.remove(&named) {
                    feed.time = feed.time.max(Some(notice.create_time));
                    feed.notice_account_ids.push(named.0);
                    feed.notice_keys.push(named.1);
                }
            }
        }
        feed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.time.is_none()
    }
}

/// Where a grant came from changes what is told of it, not whether it is.
fn is_told(entry: &Entry) -> bool {
    kind_of(entry.kind, &entry.reference, None).is_some()
}
