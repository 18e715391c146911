//! Callers by their certificates.

use creditgate::{
    client::{Client, ClientBuilder, Verdict},
    clock::Clock,
    config::{Auth, Settings},
    proto::{self, GetBalanceRequest},
    server::{
        self, Running,
        access::{AccessError, Principal, Scope},
    },
};
use rcgen::{CertificateParams, KeyPair, SanType};
use tokio_util::sync::CancellationToken;

use crate::{
    harness::{ACTOR, TestDb, TestServer, access, eventually, make_key, rights, settings},
    program::{output, program, text},
    tls::{Authority, Files, authority},
};

const SCHEDULER: &str = "spiffe://example.org/ns/scans/sa/scheduler";

/// A certificate and its key, as PEM.
type Identity = (String, String);

/// A client's certificate with these names, of which those with a scheme are identities.
fn identity(authority: &Authority, names: &[&str]) -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = (names.iter())
        .map(|name| match name.contains("://") {
            true => SanType::URI((*name).try_into().unwrap()),
            false => SanType::DnsName((*name).try_into().unwrap()),
        })
        .collect();
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

struct Guarded {
    files: Files,
    authority: Authority,
    running: Running,
    stop: CancellationToken,
}

impl Guarded {
    /// Takes certificates of clients that `clients` has signed.
    async fn start(db: &TestDb, name: &str, clients: &Authority) -> Self {
        let (files, authority) = (Files::new(name), authority());
        files.issue(&authority);
        std::fs::write(files.client_ca(), clients.pem()).unwrap();
        let settings = Settings {
            auth: Auth::Keys,
            tls_cert: Some(files.cert()),
            tls_key: Some(files.key()),
            tls_client_ca: Some(files.client_ca()),
            ..settings(db)
        };
        let stop = CancellationToken::new();
        let running = server::start(&settings, Clock::Database, stop.clone()).await.unwrap();
        Self { files, authority, running, stop }
    }

    fn address(&self) -> String {
        format!("https://localhost:{}", self.running.grpc_addr.port())
    }

    fn builder(&self) -> ClientBuilder {
        Client::builder(&self.address()).authority(&self.authority.pem()).max_attempts(1)
    }

    fn client(&self, (chain, key): &Identity) -> Client {
        self.builder().certificate(chain, key).lazy().unwrap()
    }

    async fn finish(self) {
        self.stop.cancel();
        self.running.ended().await.unwrap();
    }
}

fn balance(account_id: &str) -> GetBalanceRequest {
    GetBalanceRequest { account_id: account_id.to_owned(), ..GetBalanceRequest::default() }
}

async fn refusal(client: &Client) -> String {
    client.get_balance(balance("a")).await.unwrap_err().to_string()
}

fn principal(name: &str) -> Principal {
    Principal::of_certificate(name).unwrap()
}

#[tokio::test]
async fn a_certificate_lets_in_whom_an_operator_has_named_and_nobody_else() {
    let db = TestDb::new().await;
    let open = TestServer::open(&db, "a", 5).await;
    open.create_account("b").await;
    open.finish().await;
    let access = access(&db).await;
    let clients = authority();
    let scheduler = rights(&[Scope::Scheduler], None);
    access.add_principal(&principal(SCHEDULER), &scheduler, ACTOR).await.unwrap();
    access.add_principal(&principal(SCHEDULER), &scheduler, ACTOR).await.unwrap();
    let other = rights(&[Scope::Operator], None);
    let again = access.add_principal(&principal(SCHEDULER), &other, ACTOR).await;
    assert!(matches!(again, Err(AccessError::PrincipalExists(_))), "{again:?}");
    let of_b = rights(&[Scope::Scheduler], Some("b"));
    access.add_principal(&principal("b.example.org"), &of_b, ACTOR).await.unwrap();
    let key = make_key(&db, &[Scope::Viewer], None, None).await;
    let gate = Guarded::start(&db, "named", &clients).await;

    // The second of its names is known.
    let named = gate.client(&identity(&clients, &["spiffe://example.org/x", SCHEDULER]));
    let scan = proto::Scan {
        account_id: "a".to_owned(),
        scan_kind: "live_audit".to_owned(),
        ..Default::default()
    };
    let reserve = proto::ReserveRequest {
        reservation_id: "r".to_owned(),
        scan: Some(scan),
        ..Default::default()
    };
    assert!(matches!(named.reserve(reserve).await.unwrap(), Verdict::Held(_)));
    let actor = format!("certificate:{SCHEDULER}");
    let query = format!("SELECT count(*) FROM cell_00.ledger_entries WHERE actor = '{actor}'");
    assert_eq!(db.count(&query).await, 1);
    let list = proto::ListAccountsRequest::default();
    let denied = named.list_accounts(list).await.unwrap_err().to_string();
    assert!(denied.contains("billing, viewer"), "{denied}");

    let bound = gate.client(&identity(&clients, &["b.example.org"]));
    bound.get_balance(balance("b")).await.unwrap();
    let hidden = refusal(&bound).await;
    assert!(hidden.contains("account a"), "{hidden}");

    let stranger = gate.client(&identity(&clients, &["spiffe://example.org/stranger"]));
    let denied = refusal(&stranger).await;
    assert!(
        denied.contains("spiffe://example.org/stranger is believed, but not let in"),
        "{denied}"
    );
    let nameless = gate.client(&identity(&clients, &[]));
    assert!(refusal(&nameless).await.contains("this gate takes keys"));
    let nobody = gate.builder().lazy().unwrap();
    assert!(refusal(&nobody).await.contains("this gate takes keys"));
    // A key says who calls, also beside a certificate.
    let keyed = gate.builder().key(key.reveal()).unwrap().lazy().unwrap();
    keyed.get_balance(balance("a")).await.unwrap();
    let (chain, secret) = identity(&clients, &["spiffe://example.org/stranger"]);
    let both = gate.builder().certificate(&chain, &secret).key(key.reveal()).unwrap();
    both.lazy().unwrap().get_balance(balance("a")).await.unwrap();
    // Of another authority: no hands are shaken.
    let forged = gate.client(&identity(&authority(), &[SCHEDULER]));
    let refused = refusal(&forged).await;
    assert!(!refused.contains("not let in"), "{refused}");

    access.remove_principal(&principal(SCHEDULER), ACTOR).await.unwrap();
    eventually("it is let in no longer", async || {
        named
            .get_balance(balance("a"))
            .await
            .is_err_and(|error| error.to_string().contains("not let in"))
    })
    .await;
    // It may be let in again, as something else.
    access.add_principal(&principal(SCHEDULER), &other, ACTOR).await.unwrap();
    eventually("it is let in again", async || {
        named.list_accounts(proto::ListAccountsRequest::default()).await.is_ok()
    })
    .await;
    let used = "SELECT count(*) FROM public.principals WHERE last_use_time IS NOT NULL";
    gate.finish().await;
    assert_eq!(db.count(used).await, 2, "that they were used is noted at the end");
    access.close().await;
    db.finish().await;
}

#[tokio::test]
async fn another_authority_of_clients_is_believed_as_soon_as_its_file_is_there() {
    let db = TestDb::new().await;
    TestServer::open(&db, "a", 5).await.finish().await;
    let access = access(&db).await;
    let viewer = rights(&[Scope::Viewer], None);
    access.add_principal(&principal(SCHEDULER), &viewer, ACTOR).await.unwrap();
    access.close().await;
    let (first, second) = (authority(), authority());
    let gate = Guarded::start(&db, "authority", &first).await;
    let (old, new) = (identity(&first, &[SCHEDULER]), identity(&second, &[SCHEDULER]));
    let open = gate.client(&old);
    open.get_balance(balance("a")).await.unwrap();
    gate.client(&new).get_balance(balance("a")).await.unwrap_err();
    std::fs::write(gate.files.client_ca(), second.pem()).unwrap();
    eventually("the new one is believed", async || {
        gate.client(&new).get_balance(balance("a")).await.is_ok()
    })
    .await;
    gate.client(&old).get_balance(balance("a")).await.unwrap_err();
    open.get_balance(balance("a")).await.expect("what is connected goes on");
    drop(open);
    gate.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn the_program_lets_a_principal_in_lists_it_and_calls_as_one() {
    let db = TestDb::new().await;
    TestServer::open(&db, "a", 5).await.finish().await;
    let clients = authority();
    let gate = Guarded::start(&db, "program", &clients).await;
    let owner = async |arguments: &[&str]| {
        let mut command = program();
        command.arg("principal").args(arguments).env("DATABASE_URL", db.owner_url());
        output(&mut command).await
    };
    let name = format!("certificate:{SCHEDULER}");
    let added = owner(&["add", &name, "--name", "scheduler", "--scope", "viewer"]).await;
    assert!(added.status.success(), "{}", text(&added.stderr));
    let listed = text(&owner(&["list"]).await.stdout);
    assert!(listed.contains(&name) && listed.contains("viewer"), "{listed}");

    let (chain, key) = identity(&clients, &[SCHEDULER]);
    let (ca, cert, cert_key) = (gate.files.client_ca(), gate.files.cert(), gate.files.key());
    // The server has read its own: the client's go into their place.
    let at = |path: &std::path::Path| path.with_extension("client");
    std::fs::write(at(&ca), gate.authority.pem()).unwrap();
    std::fs::write(at(&cert), chain).unwrap();
    std::fs::write(at(&cert_key), key).unwrap();
    let call = async || {
        let mut command = program();
        command.args(["balance", "--account", "a", "--addr", &gate.address(), "--ca-file"]);
        command.arg(at(&ca)).arg("--cert-file").arg(at(&cert));
        output(command.arg("--cert-key-file").arg(at(&cert_key))).await
    };
    eventually("it is let in", async || call().await.status.success()).await;

    let removed = owner(&["remove", &name]).await;
    assert!(removed.status.success(), "{}", text(&removed.stderr));
    let again = owner(&["remove", &name]).await;
    assert!(text(&again.stderr).contains("is not let in"), "{}", text(&again.stderr));
    let odd = owner(&["add", "scheduler", "--name", "s", "--scope", "viewer"]).await;
    assert!(text(&odd.stderr).contains("certificate:spiffe://"), "{}", text(&odd.stderr));
    gate.finish().await;
    db.finish().await;
}
