//! Names that others vouch for: an authority that signs certificates, an issuer
//! of tokens.

use std::fmt;

/// What vouches for a name, as it is written before it.
const CERTIFICATE: &str = "certificate:";
const TOKEN: &str = "token:";
/// The longest name.
const MAX_NAME: usize = 200;

/// A caller by a name that is not this gate's: `certificate:` and a name in a client's
/// certificate (`spiffe://...` or a DNS name), or `token:` and a token's subject. Also
/// the actor of its ledger entries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal(String);

impl Principal {
    /// Reads one: what vouches for it, and 1 to 200 visible characters of ASCII.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let name = text.strip_prefix(CERTIFICATE).or_else(|| text.strip_prefix(TOKEN))?;
        let is_name = !name.is_empty()
            && name.len() <= MAX_NAME
            && name.bytes().all(|byte| byte.is_ascii_graphic());
        is_name.then(|| Self(text.to_owned()))
    }

    /// The one of this name in a certificate.
    #[must_use]
    pub fn of_certificate(name: &str) -> Option<Self> {
        Self::new(&format!("{CERTIFICATE}{name}"))
    }

    /// The one of this subject of a token.
    #[must_use]
    pub fn of_token(subject: &str) -> Option<Self> {
        Self::new(&format!("{TOKEN}{subject}"))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who a connection's certificate says that it is: all names that were found in it,
/// identities (`spiffe://...`) before hosts. Empty for a connection without one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerNames(pub Vec<Principal>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_vouches_for_it() {
        for (text, is_one) in [
            ("certificate:spiffe://example.org/ns/scans/sa/scheduler", true),
            ("certificate:scheduler.example.org", true),
            ("token:system:serviceaccount:scans:scheduler", true),
            ("token:auth0|5f7c", true),
            ("token:", false),
            ("certificate:", false),
            ("token:two words", false),
            ("token:ünder", false),
            ("token:a\nb", false),
            ("key:0123456789abcdef", false),
            ("scheduler", false),
            ("", false),
        ] {
            assert_eq!(Principal::new(text).is_some(), is_one, "{text:?}");
        }
        assert!(Principal::of_token(&"a".repeat(200)).is_some());
        assert!(Principal::of_token(&"a".repeat(201)).is_none());
        assert_eq!(Principal::of_certificate("a.b").unwrap().as_str(), "certificate:a.b");
    }
}
