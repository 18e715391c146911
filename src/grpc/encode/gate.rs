//! Verdicts and reservations.

use super::{balance, text, time, unexpected};
use crate::{
    domain::{
        command::Outcome,
        credit::Balance,
        reservation::{Disposition, Reservation},
        verdict::Block,
    },
    ids::{AccountId, CreditType},
    ledger::LedgerError,
    proto,
};

pub(in crate::grpc) fn check(
    account_id: &AccountId,
    outcome: Outcome,
) -> Result<proto::CheckEligibilityResponse, LedgerError> {
    use proto::check_eligibility_response::Verdict;
    match outcome {
        Outcome::Eligible { credits, credit_type, balance } => {
            let balance = balance_of(account_id, credit_type.as_ref(), balance);
            let eligible = proto::Eligible { credits, credit_type: text(credit_type) };
            let verdict = Some(Verdict::Eligible(eligible));
            Ok(proto::CheckEligibilityResponse { verdict, balance })
        }
        Outcome::Blocked { block: why, balance } => {
            let balance = balance_of(account_id, why.credit_type.as_ref(), balance);
            let verdict = Some(Verdict::Block(block(*why)));
            Ok(proto::CheckEligibilityResponse { verdict, balance })
        }
        other => Err(unexpected(&other)),
    }
}

pub(in crate::grpc) fn reserve(
    account_id: &AccountId,
    outcome: Outcome,
) -> Result<proto::ReserveResponse, LedgerError> {
    use proto::reserve_response::Verdict;
    match outcome {
        Outcome::Reserved { reservation: held, balance, replayed } => {
            let balance = balance_of(account_id, held.credit_type.as_ref(), balance);
            let verdict = Some(Verdict::Reservation(reservation(account_id, held)));
            Ok(proto::ReserveResponse { verdict, balance, replayed })
        }
        Outcome::Blocked { block: why, balance } => {
            let balance = balance_of(account_id, why.credit_type.as_ref(), balance);
            let verdict = Some(Verdict::Block(block(*why)));
            Ok(proto::ReserveResponse { verdict, balance, replayed: false })
        }
        other => Err(unexpected(&other)),
    }
}

pub(in crate::grpc) fn extend(
    account_id: &AccountId,
    outcome: Outcome,
) -> Result<proto::ExtendResponse, LedgerError> {
    match outcome {
        Outcome::Extended { reservation: held } => {
            Ok(proto::ExtendResponse { reservation: Some(reservation(account_id, held)) })
        }
        other => Err(unexpected(&other)),
    }
}

pub(in crate::grpc) fn commit(
    account_id: &AccountId,
    outcome: Outcome,
) -> Result<proto::CommitResponse, LedgerError> {
    match outcome {
        Outcome::Committed { reservation: spent, balance, replayed } => {
            let balance = balance_of(account_id, spent.credit_type.as_ref(), balance);
            let reservation = Some(reservation(account_id, spent));
            Ok(proto::CommitResponse { reservation, balance, replayed })
        }
        other => Err(unexpected(&other)),
    }
}

pub(in crate::grpc) fn release(
    account_id: &AccountId,
    outcome: Outcome,
) -> Result<proto::ReleaseResponse, LedgerError> {
    match outcome {
        Outcome::Released {
            reservation: settled,
            disposition: became,
            restored_credits,
            balance,
            replayed,
        } => Ok(proto::ReleaseResponse {
            balance: balance_of(account_id, settled.credit_type.as_ref(), balance),
            reservation: Some(reservation(account_id, settled)),
            disposition: disposition(became).into(),
            restored_credits,
            replayed,
        }),
        other => Err(unexpected(&other)),
    }
}

pub(in crate::grpc) fn reservation(
    account_id: &AccountId,
    reservation: Reservation,
) -> proto::Reservation {
    proto::Reservation {
        spent_credits: reservation.spent_credits(),
        reservation_id: reservation.reservation_id.to_string(),
        account_id: account_id.to_string(),
        project_id: text(reservation.sent.project_id),
        scan_kind: reservation.sent.scan_kind.to_string(),
        credit_type: text(reservation.credit_type),
        credits: reservation.credits,
        state: i32::from(reservation.state as i16),
        create_time: Some(time(reservation.create_time)),
        expire_time: Some(time(reservation.expire_time)),
        settle_time: reservation.settle_time.map(time),
        release_cause: reservation.release_cause.map_or(0, |cause| i32::from(cause as i16)),
        late: reservation.late,
        labels: reservation.labels,
    }
}

fn block(block: Block) -> proto::Block {
    let holders = block.holding_reservation_ids.iter().map(ToString::to_string);
    proto::Block {
        reason: block.reason as i32,
        message: block.message,
        remedy: block.remedy as i32,
        credit_type: text(block.credit_type),
        required_credits: block.required_credits,
        available_credits: block.available_credits,
        reserved_credits: block.reserved_credits,
        holding_reservation_ids: holders.collect(),
        earliest_return_time: block.earliest_return_time.map(time),
        pending_payment: block.pending_payment.map(|payment| proto::PendingPayment {
            top_up_id: payment.top_up_id,
            create_time: Some(time(payment.create_time)),
            credits: payment.credits,
        }),
        plans: block.plans.iter().map(ToString::to_string).collect(),
        next_grant_time: block.next_grant_time.map(time),
    }
}

fn disposition(disposition: Disposition) -> proto::Disposition {
    match disposition {
        Disposition::Restored => proto::Disposition::Restored,
        Disposition::Consumed => proto::Disposition::Consumed,
        Disposition::Refunded => proto::Disposition::Refunded,
    }
}

/// A free kind has neither type nor balance.
fn balance_of(
    account_id: &AccountId,
    credit_type: Option<&CreditType>,
    after: Option<Balance>,
) -> Option<proto::Balance> {
    Some(balance(account_id, credit_type?, &after?))
}
