//! Webhooks: each event at least once, with one id, in order, to whoever listens; and
//! nothing to whom it must not be sent.

mod receiver;

use std::{
    net::IpAddr,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use creditgate::{
    clock::Clock,
    config::Settings,
    delivery::sender::{Names, Sender},
    domain::event::EventKind,
    proto::{
        CreateEndpointRequest, CreateEndpointResponse, DeleteEndpointRequest, Delivery,
        DeliveryState, DisableEndpointRequest, EnableEndpointRequest, Endpoint,
        ListDeliveriesRequest, ListEndpointsRequest, ListEventsRequest, ReplayDeliveriesRequest,
        RotateEndpointSecretRequest,
    },
};
use http::{HeaderMap, StatusCode};
use tonic::Code;

use crate::harness::{TestDb, TestServer, eventually, settings, words::*};
use receiver::{Receiver, Reply, verify};

fn open(db: &TestDb) -> Settings {
    Settings { webhook_private_addresses: true, ..settings(db) }
}

async fn add(server: &TestServer, account_id: &str, url: &str) -> CreateEndpointResponse {
    let request = CreateEndpointRequest {
        account_id: account_id.to_owned(),
        url: url.to_owned(),
        kinds: Vec::new(),
    };
    server.deliveries().create_endpoint(request).await.unwrap().into_inner()
}

async fn endpoint(server: &TestServer, endpoint_id: &str) -> Endpoint {
    let list = server.deliveries().list_endpoints(ListEndpointsRequest {}).await.unwrap();
    let mut endpoints = list.into_inner().endpoints.into_iter();
    endpoints.find(|endpoint| endpoint.endpoint_id == endpoint_id).unwrap()
}

async fn deliveries(server: &TestServer, endpoint_id: &str) -> Vec<Delivery> {
    let mut request = ListDeliveriesRequest {
        endpoint_id: endpoint_id.to_owned(),
        page_size: 3,
        ..ListDeliveriesRequest::default()
    };
    let mut all = Vec::new();
    loop {
        let page = server.deliveries().list_deliveries(request.clone()).await.unwrap();
        let page = page.into_inner();
        all.extend(page.deliveries);
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

async fn events(server: &TestServer, account_id: &str) -> Vec<String> {
    let request = ListEventsRequest {
        account_id: account_id.to_owned(),
        page_size: 1_000,
        page_token: String::new(),
    };
    let list = server.events().list_events(request).await.unwrap().into_inner();
    list.events.into_iter().rev().map(|event| event.event_id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_tell_an_endpoint_of_everything_in_order_with_one_id_each() {
    let db = TestDb::new().await;
    let one = TestServer::with(&open(&db), Clock::Database).await;
    let other = TestServer::with(&open(&db), Clock::Database).await;
    one.apply_catalog().await;
    for account in ["a", "b"] {
        one.create_account(account).await;
        one.grant(account, "before", "scan", 100).await;
    }
    let receiver = Receiver::start().await;
    let all = add(&one, "", &receiver.url()).await;
    let (of_a, of_b) = (Receiver::start().await, Receiver::start().await);
    add(&other, "a", &of_a.url()).await;
    let request = CreateEndpointRequest {
        account_id: "b".to_owned(),
        url: of_b.url(),
        kinds: vec![EventKind::CreditGranted as i32],
    };
    one.deliveries().create_endpoint(request).await.unwrap();
    let ledger = db.ledger(Clock::Database).await;
    for turn in 0..30 {
        for account in ["a", "b"] {
            let id = format!("run-{turn}");
            ledger.submit(reserve(account, &id, "live_audit")).await.unwrap();
            ledger.submit(commit(account, &id)).await.unwrap();
        }
    }
    one.grant("b", "after", "scan", 1).await;
    eventually("all are told", async || receiver.ids().len() >= 61 && of_b.ids().len() == 1).await;
    for account in ["a", "b"] {
        // What was before it came is not told.
        let expected = events(&one, account).await[1..].to_vec();
        assert_eq!(receiver.ids_of(account), expected);
    }
    assert_eq!(of_a.ids(), events(&one, "a").await[1..]);
    assert_eq!(of_b.bodies()[0]["type"], "creditgate.credit_granted");
    assert_eq!(of_b.bodies()[0]["data"]["message"], "1 scan credit was granted; 71 are available");
    verify(&all.secret, &receiver.received()).await;
    // What was sent can be seen, page by page.
    let seen = deliveries(&one, &all.endpoint_id).await;
    assert!(seen.iter().all(|d| d.state() == DeliveryState::Delivered && d.response_status == 204));
    let mut ids: Vec<String> = seen.into_iter().rev().map(|d| d.event_id).collect();
    let mut told = receiver.ids();
    ids.sort();
    told.sort();
    assert_eq!(ids, told);
    // A new secret: for a day both sign.
    let rotate = RotateEndpointSecretRequest { endpoint_id: all.endpoint_id.clone() };
    let rotated = one.deliveries().rotate_endpoint_secret(rotate).await.unwrap().into_inner();
    assert_ne!(rotated.secret, all.secret);
    let replay = ReplayDeliveriesRequest {
        endpoint_id: all.endpoint_id.clone(),
        event_ids: vec![told[0].clone()],
    };
    let again = other.deliveries().replay_deliveries(replay).await.unwrap().into_inner();
    assert_eq!(again.deliveries, 1);
    eventually("it is sent again", async || receiver.received().len() == 62).await;
    let last = &receiver.received()[61..];
    assert_eq!(last[0].headers["webhook-id"], told[0].as_str());
    verify(&all.secret, last).await;
    verify(&rotated.secret, last).await;
    // Removed, it hears nothing more.
    let remove = DeleteEndpointRequest { endpoint_id: all.endpoint_id.clone() };
    one.deliveries().delete_endpoint(remove.clone()).await.unwrap();
    let gone = one.deliveries().delete_endpoint(remove).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound, "{gone}");
    // What was sent to it stays on record; of one that never was, nothing is made up.
    assert_eq!(deliveries(&one, &all.endpoint_id).await.len(), 61);
    let never = ListDeliveriesRequest {
        endpoint_id: "ep_never".to_owned(),
        ..ListDeliveriesRequest::default()
    };
    let never = one.deliveries().list_deliveries(never).await.unwrap_err();
    assert_eq!(never.code(), Code::NotFound, "{never}");
    one.grant("a", "later", "scan", 1).await;
    eventually("the other one hears", async || of_a.ids().len() == 31).await;
    assert_eq!(receiver.received().len(), 62);
    ledger.close().await;
    one.finish().await;
    other.finish().await;
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_fails_hangs_or_leads_elsewhere_delays_nobody_and_loses_nothing() {
    let db = TestDb::new().await;
    let server = TestServer::with(&open(&db), Clock::Database).await;
    server.apply_catalog().await;
    server.create_account("a").await;
    let good = Receiver::start().await;
    let failing = Receiver::start().await;
    failing.reply(Reply::status(500));
    let hanging = Receiver::start().await;
    hanging.reply(Reply::Hang);
    let target = Receiver::start().await;
    let leading = Receiver::start().await;
    leading.reply(Reply::Redirect(target.url()));
    let gone = Receiver::start().await;
    gone.reply(Reply::status(410));
    let busy = Receiver::start().await;
    busy.reply(Reply::RetryAfter(3600));
    let mut ids = Vec::new();
    for receiver in [&good, &failing, &hanging, &leading, &gone, &busy] {
        ids.push(add(&server, "", &receiver.url()).await.endpoint_id);
    }
    let begun = Instant::now();
    for turn in 0..5 {
        server.grant("a", &format!("g{turn}"), "scan", 1).await;
    }
    eventually("the good one hears it all", async || good.ids().len() == 5).await;
    println!("the good one after {:?}", begun.elapsed());
    eventually("the others were tried", async || {
        failing.received().len() == 1 && leading.received().len() == 1
    })
    .await;
    eventually("the one that is gone is told nothing more", async || {
        !endpoint(&server, &ids[4]).await.disable_reason.is_empty()
    })
    .await;
    assert!(target.received().is_empty(), "no redirect is followed");
    assert_eq!(gone.received().len(), 1);
    eventually("what the busy one asked for is noted", async || {
        endpoint(&server, &ids[5]).await.failures == 1
    })
    .await;
    let rest = endpoint(&server, &ids[5]).await.next_attempt_time.unwrap().seconds
        - chrono::Utc::now().timestamp();
    assert!((3_000..=3_700).contains(&rest), "{rest}");
    let waiting = deliveries(&server, &ids[3]).await;
    let first = waiting.last().unwrap();
    assert!(first.error.contains("redirects are not followed"), "{first:?}");
    assert_eq!((first.state(), first.attempts), (DeliveryState::Waiting, 1));
    assert!(waiting[..4].iter().all(|delivery| delivery.attempts == 0), "they wait their turn");
    // The one that failed is mended, and hears everything, in order.
    failing.reply(Reply::status(200));
    let slow = Duration::from_secs(20);
    let deadline = Instant::now() + slow;
    while failing.ids().len() < 6 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(failing.ids()[1..], good.ids());
    assert_eq!(failing.ids()[0], good.ids()[0], "the first again, with the same id");
    // Turned on again, the one that was gone hears what waited; what failed is asked for.
    gone.reply(Reply::status(200));
    let enable = EnableEndpointRequest { endpoint_id: ids[4].clone() };
    server.deliveries().enable_endpoint(enable).await.unwrap();
    let replay = ReplayDeliveriesRequest { endpoint_id: ids[4].clone(), event_ids: Vec::new() };
    server.deliveries().replay_deliveries(replay).await.unwrap();
    eventually("it hears everything", async || gone.ids().len() == 6).await;
    // Turned off by hand, it is told nothing.
    let disable =
        DisableEndpointRequest { endpoint_id: ids[0].clone(), reason: "moving".to_owned() };
    server.deliveries().disable_endpoint(disable).await.unwrap();
    assert_eq!(endpoint(&server, &ids[0]).await.disable_reason, "moving");
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn an_endpoint_inside_is_refused_and_a_name_is_asked_once() {
    let db = TestDb::new().await;
    let server = TestServer::start(&db).await;
    for (url, word) in [
        ("http://hooks.example/", "https://"),
        ("https://127.0.0.1/", "public"),
        ("https://[fd00::1]/", "public"),
        ("https://169.254.169.254/", "public"),
        ("nonsense", "URL"),
        ("", "url"),
    ] {
        let request = CreateEndpointRequest { url: url.to_owned(), ..Default::default() };
        let refused = server.deliveries().create_endpoint(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{url}: {refused}");
        assert!(refused.message().contains(word), "{url}: {refused}");
    }
    let request = CreateEndpointRequest {
        account_id: "nobody".to_owned(),
        url: "https://hooks.example/".to_owned(),
        kinds: Vec::new(),
    };
    let refused = server.deliveries().create_endpoint(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused}");
    server.finish().await;
    db.finish().await;

    let receiver = Receiver::start().await;
    let here: IpAddr = [127, 0, 0, 1].into();
    let public: IpAddr = [93, 184, 216, 34].into();
    let names = |addresses: &[IpAddr]| {
        let mut names = Names::default();
        names.known.insert("rebind.example".to_owned(), addresses.to_vec());
        names
    };
    let url = receiver.url().replace("127.0.0.1", "rebind.example");
    let secure = url.replace("http://", "https://");
    // A name that leads inside, or there as well, is not dialled.
    for addresses in [vec![here], vec![public, here]] {
        let sender = Sender::new(false).unwrap().with_names(names(&addresses));
        let answer = sender.send(&secure, HeaderMap::new(), "{}".to_owned()).await;
        assert!(answer.error.unwrap().contains("which is no public address"));
    }
    assert!(receiver.received().is_empty());
    // The address that was checked is the one that is dialled: nobody asks again.
    let asked = names(&[here]);
    let sender = Sender::new(true).unwrap().with_names(asked.clone());
    let answer = sender.send(&url, HeaderMap::new(), "{}".to_owned()).await;
    assert_eq!((answer.status, answer.error), (Some(StatusCode::NO_CONTENT.as_u16()), None));
    assert_eq!(asked.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_certificate_that_has_run_out_is_told_and_nothing_is_sent() {
    let (good, expired) = (receiver::tls(false).await, receiver::tls(true).await);
    let sender = Sender::with_roots(true, good.roots.clone()).unwrap();
    let answer = sender.send(&good.url, HeaderMap::new(), "{}".to_owned()).await;
    assert_eq!(answer.status, Some(200), "{answer:?}");
    let sender = Sender::with_roots(true, expired.roots.clone()).unwrap();
    let answer = sender.send(&expired.url, HeaderMap::new(), "{}".to_owned()).await;
    let error = answer.error.unwrap();
    assert!(answer.status.is_none() && error.to_lowercase().contains("expired"), "{error}");
}
