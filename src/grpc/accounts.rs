//! Accounts and the projects that they own.

use tonic::{Request, Response, Status};

use super::{MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, actor, decode, encode, page::rows_for, seen};
use crate::{
    billing::Billing,
    domain::account::Account,
    ids::{AccountId, ProjectId},
    proto::{
        self,
        account_service_server::{AccountService, AccountServiceServer},
    },
};

/// `AccountService`.
#[derive(Debug, Clone)]
pub struct AccountApi {
    billing: Billing,
}

impl AccountApi {
    /// Accounts of these use cases.
    #[must_use]
    pub fn new(billing: Billing) -> Self {
        Self { billing }
    }

    /// The service to be routed to.
    #[must_use]
    pub fn into_server(self) -> AccountServiceServer<Self> {
        AccountServiceServer::new(self)
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(MAX_RESPONSE_BYTES)
    }

    /// The use cases as a request's caller sees them.
    fn billing<T>(&self, request: &Request<T>) -> Billing {
        self.billing.seen_by(seen(request))
    }
}

#[tonic::async_trait]
impl AccountService for AccountApi {
    async fn create_account(
        &self,
        request: Request<proto::CreateAccountRequest>,
    ) -> Result<Response<proto::CreateAccountResponse>, Status> {
        let billing = self.billing(&request);
        let request = request.get_ref();
        let account_id = decode::create_account(request)?;
        let account = billing
            .create_account(&account_id, &request.display_name, &request.billing_email)
            .await?;
        let account = Some(encode::account(account));
        Ok(Response::new(proto::CreateAccountResponse { account }))
    }

    async fn get_account(
        &self,
        request: Request<proto::GetAccountRequest>,
    ) -> Result<Response<proto::GetAccountResponse>, Status> {
        let billing = self.billing(&request);
        let account_id =
            decode::one_id("account_id", &request.get_ref().account_id, AccountId::new)?;
        let account = Some(encode::account(billing.account(&account_id).await?));
        Ok(Response::new(proto::GetAccountResponse { account }))
    }

    async fn list_accounts(
        &self,
        request: Request<proto::ListAccountsRequest>,
    ) -> Result<Response<proto::ListAccountsResponse>, Status> {
        let billing = self.billing(&request);
        let asked = decode::accounts(request.get_ref())?;
        let rows = billing.accounts(asked.query.as_ref(), rows_for(asked.size)).await?;
        let key = |(account, _): &(Account, _)| account.account_id.clone();
        let (accounts, next_page_token) = asked.list.page(rows, asked.size, key, encode::account);
        Ok(Response::new(proto::ListAccountsResponse { accounts, next_page_token }))
    }

    async fn set_account_suspension(
        &self,
        request: Request<proto::SetAccountSuspensionRequest>,
    ) -> Result<Response<proto::SetAccountSuspensionResponse>, Status> {
        let billing = self.billing(&request);
        let actor = actor(&request);
        let request = request.get_ref();
        let account_id = decode::suspension(request)?;
        let account =
            billing.set_suspension(&account_id, request.suspended, &request.reason, &actor).await?;
        let account = Some(encode::account(account));
        Ok(Response::new(proto::SetAccountSuspensionResponse { account }))
    }

    async fn assign_project(
        &self,
        request: Request<proto::AssignProjectRequest>,
    ) -> Result<Response<proto::AssignProjectResponse>, Status> {
        let billing = self.billing(&request);
        let (project_id, account_id) = decode::assignment(request.get_ref())?;
        let previous = billing.assign_project(&project_id, Some(&account_id)).await?;
        let previous_account_id = previous.unwrap_or_default();
        Ok(Response::new(proto::AssignProjectResponse { previous_account_id }))
    }

    async fn link_provider(
        &self,
        request: Request<proto::LinkProviderRequest>,
    ) -> Result<Response<proto::LinkProviderResponse>, Status> {
        let billing = self.billing(&request);
        let request = request.get_ref();
        let account_id = decode::link_provider(request)?;
        let previous =
            billing.link_provider(&account_id, &request.provider, &request.customer_id).await?;
        let previous_account_id = previous.unwrap_or_default();
        Ok(Response::new(proto::LinkProviderResponse { previous_account_id }))
    }

    async fn unassign_project(
        &self,
        request: Request<proto::UnassignProjectRequest>,
    ) -> Result<Response<proto::UnassignProjectResponse>, Status> {
        let billing = self.billing(&request);
        let project_id =
            decode::one_id("project_id", &request.get_ref().project_id, ProjectId::new)?;
        let previous = billing.assign_project(&project_id, None).await?;
        let previous_account_id = previous.unwrap_or_default();
        Ok(Response::new(proto::UnassignProjectResponse { previous_account_id }))
    }
}
