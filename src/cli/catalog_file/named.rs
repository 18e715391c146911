//! Tables of named things: in the file's order, no name twice.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};

/// What a table of named things holds. Not a map: YAML would let the second
/// of two entries of one name silently win, and maps lose the file's order.
#[derive(Debug)]
pub(super) struct Named<T, K = String>(pub(super) Vec<(K, T)>);

impl<T, K> Default for Named<T, K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T, K> Deserialize<'de> for Named<T, K>
where
    T: Deserialize<'de>,
    K: Deserialize<'de> + PartialEq + fmt::Display,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamedVisitor(PhantomData))
    }
}

struct NamedVisitor<T, K>(PhantomData<(T, K)>);

impl<'de, T, K> Visitor<'de> for NamedVisitor<T, K>
where
    T: Deserialize<'de>,
    K: Deserialize<'de> + PartialEq + fmt::Display,
{
    type Value = Named<T, K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries: Vec<(K, T)> = Vec::new();
        while let Some(name) = map.next_key::<K>()? {
            if entries.iter().any(|(other, _)| *other == name) {
                return Err(A::Error::custom(format!("`{name}` is there twice")));
            }
            let value = map.next_value()?;
            entries.push((name, value));
        }
        Ok(Named(entries))
    }
}
