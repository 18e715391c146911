//! Checks of single fields, and what they found.

use std::collections::BTreeMap;

use super::Invalid;
use crate::{
    domain::{catalog_check::Violation, credit::MAX_CREDITS},
    ids::IdError,
};

/// The most violations that are told at once: an answer has to hold them.
const MAX_VIOLATIONS: usize = 100;
const MAX_LABELS: usize = 16;
const MAX_LABEL_KEY_BYTES: usize = 64;
/// The most bytes of a note, a reason, a name or a label's value.
pub(super) const MAX_TEXT_BYTES: usize = 256;
const MAX_EMAIL_BYTES: usize = 320;
const MAX_PROVIDER_ID_BYTES: usize = 128;
/// The one payment provider that there is.
pub(super) const PROVIDER_PADDLE: &str = "paddle";
const DEFAULT_PAGE_SIZE: i64 = 100;
const MAX_PAGE_SIZE: i64 = 1_000;

/// The violations of one request. A check that finds one records it and gives
/// `None`; [`Fields::finish`] makes the result once all checks have run.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<Violation>);

impl Fields {
    /// Records what is wrong with a field.
    pub(super) fn wrong(&mut self, field: &str, description: impl Into<String>) {
        if self.0.len() < MAX_VIOLATIONS {
            let description = description.into();
            self.0.push(Violation { field: field.to_owned(), description });
        }
    }

    /// The value, where nothing was wrong. `make` gives `None` only where a
    /// check did, and that check has recorded why.
    pub(super) fn finish<T>(self, make: impl FnOnce() -> Option<T>) -> Result<T, Invalid> {
        if !self.0.is_empty() {
            return Err(Invalid::Request(self.0));
        }
        make().ok_or(Invalid::Request(self.0))
    }

    /// An id or a name that has to be there.
    pub(super) fn id<T>(
        &mut self,
        field: &str,
        text: &str,
        new: impl FnOnce(&str) -> Result<T, IdError>,
    ) -> Option<T> {
        new(text).map_err(|error| self.wrong(field, error.to_string())).ok()
    }

    /// An id or a name that may be left out.
    pub(super) fn optional_id<T>(
        &mut self,
        field: &str,
        text: &str,
        new: impl FnOnce(&str) -> Result<T, IdError>,
    ) -> Option<T> {
        if text.is_empty() { None } else { self.id(field, text, new) }
    }

    /// A text for people that may be empty, without control characters: it is
    /// shown in lists and logs.
    pub(super) fn text(&mut self, field: &str, text: &str, limit: usize) {
        if text.len() > limit {
            let length = text.len();
            self.wrong(field, format!("has {length} bytes: at most {limit} are allowed"));
        } else if let Some(index) = text.chars().position(char::is_control) {
            let position = index + 1;
            self.wrong(field, format!("has a control character at position {position}"));
        }
    }

    /// A text for people that says something.
    pub(super) fn required_text(&mut self, field: &str, text: &str, limit: usize) {
        if text.trim().is_empty() {
            self.wrong(field, "is required");
        } else {
            self.text(field, text, limit);
        }
    }

    /// An address, or nothing. Whether mail arrives is not for a parser to say.
    pub(super) fn email(&mut self, field: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        let plausible = text.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && !host.is_empty() && !host.contains('@')
        });
        if text.len() > MAX_EMAIL_BYTES {
            self.text(field, text, MAX_EMAIL_BYTES);
        } else if !plausible || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            self.wrong(field, "must be one address, such as \"billing@example.com\", or empty");
        }
    }

    /// One of these providers.
    pub(super) fn provider(&mut self, field: &str, provider: &str, known: &[&str]) {
        if !known.contains(&provider) {
            let names: Vec<String> = known.iter().map(|name| format!("{name:?}")).collect();
            self.wrong(field, format!("must be {}", names.join(" or ")));
        }
    }

    /// An id that a provider chose. What it looks like is the provider's affair.
    pub(super) fn provider_id(&mut self, field: &str, id: &str) {
        let printable = id.bytes().all(|byte| byte.is_ascii_graphic());
        if !(1..=MAX_PROVIDER_ID_BYTES).contains(&id.len()) || !printable {
            let limit = MAX_PROVIDER_ID_BYTES;
            let message = format!("must be 1 to {limit} printable ASCII characters, no spaces");
            self.wrong(field, message);
        }
    }

    /// The same, where it may be left out.
    pub(super) fn optional_provider_id(&mut self, field: &str, id: &str) {
        if !id.is_empty() {
            self.provider_id(field, id);
        }
    }

    /// A number of credits, from `least` to [`MAX_CREDITS`].
    pub(super) fn credits(&mut self, field: &str, credits: i64, least: i64) {
        if !(least..=MAX_CREDITS).contains(&credits) {
            let message = format!("is {credits}: {least} to {MAX_CREDITS} are allowed");
            self.wrong(field, message);
        }
    }

    /// An enum's value by its number; 0 is nothing.
    pub(super) fn choice<T>(
        &mut self,
        field: &str,
        number: i32,
        from_number: impl FnOnce(i16) -> Option<T>,
    ) -> Option<T> {
        if number == 0 {
            self.wrong(field, "is required");
            return None;
        }
        let value = i16::try_from(number).ok().and_then(from_number);
        if value.is_none() {
            self.wrong(field, format!("has no value {number}"));
        }
        value
    }

    /// The caller's labels.
    pub(super) fn labels(&mut self, field: &str, labels: &BTreeMap<String, String>) {
        if labels.len() > MAX_LABELS {
            let pairs = labels.len();
            self.wrong(field, format!("has {pairs} pairs: at most {MAX_LABELS} are allowed"));
            return;
        }
        for (key, value) in labels {
            if key.is_empty() || key.len() > MAX_LABEL_KEY_BYTES {
                let length = key.len();
                let message =
                    format!("has a key of {length} bytes: 1 to {MAX_LABEL_KEY_BYTES} are allowed");
                self.wrong(field, message);
            } else if key.chars().any(char::is_control) {
                self.wrong(field, "has a key with a control character");
            } else {
                self.text(&format!("{field}[{key:?}]"), value, MAX_TEXT_BYTES);
            }
        }
    }

    /// How many items a page is to have.
    pub(super) fn page_size(&mut self, page_size: i32) -> usize {
        if page_size < 0 {
            self.wrong("page_size", format!("is {page_size}: it cannot be negative"));
        }
        let size = if page_size == 0 { DEFAULT_PAGE_SIZE } else { i64::from(page_size) };
        usize::try_from(size.min(MAX_PAGE_SIZE)).unwrap_or(0)
    }
}

/// The one id that a request is about.
pub(in crate::grpc) fn one_id<T>(
    field: &str,
    text: &str,
    new: impl FnOnce(&str) -> Result<T, IdError>,
) -> Result<T, Invalid> {
    let mut fields = Fields::default();
    let id = fields.id(field, text, new);
    fields.finish(|| id)
}
