//! Requests about purchases.

use super::{
    Invalid, Paged,
    fields::{Fields, MAX_TEXT_BYTES, PROVIDER_PADDLE},
};
use crate::{
    billing::TopUpQuery,
    domain::{command::PROVIDER_MANUAL, payment::BeginTopUp},
    grpc::page::{List, rows_for},
    ids::{AccountId, CreditType, OperationId},
    proto,
};

/// A purchase to be opened, and for whom.
pub(in crate::grpc) fn begin_top_up(
    request: proto::BeginTopUpRequest,
) -> Result<(AccountId, BeginTopUp), Invalid> {
    let mut fields = Fields::default();
    let top_up_id = fields.id("top_up_id", &request.top_up_id, OperationId::of_caller);
    let account_id = fields.id("account_id", &request.account_id, AccountId::new);
    let credit_type = fields.id("credit_type", &request.credit_type, CreditType::new);
    fields.credits("credits", request.credits, 1);
    fields.provider("provider", &request.provider, &[PROVIDER_MANUAL, PROVIDER_PADDLE]);
    fields.optional_provider_id("provider_reference", &request.provider_reference);
    fields.finish(|| {
        let begin = BeginTopUp {
            top_up_id: top_up_id?,
            credit_type: credit_type?,
            credits: request.credits,
            provider: request.provider,
            provider_reference: request.provider_reference,
        };
        Some((account_id?, begin))
    })
}

/// Checks a confirmation, and gives the purchase's id.
pub(in crate::grpc) fn confirm_top_up(
    request: &proto::ConfirmTopUpRequest,
) -> Result<OperationId, Invalid> {
    let mut fields = Fields::default();
    let top_up_id = fields.id("top_up_id", &request.top_up_id, OperationId::of_caller);
    fields.optional_provider_id("provider_reference", &request.provider_reference);
    fields.finish(|| top_up_id)
}

/// Checks that a purchase may be closed so, and gives its id.
pub(in crate::grpc) fn fail_top_up(
    request: &proto::FailTopUpRequest,
) -> Result<OperationId, Invalid> {
    let mut fields = Fields::default();
    let top_up_id = fields.id("top_up_id", &request.top_up_id, OperationId::of_caller);
    fields.text("reason", &request.reason, MAX_TEXT_BYTES);
    fields.finish(|| top_up_id)
}

pub(in crate::grpc) fn top_ups(
    request: &proto::ListTopUpsRequest,
) -> Result<Paged<TopUpQuery>, Invalid> {
    let mut fields = Fields::default();
    let account_id = fields.id("account_id", &request.account_id, AccountId::new);
    let size = fields.page_size(request.page_size);
    let account_id = fields.finish(|| account_id)?;
    let list = List::of("ListTopUps").text(&request.account_id);
    let after = list.key(&request.page_token)?;
    Ok(Paged { query: TopUpQuery { account_id, after, limit: rows_for(size) }, list, size })
}
