//! The gate: verdicts, holds, and what becomes of them.

use metrics::Counter;
use tonic::{Request, Response, Status};

use super::{
    MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, actor,
    decode::{self, Invalid},
    encode,
    lasting::{self, Lasting, Source},
    seen,
};
use crate::{
    auth::Denied,
    domain::command::{Command, Outcome},
    ids::AccountId,
    ledger::{Ledger, LedgerError, ReservationKey},
    parking::{Parked, Parking},
    proto::{
        self, BatchReserveResult,
        batch_reserve_result::Result as ItemResult,
        gate_service_server::{GateService, GateServiceServer},
    },
};

/// `GateService`.
#[derive(Debug, Clone)]
pub struct GateApi {
    ledger: Ledger,
    parking: Parking,
    /// Counts what Reserve usually gives, and CheckEligibility.
    held: Counter,
    eligible: Counter,
}

impl GateApi {
    /// A gate before this ledger.
    #[must_use]
    pub fn new(ledger: Ledger, parking: Parking) -> Self {
        let (held, eligible) = (counter("reserve", "HELD"), counter("check", "ELIGIBLE"));
        Self { ledger, parking, held, eligible }
    }

    /// The service to be routed to.
    #[must_use]
    pub fn into_server(self) -> GateServiceServer<Self> {
        GateServiceServer::new(self)
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(MAX_RESPONSE_BYTES)
    }

    /// The ledger as a request's caller sees it.
    fn ledger<T>(&self, request: &Request<T>) -> Ledger {
        self.ledger.seen_by(seen(request))
    }
}

/// Counts a verdict: a block by its reason. What is usual was looked up before.
fn count_verdict(asked: &'static str, usual: &Counter, outcome: &Outcome) {
    let verdict = match outcome {
        Outcome::Eligible { .. } | Outcome::Reserved { replayed: false, .. } => {
            return usual.increment(1);
        }
        Outcome::Reserved { replayed: true, .. } => "REPLAYED",
        Outcome::Blocked { block, .. } => block.reason.name(),
        _ => return,
    };
    counter(asked, verdict).increment(1);
}

fn counter(asked: &'static str, verdict: &'static str) -> Counter {
    metrics::counter!("creditgate_verdicts_total", "asked" => asked, "verdict" => verdict)
}

#[tonic::async_trait]
impl GateService for GateApi {
    type WatchUnblockedStream = Lasting<proto::WatchUnblockedResponse>;

    async fn watch_unblocked(
        &self,
        request: Request<proto::WatchUnblockedRequest>,
    ) -> Result<Response<Self::WatchUnblockedStream>, Status> {
        let (ledger, standing) = (self.ledger(&request), lasting::standing(&request));
        let actor = actor(&request);
        let scan = request.into_inner().scan;
        let command = decode::check(proto::CheckEligibilityRequest { scan }, actor)?;
        let parked = self.parking.park(&ledger, command).await?;
        Ok(lasting::stream(parked, standing, self.parking.ending()))
    }

    async fn check_eligibility(
        &self,
        request: Request<proto::CheckEligibilityRequest>,
    ) -> Result<Response<proto::CheckEligibilityResponse>, Status> {
        let ledger = self.ledger(&request);
        let actor = actor(&request);
        let command = decode::check(request.into_inner(), actor)?;
        let account_id = command.account_id.clone();
        let outcome = ledger.submit(command).await?;
        count_verdict("check", &self.eligible, &outcome);
        Ok(Response::new(encode::check(&account_id, outcome)?))
    }

    async fn reserve(
        &self,
        request: Request<proto::ReserveRequest>,
    ) -> Result<Response<proto::ReserveResponse>, Status> {
        let ledger = self.ledger(&request);
        let actor = actor(&request);
        let command = decode::reserve(request.into_inner(), actor)?;
        let account_id = command.account_id.clone();
        let outcome = ledger.submit(command).await?;
        count_verdict("reserve", &self.held, &outcome);
        Ok(Response::new(encode::reserve(&account_id, outcome)?))
    }

    async fn extend(
        &self,
        request: Request<proto::ExtendRequest>,
    ) -> Result<Response<proto::ExtendResponse>, Status> {
        let ledger = self.ledger(&request);
        let actor = actor(&request);
        let command = decode::extend(request.into_inner(), actor)?;
        let account_id = command.account_id.clone();
        let outcome = ledger.submit(command).await?;
        Ok(Response::new(encode::extend(&account_id, outcome)?))
    }

    async fn commit(
        &self,
        request: Request<proto::CommitRequest>,
    ) -> Result<Response<proto::CommitResponse>, Status> {
        let ledger = self.ledger(&request);
        let actor = actor(&request);
        let command = decode::commit(request.into_inner(), actor)?;
        let account_id = command.account_id.clone();
        let outcome = ledger.submit(command).await?;
        Ok(Response::new(encode::commit(&account_id, outcome)?))
    }

    async fn release(
        &self,
        request: Request<proto::ReleaseRequest>,
    ) -> Result<Response<proto::ReleaseResponse>, Status> {
        let ledger = self.ledger(&request);
        let actor = actor(&request);
        let command = decode::release(request.into_inner(), actor)?;
        let account_id = command.account_id.clone();
        let outcome = ledger.submit(command).await?;
        Ok(Response::new(encode::release(&account_id, outcome)?))
    }

    async fn get_reservation(
        &self,
        request: Request<proto::GetReservationRequest>,
    ) -> Result<Response<proto::GetReservationResponse>, Status> {
        let ledger = self.ledger(&request);
        let (account_id, reservation_id) = decode::reservation_name(request.get_ref())?;
        let reservation = ledger.reservation(&account_id, &reservation_id).await?;
        let reservation = Some(encode::reservation(&account_id, reservation));
        Ok(Response::new(proto::GetReservationResponse { reservation }))
    }

    async fn list_reservations(
        &self,
        request: Request<proto::ListReservationsRequest>,
    ) -> Result<Response<proto::ListReservationsResponse>, Status> {
        let ledger = self.ledger(&request);
        let sees_some = seen(&request).is_some();
        let asked = decode::reservations(request.get_ref())?;
        let by_creation = asked.query.account_id.is_some();
        // Of all accounts: that is not for those who see some alone.
        if !by_creation && sees_some {
            return Err(Denied::Bound.into());
        }
        let rows = ledger.reservations(asked.query).await?;
        let (reservations, next_page_token) = asked.list.page(
            rows,
            asked.size,
            |(account_id, reservation)| ReservationKey {
                time: if by_creation { reservation.create_time } else { reservation.expire_time },
                account_id: account_id.clone(),
                reservation_id: reservation.reservation_id.clone(),
            },
            |(account_id, reservation)| encode::reservation(&account_id, reservation),
        );
        Ok(Response::new(proto::ListReservationsResponse { reservations, next_page_token }))
    }

    async fn batch_reserve(
        &self,
        request: Request<proto::BatchReserveRequest>,
    ) -> Result<Response<proto::BatchReserveResponse>, Status> {
        let ledger = self.ledger(&request);
        let actor = actor(&request);
        let (commands, places) = set_aside(decode::batch(request.into_inner(), &actor)?);
        let outcomes = ledger.submit_all(commands).await;
        let mut outcomes = outcomes.into_iter();
        let results = places.into_iter().map(|place| {
            let result = match place {
                Place::Malformed(invalid) => ItemResult::Error(invalid.into()),
                Place::Judged(account_id) => outcomes
                    .next()
                    .unwrap_or(Err(LedgerError::Internal))
                    .inspect(|outcome| count_verdict("reserve", &self.held, outcome))
                    .and_then(|outcome| encode::reserve(&account_id, outcome))
                    .map_or_else(|error| ItemResult::Error(error.into()), ItemResult::Response),
            };
            BatchReserveResult { result: Some(result) }
        });
        Ok(Response::new(proto::BatchReserveResponse { results: results.collect() }))
    }
}

/// What comes back in an item's place.
#[derive(Debug)]
enum Place {
    /// Why it was not judged.
    Malformed(Invalid),
    /// The next outcome: of this account.
    Judged(AccountId),
}

/// The commands among the items, and every item's place in the answer.
fn set_aside(items: Vec<Result<Command, Invalid>>) -> (Vec<Command>, Vec<Place>) {
    let mut commands = Vec::with_capacity(items.len());
    let places = items
        .into_iter()
        .map(|item| match item {
            Ok(command) => {
                let account_id = command.account_id.clone();
                commands.push(command);
                Place::Judged(account_id)
            }
            Err(invalid) => Place::Malformed(invalid),
        })
        .collect();
    (commands, places)
}

impl Source for Parked {
    type Message = proto::WatchUnblockedResponse;

    fn alive(&self) -> proto::WatchUnblockedResponse {
        proto::WatchUnblockedResponse { verdict: None }
    }

    async fn next(&mut self) -> Option<Result<proto::WatchUnblockedResponse, Status>> {
        let verdict = Parked::next(self).await?;
        let encoded = verdict.and_then(|outcome| encode::check(self.account_id(), outcome));
        let message =
            encoded.map(|verdict| proto::WatchUnblockedResponse { verdict: Some(verdict) });
        Some(message.map_err(Status::from))
    }
}
