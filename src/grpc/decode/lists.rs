//! Requests that read, each as one query.

use super::{Invalid, fields::Fields};
use crate::{
    clock::Timestamp,
    domain::reservation::ReservationState,
    grpc::page::{EntryKey, List, rows_for},
    ids::{AccountId, CreditType, ReservationId},
    ledger::{EntryQuery, LotQuery, ReservationQuery},
    proto,
};

/// A page that was asked for: what to read, of which list, how much of it to
/// send.
#[derive(Debug)]
pub(in crate::grpc) struct Paged<Q> {
    /// What to read: one row more than is sent.
    pub(in crate::grpc) query: Q,
    /// The list, for the next page's token.
    pub(in crate::grpc) list: List,
    /// Items to send.
    pub(in crate::grpc) size: usize,
}

pub(in crate::grpc) fn reservations(
    request: &proto::ListReservationsRequest,
) -> Result<Paged<ReservationQuery>, Invalid> {
    let mut fields = Fields::default();
    let account_id = fields.optional_id("account_id", &request.account_id, AccountId::new);
    let state = if request.state == 0 {
        None
    } else {
        fields.choice("state", request.state, ReservationState::from_number)
    };
    if request.account_id.is_empty() && state.is_some_and(|state| state != ReservationState::Held) {
        fields.wrong("state", "must be HELD, or left out, where no account is named");
    }
    let expire_before = fields.time("expire_before", request.expire_before);
    let size = fields.page_size(request.page_size);
    fields.finish(|| Some(()))?;
    let list = List::of("ListReservations")
        .text(&request.account_id)
        .number(state.map(|state| i64::from(state as i16)))
        .number(expire_before.map(|time| time.timestamp_micros()));
    let after = list.key(&request.page_token)?;
    let query = ReservationQuery { account_id, state, expire_before, after, limit: rows_for(size) };
    Ok(Paged { query, list, size })
}

pub(in crate::grpc) fn lots(request: &proto::ListLotsRequest) -> Result<Paged<LotQuery>, Invalid> {
    let mut fields = Fields::default();
    let account_id = fields.id("account_id", &request.account_id, AccountId::new);
    let credit_type = fields.optional_id("credit_type", &request.credit_type, CreditType::new);
    let size = fields.page_size(request.page_size);
    let account_id = fields.finish(|| account_id)?;
    let include_empty = request.include_empty;
    let list = List::of("ListLots")
        .text(&request.account_id)
        .text(&request.credit_type)
        .number(Some(i64::from(include_empty)));
    let after = list.key(&request.page_token)?;
    let limit = rows_for(size);
    let query = LotQuery { account_id, credit_type, include_empty, after, limit };
    Ok(Paged { query, list, size })
}

/// The ledger's entries, and the one reservation whose they are to be, if any.
pub(in crate::grpc) fn entries(
    request: &proto::ListLedgerEntriesRequest,
) -> Result<(Paged<EntryQuery>, Option<ReservationId>), Invalid> {
    let mut fields = Fields::default();
    let account_id = fields.id("account_id", &request.account_id, AccountId::new);
    let credit_type = fields.optional_id("credit_type", &request.credit_type, CreditType::new);
    let reservation_id =
        fields.optional_id("reservation_id", &request.reservation_id, ReservationId::new);
    let size = fields.page_size(request.page_size);
    let account_id = fields.finish(|| account_id)?;
    let list = List::of("ListLedgerEntries")
        .text(&request.account_id)
        .text(&request.credit_type)
        .text(&request.reservation_id);
    let before: Option<EntryKey> = list.key(&request.page_token)?;
    let query = EntryQuery { account_id, credit_type, before, limit: rows_for(size) };
    Ok((Paged { query, list, size }, reservation_id))
}

/// Accounts after the last one that was sent.
pub(in crate::grpc) fn accounts(
    request: &proto::ListAccountsRequest,
) -> Result<Paged<Option<AccountId>>, Invalid> {
    let mut fields = Fields::default();
    let size = fields.page_size(request.page_size);
    fields.finish(|| Some(()))?;
    let list = List::of("ListAccounts");
    let query = list.key(&request.page_token)?;
    Ok(Paged { query, list, size })
}

/// Whose balances, of which type, as of when.
pub(in crate::grpc) fn balances(
    request: &proto::GetBalanceRequest,
) -> Result<(AccountId, Option<CreditType>, Option<Timestamp>), Invalid> {
    let mut fields = Fields::default();
    let account_id = fields.id("account_id", &request.account_id, AccountId::new);
    let credit_type = fields.optional_id("credit_type", &request.credit_type, CreditType::new);
    let as_of = fields.time("as_of", request.as_of);
    fields.finish(|| Some((account_id?, credit_type, as_of)))
}
