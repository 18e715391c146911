//! Checks of single values, and what they found.

use chrono::{DateTime, Datelike, Utc};

use super::fields::{Column, Fields};
use crate::{clock::Timestamp, domain::credit::MAX_CREDITS, ids::IdError};

const MAX_EMAIL_BYTES: usize = 320;
/// The years that a time may be of, as on the wire.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=9999;

/// The values of one line. A check that finds something wrong records it and
/// gives `None`; [`Values::finish`] makes the result once all checks have run.
#[derive(Debug)]
pub(super) struct Values<'f> {
    fields: &'f Fields<'f>,
    taken: Vec<Column>,
    wrong: Vec<String>,
}

impl<'f> Values<'f> {
    pub(super) fn new(fields: &'f Fields<'f>) -> Self {
        Self { fields, taken: Vec::with_capacity(Column::ALL.len()), wrong: Vec::new() }
    }

    /// Records what is wrong with a value.
    pub(super) fn wrong(&mut self, column: Column, what: impl AsRef<str>) {
        self.wrong.push(format!("{} {}", column.name(), what.as_ref()));
    }

    /// The result, where nothing was wrong. A value that nobody asked for is: it
    /// would be dropped in silence.
    pub(super) fn finish<T>(mut self, made: Option<T>) -> Result<T, String> {
        let kind = self.fields.get(Column::Type).unwrap_or_default();
        let stray = self.fields.present().filter(|column| !self.taken.contains(column));
        let stray: Vec<String> =
            stray.map(|column| format!("{} is not for type {kind}", column.name())).collect();
        self.wrong.extend(stray);
        made.filter(|_| self.wrong.is_empty()).ok_or_else(|| self.wrong.join("; "))
    }

    /// A value as it stands there.
    pub(super) fn given(&mut self, column: Column) -> Option<&'f str> {
        self.taken.push(column);
        self.fields.get(column)
    }

    fn required(&mut self, column: Column) -> Option<&'f str> {
        let value = self.given(column);
        if value.is_none() {
            self.wrong(column, "is required");
        }
        value
    }

    /// An id or a name that has to be there.
    pub(super) fn id<T>(
        &mut self,
        column: Column,
        new: impl FnOnce(&str) -> Result<T, IdError>,
    ) -> Option<T> {
        let text = self.required(column)?;
        new(text).map_err(|error| self.wrong(column, error.to_string())).ok()
    }

    /// A text for people that may be left out, without control characters: it is
    /// shown in lists and logs.
    pub(super) fn text(&mut self, column: Column, limit: usize) -> Option<&'f str> {
        let text = self.given(column).unwrap_or_default();
        if text.len() > limit {
            let length = text.len();
            self.wrong(column, format!("has {length} bytes: at most {limit} are allowed"));
            return None;
        }
        if let Some(index) = text.chars().position(char::is_control) {
            self.wrong(column, format!("has a control character at position {}", index + 1));
            return None;
        }
        Some(text)
    }

    /// An address, or nothing.
    pub(super) fn email(&mut self, column: Column) -> Option<String> {
        let text = self.text(column, MAX_EMAIL_BYTES)?;
        let plausible = text.is_empty()
            || text.split_once('@').is_some_and(|(name, host)| {
                !name.is_empty() && !host.is_empty() && !host.contains('@')
            });
        if !plausible || text.chars().any(char::is_whitespace) {
            self.wrong(column, "must be one address, such as billing@example.com, or empty");
            return None;
        }
        Some(text.to_owned())
    }

    /// A number of credits, at least 1.
    pub(super) fn credits(&mut self, column: Column) -> Option<i64> {
        let text = self.required(column)?;
        let credits = text.parse().ok().filter(|credits| (1..=MAX_CREDITS).contains(credits));
        if credits.is_none() {
            let message = format!("is {text:?}: whole numbers from 1 to {MAX_CREDITS} are allowed");
            self.wrong(column, message);
        }
        credits
    }

    /// One of some words that has to be there.
    pub(super) fn choice<T: Copy>(&mut self, column: Column, words: &[(&str, T)]) -> Option<T> {
        let text = self.required(column)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(column, format!("is {text:?}: it may be {}", words.join(", ")));
        }
        found
    }

    /// A time that may be left out: the inner `None`.
    #[expect(clippy::option_option, reason = "wrong and left out are not the same")]
    pub(super) fn time(&mut self, column: Column) -> Option<Option<Timestamp>> {
        let Some(text) = self.given(column) else { return Some(None) };
        // In the microseconds that are stored: the same line again has to be the
        // same time.
        let time = DateTime::parse_from_rfc3339(text)
            .ok()
            .and_then(|time| DateTime::<Utc>::from_timestamp_micros(time.timestamp_micros()))
            .filter(|time| YEARS.contains(&time.year()));
        if time.is_none() {
            let message = format!(
                "is {text:?}: a time is such as 2026-01-31T12:00:00Z, of the years {} to {}",
                YEARS.start(),
                YEARS.end()
            );
            self.wrong(column, message);
        }
        time.map(Some)
    }

    /// A time that has to be there.
    pub(super) fn required_time(&mut self, column: Column) -> Option<Timestamp> {
        match self.time(column)? {
            None => {
                self.wrong(column, "is required");
                None
            }
            time => time,
        }
    }
}
