//! Which calls of BillingService are made again when no answer comes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use creditgate::{
    client::{Client, RetryPolicy},
    proto::{
        billing_service_server::{BillingService, BillingServiceServer},
        *,
    },
};
use tokio::{net::TcpListener, sync::oneshot};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// A gate whose database is away. It notes what it is asked.
#[derive(Clone, Default)]
struct Away(Arc<Mutex<Vec<&'static str>>>);

macro_rules! away {
    ($($name:ident($request:ty) -> $response:ty;)+) => {
        #[tonic::async_trait]
        impl BillingService for Away {
            $(
                async fn $name(&self, _: Request<$request>) -> Result<Response<$response>, Status> {
                    self.0.lock().unwrap().push(stringify!($name));
                    Err(Status::unavailable("no database"))
                }
            )+
        }
    };
}

away! {
    start_subscription(StartSubscriptionRequest) -> StartSubscriptionResponse;
    renew_subscription(RenewSubscriptionRequest) -> RenewSubscriptionResponse;
    change_plan(ChangePlanRequest) -> ChangePlanResponse;
    cancel_subscription(CancelSubscriptionRequest) -> CancelSubscriptionResponse;
    resume_subscription(ResumeSubscriptionRequest) -> ResumeSubscriptionResponse;
    begin_top_up(BeginTopUpRequest) -> BeginTopUpResponse;
    confirm_top_up(ConfirmTopUpRequest) -> ConfirmTopUpResponse;
    fail_top_up(FailTopUpRequest) -> FailTopUpResponse;
    list_top_ups(ListTopUpsRequest) -> ListTopUpsResponse;
    grant_credits(GrantCreditsRequest) -> GrantCreditsResponse;
    revoke_credits(RevokeCreditsRequest) -> RevokeCreditsResponse;
}

#[tokio::test]
async fn every_call_is_made_again_but_a_cancel_that_might_mean_another_subscription() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let away = Away::default();
    let asked = Arc::clone(&away.0);
    let (_stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(
        Server::builder()
            .add_service(BillingServiceServer::new(away))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
                let _ = stopped.await;
            }),
    );
    let policy = RetryPolicy {
        max_attempts: 2,
        first_backoff: Duration::from_millis(5),
        ..RetryPolicy::default()
    };
    let client = Client::builder(&address.to_string()).policy(policy).lazy().unwrap();
    let count = || asked.lock().unwrap().drain(..).count();
    let cancel = |immediately, subscription_id: &str| CancelSubscriptionRequest {
        account_id: "acme".into(),
        immediately,
        subscription_id: subscription_id.into(),
    };

    let error = client.cancel_subscription(cancel(true, "")).await.unwrap_err();
    assert!(error.outcome_unknown(), "{error}");
    assert_eq!(count(), 1);
    for request in [cancel(true, "s1"), cancel(false, ""), cancel(false, "s1")] {
        client.cancel_subscription(request).await.unwrap_err();
        assert_eq!(count(), 2);
    }
    // Each of these has a key, or asks for a state and not for a step.
    client.start_subscription(StartSubscriptionRequest::default()).await.unwrap_err();
    client.renew_subscription(RenewSubscriptionRequest::default()).await.unwrap_err();
    client.change_plan(ChangePlanRequest::default()).await.unwrap_err();
    client.resume_subscription(ResumeSubscriptionRequest::default()).await.unwrap_err();
    client.begin_top_up(BeginTopUpRequest::default()).await.unwrap_err();
    client.confirm_top_up(ConfirmTopUpRequest::default()).await.unwrap_err();
    client.fail_top_up(FailTopUpRequest::default()).await.unwrap_err();
    assert_eq!(count(), 14);
    let error = client.list_top_ups(ListTopUpsRequest::default()).await.unwrap_err();
    assert!(!error.outcome_unknown(), "it only reads: {error}");
    assert_eq!(count(), 2);
}
