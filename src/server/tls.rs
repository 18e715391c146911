//! TLS in front of gRPC: handshakes beside each other, and certificates that are
//! read again when their files change.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::{
    sync::{Semaphore, mpsc},
    time,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use super::{carrying::Carrying, connections::Placed};
use crate::{
    auth::{PeerNames, Principal},
    clock::Timestamp,
    config::TlsFiles,
};

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
    /// Certificate, key and authorities do not belong together, or are of no use.
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

/// What TLS is served with, as the files had it last.
#[derive(Debug)]
pub(super) struct Certificate {
    files: Files,
    /// The files' bytes: what is compared.
    seen: Contents,
    current: Current,
}

/// What new connections get.
type Current = Arc<RwLock<Arc<ServerConfig>>>;

#[derive(Debug)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Certificate {
    /// Reads the files.
    pub(super) fn read(files: TlsFiles<'_>) -> Result<Self, TlsError> {
        let TlsFiles { cert, key, client_ca } = files;
        let files = Files {
            cert: cert.to_owned(),
            key: key.to_owned(),
            client_ca: client_ca.map(Path::to_owned),
        };
        let seen = files.read()?;
        let current = Arc::new(RwLock::new(Arc::new(files.parse(&seen)?)));
        Ok(Self { files, seen, current })
    }

    /// When the server's own certificate runs out; `None` where it does not say.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        let chain = certificates(&self.files.cert, &self.seen.cert).ok()?;
        let (_, own) = X509Certificate::from_der(chain.first()?).ok()?;
        Timestamp::from_timestamp(own.validity().not_after.timestamp(), 0)
    }

    /// What takes connections.
    pub(super) fn acceptor(&self) -> Acceptor {
        Acceptor(Arc::clone(&self.current))
    }

    /// Looks at the files until `stop`. What is there already goes on as it is; files
    /// that are of no use (half written, say) change nothing.
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
        let changed = self.files.read().and_then(|seen| {
            if seen == self.seen {
                return Ok(None);
            }
            let config = self.files.parse(&seen);
            // Not parsed again, nor told again, before the files change again.
            self.seen = seen;
            config.map(Some)
        });
        match changed {
            Ok(None) => {}
            Ok(Some(config)) => {
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                *current = Arc::new(config);
                drop(current);
                metrics::counter!("creditgate_certificate_reloads_total").increment(1);
                tracing::info!(file = %self.files.cert.display(), "new connections get the new certificate");
            }
            Err(error) => {
                metrics::counter!("creditgate_certificate_errors_total").increment(1);
                tracing::warn!(%error, "the new certificate is of no use: the one before goes on");
            }
        }
        self
    }
}

impl Files {
    fn read(&self) -> Result<Contents, TlsError> {
        Ok(Contents {
            cert: bytes(&self.cert)?,
            key: bytes(&self.key)?,
            client_ca: self.client_ca.as_deref().map(bytes).transpose()?,
        })
    }

    fn parse(&self, contents: &Contents) -> Result<ServerConfig, TlsError> {
        let chain = certificates(&self.cert, &contents.cert)?;
        // What is wrong with a key is not repeated.
        let key = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|_| file(&self.key, "has no private key in it"))?;
        let pair =
            |source| TlsError::Pair { cert: self.cert.clone(), key: self.key.clone(), source };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(pair)?
            .with_client_cert_verifier(self.clients(contents)?)
            .with_single_cert(chain, key)
            .map_err(pair)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    /// Who vouches for clients. One without a certificate shakes hands too: it may have
    /// a key, or ask for health.
    fn clients(&self, contents: &Contents) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let (Some(path), Some(pem)) = (&self.client_ca, &contents.client_ca) else {
            return Ok(Arc::new(NoClientAuth));
        };
        let mut roots = RootCertStore::empty();
        for authority in certificates(path, pem)? {
            roots.add(authority).map_err(|error| file(path, error))?;
        }
        let provider = Arc::new(ring::default_provider());
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build()
            .map_err(|error| file(path, error))
    }
}

fn file(path: &Path, why: impl ToString) -> TlsError {
    TlsError::File { path: path.to_owned(), why: why.to_string() }
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| file(path, error))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = read.map_err(|error| file(path, error))?;
    if chain.is_empty() {
        return Err(file(path, "has no certificate in it"));
    }
    Ok(chain)
}

/// Shakes hands with the certificate of the moment.
#[derive(Debug, Clone)]
pub(super) struct Acceptor(Current);

impl Acceptor {
    async fn accept(&self, stream: Placed) -> io::Result<Shaken> {
        let config = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let peer = Arc::new(shown.map(|own| names(own)).unwrap_or_default());
        Ok(Shaken { stream, carried: peer })
    }
}

/// The names in a certificate that its authority has vouched for: of the subject's
/// alternative names (RFC 5280, section 4.2.1.6) the identities, then the hosts.
fn names(certificate: &CertificateDer<'_>) -> PeerNames {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return PeerNames::default();
    };
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else {
        return PeerNames::default();
    };
    let all = &alternative.value.general_names;
    let identities = all.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Principal::of_certificate(uri),
        _ => None,
    });
    let hosts = all.iter().filter_map(|name| match name {
        GeneralName::DNSName(host) => Principal::of_certificate(host),
        _ => None,
    });
    PeerNames(identities.chain(hosts).collect())
}

/// A connection with TLS, and who is at its other end.
pub(super) type Shaken = Carrying<TlsStream<Placed>, Arc<PeerNames>>;

impl Connected for Shaken {
    /// Every request of the connection has it among its extensions.
    type ConnectInfo = Arc<PeerNames>;

    fn connect_info(&self) -> Arc<PeerNames> {
        Arc::clone(&self.carried)
    }
}

/// Shakes hands with whoever connects, one beside the other: a slow one holds up
/// nobody, and one that does not come through is dropped.
pub(super) fn accept(
    mut incoming: impl Stream<Item = io::Result<Placed>> + Send + Unpin + 'static,
    acceptor: Acceptor,
) -> ReceiverStream<io::Result<Shaken>> {
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
