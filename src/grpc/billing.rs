//! Credits that an operator gives and takes back.

use tonic::{Request, Response, Status};

use super::{MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, actor, decode, encode, status::unimplemented};
use crate::{
    ledger::Ledger,
    proto::{
        self,
        billing_service_server::{BillingService, BillingServiceServer},
    },
};

/// `BillingService`: grants and revocations; what concerns subscriptions and
/// purchases is UNIMPLEMENTED.
#[derive(Debug, Clone)]
pub struct BillingApi {
    ledger: Ledger,
}

impl BillingApi {
    /// Grants and revocations on this ledger.
    #[must_use]
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    /// The service to be routed to.
    #[must_use]
    pub fn into_server(self) -> BillingServiceServer<Self> {
        BillingServiceServer::new(self)
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(MAX_RESPONSE_BYTES)
    }
}

#[tonic::async_trait]
impl BillingService for BillingApi {
    async fn grant_credits(
        &self,
        request: Request<proto::GrantCreditsRequest>,
    ) -> Result<Response<proto::GrantCreditsResponse>, Status> {
        let actor = actor(&request);
        let command = decode::grant(request.into_inner(), actor)?;
        let account_id = command.account_id.clone();
        let outcome = self.ledger.submit(command).await?;
        Ok(Response::new(encode::grant(&account_id, outcome)?))
    }

    async fn revoke_credits(
        &self,
        request: Request<proto::RevokeCreditsRequest>,
    ) -> Result<Response<proto::RevokeCreditsResponse>, Status> {
        let actor = actor(&request);
        let (credit_type, command) = decode::revoke(request.into_inner(), actor)?;
        let account_id = command.account_id.clone();
        let outcome = self.ledger.submit(command).await?;
        Ok(Response::new(encode::revoke(&account_id, &credit_type, outcome)?))
    }

    async fn start_subscription(
        &self,
        _request: Request<proto::StartSubscriptionRequest>,
    ) -> Result<Response<proto::StartSubscriptionResponse>, Status> {
        Err(unimplemented("StartSubscription"))
    }

    async fn renew_subscription(
        &self,
        _request: Request<proto::RenewSubscriptionRequest>,
    ) -> Result<Response<proto::RenewSubscriptionResponse>, Status> {
        Err(unimplemented("RenewSubscription"))
    }

    async fn change_plan(
        &self,
        _request: Request<proto::ChangePlanRequest>,
    ) -> Result<Response<proto::ChangePlanResponse>, Status> {
        Err(unimplemented("ChangePlan"))
    }

    async fn cancel_subscription(
        &self,
        _request: Request<proto::CancelSubscriptionRequest>,
    ) -> Result<Response<proto::CancelSubscriptionResponse>, Status> {
        Err(unimplemented("CancelSubscription"))
    }

    async fn resume_subscription(
        &self,
        _request: Request<proto::ResumeSubscriptionRequest>,
    ) -> Result<Response<proto::ResumeSubscriptionResponse>, Status> {
        Err(unimplemented("ResumeSubscription"))
    }

    async fn begin_top_up(
        &self,
        _request: Request<proto::BeginTopUpRequest>,
    ) -> Result<Response<proto::BeginTopUpResponse>, Status> {
        Err(unimplemented("BeginTopUp"))
    }

    async fn confirm_top_up(
        &self,
        _request: Request<proto::ConfirmTopUpRequest>,
    ) -> Result<Response<proto::ConfirmTopUpResponse>, Status> {
        Err(unimplemented("ConfirmTopUp"))
    }

    async fn fail_top_up(
        &self,
        _request: Request<proto::FailTopUpRequest>,
    ) -> Result<Response<proto::FailTopUpResponse>, Status> {
        Err(unimplemented("FailTopUp"))
    }

    async fn list_top_ups(
        &self,
        _request: Request<proto::ListTopUpsRequest>,
    ) -> Result<Response<proto::ListTopUpsResponse>, Status> {
        Err(unimplemented("ListTopUps"))
    }
}
