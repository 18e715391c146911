//! Signed notes: a text, an empty line, and lines of signatures, each of a name and
//! a key (C2SP, "signed-note"). The text is signed as it stands, so that there is
//! nothing to agree on before a signature is checked.

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer, pem::PemObject};
use sha2::{Digest, Sha256};

/// What an Ed25519 public key begins with where it is written down (RFC 8410,
/// section 4): 32 bytes of key follow.
const SPKI_PREFIX: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
/// The kind of key, in the id of one: Ed25519.
const KIND: u8 = 1;
/// Before each signature: an em dash and a space.
const MARK: &str = "\u{2014} ";

/// Why a key or a note is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// No private key that signs.
    #[error(
        "this is no Ed25519 private key in PEM: `openssl genpkey -algorithm ed25519` makes one"
    )]
    PrivateKey,
    /// No public key to check with.
    #[error(
        "this is no Ed25519 public key in PEM: `openssl pkey -in KEY -pubout` writes the one of a \
         private key"
    )]
    PublicKey,
    /// A name that cannot stand in a note.
    #[error("a signer's name has 1 to 128 characters, and no space or '+' among them")]
    Name,
    /// Not the form of a note.
    #[error("this is no signed note: {0}")]
    Form(&'static str),
    /// Nobody has signed it with this key.
    #[error("it is not signed with this key")]
    Unsigned,
}

/// Who signs, and with what.
#[derive(Debug)]
pub struct Signer {
    name: String,
    pair: Ed25519KeyPair,
}

/// Whose signature counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl Signer {
    /// A signer of this name, from a private key in PEM (PKCS #8).
    ///
    /// # Errors
    ///
    /// Neither a name nor a key of use.
    pub fn from_pem(name: &str, pem: &[u8]) -> Result<Self, NoteError> {
        let length = name.chars().count();
        if !(1..=128).contains(&length) || name.contains(|c: char| c.is_whitespace() || c == '+') {
            return Err(NoteError::Name);
        }
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| NoteError::PrivateKey)?;
        let PrivateKeyDer::Pkcs8(key) = key else { return Err(NoteError::PrivateKey) };
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der())
            .map_err(|_| NoteError::PrivateKey)?;
        Ok(Self { name: name.to_owned(), pair })
    }

    /// The note that this text becomes, which has to end with its last line.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        let mut signature = key_id(&self.name, self.pair.public_key().as_ref()).to_vec();
        signature.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n{MARK}{} {}\n", self.name, STANDARD.encode(signature))
    }
}

impl PublicKey {
    /// Reads a public key in PEM.
    ///
    /// # Errors
    ///
    /// [`NoteError::PublicKey`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, NoteError> {
        let info =
            SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| NoteError::PublicKey)?;
        let key = info.strip_prefix(&SPKI_PREFIX).ok_or(NoteError::PublicKey)?;
        key.try_into().map(Self).map_err(|_| NoteError::PublicKey)
    }

    /// The text of a note that was signed with this key.
    ///
    /// # Errors
    ///
    /// [`NoteError::Form`] and [`NoteError::Unsigned`].
    pub fn open<'n>(&self, note: &'n str) -> Result<&'n str, NoteError> {
        let form = |what| NoteError::Form(what);
        let border = note.rfind("\n\n").ok_or(form("no line is empty"))?;
        let (text, signatures) = note.split_at(border + 1);
        let signatures = signatures.strip_prefix('\n').unwrap_or_default();
        if !signatures.ends_with('\n') {
            return Err(form("it breaks off"));
        }
        for line in signatures.lines() {
            let line = line.strip_prefix(MARK).ok_or(form("a line is no signature"))?;
            let (name, signature) = line.split_once(' ').ok_or(form("a signature has no name"))?;
            let signature = STANDARD.decode(signature).map_err(|_| form("a signature is torn"))?;
            let Some((id, signature)) = signature.split_first_chunk::<4>() else {
                return Err(form("a signature is too short"));
            };
            // Others may have signed too.
            if *id == key_id(name, &self.0) {
                let key = UnparsedPublicKey::new(&ED25519, self.0);
                return match key.verify(text.as_bytes(), signature) {
                    Ok(()) => Ok(text),
                    Err(_) => Err(NoteError::Unsigned),
                };
            }
        }
        Err(NoteError::Unsigned)
    }
}

/// Tells keys apart, for whoever has several.
fn key_id(name: &str, public_key: &[u8]) -> [u8; 4] {
    let mut hash = Sha256::new();
    hash.update(name.as_bytes());
    hash.update([b'\n', KIND]);
    hash.update(public_key);
    let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of RFC 8410, section 10.3 and 10.1.
    const PRIVATE: &[u8] = b"-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";
    const PUBLIC: &[u8] = b"-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";

    fn signer() -> Signer {
        Signer::from_pem("books.example.com", PRIVATE).unwrap()
    }

    fn public() -> PublicKey {
        PublicKey::from_pem(PUBLIC).unwrap()
    }

    #[test]
    fn a_note_opens_to_what_was_signed() {
        let note = signer().sign("one\n\ntwo\n");
        assert_eq!(public().open(&note), Ok("one\n\ntwo\n"));
        assert!(note.starts_with("one\n\ntwo\n\n\u{2014} books.example.com "), "{note}");
    }

    #[test]
    fn any_changed_byte_closes_a_note() {
        let note = signer().sign("creditgate\nheads 3\n");
        for place in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[place] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            assert!(public().open(&changed).is_err(), "{changed}");
            assert!(note.get(..place).is_none_or(|begun| public().open(begun).is_err()));
        }
    }

    #[test]
    fn others_may_have_signed_too() {
        let note = signer().sign("text\n");
        let other = format!("{MARK}other AAAAAAAA\n");
        let (text, ours) = note.split_once("\n\n").unwrap();
        assert_eq!(public().open(&format!("{text}\n\n{other}{ours}")), Ok("text\n"));
        assert_eq!(public().open(&format!("{text}\n\n{other}")), Err(NoteError::Unsigned));
    }

    #[test]
    fn what_is_no_key_or_no_name_is_said_to_be_none() {
        assert_eq!(PublicKey::from_pem(PRIVATE), Err(NoteError::PublicKey));
        assert_eq!(PublicKey::from_pem(b"x"), Err(NoteError::PublicKey));
        assert_eq!(Signer::from_pem("a", PUBLIC).unwrap_err(), NoteError::PrivateKey);
        for name in ["", "a b", "a+b", "a\nb"] {
            assert_eq!(Signer::from_pem(name, PRIVATE).unwrap_err(), NoteError::Name, "{name:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn anything_is_refused_and_nothing_panics(note in ".{0,40}(\n\n)?(\u{2014} [a-z ]{0,9}[A-Za-z0-9+/=]{0,99}\n){0,3}") {
            proptest::prop_assert!(public().open(&note).is_err());
        }
    }
}
