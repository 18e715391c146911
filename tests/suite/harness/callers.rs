//! Callers that are let in, on the database itself.

use std::time::Duration;

use creditgate::{
    ids::AccountId,
    server::access::{self, Access, ApiKey, Rights, Scope},
};

use super::{TestDb, owner_settings};

/// Who lets callers in, as their rows say.
pub const ACTOR: &str = "test";

pub async fn access(db: &TestDb) -> Access {
    access::open(&owner_settings(db)).await.unwrap()
}

pub fn rights(scopes: &[Scope], account: Option<&str>) -> Rights {
    let accounts = account.map(|id| vec![AccountId::new(id).unwrap()]);
    Rights { name: "test".to_owned(), scopes: scopes.to_vec(), accounts }
}

/// A key; where an account is named, it sees that alone.
pub async fn make_key(
    db: &TestDb,
    scopes: &[Scope],
    account: Option<&str>,
    lifetime: Option<Duration>,
) -> ApiKey {
    let access = access(db).await;
    let key = access.create_key(&rights(scopes, account), lifetime, ACTOR).await.unwrap();
    access.close().await;
    key
}

pub async fn revoke(db: &TestDb, key: &ApiKey) {
    let access = access(db).await;
    access.revoke_key(key.id(), ACTOR).await.unwrap();
    access.close().await;
}
