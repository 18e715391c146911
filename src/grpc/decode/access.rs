//! Who is to be let in.

use std::time::Duration;

use super::{Invalid, fields::Fields};
use crate::{
    auth::{KeyId, Principal, Scope, access::Rights},
    ids::AccountId,
    proto,
};

/// The most characters of a caller's name.
const MAX_NAME: usize = 100;
/// The most accounts that one caller is bound to.
const MAX_ACCOUNTS: usize = 1_000;
/// For how long a key stays good once it was replaced, where nothing is said.
const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);

pub(in crate::grpc) fn create_key(
    request: &proto::CreateKeyRequest,
) -> Result<(Rights, Option<Duration>), Invalid> {
    let mut fields = Fields::default();
    let rights = rights(&mut fields, &request.name, &request.scopes, &request.account_ids);
    let lifetime = positive(&mut fields, "lifetime", request.lifetime);
    fields.finish(|| Some((rights?, lifetime)))
}

/// The old key, for how long it stays good, and for how long the new one is.
pub(in crate::grpc) fn rotate_key(
    request: &proto::RotateKeyRequest,
) -> Result<(KeyId, Duration, Option<Duration>), Invalid> {
    let mut fields = Fields::default();
    let key_id = read_key_id(&mut fields, &request.key_id);
    let overlap = positive(&mut fields, "overlap", request.overlap).unwrap_or(OVERLAP);
    let lifetime = positive(&mut fields, "lifetime", request.lifetime);
    fields.finish(|| Some((key_id?, overlap, lifetime)))
}

pub(in crate::grpc) fn key_id(key_id: &str) -> Result<KeyId, Invalid> {
    let mut fields = Fields::default();
    let key_id = read_key_id(&mut fields, key_id);
    fields.finish(|| key_id)
}

pub(in crate::grpc) fn add_principal(
    request: &proto::AddPrincipalRequest,
) -> Result<(Principal, Rights), Invalid> {
    let mut fields = Fields::default();
    let principal = read_principal(&mut fields, &request.principal);
    let rights = rights(&mut fields, &request.name, &request.scopes, &request.account_ids);
    fields.finish(|| Some((principal?, rights?)))
}

pub(in crate::grpc) fn principal(principal: &str) -> Result<Principal, Invalid> {
    let mut fields = Fields::default();
    let principal = read_principal(&mut fields, principal);
    fields.finish(|| principal)
}

fn rights(
    fields: &mut Fields,
    name: &str,
    scopes: &[i32],
    account_ids: &[String],
) -> Option<Rights> {
    if name.chars().count() > MAX_NAME {
        fields.wrong("name", format!("has more than {MAX_NAME} characters"));
    } else {
        fields.required_text("name", name, 4 * MAX_NAME);
    }
    if scopes.is_empty() {
        fields.wrong("scopes", "is required");
    }
    if account_ids.len() > MAX_ACCOUNTS {
        let count = account_ids.len();
        fields.wrong("account_ids", format!("has {count}: at most {MAX_ACCOUNTS} are allowed"));
        return None;
    }
    // All of them, also after one that is wrong.
    let scopes: Vec<Option<Scope>> = (0..)
        .zip(scopes)
        .map(|(index, number): (usize, _)| {
            fields.choice(&format!("scopes[{index}]"), *number, from_number)
        })
        .collect();
    let accounts: Vec<Option<AccountId>> = (0..)
        .zip(account_ids)
        .map(|(index, id): (usize, _)| {
            fields.id(&format!("account_ids[{index}]"), id, AccountId::new)
        })
        .collect();
    let scopes = scopes.into_iter().collect::<Option<_>>()?;
    let accounts = accounts.into_iter().collect::<Option<Vec<AccountId>>>()?;
    let accounts = (!accounts.is_empty()).then_some(accounts);
    Some(Rights { name: name.trim().to_owned(), scopes, accounts })
}

fn from_number(number: i16) -> Option<Scope> {
    Some(match proto::Scope::try_from(i32::from(number)).ok()? {
        proto::Scope::Unspecified => return None,
        proto::Scope::Scheduler => Scope::Scheduler,
        proto::Scope::Reconciler => Scope::Reconciler,
        proto::Scope::Billing => Scope::Billing,
        proto::Scope::Operator => Scope::Operator,
        proto::Scope::Viewer => Scope::Viewer,
    })
}

fn read_key_id(fields: &mut Fields, text: &str) -> Option<KeyId> {
    let key_id = KeyId::new(text);
    if key_id.is_none() {
        // What was sent may be a key: it is not repeated.
        fields.wrong("key_id", "must be 16 hexadecimal digits in lower case");
    }
    key_id
}

fn read_principal(fields: &mut Fields, text: &str) -> Option<Principal> {
    let principal = Principal::new(text);
    if principal.is_none() {
        fields.wrong(
            "principal",
            "must be certificate: or token:, and 1 to 200 visible characters of ASCII",
        );
    }
    principal
}

/// A span longer than nothing, or none.
fn positive(
    fields: &mut Fields,
    field: &str,
    span: Option<prost_types::Duration>,
) -> Option<Duration> {
    let span = fields.span(field, span)?;
    let span = span.to_std().ok().filter(|span| !span.is_zero());
    if span.is_none() {
        fields.wrong(field, "must be longer than nothing");
    }
    span
}
