//! Whether who was let in still would be: asked again and again while a call lasts.

use std::sync::Arc;

use super::{Denied, Keyring, PeerNames, Shown};

/// What a caller has shown, for a call that lasts.
#[derive(Clone)]
pub struct Standing {
    keyring: Keyring,
    authorization: Option<String>,
    peer: Arc<PeerNames>,
    path: String,
}

// The header is a secret.
impl std::fmt::Debug for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Standing").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Standing {
    /// Of whoever has shown this for a call of that path.
    #[must_use]
    pub fn new(keyring: Keyring, shown: Shown<'_>, path: &str) -> Self {
        Self {
            keyring,
            authorization: shown.authorization.map(ToOwned::to_owned),
            peer: Arc::new(shown.peer.clone()),
            path: path.to_owned(),
        }
    }

    /// Whether the call would still be let in.
    ///
    /// # Errors
    ///
    /// Why not: the key was revoked, the token has run out.
    pub fn holds(&self) -> Result<(), Denied> {
        let shown = Shown { authorization: self.authorization.as_deref(), peer: &self.peer };
        match self.keyring.admit(shown, &self.path) {
            // It calls too often elsewhere.
            Ok(_) | Err(Denied::TooFast { .. }) => Ok(()),
            Err(denied) => Err(denied),
        }
    }
}
