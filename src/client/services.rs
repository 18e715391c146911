//! Thin calls of the other services, under the same deadlines and retries.

use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_client::HealthClient};

use super::{Client, ClientError, RetryPolicy, retry::Effect};
use crate::proto::{
    ApplyCatalogRequest, ApplyCatalogResponse, AssignProjectRequest, AssignProjectResponse,
    BeginTopUpRequest, BeginTopUpResponse, CancelSubscriptionRequest, CancelSubscriptionResponse,
    ChangePlanRequest, ChangePlanResponse, ConfirmTopUpRequest, ConfirmTopUpResponse,
    CreateAccountRequest, CreateAccountResponse, CreateEndpointRequest, CreateEndpointResponse,
    DeleteEndpointRequest, DeleteEndpointResponse, DisableEndpointRequest, DisableEndpointResponse,
    EnableEndpointRequest, EnableEndpointResponse, FailTopUpRequest, FailTopUpResponse,
    GetAccountRequest, GetAccountResponse, GetBalanceRequest, GetBalanceResponse,
    GetCatalogRequest, GetCatalogResponse, GrantCreditsRequest, GrantCreditsResponse,
    LinkProviderRequest, LinkProviderResponse, ListAccountsRequest, ListAccountsResponse,
    ListDeliveriesRequest, ListDeliveriesResponse, ListEndpointsRequest, ListEndpointsResponse,
    ListEventsRequest, ListEventsResponse, ListLedgerEntriesRequest, ListLedgerEntriesResponse,
    ListLotsRequest, ListLotsResponse, ListMailsRequest, ListMailsResponse, ListTopUpsRequest,
    ListTopUpsResponse, RenewSubscriptionRequest, RenewSubscriptionResponse,
    ReplayDeliveriesRequest, ReplayDeliveriesResponse, ResumeSubscriptionRequest,
    ResumeSubscriptionResponse, RevokeCreditsRequest, RevokeCreditsResponse,
    RotateEndpointSecretRequest, RotateEndpointSecretResponse, SetAccountSuspensionRequest,
    SetAccountSuspensionResponse, SetMailKindsRequest, SetMailKindsResponse,
    StartSubscriptionRequest, StartSubscriptionResponse, UnassignProjectRequest,
    UnassignProjectResponse, VerifyLedgerRequest, VerifyLedgerResponse,
    account_service_client::AccountServiceClient, billing_service_client::BillingServiceClient,
    catalog_service_client::CatalogServiceClient, delivery_service_client::DeliveryServiceClient,
    event_service_client::EventServiceClient, ledger_service_client::LedgerServiceClient,
};

/// One method of [`Client`] a call: its effect, name, request and response.
macro_rules! calls {
    ($service:ident: $($(#[$doc:meta])* $effect:ident $name:ident($request:ty) -> $response:ty;)+) => {
        #[doc = concat!("Calls of ", stringify!($service), ", each retried with the request unchanged.")]
        ///
        /// # Errors
        /// Every call gives the [`ClientError`]s that its variants describe.
        impl Client {
            $(
                $(#[$doc])*
                pub async fn $name(&self, request: $request) -> Result<$response, ClientError> {
                    self.call(Effect::$effect, request, |channel, request| async move {
                        $service::new(channel).$name(request).await
                    })
                    .await
                }
            )+
        }
    };
}

calls! { AccountServiceClient:
    /// Creates an account.
    Changes create_account(CreateAccountRequest) -> CreateAccountResponse;
    /// Reads an account with its subscriptions.
    Reads get_account(GetAccountRequest) -> GetAccountResponse;
    /// Lists accounts, by id.
    Reads list_accounts(ListAccountsRequest) -> ListAccountsResponse;
    /// Suspends an account, or lifts that: running scans may still settle.
    Changes set_account_suspension(SetAccountSuspensionRequest) -> SetAccountSuspensionResponse;
    /// Gives a project to an account, taking it from the one that has it.
    Changes assign_project(AssignProjectRequest) -> AssignProjectResponse;
    /// Says which account a provider's customer or subscription belongs to: what lets a webhook find its account.
    Changes link_provider(LinkProviderRequest) -> LinkProviderResponse;
    /// Takes a project from its account.
    Changes unassign_project(UnassignProjectRequest) -> UnassignProjectResponse;
}

calls! { BillingServiceClient:
    /// Starts a manual subscription or a trial, and grants its first allowance.
    Changes start_subscription(StartSubscriptionRequest) -> StartSubscriptionResponse;
    /// Begins a paid period of a manual subscription that is not active, and grants its allowance, once a period.
    Changes renew_subscription(RenewSubscriptionRequest) -> RenewSubscriptionResponse;
    /// Moves a manual subscription to another plan.
    Changes change_plan(ChangePlanRequest) -> ChangePlanResponse;
    /// Takes a scheduled cancellation back.
    Changes resume_subscription(ResumeSubscriptionRequest) -> ResumeSubscriptionResponse;
    /// Opens a purchase: from here until it is confirmed, failed or expired the account has a payment pending.
    Changes begin_top_up(BeginTopUpRequest) -> BeginTopUpResponse;
    /// Confirms a manual purchase, and grants its credits, once.
    Changes confirm_top_up(ConfirmTopUpRequest) -> ConfirmTopUpResponse;
    /// Closes a purchase that will not be paid.
    Changes fail_top_up(FailTopUpRequest) -> FailTopUpResponse;
    /// Lists an account's purchases, the newest first.
    Reads list_top_ups(ListTopUpsRequest) -> ListTopUpsResponse;
    /// Gives credits.
    Changes grant_credits(GrantCreditsRequest) -> GrantCreditsResponse;
    /// Takes available credits back.
    Changes revoke_credits(RevokeCreditsRequest) -> RevokeCreditsResponse;
}

calls! { LedgerServiceClient:
    /// Reads an account's balances, now or as they were at a time.
    Reads get_balance(GetBalanceRequest) -> GetBalanceResponse;
    /// Lists an account's lots of credits, in the order they will be spent.
    Reads list_lots(ListLotsRequest) -> ListLotsResponse;
    /// Lists an account's ledger, the newest entry first.
    Reads list_ledger_entries(ListLedgerEntriesRequest) -> ListLedgerEntriesResponse;
    /// Recomputes an account's balances and hash chain from its entries.
    Reads verify_ledger(VerifyLedgerRequest) -> VerifyLedgerResponse;
}

calls! { EventServiceClient:
    /// Lists an account's events, the newest first.
    Reads list_events(ListEventsRequest) -> ListEventsResponse;
}

calls! { DeliveryServiceClient:
    /// Adds an endpoint. A retry whose first answer was lost adds another: list them.
    Changes create_endpoint(CreateEndpointRequest) -> CreateEndpointResponse;
    /// Lists the endpoints, by id.
    Reads list_endpoints(ListEndpointsRequest) -> ListEndpointsResponse;
    /// Sends to an endpoint again, what waits for it first.
    Changes enable_endpoint(EnableEndpointRequest) -> EnableEndpointResponse;
    /// Sends nothing more to an endpoint.
    Changes disable_endpoint(DisableEndpointRequest) -> DisableEndpointResponse;
    /// Removes an endpoint for good.
    Changes delete_endpoint(DeleteEndpointRequest) -> DeleteEndpointResponse;
    /// Signs with a new secret, and for a day with the old one as well.
    Changes rotate_endpoint_secret(RotateEndpointSecretRequest) -> RotateEndpointSecretResponse;
    /// Lists what was sent to an endpoint, or waits, the newest first.
    Reads list_deliveries(ListDeliveriesRequest) -> ListDeliveriesResponse;
    /// Sends again what was sent, or has failed.
    Changes replay_deliveries(ReplayDeliveriesRequest) -> ReplayDeliveriesResponse;
    /// Says which events an account is mailed.
    Changes set_mail_kinds(SetMailKindsRequest) -> SetMailKindsResponse;
    /// Lists an account's mails, the newest first.
    Reads list_mails(ListMailsRequest) -> ListMailsResponse;
}

calls! { CatalogServiceClient:
    /// Replaces the catalog.
    Changes apply_catalog(ApplyCatalogRequest) -> ApplyCatalogResponse;
    /// Reads the catalog.
    Reads get_catalog(GetCatalogRequest) -> GetCatalogResponse;
}

impl Client {
    /// Whether the gate, or one of its services, takes calls (`grpc.health.v1`).
    ///
    /// # Errors
    ///
    /// It cannot be reached, or has no such service.
    pub async fn health(
        &self,
        request: HealthCheckRequest,
    ) -> Result<HealthCheckResponse, ClientError> {
        self.call(Effect::Reads, request, |channel, request| async move {
            HealthClient::new(channel).check(request).await
        })
        .await
    }

    /// Cancels a manual subscription at the end of its period, or at once.
    ///
    /// At once and without `subscription_id` the call means "the live one", and a
    /// retry might end one that was started meanwhile: it is then attempted once
    /// only.
    ///
    /// # Errors
    /// The [`ClientError`]s that its variants describe.
    pub async fn cancel_subscription(
        &self,
        request: CancelSubscriptionRequest,
    ) -> Result<CancelSubscriptionResponse, ClientError> {
        let once;
        let client = if request.immediately && request.subscription_id.is_empty() {
            once = self.with_policy(RetryPolicy::once(self.policy().deadline));
            &once
        } else {
            self
        };
        client
            .call(Effect::Changes, request, |channel, request| async move {
                BillingServiceClient::new(channel).cancel_subscription(request).await
            })
            .await
    }
}
