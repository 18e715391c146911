//! A key that sees one account alone: of others it learns nothing, not even that
//! they exist, and nothing of theirs moves.

mod calls;

use creditgate::{
    billing::Billing,
    clock::Clock,
    config::{Auth, Settings},
    proto,
    server::access::Scope,
};
use prost::Message;
use rand::RngExt;
use tokio::task::JoinSet;
use tonic::{
    Code, Request,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use tonic_types::StatusExt;

use self::calls::{Call, Raw, calls};
use crate::harness::{TABLES, TestDb, TestServer, make_key, settings, shop, words};

/// As long as each other: an answer's length tells nothing either.
const OWN: &str = "acc_own_one";
const FOREIGN: &str = "acc_foreign";
const MISSING: &str = "acc_missing";
/// More are tried where CREDITGATE_CROSS_ATTEMPTS says so.
const ATTEMPTS: usize = 3_000;

/// What a caller can tell of an answer, with what it asked for itself taken out.
async fn told(
    channel: &Channel,
    shown: &MetadataValue<Ascii>,
    account: &str,
    (path, message): Call,
) -> String {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", shown.clone());
    let answer = grpc.unary(request, PathAndQuery::from_static(path), Raw).await;
    let text = match answer {
        Ok(response) => format!("{:?}", String::from_utf8_lossy(response.get_ref())),
        Err(status) => {
            let details = status.get_error_details();
            let info = details.error_info().unwrap();
            let mut metadata: Vec<_> = info.metadata.iter().collect();
            metadata.sort();
            let (code, message) = (status.code(), status.message());
            format!("{code:?} {message} {} {metadata:?} {:?}", info.reason, details.retry_info())
        }
    };
    text.replace(account, "ACCOUNT")
        .replace("no_t1", "t1")
        .replace("no_r1", "r1")
        .replace("no_e1", "e1")
}

/// A server that asks for keys, a key bound to [`OWN`] with all scopes, and what
/// [`FOREIGN`] has.
async fn bound(db: &TestDb) -> (TestServer, MetadataValue<Ascii>) {
    let ledger = db.ledger(Clock::Database).await;
    let billing = Billing::new(db.database(), ledger.clone());
    billing.apply_catalog(shop::catalog(), false, "test").await.unwrap();
    ledger.close().await;
    let open = TestServer::start(db).await;
    for account in [OWN, FOREIGN] {
        open.create_account(account).await;
        open.grant(account, "g1", "scan", 5).await;
    }
    let begin = proto::BeginTopUpRequest {
        top_up_id: "t1".to_owned(),
        account_id: FOREIGN.to_owned(),
        credit_type: "scan".to_owned(),
        credits: 2,
        provider: "manual".to_owned(),
        ..proto::BeginTopUpRequest::default()
    };
    open.billing().begin_top_up(begin).await.unwrap();
    let (_, message) = calls(FOREIGN, true).swap_remove(1);
    let reserve = proto::ReserveRequest::decode(message.as_slice()).unwrap();
    open.gate().reserve(reserve).await.unwrap();
    open.finish().await;
    // Of the foreign account, and of everybody.
    db.execute(&format!(
        "INSERT INTO webhook_endpoints (endpoint_id, account_id, url, kinds, secret, create_actor)
         SELECT id, account_id, 'https://hooks.example', '{{}}', decode(repeat('00', 32), 'hex'), 'test'
           FROM (VALUES ('e1', '{FOREIGN}'), ('e2', NULL)) AS e (id, account_id)"
    ))
    .await;
    let key = make_key(db, &Scope::ALL, Some(OWN), None).await;
    let settings = Settings { auth: Auth::Keys, ..settings(db) };
    let server = TestServer::with(&settings, Clock::Database).await;
    (server, format!("Bearer {}", key.reveal()).parse().unwrap())
}

/// A request by this key.
fn by<T>(shown: &MetadataValue<Ascii>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", shown.clone());
    request
}

/// All that the foreign account has, in every table.
async fn belongings(db: &TestDb) -> i64 {
    let mut sum = 0_i64;
    for table in TABLES.into_iter().chain(["projects", "webhook_endpoints", "mail_choices"]) {
        let hashes = format!(
            "SELECT coalesce(sum(hashtextextended(t::text, 0)::numeric % 1000000007), 0)::bigint
               FROM {table} t WHERE account_id = '{FOREIGN}'"
        );
        sum = sum.wrapping_mul(31).wrapping_add(db.count(&hashes).await);
    }
    sum
}

#[tokio::test]
async fn another_account_is_to_a_bound_key_as_one_that_there_is_not() {
    let db = TestDb::new().await;
    let (server, shown) = bound(&db).await;
    let channel = server.channel();
    let before = belongings(&db).await;
    let pairs = calls(FOREIGN, true).into_iter().zip(calls(MISSING, false));
    for (foreign, missing) in pairs {
        let path = foreign.0;
        let about_foreign = told(&channel, &shown, FOREIGN, foreign).await;
        let about_missing = told(&channel, &shown, MISSING, missing).await;
        assert_eq!(about_foreign, about_missing, "{path}");
        assert!(about_foreign.contains("NOT_FOUND"), "{path}: {about_foreign}");
    }
    assert_eq!(belongings(&db).await, before);
    // Of its own it sees everything.
    let (path, message) = calls(OWN, false).swap_remove(9);
    let own = told(&channel, &shown, OWN, (path, message)).await;
    assert!(own.contains("scan") && !own.contains("NOT_FOUND"), "{own}");
    drop(channel);
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn what_is_of_no_single_account_is_not_for_a_bound_key() {
    let db = TestDb::new().await;
    let (server, shown) = bound(&db).await;
    for path in [
        "/creditgate.v1.AccountService/CreateAccount",
        "/creditgate.v1.AccountService/ListAccounts",
        "/creditgate.v1.AccountService/AssignProject",
        "/creditgate.v1.AccountService/UnassignProject",
        "/creditgate.v1.AccountService/LinkProvider",
        "/creditgate.v1.CatalogService/ApplyCatalog",
        "/creditgate.v1.GateService/ListReservations",
    ] {
        let mut grpc = Grpc::new(server.channel());
        grpc.ready().await.unwrap();
        let mut request = Request::new(Vec::new());
        request.metadata_mut().insert("authorization", shown.clone());
        let status = grpc.unary(request, PathAndQuery::from_static(path), Raw).await.unwrap_err();
        let reason = status.get_error_details().error_info().unwrap().reason.clone();
        assert_eq!(
            (status.code(), reason.as_str()),
            (Code::PermissionDenied, "KEY_BOUND"),
            "{path}"
        );
    }
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn a_bound_key_keeps_endpoints_of_its_own_account_alone() {
    let db = TestDb::new().await;
    let (server, shown) = bound(&db).await;
    let mut service = server.deliveries();
    let create = |account_id: &str| proto::CreateEndpointRequest {
        account_id: account_id.to_owned(),
        url: "https://hooks.example/own".to_owned(),
        kinds: Vec::new(),
    };
    // What everybody does is not for it to hear, nor where that is told to be changed.
    let refused = service.create_endpoint(by(&shown, create(""))).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let everybodys = proto::DisableEndpointRequest {
        endpoint_id: "e2".to_owned(),
        ..proto::DisableEndpointRequest::default()
    };
    let refused = service.disable_endpoint(by(&shown, everybodys)).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused}");
    let added = service.create_endpoint(by(&shown, create(OWN))).await.unwrap().into_inner();
    let list = service.list_endpoints(by(&shown, proto::ListEndpointsRequest {})).await.unwrap();
    let list: Vec<String> =
        list.into_inner().endpoints.into_iter().map(|e| e.endpoint_id).collect();
    assert_eq!(list, std::slice::from_ref(&added.endpoint_id));
    let disable = proto::DisableEndpointRequest {
        endpoint_id: added.endpoint_id.clone(),
        reason: "enough".to_owned(),
    };
    service.disable_endpoint(by(&shown, disable)).await.unwrap();
    let sent = proto::ListDeliveriesRequest {
        endpoint_id: added.endpoint_id,
        ..proto::ListDeliveriesRequest::default()
    };
    let sent = service.list_deliveries(by(&shown, sent)).await.unwrap().into_inner();
    assert!(sent.deliveries.is_empty());
    drop(service);
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn a_bound_key_that_watches_everything_hears_of_its_own_account_alone() {
    let db = TestDb::new().await;
    let (server, shown) = bound(&db).await;
    let mut request = Request::new(proto::WatchEventsRequest {
        after_cursor: Some(String::new()),
        ..proto::WatchEventsRequest::default()
    });
    request.metadata_mut().insert("authorization", shown);
    let mut stream = server.events().watch_events(request).await.unwrap().into_inner();
    let ledger = db.ledger(Clock::Database).await;
    for (account, id) in [(FOREIGN, "theirs"), (OWN, "ours")] {
        ledger.submit(words::grant(account, id, "scan", 1)).await.unwrap();
    }
    // What it had, and what it got: nothing of the other account in between.
    let mut heard = Vec::new();
    while heard.len() < 2 {
        heard.extend(stream.message().await.unwrap().unwrap().event);
    }
    assert!(heard.iter().all(|event| event.account_id == OWN), "{heard:?}");
    drop(stream);
    ledger.close().await;
    server.finish().await;
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_attempts_on_another_account_none_learns_or_moves_anything() {
    let asked = std::env::var("CREDITGATE_CROSS_ATTEMPTS").ok();
    let attempts = asked.and_then(|count| count.parse().ok()).unwrap_or(ATTEMPTS);
    let db = TestDb::new().await;
    let (server, shown) = bound(&db).await;
    let before = belongings(&db).await;
    let channel = server.channel();
    let mut expected = Vec::new();
    for call in calls(MISSING, false) {
        expected.push(told(&channel, &shown, MISSING, call).await);
    }
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let (channel, shown, expected) = (channel.clone(), shown.clone(), expected.clone());
        tasks.spawn(async move {
            for _ in 0..attempts.div_ceil(16) {
                let number = rand::rng().random_range(0..expected.len());
                let call = calls(FOREIGN, rand::rng().random()).swap_remove(number);
                let told = told(&channel, &shown, FOREIGN, call).await;
                assert_eq!(told, expected[number]);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert_eq!(belongings(&db).await, before);
    drop(channel);
    server.finish().await;
    db.finish().await;
}
