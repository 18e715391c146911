//! Requests that make accounts, or bring credits in and take them back.

use super::{
    Invalid,
    fields::{Fields, MAX_TEXT_BYTES, PROVIDER_PADDLE},
};
use crate::{
    domain::{
        command::{Action, Command, Grant, OperationKind, Revoke},
        credit::LotSource,
    },
    ids::{AccountId, CreditType, OperationId, ProjectId},
    proto,
};

pub(in crate::grpc) fn grant(
    request: proto::GrantCreditsRequest,
    actor: String,
) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let grant_id = fields.id("grant_id", &request.grant_id, OperationId::of_caller);
    let account_id = fields.id("account_id", &request.account_id, AccountId::new);
    let credit_type = fields.id("credit_type", &request.credit_type, CreditType::new);
    fields.credits("credits", request.credits, 1);
    let expire_time = fields.time("expire_time", request.expire_time);
    fields.required_text("reason", &request.reason, MAX_TEXT_BYTES);
    fields.finish(|| {
        let action = Action::Grant(Grant {
            key: (OperationKind::Grant, grant_id?),
            source: LotSource::Grant,
            credit_type: credit_type?,
            credits: request.credits,
            expire_time,
            reason: request.reason,
        });
        Some(Command { account_id: account_id?, actor, action })
    })
}

/// A revocation, with the type of its credits: its outcome does not name it.
pub(in crate::grpc) fn revoke(
    request: proto::RevokeCreditsRequest,
    actor: String,
) -> Result<(CreditType, Command), Invalid> {
    let mut fields = Fields::default();
    let revocation_id = fields.id("revocation_id", &request.revocation_id, OperationId::of_caller);
    let account_id = fields.id("account_id", &request.account_id, AccountId::new);
    let credit_type = fields.id("credit_type", &request.credit_type, CreditType::new);
    fields.credits("credits", request.credits, 1);
    fields.required_text("reason", &request.reason, MAX_TEXT_BYTES);
    fields.finish(|| {
        let credit_type = credit_type?;
        let action = Action::Revoke(Revoke {
            key: (OperationKind::Revocation, revocation_id?),
            credit_type: credit_type.clone(),
            credits: request.credits,
            reason: request.reason,
        });
        Some((credit_type, Command { account_id: account_id?, actor, action }))
    })
}

/// Checks a new account's fields, and gives its id.
pub(in crate::grpc) fn create_account(
    request: &proto::CreateAccountRequest,
) -> Result<AccountId, Invalid> {
    let mut fields = Fields::default();
    let account_id = fields.id("account_id", &request.account_id, AccountId::new);
    fields.text("display_name", &request.display_name, MAX_TEXT_BYTES);
    fields.email("billing_email", &request.billing_email);
    fields.finish(|| account_id)
}

/// Checks a suspension, or its end, which needs no reason.
pub(in crate::grpc) fn suspension(
    request: &proto::SetAccountSuspensionRequest,
) -> Result<AccountId, Invalid> {
    let mut fields = Fields::default();
    let account_id = fields.id("account_id", &request.account_id, AccountId::new);
    if request.suspended {
        fields.required_text("reason", &request.reason, MAX_TEXT_BYTES);
    } else {
        fields.text("reason", &request.reason, MAX_TEXT_BYTES);
    }
    fields.finish(|| account_id)
}

/// Checks a link to a provider's customer.
pub(in crate::grpc) fn link_provider(
    request: &proto::LinkProviderRequest,
) -> Result<AccountId, Invalid> {
    let mut fields = Fields::default();
    let account_id = fields.id("account_id", &request.account_id, AccountId::new);
    fields.provider("provider", &request.provider, &[PROVIDER_PADDLE]);
    fields.provider_id("customer_id", &request.customer_id);
    fields.finish(|| account_id)
}

/// A project and its account from now on.
pub(in crate::grpc) fn assignment(
    request: &proto::AssignProjectRequest,
) -> Result<(ProjectId, AccountId), Invalid> {
    let mut fields = Fields::default();
    let project_id = fields.id("project_id", &request.project_id, ProjectId::new);
    let account_id = fields.id("account_id", &request.account_id, AccountId::new);
    fields.finish(|| project_id.zip(account_id))
}
