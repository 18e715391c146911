//! Every call that names an account, as bytes.

use bytes::{Buf, BufMut};
use creditgate::proto;
use prost::Message;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// Messages as bytes, whatever they are of.
#[derive(Clone, Copy)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; source.remaining()];
        source.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}

/// A call's path, and its request.
pub type Call = (&'static str, Vec<u8>);

/// Every call that names an account, about this one; ids of what belongs to
/// [`super::FOREIGN`] where `theirs`, of nothing otherwise.
pub fn calls(account: &str, theirs: bool) -> Vec<Call> {
    let id =
        |theirs_is: &str| if theirs { theirs_is.to_owned() } else { format!("no_{theirs_is}") };
    let account_id = account.to_owned();
    let scan = || {
        Some(proto::Scan {
            account_id: account.to_owned(),
            scan_kind: "live_audit".to_owned(),
            ..proto::Scan::default()
        })
    };
    macro_rules! call {
        ($path:literal, $message:ident { $($field:ident : $value:expr),* $(,)? }) => {
            (
                concat!("/creditgate.v1.", $path),
                #[allow(clippy::needless_update, clippy::redundant_field_names)]
                proto::$message { $($field: $value,)* ..Default::default() }.encode_to_vec(),
            )
        };
    }
    let reservation_id = id("r1");
    let credit_type = "scan".to_owned();
    let reason = "test".to_owned();
    let subscription_id = id("s1");
    vec![
        call!("GateService/CheckEligibility", CheckEligibilityRequest { scan: scan() }),
        call!("GateService/Reserve", ReserveRequest { reservation_id: id("r1"), scan: scan() }),
        call!(
            "GateService/Reserve",
            ReserveRequest { reservation_id: "new".to_owned(), scan: scan() }
        ),
        call!(
            "GateService/Extend",
            ExtendRequest {
                account_id: account_id.clone(),
                lease: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
                reservation_id: reservation_id.clone()
            }
        ),
        call!(
            "GateService/Commit",
            CommitRequest {
                account_id: account_id.clone(),
                reservation_id: reservation_id.clone()
            }
        ),
        call!(
            "GateService/Release",
            ReleaseRequest {
                account_id: account_id.clone(),
                reservation_id: reservation_id.clone(),
                cause: 2
            }
        ),
        call!(
            "GateService/GetReservation",
            GetReservationRequest {
                account_id: account_id.clone(),
                reservation_id: reservation_id.clone()
            }
        ),
        call!(
            "GateService/ListReservations",
            ListReservationsRequest { account_id: account_id.clone() }
        ),
        call!(
            "GateService/BatchReserve",
            BatchReserveRequest {
                requests: vec![proto::ReserveRequest {
                    reservation_id: id("r1"),
                    scan: scan(),
                    ..Default::default()
                }]
            }
        ),
        call!("LedgerService/GetBalance", GetBalanceRequest { account_id: account_id.clone() }),
        call!("LedgerService/ListLots", ListLotsRequest { account_id: account_id.clone() }),
        call!(
            "LedgerService/ListLedgerEntries",
            ListLedgerEntriesRequest { account_id: account_id.clone() }
        ),
        call!(
            "LedgerService/ListLedgerEntries",
            ListLedgerEntriesRequest {
                account_id: account_id.clone(),
                reservation_id: reservation_id
            }
        ),
        call!("LedgerService/VerifyLedger", VerifyLedgerRequest { account_id: account_id.clone() }),
        call!("AccountService/GetAccount", GetAccountRequest { account_id: account_id.clone() }),
        call!(
            "AccountService/SetAccountSuspension",
            SetAccountSuspensionRequest {
                account_id: account_id.clone(),
                suspended: true,
                reason: reason.clone()
            }
        ),
        call!(
            "BillingService/StartSubscription",
            StartSubscriptionRequest {
                account_id: account_id.clone(),
                subscription_id: subscription_id.clone(),
                plan: "pro".to_owned()
            }
        ),
        call!(
            "BillingService/RenewSubscription",
            RenewSubscriptionRequest { account_id: account_id.clone() }
        ),
        call!(
            "BillingService/ChangePlan",
            ChangePlanRequest { account_id: account_id.clone(), plan: "pro".to_owned() }
        ),
        call!(
            "BillingService/CancelSubscription",
            CancelSubscriptionRequest { account_id: account_id.clone() }
        ),
        call!(
            "BillingService/ResumeSubscription",
            ResumeSubscriptionRequest { account_id: account_id.clone() }
        ),
        call!(
            "BillingService/BeginTopUp",
            BeginTopUpRequest {
                account_id: account_id.clone(),
                top_up_id: "t2".to_owned(),
                credit_type: credit_type.clone(),
                credits: 1,
                provider: "manual".to_owned()
            }
        ),
        call!("BillingService/ListTopUps", ListTopUpsRequest { account_id: account_id.clone() }),
        call!(
            "BillingService/GrantCredits",
            GrantCreditsRequest {
                account_id: account_id.clone(),
                grant_id: "g2".to_owned(),
                credit_type: credit_type.clone(),
                credits: 1,
                reason: reason.clone()
            }
        ),
        call!(
            "BillingService/RevokeCredits",
            RevokeCreditsRequest {
                account_id: account_id.clone(),
                revocation_id: "v2".to_owned(),
                credit_type: credit_type,
                credits: 1,
                reason: reason
            }
        ),
        call!("GateService/WatchUnblocked", WatchUnblockedRequest { scan: scan() }),
        call!("EventService/ListEvents", ListEventsRequest { account_id: account_id.clone() }),
        call!("EventService/WatchEvents", WatchEventsRequest { account_id: account_id.clone() }),
        call!(
            "DeliveryService/CreateEndpoint",
            CreateEndpointRequest {
                account_id: account_id.clone(),
                url: "https://hooks.example/".to_owned()
            }
        ),
        call!("DeliveryService/ListMails", ListMailsRequest { account_id: account_id.clone() }),
        call!(
            "DeliveryService/SetMailKinds",
            SetMailKindsRequest { account_id: account_id.clone() }
        ),
        // These name an endpoint, or a purchase, not an account.
        call!("DeliveryService/EnableEndpoint", EnableEndpointRequest { endpoint_id: id("e1") }),
        call!("DeliveryService/DisableEndpoint", DisableEndpointRequest { endpoint_id: id("e1") }),
        call!(
            "DeliveryService/RotateEndpointSecret",
            RotateEndpointSecretRequest { endpoint_id: id("e1") }
        ),
        call!("DeliveryService/ListDeliveries", ListDeliveriesRequest { endpoint_id: id("e1") }),
        call!(
            "DeliveryService/ReplayDeliveries",
            ReplayDeliveriesRequest { endpoint_id: id("e1") }
        ),
        call!("DeliveryService/DeleteEndpoint", DeleteEndpointRequest { endpoint_id: id("e1") }),
        call!("BillingService/ConfirmTopUp", ConfirmTopUpRequest { top_up_id: id("t1") }),
        call!(
            "BillingService/FailTopUp",
            FailTopUpRequest { top_up_id: id("t1"), reason: "test".to_owned() }
        ),
    ]
}
