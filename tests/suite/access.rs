//! Callers that are let in, and sent away, by calls.

use creditgate::{
    clock::Clock,
    config::{Auth, Settings},
    proto::{self, access_service_client::AccessServiceClient},
    server::access::Scope,
};
use tonic::{Code, Request};

use crate::{
    harness::{TestDb, TestServer, eventually, make_key, settings},
    keys::{call, reason},
};

fn with<T>(message: T, key: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    request
}

#[tokio::test]
async fn an_operator_makes_lists_rotates_and_revokes_keys_by_calls_which_name_it() {
    let db = TestDb::new().await;
    TestServer::open(&db, "a", 5).await.finish().await;
    let operator = make_key(&db, &[Scope::Operator], None, None).await;
    let settings = Settings { auth: Auth::Keys, ..settings(&db) };
    let server = TestServer::with(&settings, Clock::Database).await;
    let mut access = AccessServiceClient::new(server.channel());
    let create = proto::CreateKeyRequest {
        name: "runner".to_owned(),
        scopes: vec![proto::Scope::Scheduler.into(), proto::Scope::Viewer.into()],
        account_ids: vec!["a".to_owned()],
        lifetime: Some(prost_types::Duration { seconds: 3_600, nanos: 0 }),
    };
    let made = access.create_key(with(create, operator.reveal())).await.unwrap().into_inner();
    assert!(!format!("{made:?}").contains(&made.key), "it does not show where it is logged");
    let balance = || proto::GetBalanceRequest { account_id: "a".to_owned(), ..Default::default() };
    eventually("the new key is known", async || {
        server.ledger().get_balance(with(balance(), &made.key)).await.is_ok()
    })
    .await;
    let list = with(proto::ListKeysRequest {}, &made.key);
    let status = access.list_keys(list).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::PermissionDenied, "SCOPE_MISSING")
    );

    let rotate = proto::RotateKeyRequest { key_id: made.key_id.clone(), ..Default::default() };
    let next = access.rotate_key(with(rotate, operator.reveal())).await.unwrap().into_inner();
    for _ in 0..2 {
        let revoke = proto::RevokeKeyRequest { key_id: made.key_id.clone() };
        access.revoke_key(with(revoke, operator.reveal())).await.unwrap();
    }
    let rotate = proto::RotateKeyRequest { key_id: made.key_id.clone(), ..Default::default() };
    let status = access.rotate_key(with(rotate, operator.reveal())).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "KEY_NOT_FOUND"));
    eventually("the old key is refused, the new one is not", async || {
        let old = server.ledger().get_balance(with(balance(), &made.key)).await;
        old.is_err() && server.ledger().get_balance(with(balance(), &next.key)).await.is_ok()
    })
    .await;

    let list = with(proto::ListKeysRequest {}, operator.reveal());
    let keys = access.list_keys(list).await.unwrap().into_inner().keys;
    assert_eq!(keys.len(), 3);
    assert_eq!((&keys[0].key_id, &keys[0].account_ids), (&next.key_id, &vec!["a".to_owned()]));
    assert!(keys[0].expire_time.is_none() && keys[1].expire_time.is_some());
    assert!(keys[1].revoke_time.is_some());
    let actor = format!("key:{}", operator.id());
    let noted = format!(
        "SELECT count(*) FROM public.api_keys WHERE create_actor = '{actor}'
            AND (revoke_time IS NULL OR revoke_actor = '{actor}')"
    );
    assert_eq!(db.count(&noted).await, 2);
    drop(access);
    server.finish().await;
    db.finish().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_caller_that_is_to_be_let_in_is_told_and_nothing_is_made() {
    let db = TestDb::new().await;
    let server = TestServer::start(&db).await;
    let mut access = AccessServiceClient::new(server.channel());
    let good = proto::AddPrincipalRequest {
        principal: "token:runner".to_owned(),
        name: "runner".to_owned(),
        scopes: vec![proto::Scope::Scheduler.into()],
        account_ids: Vec::new(),
    };
    for (what, request, fields) in [
        (
            "no kind",
            proto::AddPrincipalRequest { principal: "runner".into(), ..good.clone() },
            "principal",
        ),
        ("no name", proto::AddPrincipalRequest { name: " ".into(), ..good.clone() }, "name"),
        ("no scope", proto::AddPrincipalRequest { scopes: Vec::new(), ..good.clone() }, "scopes"),
        (
            "scopes that there are not",
            proto::AddPrincipalRequest { scopes: vec![0, 9], ..good.clone() },
            "scopes[0] is required; scopes[1]",
        ),
        (
            "no account's id",
            proto::AddPrincipalRequest { account_ids: vec!["a b".into()], ..good.clone() },
            "account_ids[0]",
        ),
        (
            "too many accounts",
            proto::AddPrincipalRequest { account_ids: vec!["a".into(); 1_001], ..good.clone() },
            "account_ids has 1001",
        ),
    ] {
        let status = access.add_principal(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{what}");
        assert!(status.message().starts_with(fields), "{what}: {status}");
    }
    let revoke = proto::RevokeKeyRequest { key_id: "cg_secret".to_owned() };
    let status = access.revoke_key(revoke).await.unwrap_err();
    assert!(!status.message().contains("cg_secret"), "{status}");
    let none =
        "SELECT (SELECT count(*) FROM public.principals) + (SELECT count(*) FROM public.api_keys)";
    assert_eq!(db.count(none).await, 0);
    access.add_principal(good.clone()).await.unwrap();
    access.add_principal(good.clone()).await.unwrap();
    let other = proto::AddPrincipalRequest { name: "another".to_owned(), ..good.clone() };
    let status = access.add_principal(other).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::AlreadyExists, "PRINCIPAL_EXISTS")
    );
    let listed = access.list_principals(proto::ListPrincipalsRequest {}).await.unwrap();
    assert_eq!(listed.into_inner().principals[0].principal, "token:runner");
    let remove = || proto::RemovePrincipalRequest { principal: "token:runner".to_owned() };
    access.remove_principal(remove()).await.unwrap();
    let status = access.remove_principal(remove()).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    call(&server.channel(), "/creditgate.v1.AccessService/ListKeys", None).await.unwrap();
    drop(access);
    server.finish().await;
    db.finish().await;
}
