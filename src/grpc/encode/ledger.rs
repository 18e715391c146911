//! Balances, lots and entries.

use super::{text, time, unexpected};
use crate::{
    domain::{
        command::Outcome,
        credit::{Balance, Lot},
        entry::Entry,
    },
    ids::{AccountId, CreditType},
    ledger::LedgerError,
    proto,
};

pub(in crate::grpc) fn balance(
    account_id: &AccountId,
    credit_type: &CreditType,
    balance: &Balance,
) -> proto::Balance {
    proto::Balance {
        account_id: account_id.to_string(),
        credit_type: credit_type.to_string(),
        available: balance.available,
        reserved: balance.reserved,
        spent: balance.spent,
        sequence: balance.sequence,
    }
}

pub(in crate::grpc) fn lot(account_id: &AccountId, lot: Lot) -> proto::Lot {
    proto::Lot {
        lot_id: lot.lot_id.to_string(),
        account_id: account_id.to_string(),
        credit_type: lot.credit_type.to_string(),
        source: i32::from(lot.source as i16),
        credits: lot.credits,
        remaining: lot.remaining,
        expire_time: lot.expire_time.map(time),
        create_time: Some(time(lot.create_time)),
        reference: lot.reference,
        unrecovered: lot.unrecovered,
    }
}

pub(in crate::grpc) fn entry(account_id: &AccountId, entry: Entry) -> proto::LedgerEntry {
    let portions = entry.portions.into_iter().map(|portion| proto::LotPortion {
        lot_id: portion.lot_id.to_string(),
        credits: portion.credits,
    });
    proto::LedgerEntry {
        account_id: account_id.to_string(),
        credit_type: entry.credit_type.to_string(),
        sequence: entry.sequence,
        kind: i32::from(entry.kind as i16),
        credits: entry.credits,
        available_after: entry.available_after,
        reserved_after: entry.reserved_after,
        spent_after: entry.spent_after,
        reservation_id: text(entry.reservation_id),
        reference: entry.reference,
        actor: entry.actor,
        create_time: Some(time(entry.create_time)),
        hash: entry.hash.to_vec(),
        portions: portions.collect(),
        hash_version: i32::from(entry.hash_version),
    }
}

pub(in crate::grpc) fn grant(
    account_id: &AccountId,
    outcome: Outcome,
) -> Result<proto::GrantCreditsResponse, LedgerError> {
    match outcome {
        Outcome::Granted { lot: granted, balance: after, replayed } => {
            let after = balance(account_id, &granted.credit_type, &after);
            let lot = Some(lot(account_id, granted));
            Ok(proto::GrantCreditsResponse { lot, balance: Some(after), replayed })
        }
        other => Err(unexpected(&other)),
    }
}

pub(in crate::grpc) fn revoke(
    account_id: &AccountId,
    credit_type: &CreditType,
    outcome: Outcome,
) -> Result<proto::RevokeCreditsResponse, LedgerError> {
    match outcome {
        Outcome::Revoked { balance: after, replayed } => Ok(proto::RevokeCreditsResponse {
            balance: Some(balance(account_id, credit_type, &after)),
            replayed,
        }),
        other => Err(unexpected(&other)),
    }
}
