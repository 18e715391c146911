//! Requests of the gate, each as one command.

use prost::Message;

use super::{
    Invalid,
    fields::{Fields, MAX_TEXT_BYTES},
};
use crate::{
    domain::{
        command::{Action, Command, Reserve},
        reservation::{ReleaseCause, Scan},
    },
    ids::{AccountId, ProjectId, ReservationId, ScanKindName},
    proto,
};

const MAX_BATCH: usize = 1_000;
/// Labels come back in the answer, which has to fit in
/// [`MAX_RESPONSE_BYTES`](crate::grpc::MAX_RESPONSE_BYTES) beside a thousand
/// balances and blocks.
const MAX_BATCH_BYTES: usize = 2 << 20;

pub(in crate::grpc) fn check(
    request: proto::CheckEligibilityRequest,
    actor: String,
) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let asked = scan(&mut fields, request.scan);
    fields.finish(|| {
        let (account_id, scan) = asked?;
        Some(Command { account_id, actor, action: Action::Check(scan) })
    })
}

pub(in crate::grpc) fn reserve(
    request: proto::ReserveRequest,
    actor: String,
) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let reservation_id = fields.id("reservation_id", &request.reservation_id, ReservationId::new);
    let asked = scan(&mut fields, request.scan);
    let lease = fields.lease("lease", request.lease);
    fields.labels("labels", &request.labels);
    fields.finish(|| {
        let (account_id, scan) = asked?;
        let (reservation_id, labels) = (reservation_id?, request.labels);
        let action = Action::Reserve(Reserve { reservation_id, scan, lease, labels });
        Some(Command { account_id, actor, action })
    })
}

/// The items of a batch, each judged by itself: a malformed one is no command,
/// and leaves its neighbours alone.
pub(in crate::grpc) fn batch(
    request: proto::BatchReserveRequest,
    actor: &str,
) -> Result<Vec<Result<Command, Invalid>>, Invalid> {
    let (items, bytes) = (request.requests.len(), request.encoded_len());
    if !(1..=MAX_BATCH).contains(&items) {
        let description = format!("has {items} items: 1 to {MAX_BATCH} are allowed");
        return Err(Invalid::field("requests", &description));
    }
    if bytes > MAX_BATCH_BYTES {
        let description = format!("has {bytes} bytes: at most {MAX_BATCH_BYTES} are allowed");
        return Err(Invalid::field("requests", &description));
    }
    Ok(request.requests.into_iter().map(|item| reserve(item, actor.to_owned())).collect())
}

pub(in crate::grpc) fn extend(
    request: proto::ExtendRequest,
    actor: String,
) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let names = names(&mut fields, &request.account_id, &request.reservation_id);
    if request.lease.is_none() {
        fields.wrong("lease", "is required");
    }
    let lease = fields.lease("lease", request.lease);
    fields.finish(|| {
        let (account_id, reservation_id) = names?;
        let action = Action::Extend { reservation_id, lease: lease? };
        Some(Command { account_id, actor, action })
    })
}

pub(in crate::grpc) fn commit(
    request: proto::CommitRequest,
    actor: String,
) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let names = names(&mut fields, &request.account_id, &request.reservation_id);
    if let Some(credits) = request.credits {
        fields.credits("credits", credits, 1);
    }
    fields.finish(|| {
        let (account_id, reservation_id) = names?;
        let action = Action::Commit { reservation_id, credits: request.credits };
        Some(Command { account_id, actor, action })
    })
}

pub(in crate::grpc) fn release(
    request: proto::ReleaseRequest,
    actor: String,
) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let names = names(&mut fields, &request.account_id, &request.reservation_id);
    let cause = fields.choice("cause", request.cause, ReleaseCause::from_number);
    fields.text("note", &request.note, MAX_TEXT_BYTES);
    fields.finish(|| {
        let (account_id, reservation_id) = names?;
        let action = Action::Release { reservation_id, cause: cause?, note: request.note };
        Some(Command { account_id, actor, action })
    })
}

/// Names one reservation.
pub(in crate::grpc) fn reservation_name(
    request: &proto::GetReservationRequest,
) -> Result<(AccountId, ReservationId), Invalid> {
    let mut fields = Fields::default();
    let names = names(&mut fields, &request.account_id, &request.reservation_id);
    fields.finish(|| names)
}

fn names(
    fields: &mut Fields,
    account_id: &str,
    reservation_id: &str,
) -> Option<(AccountId, ReservationId)> {
    let account_id = fields.id("account_id", account_id, AccountId::new);
    let reservation_id = fields.id("reservation_id", reservation_id, ReservationId::new);
    account_id.zip(reservation_id)
}

fn scan(fields: &mut Fields, scan: Option<proto::Scan>) -> Option<(AccountId, Scan)> {
    let Some(scan) = scan else {
        fields.wrong("scan", "is required");
        return None;
    };
    let account_id = fields.id("scan.account_id", &scan.account_id, AccountId::new);
    let project_id = fields.optional_id("scan.project_id", &scan.project_id, ProjectId::new);
    let scan_kind = fields.id("scan.scan_kind", &scan.scan_kind, ScanKindName::new);
    fields.credits("scan.credits", scan.credits, 0);
    Some((account_id?, Scan { project_id, scan_kind: scan_kind?, credits: scan.credits }))
}
