//! Purchases.

use super::{balance, time, unexpected};
use crate::{
    domain::{command::Outcome, payment::TopUp},
    ids::AccountId,
    ledger::LedgerError,
    proto,
};

pub(in crate::grpc) fn top_up(account_id: &AccountId, top_up: TopUp) -> proto::TopUp {
    proto::TopUp {
        top_up_id: top_up.top_up_id.to_string(),
        account_id: account_id.to_string(),
        credit_type: top_up.credit_type.to_string(),
        credits: top_up.credits,
        price_minor: top_up.price_minor,
        currency: top_up.currency,
        status: i32::from(top_up.status as i16),
        provider: top_up.provider,
        provider_reference: top_up.provider_reference,
        create_time: Some(time(top_up.create_time)),
        settle_time: top_up.settle_time.map(time),
        expire_time: Some(time(top_up.expire_time)),
        reason: top_up.reason,
    }
}

pub(in crate::grpc) fn begun(
    account_id: &AccountId,
    outcome: Outcome,
) -> Result<proto::BeginTopUpResponse, LedgerError> {
    match outcome {
        Outcome::TopUpBegun { top_up: begun, replayed } => {
            let top_up = Some(top_up(account_id, begun));
            Ok(proto::BeginTopUpResponse { top_up, replayed })
        }
        other => Err(unexpected(&other)),
    }
}

pub(in crate::grpc) fn confirmed(
    account_id: &AccountId,
    outcome: Outcome,
) -> Result<proto::ConfirmTopUpResponse, LedgerError> {
    match outcome {
        Outcome::TopUpConfirmed { top_up: paid, balance: after, replayed } => {
            let balance = Some(balance(account_id, &paid.credit_type, &after));
            let top_up = Some(top_up(account_id, paid));
            Ok(proto::ConfirmTopUpResponse { top_up, balance, replayed })
        }
        other => Err(unexpected(&other)),
    }
}

pub(in crate::grpc) fn closed(
    account_id: &AccountId,
    outcome: Outcome,
) -> Result<proto::FailTopUpResponse, LedgerError> {
    match outcome {
        Outcome::TopUpClosed { top_up: closed } => {
            Ok(proto::FailTopUpResponse { top_up: Some(top_up(account_id, closed)) })
        }
        other => Err(unexpected(&other)),
    }
}
