//! Where credits come from: subscriptions, purchases, and what an operator gives
//! and takes back.

use tonic::{Request, Response, Status};

use super::{MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, actor, decode, encode, seen};
use crate::{
    billing::{Billing, TopUpKey},
    domain::{
        command::{Command, Outcome},
        payment::TopUp,
    },
    ids::AccountId,
    ledger::{Ledger, LedgerError},
    proto::{
        self,
        billing_service_server::{BillingService, BillingServiceServer},
    },
};

/// `BillingService`.
#[derive(Debug, Clone)]
pub struct BillingApi {
    ledger: Ledger,
    billing: Billing,
}

impl BillingApi {
    /// Commands go to this ledger; what concerns more than one account goes
    /// through these use cases.
    #[must_use]
    pub fn new(ledger: Ledger, billing: Billing) -> Self {
        Self { ledger, billing }
    }

    /// The service to be routed to.
    #[must_use]
    pub fn into_server(self) -> BillingServiceServer<Self> {
        BillingServiceServer::new(self)
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(MAX_RESPONSE_BYTES)
    }

    /// The ledger as a request's caller sees it.
    fn ledger<T>(&self, request: &Request<T>) -> Ledger {
        self.ledger.seen_by(seen(request))
    }

    /// The use cases as a request's caller sees them.
    fn billing<T>(&self, request: &Request<T>) -> Billing {
        self.billing.seen_by(seen(request))
    }
}

/// A command's outcome, and the account that it is about.
async fn submit(ledger: &Ledger, command: Command) -> Result<(AccountId, Outcome), LedgerError> {
    let account_id = command.account_id.clone();
    Ok((account_id, ledger.submit(command).await?))
}

#[tonic::async_trait]
impl BillingService for BillingApi {
    async fn start_subscription(
        &self,
        request: Request<proto::StartSubscriptionRequest>,
    ) -> Result<Response<proto::StartSubscriptionResponse>, Status> {
        let ledger = self.ledger(&request);
        let command = decode::start_subscription(request.get_ref(), actor(&request))?;
        let (account_id, outcome) = submit(&ledger, command).await?;
        Ok(Response::new(encode::subscription_started(&account_id, outcome)?))
    }

    async fn renew_subscription(
        &self,
        request: Request<proto::RenewSubscriptionRequest>,
    ) -> Result<Response<proto::RenewSubscriptionResponse>, Status> {
        let ledger = self.ledger(&request);
        let command = decode::renew_subscription(request.get_ref(), actor(&request))?;
        let (account_id, outcome) = submit(&ledger, command).await?;
        Ok(Response::new(encode::subscription_renewed(&account_id, outcome)?))
    }

    async fn change_plan(
        &self,
        request: Request<proto::ChangePlanRequest>,
    ) -> Result<Response<proto::ChangePlanResponse>, Status> {
        let ledger = self.ledger(&request);
        let command = decode::change_plan(request.get_ref(), actor(&request))?;
        let (account_id, outcome) = submit(&ledger, command).await?;
        let subscription = encode::subscription_changed(&account_id, outcome)?;
        Ok(Response::new(proto::ChangePlanResponse { subscription }))
    }

    async fn cancel_subscription(
        &self,
        request: Request<proto::CancelSubscriptionRequest>,
    ) -> Result<Response<proto::CancelSubscriptionResponse>, Status> {
        let ledger = self.ledger(&request);
        let command = decode::cancel_subscription(request.get_ref(), actor(&request))?;
        let (account_id, outcome) = submit(&ledger, command).await?;
        let subscription = encode::subscription_changed(&account_id, outcome)?;
        Ok(Response::new(proto::CancelSubscriptionResponse { subscription }))
    }

    async fn resume_subscription(
        &self,
        request: Request<proto::ResumeSubscriptionRequest>,
    ) -> Result<Response<proto::ResumeSubscriptionResponse>, Status> {
        let ledger = self.ledger(&request);
        let command = decode::resume_subscription(request.get_ref(), actor(&request))?;
        let (account_id, outcome) = submit(&ledger, command).await?;
        let subscription = encode::subscription_changed(&account_id, outcome)?;
        Ok(Response::new(proto::ResumeSubscriptionResponse { subscription }))
    }

    async fn begin_top_up(
        &self,
        request: Request<proto::BeginTopUpRequest>,
    ) -> Result<Response<proto::BeginTopUpResponse>, Status> {
        let billing = self.billing(&request);
        let actor = actor(&request);
        let (account_id, begin) = decode::begin_top_up(request.into_inner())?;
        let outcome = billing.begin_top_up(&account_id, begin, actor).await?;
        Ok(Response::new(encode::top_up_begun(&account_id, outcome)?))
    }

    async fn confirm_top_up(
        &self,
        request: Request<proto::ConfirmTopUpRequest>,
    ) -> Result<Response<proto::ConfirmTopUpResponse>, Status> {
        let billing = self.billing(&request);
        let actor = actor(&request);
        let request = request.into_inner();
        let top_up_id = decode::confirm_top_up(&request)?;
        let reference = request.provider_reference;
        let (account_id, outcome) = billing.confirm_top_up(&top_up_id, reference, actor).await?;
        Ok(Response::new(encode::top_up_confirmed(&account_id, outcome)?))
    }

    async fn fail_top_up(
        &self,
        request: Request<proto::FailTopUpRequest>,
    ) -> Result<Response<proto::FailTopUpResponse>, Status> {
        let billing = self.billing(&request);
        let actor = actor(&request);
        let request = request.into_inner();
        let top_up_id = decode::fail_top_up(&request)?;
        let (account_id, outcome) = billing.fail_top_up(&top_up_id, request.reason, actor).await?;
        Ok(Response::new(encode::top_up_closed(&account_id, outcome)?))
    }

    async fn list_top_ups(
        &self,
        request: Request<proto::ListTopUpsRequest>,
    ) -> Result<Response<proto::ListTopUpsResponse>, Status> {
        let billing = self.billing(&request);
        let asked = decode::top_ups(request.get_ref())?;
        let account_id = asked.query.account_id.clone();
        let rows = billing.top_ups(asked.query).await?;
        let (top_ups, next_page_token) =
            asked.list.page(rows, asked.size, key, |top_up| encode::top_up(&account_id, top_up));
        Ok(Response::new(proto::ListTopUpsResponse { top_ups, next_page_token }))
    }

    async fn grant_credits(
        &self,
        request: Request<proto::GrantCreditsRequest>,
    ) -> Result<Response<proto::GrantCreditsResponse>, Status> {
        let ledger = self.ledger(&request);
        let actor = actor(&request);
        let command = decode::grant(request.into_inner(), actor)?;
        let (account_id, outcome) = submit(&ledger, command).await?;
        Ok(Response::new(encode::grant(&account_id, outcome)?))
    }

    async fn revoke_credits(
        &self,
        request: Request<proto::RevokeCreditsRequest>,
    ) -> Result<Response<proto::RevokeCreditsResponse>, Status> {
        let ledger = self.ledger(&request);
        let actor = actor(&request);
        let (credit_type, command) = decode::revoke(request.into_inner(), actor)?;
        let (account_id, outcome) = submit(&ledger, command).await?;
        Ok(Response::new(encode::revoke(&account_id, &credit_type, outcome)?))
    }
}

/// Where a purchase stands in its list.
pub(super) fn key(top_up: &TopUp) -> TopUpKey {
    TopUpKey { create_time: top_up.create_time, top_up_id: top_up.top_up_id.clone() }
}
