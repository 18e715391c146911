//! Callers by tokens of an issuer, which is a server on this machine.

use std::sync::{Arc, Mutex};

use axum::{Json, Router, extract::State, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use creditgate::{
    clock::Clock,
    config::{Auth, Settings},
    proto,
    server::access::{Principal, Scope},
};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{Code, Request, Status};

use crate::{
    harness::{ACTOR, TestDb, TestServer, access, eventually, rights, settings},
    keys::reason,
};

const AUDIENCE: &str = "creditgate";

/// A key of the issuer's, by its name.
struct Key(&'static str, Ed25519KeyPair);

impl Key {
    fn new(name: &'static str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self(name, Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
    }

    fn shown(&self) -> Value {
        let x = BASE64.encode(self.1.public_key());
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.0, "x": x })
    }

    fn token(&self, issuer: &str, subject: &str, lifetime: i64) -> String {
        let expires = chrono::Utc::now().timestamp() + lifetime;
        let header = json!({ "alg": "EdDSA", "kid": self.0 });
        let claims = json!({ "iss": issuer, "aud": AUDIENCE, "sub": subject, "exp": expires });
        let message =
            format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let signed = BASE64.encode(self.1.sign(message.as_bytes()));
        format!("{message}.{signed}")
    }
}

type Shown = Arc<Mutex<Vec<Value>>>;

/// Describes itself, and shows its keys.
struct Issuer {
    address: String,
    shown: Shown,
    task: JoinHandle<()>,
}

impl Issuer {
    async fn start(keys: &[&Key]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shown: Shown = Arc::new(Mutex::new(keys.iter().map(|key| key.shown()).collect()));
        let description = json!({ "issuer": address, "jwks_uri": format!("{address}/keys") });
        let keys = async |State(shown): State<Shown>| {
            Json(json!({ "keys": shown.lock().unwrap().clone() }))
        };
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(async || Json(description)))
            .route("/keys", get(keys))
            .with_state(shown.clone());
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, shown, task }
    }

    fn show(&self, keys: &[&Key]) {
        *self.shown.lock().unwrap() = keys.iter().map(|key| key.shown()).collect();
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn guarded(db: &TestDb, issuer: &str, keys: Option<String>) -> TestServer {
    let settings = Settings {
        auth: Auth::Keys,
        token_issuer: Some(issuer.to_owned()),
        token_audience: Some(AUDIENCE.to_owned()),
        token_keys: keys,
        ..settings(db)
    };
    TestServer::with(&settings, Clock::Database).await
}

/// Makes a call with a token.
async fn look(server: &TestServer, token: &str) -> Result<(), Status> {
    let mut request = Request::new(proto::GetBalanceRequest {
        account_id: "a".to_owned(),
        ..proto::GetBalanceRequest::default()
    });
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    server.ledger().get_balance(request).await.map(|_| ())
}

async fn let_in(db: &TestDb, subject: &str) {
    let access = access(db).await;
    let name = Principal::of_token(subject).unwrap();
    access.add_principal(&name, &rights(&[Scope::Viewer], None), ACTOR).await.unwrap();
    access.close().await;
}

#[tokio::test]
async fn a_token_of_the_issuer_lets_in_whom_an_operator_has_named_also_after_its_keys_have_changed()
{
    let db = TestDb::new().await;
    TestServer::open(&db, "a", 5).await.finish().await;
    let_in(&db, "runner").await;
    let (first, second) = (Key::new("first"), Key::new("second"));
    let issuer = Issuer::start(&[&first]).await;
    let server = guarded(&db, &issuer.address, None).await;
    let good = first.token(&issuer.address, "runner", 60);
    look(&server, &good).await.unwrap();
    look(&server, &good).await.unwrap();
    for (what, token, code, expected) in [
        (
            "a stranger",
            first.token(&issuer.address, "other", 60),
            Code::PermissionDenied,
            "PRINCIPAL_UNKNOWN",
        ),
        (
            "expired",
            first.token(&issuer.address, "runner", -60),
            Code::Unauthenticated,
            "TOKEN_INVALID",
        ),
        (
            "of another",
            first.token("http://127.0.0.1:1", "runner", 60),
            Code::Unauthenticated,
            "TOKEN_INVALID",
        ),
        ("a word", "hunter2".to_owned(), Code::Unauthenticated, "TOKEN_INVALID"),
    ] {
        let status = look(&server, &token).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected), "{what}: {status}");
        assert!(!status.message().contains(&token), "{what}: it is not repeated: {status}");
    }
    // A token of a key that is new has its issuer asked for it.
    let new = second.token(&issuer.address, "runner", 60);
    issuer.show(&[&second]);
    eventually("the new key is known", async || look(&server, &new).await.is_ok()).await;
    let status = look(&server, &good).await.unwrap_err();
    assert_eq!(reason(&status), "TOKEN_INVALID", "of a key that is gone, no token is good");
    // The issuer is away: what was known stays good.
    drop(issuer);
    look(&server, &first.token("x", "runner", 60)).await.unwrap_err();
    look(&server, &new).await.unwrap();
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn keys_of_an_issuer_may_be_a_file_and_one_that_is_not_there_yet_is_waited_for() {
    let db = TestDb::new().await;
    TestServer::open(&db, "a", 5).await.finish().await;
    let_in(&db, "system:serviceaccount:scans:runner").await;
    let key = Key::new("k");
    let file = std::env::temp_dir().join(format!("creditgate-jwks-{}.json", std::process::id()));
    let issuer = "https://kubernetes.default.svc";
    let server = guarded(&db, issuer, Some(file.to_str().unwrap().to_owned())).await;
    let token = key.token(issuer, "system:serviceaccount:scans:runner", 60);
    assert_eq!(reason(&look(&server, &token).await.unwrap_err()), "TOKEN_INVALID");
    std::fs::write(&file, json!({ "keys": [key.shown()] }).to_string()).unwrap();
    eventually("the file is read", async || look(&server, &token).await.is_ok()).await;
    std::fs::remove_file(&file).unwrap();
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn a_gate_does_not_start_with_half_of_what_tokens_take_nor_with_keys_from_an_open_network() {
    let whole = Settings {
        auth: Auth::Keys,
        token_issuer: Some("https://issuer.example".to_owned()),
        token_audience: Some(AUDIENCE.to_owned()),
        ..Settings::default()
    };
    assert!(whole.tokens().unwrap().is_some());
    for half in [
        Settings { token_audience: None, ..whole.clone() },
        Settings { token_issuer: None, ..whole.clone() },
        Settings { auth: Auth::Loopback, ..whole.clone() },
        Settings { token_keys: Some("k".to_owned()), ..Settings::default() },
    ] {
        half.tokens().unwrap_err();
    }
    let db = TestDb::new().await;
    let open = Settings {
        auth: Auth::Keys,
        token_issuer: Some("http://issuer.example".to_owned()),
        token_audience: Some(AUDIENCE.to_owned()),
        ..settings(&db)
    };
    let stop = tokio_util::sync::CancellationToken::new();
    let started = creditgate::server::start(&open, Clock::Database, stop).await;
    let error = started.unwrap_err().to_string();
    assert!(error.contains("neither https nor of this machine"), "{error}");
    db.finish().await;
}
