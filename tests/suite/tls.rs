//! gRPC over TLS: who is trusted, and certificates that change under load.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use creditgate::{
    client::Client,
    clock::Clock,
    config::{ConfigError, Settings},
    proto::GetBalanceRequest,
    server::{self, Running, ServerError},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use tokio_util::sync::CancellationToken;

use crate::harness::{TestDb, TestServer, eventually, settings};

pub type Authority = CertifiedIssuer<'static, KeyPair>;

pub fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A directory with a certificate and its key.
pub struct Files(PathBuf);

impl Files {
    pub fn new(name: &str) -> Self {
        let dir =
            std::env::temp_dir().join(format!("creditgate-tls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub fn cert(&self) -> PathBuf {
        self.0.join("cert.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.0.join("key.pem")
    }

    pub fn client_ca(&self) -> PathBuf {
        self.0.join("client-ca.pem")
    }

    /// Puts a new pair there; gives the certificate.
    pub fn issue(&self, authority: &Authority) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let cert = params.signed_by(&key, authority).unwrap();
        // One after the other, as people copy files: in between they do not fit.
        std::fs::write(self.cert(), cert.pem()).unwrap();
        std::fs::write(self.key(), key.serialize_pem()).unwrap();
        cert.der().to_vec()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

async fn start(
    db: &TestDb,
    cert: &Path,
    key: &Path,
) -> Result<(Running, CancellationToken), ServerError> {
    let settings =
        Settings { tls_cert: Some(cert.to_owned()), tls_key: Some(key.to_owned()), ..settings(db) };
    let stop = CancellationToken::new();
    Ok((server::start(&settings, Clock::Database, stop.clone()).await?, stop))
}

fn client(running: &Running, authority: &Authority) -> Client {
    let address = format!("https://localhost:{}", running.grpc_addr.port());
    Client::builder(&address).authority(&authority.pem()).max_attempts(1).lazy().unwrap()
}

fn balance() -> GetBalanceRequest {
    GetBalanceRequest { account_id: "a".to_owned(), ..GetBalanceRequest::default() }
}

/// The certificate that a new connection is shown.
async fn shown(running: &Running, authority: &Authority) -> Vec<u8> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(running.grpc_addr).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn a_call_comes_through_over_tls_where_the_certificate_is_trusted_and_not_without() {
    let db = TestDb::new().await;
    TestServer::open(&db, "a", 3).await.finish().await;
    let (files, trusted) = (Files::new("trusted"), authority());
    files.issue(&trusted);
    let (running, stop) = start(&db, &files.cert(), &files.key()).await.unwrap();
    let answer = client(&running, &trusted).get_balance(balance()).await.unwrap();
    assert_eq!(answer.balances[0].available, 3);
    client(&running, &authority()).get_balance(balance()).await.unwrap_err();
    let plain = format!("http://{}", running.grpc_addr);
    let plain = Client::builder(&plain).max_attempts(1).lazy().unwrap();
    plain.get_balance(balance()).await.unwrap_err();
    drop(plain);
    stop.cancel();
    running.ended().await.unwrap();
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_replaced_under_load_fails_no_call() {
    let db = TestDb::new().await;
    TestServer::open(&db, "a", 3).await.finish().await;
    let (files, trusted) = (Files::new("replaced"), Arc::new(authority()));
    let first = files.issue(&trusted);
    let (running, stop) = start(&db, &files.cert(), &files.key()).await.unwrap();
    let running = Arc::new(running);
    let loaded = CancellationToken::new();
    // One connection for all its calls, and a new one for each.
    let calls = [false, true].map(|anew| {
        let (running, trusted, loaded) =
            (Arc::clone(&running), Arc::clone(&trusted), loaded.clone());
        tokio::spawn(async move {
            let mut gate = client(&running, &trusted);
            let mut calls = 0;
            while !loaded.is_cancelled() {
                if anew {
                    gate = client(&running, &trusted);
                }
                gate.get_balance(balance()).await.unwrap();
                calls += 1;
            }
            calls
        })
    });
    assert_eq!(shown(&running, &trusted).await, first);
    let second = files.issue(&trusted);
    eventually("the new certificate is shown", async || shown(&running, &trusted).await == second)
        .await;
    // One that is of no use changes nothing.
    std::fs::write(files.cert(), "nothing").unwrap();
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(2_500) {
        assert_eq!(shown(&running, &trusted).await, second);
        tokio::task::yield_now().await;
    }
    let third = files.issue(&trusted);
    eventually("the third one is shown", async || shown(&running, &trusted).await == third).await;
    loaded.cancel();
    for calls in calls {
        assert!(calls.await.unwrap() > 0);
    }
    stop.cancel();
    Arc::into_inner(running).unwrap().ended().await.unwrap();
    db.finish().await;
}

/// Whoever connects and says nothing takes nobody's place.
#[tokio::test]
async fn connections_that_shake_no_hands_hold_up_nobody() {
    let db = TestDb::new().await;
    TestServer::open(&db, "a", 3).await.finish().await;
    let (files, trusted) = (Files::new("silent"), authority());
    files.issue(&trusted);
    let (running, stop) = start(&db, &files.cert(), &files.key()).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(running.grpc_addr).await.unwrap());
    }
    client(&running, &trusted).get_balance(balance()).await.unwrap();
    drop(silent);
    stop.cancel();
    running.ended().await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn what_is_no_certificate_with_its_key_is_told_at_the_start() {
    let db = TestDb::new().await;
    let files = Files::new("bad");
    let trusted = authority();
    let error = |result: Result<_, ServerError>| {
        let result: Result<(Running, CancellationToken), ServerError> = result;
        result.map(|_| ()).unwrap_err().to_string()
    };
    let missing = error(start(&db, &files.cert(), &files.key()).await);
    assert!(missing.contains("cert.pem"), "{missing}");
    files.issue(&trusted);
    let other = KeyPair::generate().unwrap().serialize_pem();
    std::fs::write(files.key(), &other).unwrap();
    let pair = error(start(&db, &files.cert(), &files.key()).await);
    assert!(pair.contains("key.pem") && !pair.contains(&other), "{pair}");
    std::fs::write(files.key(), "nothing").unwrap();
    let none = error(start(&db, &files.cert(), &files.key()).await);
    assert!(none.contains("has no private key"), "{none}");
    let half = Settings { tls_cert: Some(files.cert()), ..settings(&db) };
    assert!(matches!(half.tls(), Err(ConfigError::HalfTls)));
    db.finish().await;
}
