//! Who may call: keys, what each may do, and what becomes of them.

mod streams;

use std::time::{Duration, Instant};

use creditgate::{
    clock::Clock,
    config::{Auth, Settings},
    proto::{self, gate_service_client::GateServiceClient},
    server::{
        self,
        access::{AccessError, ApiKey, Principal, Scope},
    },
};
use sqlx::{Connection, Executor, PgConnection};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt;

use crate::{
    harness::{ACTOR, TestDb, TestServer, access, eventually, make_key, revoke, rights, settings},
    program::{Gate, output, program, text},
};

/// A revoked key is refused within this, on every replica.
const REVOKED_WITHIN: Duration = Duration::from_secs(5);

pub async fn make(db: &TestDb, scopes: &[Scope], lifetime: Option<Duration>) -> ApiKey {
    make_key(db, scopes, None, lifetime).await
}

async fn guarded(db: &TestDb) -> TestServer {
    let settings = Settings { auth: Auth::Keys, ..settings(db) };
    TestServer::with(&settings, Clock::Database).await
}

pub fn bearer(key: &ApiKey) -> Option<MetadataValue<Ascii>> {
    Some(format!("Bearer {}", key.reveal()).parse().unwrap())
}

/// A call that asks for nothing in particular, and then lasts.
const LASTS: &str = "/creditgate.v1.EventService/WatchEvents";

/// Makes a call with an empty request.
pub async fn call(
    channel: &Channel,
    path: &str,
    shown: Option<&MetadataValue<Ascii>>,
) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let mut request = Request::new(());
    if let Some(shown) = shown {
        request.metadata_mut().insert("authorization", shown.clone());
    }
    let path = PathAndQuery::try_from(path).unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    grpc.unary(request, path, codec).await.map(|_| ())
}

pub fn reason(status: &Status) -> String {
    status.get_error_details().error_info().unwrap().reason.clone()
}

#[tokio::test]
async fn every_call_is_let_through_with_a_key_for_it_and_refused_with_anything_else() {
    let db = TestDb::new().await;
    let short = make(&db, &[Scope::Operator], Some(Duration::from_millis(1))).await;
    let gone = make(&db, &[Scope::Operator], None).await;
    revoke(&db, &gone).await;
    let operator = make(&db, &[Scope::Operator], None).await;
    let forged = format!("Bearer cg_{}_{}", operator.id(), "0".repeat(64)).parse().unwrap();
    let mut scoped = Vec::new();
    for scope in Scope::ALL {
        scoped.push((scope, make(&db, &[scope], None).await));
    }
    let server = guarded(&db).await;
    let channel = server.channel();
    let basic = format!("Basic {}", operator.reveal()).parse().unwrap();
    let bad: [(&str, Option<MetadataValue<Ascii>>, &str); 7] = [
        ("none", None, "KEY_REQUIRED"),
        ("empty", Some(MetadataValue::from_static("")), "KEY_UNKNOWN"),
        ("another scheme", Some(basic), "KEY_UNKNOWN"),
        ("unknown", bearer(&ApiKey::generate()), "KEY_UNKNOWN"),
        ("a known id, another secret", Some(forged), "KEY_UNKNOWN"),
        ("expired", bearer(&short), "KEY_EXPIRED"),
        ("revoked", bearer(&gone), "KEY_REVOKED"),
    ];
    let calls = proto::calls();
    assert!(calls.len() > 30, "{calls:?}");
    for path in &calls {
        for (what, shown, expected) in &bad {
            let status = call(&channel, path, shown.as_ref()).await.unwrap_err();
            assert_eq!(
                (status.code(), reason(&status).as_str()),
                (Code::Unauthenticated, *expected),
                "{path} {what}"
            );
        }
        for (scope, key) in scoped.iter().filter(|_| path != LASTS) {
            let answer = call(&channel, path, bearer(key).as_ref()).await;
            let code = answer.as_ref().map_or_else(Status::code, |()| Code::Ok);
            if creditgate::auth::scope::may(&[*scope], path) {
                let let_through = [Code::Ok, Code::InvalidArgument, Code::NotFound];
                assert!(let_through.contains(&code), "{path} {scope:?}: {answer:?}");
            } else {
                assert_eq!(code, Code::PermissionDenied, "{path} {scope:?}");
                assert_eq!(reason(&answer.unwrap_err()), "SCOPE_MISSING");
            }
        }
    }
    // Health is everybody's: probes have no keys.
    let mut health = HealthClient::new(channel.clone());
    health.check(HealthCheckRequest { service: String::new() }).await.unwrap();
    // What is no call of the contract is nobody's.
    let nowhere = "/creditgate.v1.GateService/Nothing";
    let status = call(&channel, nowhere, bearer(&operator).as_ref()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    drop(health);
    drop(channel);
    server.finish().await;
    db.finish().await;
}

/// A request that would do something, but for its key.
fn with<T>(message: T, shown: Option<MetadataValue<Ascii>>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(shown) = shown {
        request.metadata_mut().insert("authorization", shown);
    }
    request
}

fn grant(id: &str) -> proto::GrantCreditsRequest {
    proto::GrantCreditsRequest {
        grant_id: id.to_owned(),
        account_id: "a".to_owned(),
        credit_type: "scan".to_owned(),
        credits: 3,
        expire_time: None,
        reason: "test".to_owned(),
    }
}

fn reserve(id: &str) -> proto::ReserveRequest {
    proto::ReserveRequest {
        reservation_id: id.to_owned(),
        scan: Some(proto::Scan {
            account_id: "a".to_owned(),
            scan_kind: "live_audit".to_owned(),
            ..proto::Scan::default()
        }),
        ..proto::ReserveRequest::default()
    }
}

#[tokio::test]
async fn what_is_refused_changes_nothing_and_each_entry_names_the_key_that_caused_it() {
    let db = TestDb::new().await;
    let open = TestServer::start(&db).await;
    open.apply_catalog().await;
    open.create_account("a").await;
    open.finish().await;
    let operator = make(&db, &[Scope::Operator], None).await;
    let scheduler = make(&db, &[Scope::Scheduler], None).await;
    let server = guarded(&db).await;
    for shown in [None, bearer(&ApiKey::generate()), bearer(&scheduler)] {
        server.billing().grant_credits(with(grant("g1"), shown)).await.unwrap_err();
    }
    server.gate().reserve(with(reserve("r0"), None)).await.unwrap_err();
    assert_eq!(db.count("SELECT count(*) FROM ledger_entries").await, 0);
    assert_eq!(db.count("SELECT count(*) FROM operations").await, 0);

    server.billing().grant_credits(with(grant("g1"), bearer(&operator))).await.unwrap();
    server.gate().reserve(with(reserve("r1"), bearer(&scheduler))).await.unwrap();
    for (kind, key) in [(1, &operator), (2, &scheduler)] {
        let named = format!(
            "SELECT count(*) FROM ledger_entries WHERE kind = {kind} AND actor = 'key:{}'",
            key.id()
        );
        assert_eq!(db.count(&named).await, 1);
    }
    assert_eq!(db.count("SELECT count(*) FROM ledger_entries").await, 2);
    // As it ends it notes which keys were used.
    server.finish().await;
    let used = "SELECT count(*) FROM public.api_keys WHERE last_use_time IS NOT NULL";
    assert_eq!(db.count(used).await, 2);
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_revoked_under_load_is_refused_everywhere_within_seconds_and_others_go_on() {
    let db = TestDb::new().await;
    let open = TestServer::open(&db, "a", 1_000_000).await;
    open.finish().await;
    let revoked = make(&db, &[Scope::Scheduler], None).await;
    let other = make(&db, &[Scope::Scheduler], None).await;
    let replicas = [guarded(&db).await, guarded(&db).await];
    let stop = CancellationToken::new();
    let mut others = Vec::new();
    for (number, replica) in replicas.iter().enumerate() {
        let (mut gate, stop, shown) = (replica.gate(), stop.clone(), bearer(&other));
        others.push(tokio::spawn(async move {
            let mut calls = 0;
            while !stop.is_cancelled() {
                let request = reserve(&format!("o{number}-{calls}"));
                gate.reserve(with(request, shown.clone())).await.unwrap();
                calls += 1;
            }
            calls
        }));
    }
    let get = |id: &str| proto::GetBalanceRequest {
        account_id: id.to_owned(),
        ..proto::GetBalanceRequest::default()
    };
    for replica in &replicas {
        replica.ledger().get_balance(with(get("a"), bearer(&revoked))).await.unwrap();
    }
    revoke(&db, &revoked).await;
    let begun = Instant::now();
    for replica in &replicas {
        eventually("the key is refused", async || {
            let answer = replica.ledger().get_balance(with(get("a"), bearer(&revoked))).await;
            answer.is_err_and(|status| reason(&status) == "KEY_REVOKED")
        })
        .await;
    }
    assert!(begun.elapsed() < REVOKED_WITHIN, "{:?}", begun.elapsed());
    stop.cancel();
    for calls in others {
        assert!(calls.await.unwrap() > 0);
    }
    for replica in replicas {
        replica.finish().await;
    }
    db.finish().await;
}

#[tokio::test]
async fn a_rotated_key_stays_good_for_the_overlap_and_its_successor_may_do_the_same() {
    let db = TestDb::new().await;
    let old = make(&db, &[Scope::Viewer, Scope::Billing], None).await;
    let server = guarded(&db).await;
    let overlap = Duration::from_secs(2);
    let access = access(&db).await;
    let new = access.rotate_key(old.id(), overlap, None, ACTOR).await.unwrap();
    let list = || proto::ListAccountsRequest::default();
    server.accounts().list_accounts(with(list(), bearer(&old))).await.unwrap();
    eventually("the new one is known", async || {
        server.accounts().list_accounts(with(list(), bearer(&new))).await.is_ok()
    })
    .await;
    eventually("the old one has run out", async || {
        let answer = server.accounts().list_accounts(with(list(), bearer(&old))).await;
        answer.is_err_and(|status| reason(&status) == "KEY_EXPIRED")
    })
    .await;
    server.accounts().list_accounts(with(list(), bearer(&new))).await.unwrap();
    let again = access.rotate_key(old.id(), overlap, None, ACTOR).await;
    assert!(matches!(again, Err(AccessError::NoKey(_))), "{again:?}");
    let scopes: Vec<_> =
        access.keys().await.unwrap().iter().map(|key| key.scopes.join(",")).collect();
    assert_eq!(scopes, ["billing,viewer", "billing,viewer"]);
    access.close().await;
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn a_server_that_others_can_reach_does_not_start_open_unless_it_is_told_to() {
    let db = TestDb::new().await;
    let everywhere = Settings { grpc_addr: ([0, 0, 0, 0], 0).into(), ..settings(&db) };
    let started = server::start(&everywhere, Clock::Database, CancellationToken::new()).await;
    let error = started.unwrap_err().to_string();
    assert!(error.contains("--auth keys") && error.contains("--auth anyone"), "{error}");
    for auth in [Auth::Keys, Auth::Anyone] {
        let stop = CancellationToken::new();
        let told = Settings { auth, ..everywhere.clone() };
        let running = server::start(&told, Clock::Database, stop.clone()).await.unwrap();
        let address = format!("http://127.0.0.1:{}", running.grpc_addr.port());
        let mut gate = GateServiceClient::connect(address).await.unwrap();
        let status = gate.reserve(proto::ReserveRequest::default()).await.unwrap_err();
        let expected =
            if auth == Auth::Keys { Code::Unauthenticated } else { Code::InvalidArgument };
        assert_eq!(status.code(), expected);
        drop(gate);
        stop.cancel();
        running.ended().await.unwrap();
    }
    db.finish().await;
}

/// Whoever runs SQL as the role that serves may let callers in, and no more: what one
/// may do, and its secret, stay as they were made.
#[tokio::test]
async fn the_serving_role_makes_and_revokes_callers_but_changes_and_removes_none() {
    let db = TestDb::new().await;
    let owner = access(&db).await;
    let key = make(&db, &[Scope::Viewer], None).await;
    let name = Principal::new("token:someone").unwrap();
    owner.add_principal(&name, &rights(&[Scope::Viewer], None), ACTOR).await.unwrap();
    owner.close().await;
    let mut serving = PgConnection::connect(&db.url()).await.unwrap();
    for table in ["api_keys", "principals"] {
        for change in
            ["SET scopes = '{operator}'", "SET account_ids = NULL", "SET create_actor = ''"]
        {
            let statement = format!("UPDATE public.{table} {change}");
            let refused = serving.execute(sqlx::AssertSqlSafe(statement)).await.unwrap_err();
            assert!(
                refused.to_string().contains("permission denied"),
                "{table} {change}: {refused}"
            );
        }
        let statement = format!("DELETE FROM public.{table}");
        serving.execute(sqlx::AssertSqlSafe(statement)).await.unwrap_err();
    }
    let forged = "UPDATE public.api_keys SET secret_hash = sha256('known')";
    serving.execute(forged).await.unwrap_err();
    serving.execute("UPDATE public.api_keys SET revoke_time = now()").await.unwrap();
    serving.close().await.unwrap();
    let owner = access(&db).await;
    let kept = owner.keys().await.unwrap();
    assert_eq!((kept[0].key_id.as_str(), kept[0].is_revoked), (key.id().as_str(), true));
    owner.close().await;
    db.finish().await;
}

#[tokio::test]
async fn the_program_makes_a_key_calls_with_it_and_keeps_it_from_the_scan() {
    let db = TestDb::new().await;
    let open = TestServer::open(&db, "a", 2).await;
    open.finish().await;
    let server = guarded(&db).await;
    let mut create = program();
    create.args(["key", "create", "--name", "runner", "--scope", "scheduler"]);
    let made = output(create.env("DATABASE_URL", db.owner_url())).await;
    assert!(made.status.success(), "{}", text(&made.stderr));
    let key = text(&made.stdout).trim().to_owned();
    let secret = key.rsplit('_').next().unwrap().to_owned();

    let (code, _, error) = Gate::of(&server).call(&["balance", "--account", "a"]).await;
    assert_eq!(code, 1);
    assert!(error.contains("KEY_REQUIRED") || error.contains("creditgate key create"), "{error}");

    let address = server.grpc_addr();
    let run = ["run", "--account", "a", "--kind", "live_audit", "--", "sh", "-c"];
    let mut scan = program();
    scan.args(["--addr", &address]).args(run).arg("env; test -z \"$CREDITGATE_KEY\"");
    let mut ran = output(scan.env("CREDITGATE_KEY", &key)).await;
    // A new key is known within a second.
    let begun = Instant::now();
    while !ran.status.success() && begun.elapsed() < Duration::from_secs(10) {
        ran = output(&mut scan).await;
    }
    let said = text(&ran.stdout) + &text(&ran.stderr);
    assert!(ran.status.success() && !said.contains(&secret), "{said}");

    let file = std::env::temp_dir().join(format!("creditgate-key-{}", std::process::id()));
    std::fs::write(&file, format!("{key}\n")).unwrap();
    let path = file.to_str().unwrap();
    let words = ["balance", "--account", "a", "--key-file", path];
    let (code, _, error) = Gate::of(&server).call(&words).await;
    assert_eq!(code, 0, "{error}");
    std::fs::remove_file(&file).unwrap();

    let mut list = program();
    let listed = output(list.args(["key", "list"]).env("DATABASE_URL", db.owner_url())).await;
    let listed = text(&listed.stdout);
    assert!(listed.contains("runner") && listed.contains("GOOD"), "{listed}");
    assert!(!listed.contains(&secret));
    server.finish().await;
    db.finish().await;
}
