//! Cursors: where a reader of events goes on. Opaque to callers, and grants nothing.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta};

use crate::{domain::event::EventPlace, ids::AccountId, store::CellId};

/// A place among events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// In the feeds: what of each cell has been told. A cell that is missing was
    /// opened later: nothing of it has.
    Feed(Vec<FeedPlace>),
    /// In one account's list.
    List(AccountId, EventPlace),
}

/// What of a cell's feed has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedPlace {
    /// The cell.
    pub cell_id: CellId,
    /// All rows before this one.
    pub position: i64,
    /// Of this row, all up to the event whose id begins like this; 0 for none.
    pub event: u64,
}

const FEED: u8 = 1;
const LIST: u8 = 2;
/// Longer than any cursor that is made: 99 cells, 18 bytes each.
const MAX_BYTES: usize = 2500;

impl Cursor {
    /// As callers see it.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = Vec::new();
        match self {
            Self::Feed(places) => {
                bytes.push(FEED);
                for place in places {
                    bytes.extend(place.cell_id.to_be_bytes());
                    bytes.extend(place.position.to_be_bytes());
                    bytes.extend(place.event.to_be_bytes());
                }
            }
            Self::List(account_id, place) => {
                bytes.push(LIST);
                bytes.extend(place.time.timestamp_micros().to_be_bytes());
                bytes.extend(place.sequence.to_be_bytes());
                for text in [account_id.as_str(), &place.credit_type, &place.notice_key] {
                    bytes.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
                    bytes.extend(text.as_bytes());
                }
            }
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a caller sends; `None` where it is no cursor.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (form, mut rest) = bytes.split_first()?;
        match *form {
            FEED => {
                let mut places = Vec::new();
                while !rest.is_empty() {
                    places.push(FeedPlace {
                        cell_id: CellId::from_be_bytes(array(&mut rest)?),
                        position: i64::from_be_bytes(array(&mut rest)?),
                        event: u64::from_be_bytes(array(&mut rest)?),
                    });
                }
                let is_sound = |place: &FeedPlace| place.position >= 0;
                places.iter().all(is_sound).then_some(Self::Feed(places))
            }
            LIST => {
                let micros = i64::from_be_bytes(array(&mut rest)?);
                let time = DateTime::from_timestamp_micros(micros)?;
                // A database's times end before chrono's do.
                let far = TimeDelta::days(365 * 8000);
                (time.signed_duration_since(DateTime::UNIX_EPOCH).abs() < far).then_some(())?;
                let sequence = i64::from_be_bytes(array(&mut rest)?);
                let account_id = AccountId::new(&string(&mut rest)?).ok()?;
                let (credit_type, notice_key) = (string(&mut rest)?, string(&mut rest)?);
                let place = EventPlace { time, credit_type, sequence, notice_key };
                rest.is_empty().then_some(Self::List(account_id, place))
            }
            _ => None,
        }
    }
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

/// No zero byte: the database takes none.
fn string(bytes: &mut &[u8]) -> Option<String> {
    let length = u16::from_be_bytes(array(bytes)?);
    let (text, rest) = bytes.split_at_checked(length.into())?;
    *bytes = rest;
    let text = std::str::from_utf8(text).ok()?;
    (!text.contains('\0')).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursors() -> impl Strategy<Value = Cursor> {
        let place = (0i16..99, 0i64.., any::<u64>())
            .prop_map(|(cell_id, position, event)| FeedPlace { cell_id, position, event });
        let feed = prop::collection::vec(place, 0..5).prop_map(Cursor::Feed);
        let list =
            ("[a-z]{1,64}", 0i64..4_000_000_000_000_000, 1i64.., "[a-z]{0,20}", "[a-z:]{0,90}")
                .prop_map(|(account, micros, sequence, credit_type, notice_key)| {
                    let time = DateTime::from_timestamp_micros(micros).unwrap();
                    let place = EventPlace { time, credit_type, sequence, notice_key };
                    Cursor::List(AccountId::new(&account).unwrap(), place)
                });
        prop_oneof![feed, list]
    }

    proptest! {
        #[test]
        fn a_cursor_is_read_as_it_was_written(cursor in cursors()) {
            prop_assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }

        #[test]
        fn anything_else_is_no_cursor_or_another_one_and_no_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..80), text in ".{0,80}"
        ) {
            let _no_panic = Cursor::decode(&text);
            let text = URL_SAFE_NO_PAD.encode(bytes);
            if let Some(cursor) = Cursor::decode(&text) {
                prop_assert_eq!(cursor.encode(), text);
            }
        }
    }
}
