//! Pages of lists, and the tokens that name the next one.
//!
//! A token says where in a list to go on, and grants nothing: whose list it is
//! stands in the request, which is checked like any other. It is the base64url
//! of a version byte, 8 bytes of a hash of the list (the method and all its
//! filters, not the page size), and the key of the last item that was sent.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::decode::{Invalid, time_in_range};
use crate::{
    billing::TopUpKey,
    clock::Timestamp,
    domain::event::EventPlace,
    ids::{AccountId, CreditType, LotId, OperationId, ReservationId},
    ledger::{LotKey, ReservationKey},
};

const VERSION: u8 = 1;
const HASH_BYTES: usize = 8;
/// Longer than any token that is made: the largest key has an id of 256 bytes, with
/// a word before and a time behind it.
const MAX_TOKEN_BYTES: usize = 600;
/// A page ends early where its items would fill a response: a caller gets on,
/// whatever the items' size.
const MAX_PAGE_BYTES: usize = super::MAX_RESPONSE_BYTES - (64 << 10);

/// What makes one list differ from another.
#[derive(Debug)]
pub(super) struct List(Sha256);

impl List {
    /// A list of this method.
    pub(super) fn of(method: &str) -> Self {
        Self(Sha256::new()).text(method)
    }

    /// A filter.
    #[must_use]
    pub(super) fn text(mut self, text: &str) -> Self {
        // With its length, or ("ab", "c") would be ("a", "bc").
        self.0.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.update(text.as_bytes());
        self
    }

    /// A filter, absent or not.
    #[must_use]
    pub(super) fn number(mut self, number: Option<i64>) -> Self {
        self.0.update([u8::from(number.is_some())]);
        self.0.update(number.unwrap_or(0).to_be_bytes());
        self
    }

    fn hash(&self) -> [u8; HASH_BYTES] {
        let digest: [u8; 32] = self.0.clone().finalize().into();
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(&digest[..HASH_BYTES]);
        hash
    }

    /// The token that goes on after `key`.
    pub(super) fn token(&self, key: &impl Key) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.hash());
        key.write(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The key of a token; `None` for the first page.
    pub(super) fn key<K: Key>(&self, token: &str) -> Result<Option<K>, Invalid> {
        if token.is_empty() {
            return Ok(None);
        }
        self.parse(token).map(Some).ok_or(Invalid::PageToken)
    }

    fn parse<K: Key>(&self, token: &str) -> Option<K> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let mut reader = Reader(&bytes);
        let [version] = reader.array()?;
        let hash: [u8; HASH_BYTES] = reader.array()?;
        if version != VERSION || hash != self.hash() {
            return None;
        }
        let key = K::read(&mut reader)?;
        reader.0.is_empty().then_some(key)
    }

    /// Cuts a page out of what was read, which is one item more than wanted if
    /// there is a next page, and gives that page's token, or an empty one.
    pub(super) fn page<T, M: Message, K: Key>(
        &self,
        rows: Vec<T>,
        size: usize,
        key: impl Fn(&T) -> K,
        encode: impl Fn(T) -> M,
    ) -> (Vec<M>, String) {
        let more = rows.len() > size;
        let (mut page, mut last, mut bytes) = (Vec::new(), None, 0);
        for row in rows.into_iter().take(size) {
            let row_key = key(&row);
            let message = encode(row);
            bytes += message.encoded_len() + 8;
            if bytes > MAX_PAGE_BYTES && !page.is_empty() {
                let token = last.map_or_else(String::new, |key| self.token(&key));
                return (page, token);
            }
            page.push(message);
            last = Some(row_key);
        }
        let token = match last {
            Some(key) if more => self.token(&key),
            _ => String::new(),
        };
        (page, token)
    }
}

/// How many rows to read for a page of `size`: one more tells whether there is
/// a next one.
pub(super) fn rows_for(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX).saturating_add(1)
}

/// Where an item stands in its list. What is read back may be anybody's
/// invention: it is checked like a request.
pub(super) trait Key: Sized {
    /// Appends its bytes.
    fn write(&self, bytes: &mut Vec<u8>);
    /// Reads them back.
    fn read(reader: &mut Reader<'_>) -> Option<Self>;
}

/// The bytes of a key that have not been read yet.
pub(super) struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    fn time(&mut self) -> Option<Timestamp> {
        self.number().and_then(time_in_range)
    }

    fn text(&mut self) -> Option<&str> {
        let [length] = self.array()?;
        self.text_of(length.into())
    }

    fn text_of(&mut self, length: usize) -> Option<&str> {
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

fn write_time(bytes: &mut Vec<u8>, time: Timestamp) {
    bytes.extend(time.timestamp_micros().to_be_bytes());
}

/// For an id of at most 255 bytes.
fn write_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    bytes.extend(text.as_bytes());
}

/// Of what is numbered.
impl Key for i64 {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_be_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.number()
    }
}

impl Key for AccountId {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_text(bytes, self.as_str());
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Self::new(reader.text()?).ok()
    }
}

impl Key for ReservationKey {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_time(bytes, self.time);
        write_text(bytes, self.account_id.as_str());
        write_text(bytes, self.reservation_id.as_str());
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            time: reader.time()?,
            account_id: AccountId::new(reader.text()?).ok()?,
            reservation_id: ReservationId::new(reader.text()?).ok()?,
        })
    }
}

impl Key for LotKey {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self.expire_time.is_some()));
        if let Some(time) = self.expire_time {
            write_time(bytes, time);
        }
        write_time(bytes, self.create_time);
        bytes.extend(self.lot_id.0.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let expire_time = match reader.array()? {
            [0] => None,
            [1] => Some(reader.time()?),
            _ => return None,
        };
        let create_time = reader.time()?;
        let lot_id = LotId(Uuid::from_bytes(reader.array()?));
        Some(Self { expire_time, create_time, lot_id })
    }
}

impl Key for TopUpKey {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_time(bytes, self.create_time);
        // One more byte than other ids: an operation's may have 256.
        let top_up_id = self.top_up_id.as_str();
        bytes.extend(u16::try_from(top_up_id.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend(top_up_id.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let create_time = reader.time()?;
        let length = u16::from_be_bytes(reader.array()?);
        let top_up_id = OperationId::new(reader.text_of(length.into())?).ok()?;
        Some(Self { create_time, top_up_id })
    }
}

impl Key for EventPlace {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_time(bytes, self.time);
        write_text(bytes, &self.credit_type);
        bytes.extend(self.sequence.to_be_bytes());
        // A notice's key holds an id of up to 256 bytes, and more.
        let length = u16::try_from(self.notice_key.len()).unwrap_or(u16::MAX);
        bytes.extend(length.to_be_bytes());
        bytes.extend(self.notice_key.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (time, credit_type) = (reader.time()?, reader.text()?.to_owned());
        let sequence = reader.number()?;
        let length = u16::from_be_bytes(reader.array()?);
        let notice_key = reader.text_of(length.into())?.to_owned();
        // The database takes no zero byte.
        let is_text = !credit_type.contains('\0') && !notice_key.contains('\0');
        is_text.then_some(Self { time, credit_type, sequence, notice_key })
    }
}

/// Of mails: when, and which event.
impl Key for (Timestamp, Uuid) {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_time(bytes, self.0);
        bytes.extend(self.1.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some((reader.time()?, Uuid::from_bytes(reader.array()?)))
    }
}

/// Where a ledger entry stands: when it was made, its type, its sequence.
pub(super) type EntryKey = (Timestamp, CreditType, i64);

impl Key for EntryKey {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_time(bytes, self.0);
        write_text(bytes, self.1.as_str());
        bytes.extend(self.2.to_be_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let time = reader.time()?;
        let credit_type = CreditType::new(reader.text()?).ok()?;
        Some((time, credit_type, reader.number()?))
    }
}
