//! Who is let in.

use super::time;
use crate::{
    auth::{Scope, StoredKey, StoredPrincipal},
    proto,
};

pub(in crate::grpc) fn key(key: StoredKey) -> proto::Key {
    proto::Key {
        key_id: key.key_id,
        name: key.name,
        scopes: scopes(&key.scopes),
        account_ids: key.account_ids.unwrap_or_default(),
        create_time: Some(time(key.create_time)),
        expire_time: key.expire_time.map(time),
        revoke_time: key.revoke_time.map(time),
        last_use_time: key.last_use_time.map(time),
    }
}

pub(in crate::grpc) fn principal(stored: StoredPrincipal) -> proto::Principal {
    proto::Principal {
        principal: stored.principal,
        name: stored.name,
        scopes: scopes(&stored.scopes),
        account_ids: stored.account_ids.unwrap_or_default(),
        create_time: Some(time(stored.create_time)),
        last_use_time: stored.last_use_time.map(time),
    }
}

/// A scope that a later release has stored is left out: it gives nothing here.
fn scopes(names: &[String]) -> Vec<i32> {
    let number = |scope| match scope {
        Scope::Scheduler => proto::Scope::Scheduler,
        Scope::Reconciler => proto::Scope::Reconciler,
        Scope::Billing => proto::Scope::Billing,
        Scope::Operator => proto::Scope::Operator,
        Scope::Viewer => proto::Scope::Viewer,
    };
    names.iter().filter_map(|name| Scope::from_name(name)).map(number).map(i32::from).collect()
}
