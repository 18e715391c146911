//! API keys: `cg_`, 16 hexadecimal digits that name the key, `_`, and 64 that are
//! its secret. The form is fixed, so that scanners of leaked secrets find it.

use std::fmt;

use sha2::{Digest, Sha256};

const PREFIX: &str = "cg_";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// What names a key: in lists, logs and as the actor of ledger entries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// 16 hexadecimal digits in lower case.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        is_hex(text, ID_BYTES).then(|| Self(text.to_owned()))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key as its owner has it. Its secret shows in nothing but
/// [`reveal`](Self::reveal).
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    id: KeyId,
    text: String,
}

impl ApiKey {
    /// A new one, of 256 random bits.
    #[must_use]
    pub fn generate() -> Self {
        let id: [u8; ID_BYTES] = rand::random();
        let secret: [u8; SECRET_BYTES] = rand::random();
        let id = KeyId(hex(&id));
        let text = format!("{PREFIX}{id}_{}", hex(&secret));
        Self { id, text }
    }

    /// Reads a key; `None` for what cannot be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let id = KeyId::new(id)?;
        is_hex(secret, SECRET_BYTES).then(|| Self { id, text: text.to_owned() })
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// SHA-256 of it: all that is kept.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.text.as_bytes()).into()
    }

    /// The key itself: for its owner, once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.id)
    }
}

fn is_hex(text: &str, bytes: usize) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 2 * bytes && text.bytes().all(is_digit)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_read_back_and_no_two_are_alike() {
        let (one, other) = (ApiKey::generate(), ApiKey::generate());
        assert_ne!(one, other);
        assert_ne!(one.hash(), other.hash());
        let read = ApiKey::parse(one.reveal()).unwrap();
        assert_eq!((read.id(), read.hash()), (one.id(), one.hash()));
        assert_eq!(one.reveal().len(), 3 + 16 + 1 + 64);
    }

    #[test]
    fn its_debug_form_shows_no_secret() {
        let key = ApiKey::generate();
        let secret = key.reveal().rsplit('_').next().unwrap().to_owned();
        assert!(!format!("{key:?}").contains(&secret));
    }

    #[test]
    fn what_is_no_key_is_none() {
        let good = ApiKey::generate().reveal().to_owned();
        for bad in [
            String::new(),
            "cg_".to_owned(),
            good.to_uppercase(),
            good.replace("cg_", "cg-"),
            good[..good.len() - 1].to_owned(),
            format!("{good}0"),
            format!(" {good}"),
            good.replace(&good[..5], "cg_gé"),
        ] {
            assert_eq!(ApiKey::parse(&bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), cut in 0..90_usize) {
            let _ = ApiKey::parse(&text);
            let _ = ApiKey::parse(&format!("cg_{text}"));
            let key = ApiKey::generate();
            let _ = ApiKey::parse(key.reveal().get(..cut).unwrap_or_default());
        }
    }
}
