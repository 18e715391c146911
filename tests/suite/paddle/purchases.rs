//! Purchases that are opened here and paid at Paddle: the webhook finds the one
//! that its payment was opened for, whichever comes first.

use creditgate::{
    clock::Clock,
    proto::{BeginTopUpRequest, ListTopUpsRequest, TopUp, TopUpStatus},
};
use serde_json::Value;

use super::{catalog, send::*};
use crate::{
    billing::begin,
    harness::{TestDb, TestServer, eventually},
};

/// A gate with the account "a", whose customer nobody knows.
async fn start(db: &TestDb) -> TestServer {
    let server = TestServer::with(&settings_with(db, SECRET), Clock::Database).await;
    catalog::apply(&server, catalog::PACK).await;
    server.create_account("a").await;
    server
}

fn paddle(id: &str, transaction: &str) -> BeginTopUpRequest {
    BeginTopUpRequest {
        provider: "paddle".to_owned(),
        provider_reference: transaction.to_owned(),
        ..begin("a", id, 5)
    }
}

fn paid(transaction: &str) -> Value {
    let data = payment(transaction, "ctm_a", catalog::PACK, 1);
    event(&format!("evt_{transaction}"), "transaction.completed", 10, data)
}

async fn only_top_up(server: &TestServer) -> TopUp {
    let request = ListTopUpsRequest { account_id: "a".to_owned(), ..Default::default() };
    let listed = server.billing().list_top_ups(request).await.unwrap().into_inner().top_ups;
    let [only] = <[TopUp; 1]>::try_from(listed).unwrap();
    only
}

async fn confirmed(server: &TestServer, db: &TestDb) {
    eventually("it is confirmed", async || {
        only_top_up(server).await.status() == TopUpStatus::Confirmed
    })
    .await;
    let available = "SELECT coalesce(sum(available), 0)::bigint FROM balances";
    assert_eq!(db.count(available).await, 5);
}

#[tokio::test]
async fn a_webhook_confirms_the_purchase_that_was_opened_for_its_payment() {
    let db = TestDb::new().await;
    let server = start(&db).await;
    let mut billing = server.billing();
    // Opened here, then at Paddle: only then the payment has an id.
    billing.begin_top_up(paddle("t", "")).await.unwrap();
    billing.begin_top_up(paddle("t", "txn_1")).await.unwrap();
    assert_eq!(only_top_up(&server).await.status(), TopUpStatus::Pending);
    deliver(&server.http_addr(), &paid("txn_1")).await;
    confirmed(&server, &db).await;
    let again = billing.begin_top_up(paddle("t", "txn_1")).await.unwrap().into_inner();
    assert!(again.replayed);
    assert_eq!(again.top_up.unwrap().status(), TopUpStatus::Confirmed);
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn a_webhook_that_came_first_waits_for_its_purchase() {
    let db = TestDb::new().await;
    let server = start(&db).await;
    deliver(&server.http_addr(), &paid("txn_1")).await;
    let parked = "SELECT count(*) FROM webhook_inbox WHERE state = 2";
    eventually("nobody's payment waits", async || db.count(parked).await == 1).await;
    server.billing().begin_top_up(paddle("t", "txn_1")).await.unwrap();
    confirmed(&server, &db).await;
    server.finish().await;
    db.finish().await;
}
