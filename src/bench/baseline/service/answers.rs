//! Outcomes -> the contract's messages.

use tonic::Status;

use super::balance;
use crate::{
    clock::Timestamp,
    domain::{command::Outcome, reservation::Reservation, verdict::Block},
    ids::{AccountId, CreditType},
    proto::{self, check_eligibility_response, reserve_response},
};

fn unexpected() -> Status {
    Status::internal("another outcome than was asked for")
}

pub(super) fn reserve(
    account_id: &AccountId,
    credit_type: &CreditType,
    outcome: Outcome,
) -> Result<proto::ReserveResponse, Status> {
    use reserve_response::Verdict;
    let (verdict, after, replayed) = match outcome {
        Outcome::Reserved { reservation: held, balance, replayed } => {
            (Verdict::Reservation(reservation(account_id, held)), balance, replayed)
        }
        Outcome::Blocked { block: why, balance } => (Verdict::Block(block(*why)), balance, false),
        _ => return Err(unexpected()),
    };
    let balance = after.map(|after| balance(account_id, credit_type, &after));
    Ok(proto::ReserveResponse { verdict: Some(verdict), balance, replayed })
}

pub(super) fn check(
    account_id: &AccountId,
    credit_type: &CreditType,
    outcome: Outcome,
) -> Result<proto::CheckEligibilityResponse, Status> {
    use check_eligibility_response::Verdict;
    let (verdict, after) = match outcome {
        Outcome::Eligible { credits, credit_type, balance } => {
            let credit_type = credit_type.map(|name| name.to_string()).unwrap_or_default();
            (Verdict::Eligible(proto::Eligible { credits, credit_type }), balance)
        }
        Outcome::Blocked { block: why, balance } => (Verdict::Block(block(*why)), balance),
        _ => return Err(unexpected()),
    };
    let balance = after.map(|after| balance(account_id, credit_type, &after));
    Ok(proto::CheckEligibilityResponse { verdict: Some(verdict), balance })
}

pub(super) fn commit(
    account_id: &AccountId,
    credit_type: &CreditType,
    outcome: Outcome,
) -> Result<proto::CommitResponse, Status> {
    let Outcome::Committed { reservation: spent, balance: after, replayed } = outcome else {
        return Err(unexpected());
    };
    let balance = after.map(|after| balance(account_id, credit_type, &after));
    let reservation = Some(reservation(account_id, spent));
    Ok(proto::CommitResponse { reservation, balance, replayed })
}

fn reservation(account_id: &AccountId, made: Reservation) -> proto::Reservation {
    proto::Reservation {
        spent_credits: made.spent_credits(),
        reservation_id: made.reservation_id.to_string(),
        account_id: account_id.to_string(),
        project_id: String::new(),
        scan_kind: made.sent.scan_kind.to_string(),
        credit_type: made.credit_type.map(|name| name.to_string()).unwrap_or_default(),
        credits: made.credits,
        state: i32::from(made.state as i16),
        create_time: Some(time(made.create_time)),
        expire_time: Some(time(made.expire_time)),
        settle_time: made.settle_time.map(time),
        release_cause: 0,
        late: made.late,
        labels: made.labels,
    }
}

fn block(why: Block) -> proto::Block {
    proto::Block {
        reason: why.reason as i32,
        message: why.message,
        remedy: why.remedy as i32,
        required_credits: why.required_credits,
        available_credits: why.available_credits,
        reserved_credits: why.reserved_credits,
        ..proto::Block::default()
    }
}

fn time(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.timestamp(),
        // Below 10^9.
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or_default(),
    }
}
