//! TLS in front of gRPC: handshakes beside each other, and certificates that are
//! read again when their files change.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    sync::{Semaphore, mpsc},
    time,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;

use super::connections::Placed;

/// How often the files are looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Handshakes at once: each is a signature.
const MAX_HANDSHAKES: usize = 128;
/// Connections that are through and wait to be taken.
const WAITING: usize = 16;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not PEM.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Certificate and key do not belong together, or are of no use.
    #[error("certificate {} with key {}: {source}", cert.display(), key.display())]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// A certificate with its key, as the files had it last.
#[derive(Debug)]
pub(super) struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    /// The files' bytes: what is compared.
    seen: (Vec<u8>, Vec<u8>),
    current: Arc<Current>,
}

/// What new connections get.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Certificate {
    /// Reads the files: a chain of certificates, the server's own first, and its
    /// key, both as PEM.
    pub(super) fn read(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let seen = (bytes(cert)?, bytes(key)?);
        let pair = parse(cert, key, &seen)?;
        let current = Arc::new(Current(RwLock::new(Arc::new(pair))));
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), seen, current })
    }

    /// What takes connections, with the certificate of the moment.
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.current.clone());
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Looks at the files until `stop`. What is there already goes on as it is; a
    /// pair that is of no use (half written, say) changes nothing.
    pub(super) async fn watch(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = time::sleep(PERIOD) => {}
            }
            self = match tokio::task::spawn_blocking(move || self.look()).await {
                Ok(same) => same,
                Err(error) => {
                    tracing::error!(%error, "certificates are no longer read again");
                    return;
                }
            };
        }
    }

    fn look(mut self) -> Self {
        let read = || Ok((bytes(&self.cert)?, bytes(&self.key)?));
        let changed = read().and_then(|seen| {
            if seen == self.seen {
                return Ok(None);
            }
            let pair = parse(&self.cert, &self.key, &seen);
            // Not parsed again, nor told again, before the files change again.
            self.seen = seen;
            pair.map(Some)
        });
        match changed {
            Ok(None) => {}
            Ok(Some(pair)) => {
                let mut current = self.current.0.write().unwrap_or_else(PoisonError::into_inner);
                *current = Arc::new(pair);
                drop(current);
                metrics::counter!("creditgate_certificate_reloads_total").increment(1);
                tracing::info!(file = %self.cert.display(), "new connections get the new certificate");
            }
            Err(error) => {
                metrics::counter!("creditgate_certificate_errors_total").increment(1);
                tracing::warn!(%error, "the new certificate is of no use: the one before goes on");
            }
        }
        self
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed =
        |error: io::Error| TlsError::File { path: path.to_owned(), why: error.to_string() };
    std::fs::read(path).map_err(failed)
}

fn parse(
    cert: &Path,
    key: &Path,
    (chain, secret): &(Vec<u8>, Vec<u8>),
) -> Result<CertifiedKey, TlsError> {
    let file = |path: &Path, why: String| TlsError::File { path: path.to_owned(), why };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| file(cert, error.to_string()))?;
    if chain.is_empty() {
        return Err(file(cert, "has no certificate in it".to_owned()));
    }
    // What is wrong with a key is not repeated.
    let secret = PrivateKeyDer::from_pem_slice(secret)
        .map_err(|_| file(key, "has no private key in it".to_owned()))?;
    let pair = |source| TlsError::Pair { cert: cert.to_owned(), key: key.to_owned(), source };
    CertifiedKey::from_der(chain, secret, &ring::default_provider()).map_err(pair)
}

/// Shakes hands with whoever connects, one beside the other: a slow one holds up
/// nobody, and one that does not come through is dropped.
pub(super) fn accept(
    mut incoming: impl Stream<Item = io::Result<Placed>> + Send + Unpin + 'static,
    acceptor: TlsAcceptor,
) -> ReceiverStream<io::Result<TlsStream<Placed>>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let places = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                () = sender.closed() => return,
                next = incoming.next() => match next {
                    Some(Ok(stream)) => stream,
                    Some(Err(error)) => {
                        tracing::debug!(%error, "a connection was not accepted");
                        continue;
                    }
                    None => return,
                },
            };
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let (acceptor, sender) = (acceptor.clone(), sender.clone());
            tokio::spawn(async move {
                let shaken = time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
                drop(place);
                match shaken {
                    // Where nobody takes it any more, the server ends.
                    Ok(Ok(stream)) => drop(sender.send(Ok(stream)).await),
                    Ok(Err(error)) => failed(&error.to_string()),
                    Err(_) => failed("it took too long"),
                }
            });
        }
    });
    ReceiverStream::new(receiver)
}

fn failed(why: &str) {
    metrics::counter!("creditgate_tls_handshake_failures_total").increment(1);
    tracing::debug!(why, "a TLS handshake failed");
}
