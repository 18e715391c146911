//! Tokens of an OpenID Connect issuer: JSON Web Tokens (RFC 7519) that are signed with
//! one of the keys that it shows (RFC 7517).
//!
//! What is believed is pinned: the issuer, the audience, and for each key the one
//! algorithm that it is for. A token's header only says which key to look at.

use std::collections::HashMap;

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, EncodingKey, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse},
    signature::{self as signatures, Verifier},
};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

use super::principal::Principal;

/// Seconds by which the issuer's clock and this one may differ.
const LEEWAY: u64 = 10;
/// The longest token that is looked at.
const MAX_TOKEN: usize = 8 * 1024;
/// Keys of an issuer that are looked at: it shows a few.
const MAX_KEYS: usize = 100;

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token of the form that is taken here.
    #[error("it is no signed JSON Web Token")]
    Malformed,
    /// It names a key that the issuer has not shown.
    #[error("it is signed with a key that its issuer does not show")]
    UnknownKey,
    /// Its signature is not of its key, or its algorithm not the key's.
    #[error("its signature is wrong")]
    Signature,
    /// It has run out.
    #[error("it has run out")]
    Expired,
    /// Its time has not come.
    #[error("its time (nbf) has not come")]
    TooEarly,
    /// It is of another issuer.
    #[error("it is of another issuer (iss)")]
    Issuer,
    /// It is meant for another service.
    #[error("it is meant for another service (aud)")]
    Audience,
    /// A claim is missing, or not of its form.
    #[error("one of exp, iss, aud and sub is missing, or not of its form")]
    Claims,
}

/// A token that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Believed {
    /// Whose it is.
    pub principal: Principal,
    /// When it runs out, in seconds since 1970.
    pub expires: u64,
}

/// The keys that an issuer shows, and what its tokens have to say.
#[derive(Debug)]
pub struct TrustedIssuer {
    issuer: String,
    audience: String,
    /// By key id; where the issuer names none, by nothing.
    keys: HashMap<Option<String>, (Algorithm, DecodingKey)>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
}

impl TrustedIssuer {
    /// Believes tokens of `issuer` for `audience` that are signed with a key of this
    /// set. Keys that no signature can be checked with are left out.
    ///
    /// # Errors
    ///
    /// It is no set of keys.
    pub fn new(issuer: &str, audience: &str, keys: &[u8]) -> Result<Self, serde_json::Error> {
        let set: JwkSet = serde_json::from_slice(keys)?;
        let keys = set.keys.iter().take(MAX_KEYS).filter_map(|key| {
            let used = usable(key)?;
            Some((key.common.key_id.clone(), used))
        });
        Ok(Self { issuer: issuer.to_owned(), audience: audience.to_owned(), keys: keys.collect() })
    }

    /// How many keys there are.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Whose a token is.
    ///
    /// # Errors
    ///
    /// Why it is not believed.
    pub fn verify(&self, token: &str) -> Result<Believed, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        let (algorithm, key) = self.keys.get(&header.kid).ok_or(TokenError::UnknownKey)?;
        let mut wanted = Validation::new(*algorithm);
        wanted.leeway = LEEWAY;
        wanted.validate_nbf = true;
        wanted.set_issuer(&[&self.issuer]);
        wanted.set_audience(&[&self.audience]);
        wanted.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Once a process; whoever is first.
        let _installed = PROVIDER.install_default();
        let claims = jsonwebtoken::decode::<Claims>(token, key, &wanted)?.claims;
        let principal = Principal::of_token(&claims.sub).ok_or(TokenError::Claims)?;
        Ok(Believed { principal, expires: claims.exp })
    }
}

impl From<Error> for TokenError {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::ExpiredSignature => Self::Expired,
            ErrorKind::ImmatureSignature => Self::TooEarly,
            ErrorKind::InvalidIssuer => Self::Issuer,
            ErrorKind::InvalidAudience => Self::Audience,
            ErrorKind::MissingRequiredClaim(_)
            | ErrorKind::InvalidClaimFormat(_)
            | ErrorKind::Json(_) => Self::Claims,
            ErrorKind::InvalidSignature
            | ErrorKind::InvalidAlgorithm
            | ErrorKind::InvalidKeyFormat => Self::Signature,
            _ => Self::Malformed,
        }
    }
}

/// A key that signatures can be checked with, and the algorithm that it is for: what
/// it says, else the usual one of its kind. Never one with a shared secret, with which
/// whoever can check a token can make one.
fn usable(key: &Jwk) -> Option<(Algorithm, DecodingKey)> {
    if key.common.public_key_use.as_ref().is_some_and(|what| *what != PublicKeyUse::Signature) {
        return None;
    }
    let named = key.common.key_algorithm.as_ref();
    let algorithm = match (&key.algorithm, named) {
        (AlgorithmParameters::RSA(_), None | Some(KeyAlgorithm::RS256)) => Algorithm::RS256,
        (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::RS384)) => Algorithm::RS384,
        (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::RS512)) => Algorithm::RS512,
        (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::PS256)) => Algorithm::PS256,
        (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::PS384)) => Algorithm::PS384,
        (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::PS512)) => Algorithm::PS512,
        (AlgorithmParameters::EllipticCurve(curve), named) => match (&curve.curve, named) {
            (EllipticCurve::P256, None | Some(KeyAlgorithm::ES256)) => Algorithm::ES256,
            (EllipticCurve::P384, None | Some(KeyAlgorithm::ES384)) => Algorithm::ES384,
            _ => return None,
        },
        (AlgorithmParameters::OctetKeyPair(pair), None | Some(KeyAlgorithm::EdDSA)) => {
            if pair.curve != EllipticCurve::Ed25519 {
                return None;
            }
            Algorithm::EdDSA
        }
        _ => return None,
    };
    Some((algorithm, DecodingKey::from_jwk(key).ok()?))
}

/// The library's own checks of signatures bring another library each; ring is here.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: no_signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::UnsupportedAlgorithm.into())
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    if algorithm.family() != key.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(RingVerifier { algorithm: *algorithm, key: key.kind().clone() }))
}

struct RingVerifier {
    algorithm: Algorithm,
    key: DecodingKeyKind,
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signed: &Vec<u8>) -> Result<(), signatures::Error> {
        let bad = |_| signatures::Error::new();
        match &self.key {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                let how = match self.algorithm {
                    Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
                    Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
                    Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return Err(signatures::Error::new()),
                };
                RsaPublicKeyComponents { n, e }.verify(how, message, signed).map_err(bad)
            }
            DecodingKeyKind::SecretOrDer(key) => {
                let how: &'static dyn signature::VerificationAlgorithm = match self.algorithm {
                    Algorithm::ES256 => &signature::ECDSA_P256_SHA256_FIXED,
                    Algorithm::ES384 => &signature::ECDSA_P384_SHA384_FIXED,
                    Algorithm::EdDSA => &signature::ED25519,
                    _ => return Err(signatures::Error::new()),
                };
                UnparsedPublicKey::new(how, key).verify(message, signed).map_err(bad)
            }
        }
    }
}

#[cfg(test)]
mod tests;
