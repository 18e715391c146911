//! Signatures of webhooks: Standard Webhooks 1.0.0, symmetric.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of a secret that is made here.
pub const SECRET_BYTES: usize = 32;
const PREFIX: &str = "whsec_";

/// A secret as its owner sees it.
#[must_use]
pub fn shown(secret: &[u8]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(secret))
}

/// The header `webhook-signature`: one for each secret, the new one first.
#[must_use]
pub fn signature<'s>(
    secrets: impl Iterator<Item = &'s [u8]>,
    id: &str,
    timestamp: i64,
    body: &str,
) -> String {
    let signed = |secret| {
        // Of any length: HMAC takes every key.
        let mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
        let mac = mac.chain_update(format!("{id}.{timestamp}.{body}"));
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    };
    secrets.filter_map(signed).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's libraries.
    #[test]
    fn it_is_the_standards_signature() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(shown(&secret), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let made =
            signature([&secret[..]].into_iter(), id, 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(made, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let two = [&secret[..], b"another"].into_iter();
        assert_eq!(signature(two, id, 1, "x").split(' ').count(), 2);
    }
}
