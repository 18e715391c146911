//! The gate's calls, with verdicts as types.

use super::{Client, ClientError, retry::Effect};
use crate::proto::{
    Balance, BatchReserveRequest, BatchReserveResponse, Block, CheckEligibilityRequest,
    CheckEligibilityResponse, CommitRequest, CommitResponse, Eligible, ExtendRequest,
    GetReservationRequest, ListReservationsRequest, ListReservationsResponse, ReleaseRequest,
    ReleaseResponse, Reservation, ReserveRequest, ReserveResponse, Scan,
    check_eligibility_response, gate_service_client::GateServiceClient, reserve_response,
};

/// What the gate said to Reserve.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "without looking at the verdict, the scan must not start"]
pub enum Verdict {
    /// The scan may run.
    Held(Held),
    /// The scan must not run.
    Blocked(Blocked),
}

/// A scan that may run: its credits are held.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// The hold.
    pub reservation: Reservation,
    /// The balance after it.
    pub balance: Option<Balance>,
    /// True where an earlier call with this id had already made it.
    pub replayed: bool,
}

/// A scan that must not run.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocked {
    /// Why, and what would clear it.
    pub block: Block,
    /// The balance that the verdict was made on.
    pub balance: Option<Balance>,
}

/// What the gate said to CheckEligibility. It holds nothing.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Eligibility {
    /// Reserve would let the scan through now.
    Eligible {
        /// What it would hold.
        eligible: Eligible,
        /// The balance that the verdict was made on.
        balance: Option<Balance>,
    },
    /// Reserve would block it.
    Blocked(Blocked),
}

impl TryFrom<ReserveResponse> for Verdict {
    type Error = ClientError;

    fn try_from(response: ReserveResponse) -> Result<Self, ClientError> {
        let balance = response.balance;
        match response.verdict {
            Some(reserve_response::Verdict::Reservation(reservation)) => {
                Ok(Self::Held(Held { reservation, balance, replayed: response.replayed }))
            }
            Some(reserve_response::Verdict::Block(block)) => {
                Ok(Self::Blocked(Blocked { block, balance }))
            }
            None => Err(ClientError::Malformed("Reserve without a verdict")),
        }
    }
}

impl TryFrom<CheckEligibilityResponse> for Eligibility {
    type Error = ClientError;

    fn try_from(response: CheckEligibilityResponse) -> Result<Self, ClientError> {
        let balance = response.balance;
        match response.verdict {
            Some(check_eligibility_response::Verdict::Eligible(eligible)) => {
                Ok(Self::Eligible { eligible, balance })
            }
            Some(check_eligibility_response::Verdict::Block(block)) => {
                Ok(Self::Blocked(Blocked { block, balance }))
            }
            None => Err(ClientError::Malformed("CheckEligibility without a verdict")),
        }
    }
}

/// Calls of GateService. Each is retried under the client's policy with the
/// request unchanged, so with the same id.
///
/// # Errors
/// Every call gives the [`ClientError`]s that its variants describe.
impl Client {
    /// Says whether a scan would be let through now; holds nothing.
    pub async fn check(&self, scan: Scan) -> Result<Eligibility, ClientError> {
        let request = CheckEligibilityRequest { scan: Some(scan) };
        self.call(Effect::Reads, request, |channel, request| async move {
            GateServiceClient::new(channel).check_eligibility(request).await
        })
        .await?
        .try_into()
    }

    /// Holds credits for one scan attempt, or says why it must not run.
    pub async fn reserve(&self, request: ReserveRequest) -> Result<Verdict, ClientError> {
        self.call(Effect::Changes, request, |channel, request| async move {
            GateServiceClient::new(channel).reserve(request).await
        })
        .await?
        .try_into()
    }

    /// Prolongs the lease of a held reservation.
    pub async fn extend(&self, request: ExtendRequest) -> Result<Reservation, ClientError> {
        self.call(Effect::Changes, request, |channel, request| async move {
            GateServiceClient::new(channel).extend(request).await
        })
        .await?
        .reservation
        .ok_or(ClientError::Malformed("Extend without a reservation"))
    }

    /// Spends held credits.
    pub async fn commit(&self, request: CommitRequest) -> Result<CommitResponse, ClientError> {
        self.call(Effect::Changes, request, |channel, request| async move {
            GateServiceClient::new(channel).commit(request).await
        })
        .await
    }

    /// Reports a run that did not deliver.
    pub async fn release(&self, request: ReleaseRequest) -> Result<ReleaseResponse, ClientError> {
        self.call(Effect::Changes, request, |channel, request| async move {
            GateServiceClient::new(channel).release(request).await
        })
        .await
    }

    /// Reads one reservation.
    pub async fn get_reservation(
        &self,
        request: GetReservationRequest,
    ) -> Result<Reservation, ClientError> {
        self.call(Effect::Reads, request, |channel, request| async move {
            GateServiceClient::new(channel).get_reservation(request).await
        })
        .await?
        .reservation
        .ok_or(ClientError::Malformed("GetReservation without a reservation"))
    }

    /// Reads a page of reservations.
    pub async fn list_reservations(
        &self,
        request: ListReservationsRequest,
    ) -> Result<ListReservationsResponse, ClientError> {
        self.call(Effect::Reads, request, |channel, request| async move {
            GateServiceClient::new(channel).list_reservations(request).await
        })
        .await
    }

    /// Reserves many scans, each with a verdict of its own.
    pub async fn batch_reserve(
        &self,
        request: BatchReserveRequest,
    ) -> Result<BatchReserveResponse, ClientError> {
        self.call(Effect::Changes, request, |channel, request| async move {
            GateServiceClient::new(channel).batch_reserve(request).await
        })
        .await
    }
}
