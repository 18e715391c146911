//! A gate that does what it is told, and notes what it was asked.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use creditgate::proto::{gate_service_server::GateServiceServer, *};
use tokio::{net::TcpListener, sync::oneshot};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};
use tonic_types::{ErrorDetails, StatusExt};

/// What the gate does with one call, instead of going along with it.
#[derive(Clone)]
pub(crate) enum Step {
    /// Answers with this.
    Fail(Status),
    /// Never answers.
    Hang,
    /// Blocks the scan; for Reserve only.
    Block(Box<Block>),
    /// Answers with a verdict that is none; for Reserve only.
    NoVerdict,
}

/// A call that the gate received.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Reserve(ReserveRequest),
    Extend(ExtendRequest),
    Commit,
    Release(ReleaseRequest),
    Get,
}

impl Call {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Reserve(_) => "reserve",
            Self::Extend(_) => "extend",
            Self::Commit => "commit",
            Self::Get => "get",
            Self::Release(_) => "release",
        }
    }
}

#[derive(Default)]
struct State {
    /// What to do with the next calls, by method; the last step of `always`
    /// from then on.
    next: BTreeMap<&'static str, VecDeque<Step>>,
    always: BTreeMap<&'static str, Step>,
    calls: Vec<Call>,
    /// `grpc-timeout` of each call.
    timeouts: Vec<String>,
    /// Says that a reservation was made by an earlier call.
    replayed: bool,
}

/// A running gate. It stops when this is dropped.
#[derive(Clone)]
pub(crate) struct Gate {
    state: Arc<Mutex<State>>,
    pub(crate) addr: SocketAddr,
    _stop: Arc<oneshot::Sender<()>>,
}

/// The default lease of this gate's scans.
pub(crate) const LEASE: Duration = Duration::from_secs(3_600);

impl Gate {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let (stop, stopped) = oneshot::channel::<()>();
        let service = GateServiceServer::new(Service(Arc::clone(&state)));
        let server = Server::builder().add_service(service).serve_with_incoming_shutdown(
            TcpListenerStream::new(listener),
            async {
                let _ = stopped.await;
            },
        );
        tokio::spawn(server);
        Self { state, addr, _stop: Arc::new(stop) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Does this with the next call of a method.
    pub(crate) fn next(&self, method: &'static str, step: Step) -> &Self {
        let mut state = self.state.lock().unwrap();
        state.next.entry(method).or_default().push_back(step);
        drop(state);
        self
    }

    /// Does this with every call of a method, once `next` is used up.
    pub(crate) fn always(&self, method: &'static str, step: Step) -> &Self {
        self.state.lock().unwrap().always.insert(method, step);
        self
    }

    pub(crate) fn replayed(&self) -> &Self {
        self.state.lock().unwrap().replayed = true;
        self
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state.lock().unwrap().calls.clone()
    }

    /// The methods called, in order.
    pub(crate) fn methods(&self) -> Vec<&'static str> {
        self.calls().iter().map(Call::name).collect()
    }

    /// The same without the heartbeats, whose number depends on time.
    pub(crate) fn settled_by(&self) -> Vec<&'static str> {
        let mut methods = self.methods();
        methods.retain(|method| *method != "extend");
        methods
    }

    pub(crate) fn releases(&self) -> Vec<ReleaseRequest> {
        self.calls()
            .into_iter()
            .filter_map(|call| match call {
                Call::Release(request) => Some(request),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn timeouts(&self) -> Vec<String> {
        self.state.lock().unwrap().timeouts.clone()
    }
}

/// A status with an ErrorInfo reason, as the gate sends it.
pub(crate) fn refusal(code: tonic::Code, reason: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "creditgate", []);
    Status::with_error_details(code, format!("refused: {reason}"), details)
}

/// RESOURCE_EXHAUSTED that says when to come back.
pub(crate) fn shed(after: Duration) -> Status {
    let details = ErrorDetails::with_retry_info(Some(after));
    Status::with_error_details(tonic::Code::ResourceExhausted, "busy", details)
}

struct Service(Arc<Mutex<State>>);

impl Service {
    /// Notes the call, and gives what to do with it.
    fn step<T>(&self, call: Call, request: &Request<T>) -> Option<Step> {
        let mut state = self.0.lock().unwrap();
        let method = call.name();
        state.calls.push(call);
        let timeout = request.metadata().get("grpc-timeout");
        let timeout = timeout.map(|value| value.to_str().unwrap().to_owned());
        state.timeouts.push(timeout.unwrap_or_default());
        let next = state.next.get_mut(method).and_then(VecDeque::pop_front);
        next.or_else(|| state.always.get(method).cloned())
    }

    async fn fault<T>(&self, call: Call, request: &Request<T>) -> Result<Option<Step>, Status> {
        match self.step(call, request) {
            Some(Step::Fail(status)) => Err(status),
            Some(Step::Hang) => std::future::pending().await,
            step => Ok(step),
        }
    }
}

fn stamp(after: Duration) -> Option<prost_types::Timestamp> {
    Some((SystemTime::now() + after).into())
}

fn balance(available: i64, reserved: i64, spent: i64) -> Option<Balance> {
    Some(Balance {
        account_id: "acme".into(),
        credit_type: "scan".into(),
        available,
        reserved,
        spent,
        sequence: 2,
    })
}

fn reservation(id: &str, state: ReservationState, lease: Duration) -> Reservation {
    Reservation {
        reservation_id: id.into(),
        account_id: "acme".into(),
        scan_kind: "live_audit".into(),
        credit_type: "scan".into(),
        credits: 1,
        spent_credits: i64::from(state == ReservationState::Committed),
        state: state.into(),
        create_time: stamp(Duration::ZERO),
        expire_time: stamp(lease),
        ..Default::default()
    }
}

fn lease_of(lease: Option<prost_types::Duration>) -> Duration {
    lease.map_or(LEASE, |lease| lease.try_into().unwrap())
}

#[tonic::async_trait]
impl gate_service_server::GateService for Service {
    type WatchUnblockedStream = tokio_stream::Empty<Result<WatchUnblockedResponse, Status>>;

    async fn watch_unblocked(
        &self,
        _: Request<WatchUnblockedRequest>,
    ) -> Result<Response<Self::WatchUnblockedStream>, Status> {
        Err(Status::unimplemented("no script parks"))
    }

    async fn check_eligibility(
        &self,
        _: Request<CheckEligibilityRequest>,
    ) -> Result<Response<CheckEligibilityResponse>, Status> {
        let eligible = Eligible { credits: 1, credit_type: "scan".into() };
        Ok(Response::new(CheckEligibilityResponse {
            verdict: Some(check_eligibility_response::Verdict::Eligible(eligible)),
            balance: balance(5, 0, 0),
        }))
    }

    async fn reserve(
        &self,
        request: Request<ReserveRequest>,
    ) -> Result<Response<ReserveResponse>, Status> {
        let call = Call::Reserve(request.get_ref().clone());
        let step = self.fault(call, &request).await?;
        let request = request.into_inner();
        let verdict = match step {
            Some(Step::NoVerdict) => None,
            Some(Step::Block(block)) => Some(reserve_response::Verdict::Block(*block)),
            _ => Some(reserve_response::Verdict::Reservation(reservation(
                &request.reservation_id,
                ReservationState::Held,
                lease_of(request.lease),
            ))),
        };
        Ok(Response::new(ReserveResponse {
            verdict,
            balance: balance(4, 1, 0),
            replayed: self.0.lock().unwrap().replayed,
        }))
    }

    async fn extend(
        &self,
        request: Request<ExtendRequest>,
    ) -> Result<Response<ExtendResponse>, Status> {
        let call = Call::Extend(request.get_ref().clone());
        self.fault(call, &request).await?;
        let request = request.into_inner();
        Ok(Response::new(ExtendResponse {
            reservation: Some(reservation(
                &request.reservation_id,
                ReservationState::Held,
                lease_of(request.lease),
            )),
        }))
    }

    async fn commit(
        &self,
        request: Request<CommitRequest>,
    ) -> Result<Response<CommitResponse>, Status> {
        self.fault(Call::Commit, &request).await?;
        let id = request.into_inner().reservation_id;
        Ok(Response::new(CommitResponse {
            reservation: Some(reservation(&id, ReservationState::Committed, LEASE)),
            balance: balance(4, 0, 1),
            replayed: false,
        }))
    }

    async fn release(
        &self,
        request: Request<ReleaseRequest>,
    ) -> Result<Response<ReleaseResponse>, Status> {
        let call = Call::Release(request.get_ref().clone());
        self.fault(call, &request).await?;
        let id = request.into_inner().reservation_id;
        Ok(Response::new(ReleaseResponse {
            reservation: Some(reservation(&id, ReservationState::Released, LEASE)),
            disposition: Disposition::Restored.into(),
            restored_credits: 1,
            balance: balance(5, 0, 0),
            replayed: false,
        }))
    }

    async fn get_reservation(
        &self,
        request: Request<GetReservationRequest>,
    ) -> Result<Response<GetReservationResponse>, Status> {
        self.fault(Call::Get, &request).await?;
        let id = request.into_inner().reservation_id;
        Ok(Response::new(GetReservationResponse {
            reservation: Some(reservation(&id, ReservationState::Held, LEASE)),
        }))
    }

    async fn list_reservations(
        &self,
        request: Request<ListReservationsRequest>,
    ) -> Result<Response<ListReservationsResponse>, Status> {
        // Two pages of one.
        let first = request.into_inner().page_token.is_empty();
        let (id, next) = if first { ("r1", "two") } else { ("r2", "") };
        Ok(Response::new(ListReservationsResponse {
            reservations: vec![reservation(id, ReservationState::Held, LEASE)],
            next_page_token: next.into(),
        }))
    }

    async fn batch_reserve(
        &self,
        _: Request<BatchReserveRequest>,
    ) -> Result<Response<BatchReserveResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }
}
