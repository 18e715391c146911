//! Tokens of every kind, good and bad.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use proptest::prelude::*;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "creditgate";
/// Signed by OpenSSL 3.0 (`openssl dgst -sha256 -sign`), with a key that is gone.
const RSA_MODULUS: &str = "tSmFZ_VSIsv8J7qSAihsfpuLkMcPOMXjRJ8vaYeRjoAneKrkC-REWdvkl16u1W6iDinSi4VYutB459xes8uWXd8i\
     8vRJSShgaZStJXlHlqGg_f998nwhH13kgmuT_RpjPnCdqMY4N0h4dJoNK3YvygCOUbzc0c7ff5XaY5BrepgS_gMy\
     FNwzo_jBPjTVqWzTE4FTDtmhyYzFtnWqX2DF6lpWJd9d5nxezS-BX833Dl5E7aKu7pTCvIbdGKgQDucj2rZOcfSd\
     8FziuHqj9y1ukrS2MCzFNPRrQfqVintpL554P_9bUCuWRBmShdu3QKCn_yYUzTPSLCdLS744ivJR4w";
const RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGF\
     tcGxlIiwiYXVkIjpbImNyZWRpdGdhdGUiLCJvdGhlciJdLCJzdWIiOiJydW5uZXIiLCJleHAiOjQxMDI0NDQ4MDB\
     9.D1uKfPylRnKqSIfXPWLxjvG6Mt-fZAymIMZORGPANimICqtwH62SrL8wMewiMO7GWu090RUPzLXzl5QQpJCyWR\
     AJahVUC7skS3QbSWlluYd8RAXA9XapaMGfJDU56ix3XrCWMGGdkjf6shbbdnkfJtAC8D4CwWIn3ZTdCWdnNd9RTw\
     rEFK3BTFgclyPnfScZqJaYb6FjkqxJ5PveMa-9IVNJi4_1pvUov09Sh2LWfSVHPMdG_pehJpNFy2WhfuEYZl-n7G\
     zyNLoJK2hdtiYWJt4D-NRyfGBY-ic-Oqfa-rhacBzMxT8Hh3gCOWUd4_hKXxstR8yWY40h6wO85-oO0w";

fn text(bytes: impl AsRef<[u8]>) -> String {
    BASE64.encode(bytes)
}

/// An issuer with keys of three kinds.
struct Keys {
    ed: Ed25519KeyPair,
    ec: EcdsaKeyPair,
}

impl Keys {
    fn new() -> Self {
        let random = SystemRandom::new();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let how = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let ec = EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
        Self {
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
            ec: EcdsaKeyPair::from_pkcs8(how, ec.as_ref(), &random).unwrap(),
        }
    }

    fn shown(&self) -> Vec<u8> {
        let (x, y) = self.ec.public_key().as_ref()[1..].split_at(32);
        let secret = text([7; 32]);
        let keys = json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": text(self.ed.public_key()) },
            { "kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig", "x": text(x), "y": text(y) },
            { "kty": "RSA", "kid": "rsa", "alg": "RS256", "n": RSA_MODULUS, "e": "AQAB" },
            { "kty": "RSA", "kid": "enc", "use": "enc", "n": RSA_MODULUS, "e": "AQAB" },
            { "kty": "oct", "kid": "shared", "alg": "HS256", "k": secret },
        ]});
        serde_json::to_vec(&keys).unwrap()
    }

    fn trusted(&self) -> TrustedIssuer {
        TrustedIssuer::new(ISSUER, AUDIENCE, &self.shown()).unwrap()
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", text(header.to_string()), text(claims.to_string()));
        let signed = match header["alg"].as_str() {
            Some("ES256") => text(self.ec.sign(&SystemRandom::new(), message.as_bytes()).unwrap()),
            // Whoever takes a public key for a shared one is fooled by this.
            Some("HS256") => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, self.ed.public_key().as_ref());
                text(hmac::sign(&key, message.as_bytes()))
            }
            Some("none") => String::new(),
            _ => text(self.ed.sign(message.as_bytes())),
        };
        format!("{message}.{signed}")
    }

    /// Signed with the Ed25519 key.
    fn ed(&self, claims: &Value) -> String {
        self.sign(&json!({ "alg": "EdDSA", "kid": "ed" }), claims)
    }
}

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "runner", "exp": now() + 60 })
}

/// The claims, with one of them changed, or taken away.
fn but(claim: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => claims.as_object_mut().unwrap().remove(claim).map(|_| ()),
        value => claims.as_object_mut().unwrap().insert(claim.to_owned(), value).map(|_| ()),
    };
    claims
}

#[test]
fn a_token_of_each_kind_of_key_is_believed() {
    let keys = Keys::new();
    let trusted = keys.trusted();
    assert_eq!(trusted.keys(), 3, "those for encryption and those that are shared are left out");
    let ec = keys.sign(&json!({ "alg": "ES256", "kid": "ec" }), &claims());
    for token in [keys.ed(&claims()), ec, RSA_TOKEN.to_owned()] {
        let believed = trusted.verify(&token).unwrap();
        assert_eq!(believed.principal.as_str(), "token:runner");
        assert!(believed.expires >= now() + 50);
    }
}

#[test]
fn what_is_wrong_with_a_token_is_told_and_it_is_not_believed() {
    let keys = Keys::new();
    let trusted = keys.trusted();
    for (what, claims, expected) in [
        ("expired", but("exp", json!(now() - 60)), TokenError::Expired),
        ("no expiry", but("exp", Value::Null), TokenError::Claims),
        ("an expiry in words", but("exp", json!("tomorrow")), TokenError::Claims),
        ("not yet", but("nbf", json!(now() + 60)), TokenError::TooEarly),
        ("another issuer", but("iss", json!("https://issuer.example.evil")), TokenError::Issuer),
        ("no issuer", but("iss", Value::Null), TokenError::Claims),
        ("another audience", but("aud", json!(["billing"])), TokenError::Audience),
        ("no audience", but("aud", Value::Null), TokenError::Claims),
        ("no subject", but("sub", Value::Null), TokenError::Claims),
        ("an empty subject", but("sub", json!("")), TokenError::Claims),
        ("a subject of two words", but("sub", json!("a b")), TokenError::Claims),
        ("a long subject", but("sub", json!("a".repeat(201))), TokenError::Claims),
        ("no claims", json!([]), TokenError::Claims),
    ] {
        assert_eq!(trusted.verify(&keys.ed(&claims)), Err(expected), "{what}");
    }
    for (what, header, expected) in [
        ("another key", json!({ "alg": "EdDSA", "kid": "new" }), TokenError::UnknownKey),
        ("no key", json!({ "alg": "EdDSA" }), TokenError::UnknownKey),
        ("a shared key", json!({ "alg": "HS256", "kid": "shared" }), TokenError::UnknownKey),
        ("a key for encryption", json!({ "alg": "RS256", "kid": "enc" }), TokenError::UnknownKey),
        ("a public key as a secret", json!({ "alg": "HS256", "kid": "ed" }), TokenError::Signature),
        ("another's algorithm", json!({ "alg": "ES256", "kid": "ed" }), TokenError::Signature),
        ("another's key", json!({ "alg": "EdDSA", "kid": "rsa" }), TokenError::Signature),
        ("no signature", json!({ "alg": "none", "kid": "ed" }), TokenError::Malformed),
    ] {
        assert_eq!(trusted.verify(&keys.sign(&header, &claims())), Err(expected), "{what}");
    }
}

#[test]
fn a_token_that_was_changed_is_not_believed() {
    let keys = Keys::new();
    let trusted = keys.trusted();
    let good = keys.ed(&claims());
    let parts: Vec<&str> = good.split('.').collect();
    let others = text(but("sub", json!("operator")).to_string());
    for changed in [
        format!("{}.{others}.{}", parts[0], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.{}", parts[0], parts[1], text([0; 64])),
        Keys::new().ed(&claims()),
    ] {
        assert_eq!(trusted.verify(&changed), Err(TokenError::Signature), "{changed}");
    }
    let mut rsa = RSA_TOKEN.to_owned();
    rsa.replace_range(rsa.len() - 10..rsa.len() - 9, "A");
    assert_eq!(trusted.verify(&rsa), Err(TokenError::Signature));
    let long = keys.ed(&but("more", json!("a".repeat(9_000))));
    assert_eq!(trusted.verify(&long), Err(TokenError::Malformed));
}

#[test]
fn what_is_no_set_of_keys_is_refused_and_what_is_no_key_left_out() {
    for bad in ["", "[]", "{}", "null", "{\"keys\": 3}"] {
        assert!(TrustedIssuer::new(ISSUER, AUDIENCE, bad.as_bytes()).is_err(), "{bad}");
    }
    let odd = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "a", "x": "!", "y": "" }] });
    let trusted = TrustedIssuer::new(ISSUER, AUDIENCE, odd.to_string().as_bytes());
    assert_eq!(trusted.map_or(0, |trusted| trusted.keys()), 0);
}

proptest! {
    #[test]
    fn no_token_and_no_set_of_keys_makes_it_panic(
        token in any::<String>(),
        cut in 0..500_usize,
        flip in 0..500_usize,
        set in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let keys = Keys::new();
        let trusted = keys.trusted();
        prop_assert!(trusted.verify(&token).is_err());
        let good = keys.ed(&claims());
        prop_assert!(trusted.verify(good.get(..cut.min(good.len() - 1)).unwrap()).is_err());
        let mut changed = good.clone().into_bytes();
        let at = flip % changed.len();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        // The last character of a part has bits that mean nothing.
        let changed = String::from_utf8(changed).unwrap();
        if let Ok(believed) = trusted.verify(&changed) {
            prop_assert_eq!(believed.principal.as_str(), "token:runner");
        }
        let _ = TrustedIssuer::new(ISSUER, AUDIENCE, &set);
    }
}
