//! Who sent a webhook: the `Paddle-Signature` header over the raw body.
//!
//! The header is `ts=<unix seconds>;h1=<hex>`, and `h1` is HMAC-SHA256 over
//! `<ts>:<raw body>` with the secret of the notification destination as bytes.
//! While a secret is rotated several `h1` come: any of them may match, with any
//! of the secrets. Source: Paddle's documentation, "Verify webhook signatures".

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::clock::Timestamp;

/// The header's name.
pub const HEADER: &str = "paddle-signature";
/// The most bytes of a header that is looked at.
pub const MAX_HEADER_BYTES: usize = 1024;
/// The most signatures in one header: two come during a rotation.
const MAX_SIGNATURES: usize = 8;
/// The most digits of a timestamp: enough for 300,000 years.
const MAX_DIGITS: usize = 13;
/// HMAC-SHA256's.
const DIGEST_BYTES: usize = 32;

type HmacSha256 = Hmac<Sha256>;

/// Why a webhook is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no header.
    #[error("there is no Paddle-Signature header")]
    Missing,
    /// The header is not `ts=<unix seconds>;h1=<hex>`.
    #[error("the Paddle-Signature header is not understood: {0}")]
    Malformed(&'static str),
    /// Signed too long ago: a replay, or a clock that is wrong.
    #[error("the signature is {seconds} s old: sent again, or a clock is wrong")]
    Stale {
        /// Its age.
        seconds: i64,
    },
    /// Signed later than now: a clock is wrong.
    #[error("the signature is from {seconds} s in the future: a clock is wrong")]
    FromTheFuture {
        /// How far ahead it is.
        seconds: i64,
    },
    /// No signature matches with any of the secrets.
    #[error("the signature does not match: another secret, or another body")]
    Mismatch,
}

/// A header that is understood, and not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header<'a> {
    /// The timestamp as it came: these bytes were signed.
    timestamp: &'a str,
    /// As a number: seconds since 1970.
    seconds: i64,
    signatures: Vec<[u8; DIGEST_BYTES]>,
}

impl<'a> Header<'a> {
    /// Reads a header. Fields of other names are left aside: a later scheme may
    /// come beside `h1`.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Malformed`].
    pub fn parse(header: &'a str) -> Result<Self, SignatureError> {
        let malformed = |what| Err(SignatureError::Malformed(what));
        if header.len() > MAX_HEADER_BYTES {
            return malformed("it is too long");
        }
        let mut timestamp = None;
        let mut signatures = Vec::new();
        for field in header.split(';') {
            match field.trim().split_once('=') {
                Some(("ts", _)) if timestamp.is_some() => return malformed("ts comes twice"),
                Some(("ts", value)) => timestamp = Some(value),
                Some(("h1", value)) => match digest(value) {
                    Some(digest) => signatures.push(digest),
                    None => return malformed("h1 is not 64 hexadecimal digits"),
                },
                Some(_) => {}
                None => return malformed("a field has no ="),
            }
        }
        let Some(timestamp) = timestamp else { return malformed("ts is missing") };
        let digits = timestamp.len() <= MAX_DIGITS && timestamp.bytes().all(|b| b.is_ascii_digit());
        let Some(seconds) = digits.then(|| timestamp.parse().ok()).flatten() else {
            return malformed("ts is not a number of seconds");
        };
        match signatures.len() {
            0 => malformed("h1 is missing"),
            1..=MAX_SIGNATURES => Ok(Self { timestamp, seconds, signatures }),
            _ => malformed("h1 comes too often"),
        }
    }
}

/// 32 bytes from 64 hexadecimal digits, of either case.
fn digest(text: &str) -> Option<[u8; DIGEST_BYTES]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != DIGEST_BYTES {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut digest = [0; DIGEST_BYTES];
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(digest)
}

/// The secrets of a notification destination, and how far its clock may be off.
#[derive(Clone)]
pub struct Verifier {
    keys: Vec<HmacSha256>,
    tolerance_millis: i64,
    skew_millis: i64,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing that the secrets are part of.
        f.debug_struct("Verifier").field("secrets", &self.keys.len()).finish_non_exhaustive()
    }
}

impl Verifier {
    /// Believes what was signed with any of `secrets`, at most
    /// `tolerance_seconds` ago, and at most `skew_seconds` ahead of this clock.
    /// Paddle's own libraries tolerate 5 s. No secret believes nothing.
    #[must_use]
    pub fn new<'a>(
        secrets: impl IntoIterator<Item = &'a str>,
        tolerance_seconds: u32,
        skew_seconds: u32,
    ) -> Self {
        Self {
            keys: secrets.into_iter().filter_map(key).collect(),
            tolerance_millis: i64::from(tolerance_seconds) * 1000,
            skew_millis: i64::from(skew_seconds) * 1000,
        }
    }

    /// Whether a header was made now, as far as it can be told without its body.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Stale`], [`SignatureError::FromTheFuture`].
    pub fn check_age(&self, header: &Header<'_>, now: Timestamp) -> Result<(), SignatureError> {
        let age = now.timestamp_millis().saturating_sub(header.seconds.saturating_mul(1000));
        if age > self.tolerance_millis {
            return Err(SignatureError::Stale { seconds: age / 1000 });
        }
        if age < -self.skew_millis {
            return Err(SignatureError::FromTheFuture { seconds: -age / 1000 });
        }
        Ok(())
    }

    /// Whether `body`, as it came, was sent by who knows a secret, and now.
    /// Compares in constant time.
    ///
    /// # Errors
    ///
    /// That it was not, and in what.
    pub fn verify(
        &self,
        header: &Header<'_>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), SignatureError> {
        self.check_age(header, now)?;
        for key in &self.keys {
            let expected = key.clone().chain_update(header.timestamp).chain_update(":");
            let expected = expected.chain_update(body);
            for signature in &header.signatures {
                if expected.clone().verify_slice(signature).is_ok() {
                    return Ok(());
                }
            }
        }
        Err(SignatureError::Mismatch)
    }
}

/// Any number of bytes is a key.
fn key(secret: &str) -> Option<HmacSha256> {
    HmacSha256::new_from_slice(secret.as_bytes()).ok()
}

#[cfg(test)]
mod tests;
