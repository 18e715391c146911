//! The row of the feed: which entries and notices of a batch are worth telling.

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
    pub(super) fn of(changes: &[Change<'_>]) -> Self {
        let mut feed = Self::default();
        for (_, new) in changes {
            // Of one type they follow one another but for those of another type.
            let mut begun = feed.account_ids.len();
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
            feed.time = feed.time.max(new.notices.iter().map(|notice| notice.create_time).max());
            begun = feed.notice_keys.len();
            feed.notice_keys.extend(new.notices.iter().map(|notice| notice.key.clone()));
            let told = feed.notice_keys.len() - begun;
            let account_id = || new.account.account_id.to_string();
            feed.notice_account_ids.extend(std::iter::repeat_with(account_id).take(told));
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
