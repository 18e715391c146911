//! JSON lines: an object a line, flat, its names those of the columns.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, Visitor},
};

use super::fields::{Column, Fields};

/// What a line says.
pub(super) fn fields(line: &str) -> Result<Fields<'_>, String> {
    let mut reader = serde_json::Deserializer::from_str(line);
    reader.deserialize_map(Object).and_then(|fields| reader.end().map(|()| fields)).map_err(
        |error| {
            // It takes the line for a whole document.
            error.to_string().replace(" at line 1 column ", " at column ")
        },
    )
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        let mut seen = Vec::new();
        while let Some(name) = map.next_key_seed(Text)? {
            let column = Column::named(&name).map_err(A::Error::custom)?;
            if seen.contains(&column) {
                return Err(A::Error::custom(format!("{name} is there twice")));
            }
            seen.push(column);
            fields.set(column, map.next_value_seed(Text)?);
        }
        Ok(fields)
    }
}

/// A value as a CSV file would have it.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Self::Value, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a whole number of at most 64 bits, true, false or null")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value.to_owned()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value.to_string()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(if value { "true" } else { "false" }))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_texts_numbers_and_truths() {
        let line = r#" {"type":"lot","account_id":42,"credits":"5","reason":"a\u00e4\"","source":null,"cancel_at_period_end":true} "#;
        let fields = fields(line).unwrap();
        for (column, wanted) in [
            (Column::Type, Some("lot")),
            (Column::AccountId, Some("42")),
            (Column::Credits, Some("5")),
            (Column::Reason, Some("aä\"")),
            (Column::Source, None),
            (Column::CancelAtPeriodEnd, Some("true")),
            (Column::Plan, None),
        ] {
            assert_eq!(fields.get(column), wanted, "{column:?}");
        }
    }

    #[test]
    fn what_is_no_flat_object_of_known_names_is_an_error() {
        for (line, says) in [
            ("", "EOF"),
            ("[]", "expected an object"),
            ("{\"type\":\"lot\"", "EOF"),
            ("{\"type\":\"lot\"} x", "trailing"),
            ("{\"kind\":\"lot\"}", "no column \"kind\""),
            ("{\"type\":\"lot\",\"type\":\"lot\"}", "type is there twice"),
            ("{\"credits\":1.5}", "expected a text, a whole number"),
            ("{\"credits\":1e3}", "expected a text, a whole number"),
            ("{\"account_id\":123456789012345678901234}", "expected a text, a whole number"),
            ("{\"credits\":{}}", "expected a text, a whole number"),
            ("{\"credits\":[[[[]]]]}", "expected a text, a whole number"),
            ("{\"reason\":\"a\nb\"}", "control character"),
        ] {
            let error = fields(line).unwrap_err();
            assert!(error.contains(says), "{line}: {error}");
            assert!(!error.contains("line 1"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in ".*", jsonish in "[\\[\\]{}\":,a-z0-9.e+-]*") {
            let _ = fields(&line);
            let _ = fields(&jsonish);
        }
    }
}
