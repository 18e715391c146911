//! What a good engineer writes first: a gRPC service in which each request is a
//! transaction of its own. SELECT ... FOR UPDATE, read, decide, write row by row,
//! commit.
//!
//! It speaks the gate's contract and decides by the same rules, so that all that
//! differs is how it gets to the database. Nothing is made slow on purpose: nine
//! round trips for a Reserve, statements that are prepared once, a pool whose
//! connections are not asked whether they live before each use.

mod answers;
mod rows;

use std::{net::SocketAddr, sync::Arc};

use sqlx::{
    ConnectOptions, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::{StreamExt, wrappers::TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, transport::Server};

use crate::{
    bench::{BenchError, books::CELL},
    domain::{
        account::Halt,
        catalog::Catalog,
        command::{Action, Command, Outcome, Reserve},
        context::Context,
        credit::Balance,
        decide::decide,
        reservation::Scan,
    },
    ids::{AccountId, CreditType, IdError, LotId, ReservationId, ScanKindName},
    proto::{
        self,
        gate_service_server::{GateService, GateServiceServer},
    },
    store::Database,
};

/// Connections to the database.
const POOL: u32 = 16;

/// A service that runs.
#[derive(Debug)]
pub struct Running {
    /// Where gRPC is served.
    pub address: SocketAddr,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Running {
    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// Of the transport.
    pub async fn ended(self) -> Result<(), BenchError> {
        match self.task.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(BenchError::Other(error.to_string())),
            Err(error) => Err(BenchError::Other(error.to_string())),
        }
    }
}

/// Starts it on a port of the system's choice, until `stop`.
///
/// # Errors
///
/// The database is away, or there is no port.
pub async fn start(url: &str, stop: CancellationToken) -> Result<Running, BenchError> {
    let database = Database::new(url, 1)?;
    let catalog = database.catalog().await?.catalog;
    database.close().await;
    let options: PgConnectOptions = url.parse()?;
    let options = options
        .options([("search_path", CELL), ("enable_seqscan", "off"), ("jit", "off")])
        .disable_statement_logging();
    let pool = PgPoolOptions::new()
        .max_connections(POOL)
        .min_connections(POOL)
        .test_before_acquire(false)
        .connect_with(options)
        .await?;
    let io = |error: std::io::Error| BenchError::Other(error.to_string());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(io)?;
    let address = listener.local_addr().map_err(io)?;
    let incoming = TcpListenerStream::new(listener).map(|stream| {
        stream.inspect(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY");
            }
        })
    });
    let service = PlainService { pool, catalog: Arc::new(catalog) };
    let router =
        Server::builder().max_concurrent_streams(1024).add_service(GateServiceServer::new(service));
    let task = tokio::spawn(router.serve_with_incoming_shutdown(incoming, stop.cancelled_owned()));
    Ok(Running { address, task })
}

#[derive(Debug, Clone)]
struct PlainService {
    pool: PgPool,
    catalog: Arc<Catalog>,
}

fn invalid(error: IdError) -> Status {
    Status::invalid_argument(error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn failed(error: sqlx::Error) -> Status {
    Status::unavailable(error.to_string())
}

fn halted(halt: Halt) -> Status {
    match halt {
        Halt::Refused(refusal) => Status::failed_precondition(refusal.to_string()),
        Halt::Missing(missing) => Status::unimplemented(format!("{missing:?}")),
    }
}

impl PlainService {
    /// The credits that a kind of scan takes.
    fn credit_type(&self, kind: &ScanKindName) -> Result<CreditType, Status> {
        let kind = self.catalog.scan_kind(kind);
        kind.and_then(|kind| kind.credit_type.clone())
            .ok_or_else(|| Status::unimplemented("only kinds that take credits"))
    }

    /// One command in one transaction.
    async fn carry_out(
        &self,
        command: &Command,
        credit_type: &CreditType,
        reservation_id: &ReservationId,
    ) -> Result<Outcome, Status> {
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        let account_id = &command.account_id;
        let read = rows::read(&mut transaction, account_id, credit_type, reservation_id);
        let (read, now) = read.await.map_err(failed)?;
        let mut state = read.clone();
        let context = Context { now, catalog: &self.catalog, new_lot_id: LotId::generate };
        let outcome = decide(&mut state, command, &context).map_err(halted)?;
        rows::write(&mut transaction, &read, &state).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(outcome)
    }
}

#[tonic::async_trait]
impl GateService for PlainService {
    type WatchUnblockedStream = tokio_stream::Empty<Result<proto::WatchUnblockedResponse, Status>>;

    async fn watch_unblocked(
        &self,
        _: Request<proto::WatchUnblockedRequest>,
    ) -> Result<Response<Self::WatchUnblockedStream>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn reserve(
        &self,
        request: Request<proto::ReserveRequest>,
    ) -> Result<Response<proto::ReserveResponse>, Status> {
        let request = request.into_inner();
        let scan = request.scan.ok_or_else(|| Status::invalid_argument("scan"))?;
        let account_id = AccountId::new(&scan.account_id).map_err(invalid)?;
        let reservation_id = ReservationId::new(&request.reservation_id).map_err(invalid)?;
        let scan_kind = ScanKindName::new(&scan.scan_kind).map_err(invalid)?;
        let credit_type = self.credit_type(&scan_kind)?;
        let reserve = Reserve {
            reservation_id: reservation_id.clone(),
            scan: Scan { project_id: None, scan_kind, credits: scan.credits },
            lease: None,
            labels: request.labels,
        };
        let command = Command {
            account_id: account_id.clone(),
            actor: "anonymous".to_owned(),
            action: Action::Reserve(reserve),
        };
        let outcome = self.carry_out(&command, &credit_type, &reservation_id).await?;
        answers::reserve(&account_id, &credit_type, outcome).map(Response::new)
    }

    async fn commit(
        &self,
        request: Request<proto::CommitRequest>,
    ) -> Result<Response<proto::CommitResponse>, Status> {
        let request = request.into_inner();
        let account_id = AccountId::new(&request.account_id).map_err(invalid)?;
        let reservation_id = ReservationId::new(&request.reservation_id).map_err(invalid)?;
        // The contract does not name the kind: with one in the catalog there is no doubt.
        let kind = self.catalog.scan_kinds.first();
        let kind = kind.ok_or_else(|| Status::failed_precondition("no catalog"))?;
        let credit_type = self.credit_type(&kind.name)?;
        let action =
            Action::Commit { reservation_id: reservation_id.clone(), credits: request.credits };
        let command =
            Command { account_id: account_id.clone(), actor: "anonymous".to_owned(), action };
        let outcome = self.carry_out(&command, &credit_type, &reservation_id).await?;
        answers::commit(&account_id, &credit_type, outcome).map(Response::new)
    }

    async fn check_eligibility(
        &self,
        request: Request<proto::CheckEligibilityRequest>,
    ) -> Result<Response<proto::CheckEligibilityResponse>, Status> {
        let scan = request.into_inner().scan;
        let scan = scan.ok_or_else(|| Status::invalid_argument("scan"))?;
        let account_id = AccountId::new(&scan.account_id).map_err(invalid)?;
        let scan_kind = ScanKindName::new(&scan.scan_kind).map_err(invalid)?;
        let credit_type = self.credit_type(&scan_kind)?;
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        let look = rows::look(&mut connection, &account_id, &credit_type);
        let (mut state, now) = look.await.map_err(failed)?;
        let context = Context { now, catalog: &self.catalog, new_lot_id: LotId::generate };
        let scan = Scan { project_id: None, scan_kind, credits: scan.credits };
        let action = Action::Check(scan);
        let command =
            Command { account_id: account_id.clone(), actor: "anonymous".to_owned(), action };
        let outcome = decide(&mut state, &command, &context).map_err(halted)?;
        answers::check(&account_id, &credit_type, outcome).map(Response::new)
    }

    async fn extend(
        &self,
        _: Request<proto::ExtendRequest>,
    ) -> Result<Response<proto::ExtendResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn release(
        &self,
        _: Request<proto::ReleaseRequest>,
    ) -> Result<Response<proto::ReleaseResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn get_reservation(
        &self,
        _: Request<proto::GetReservationRequest>,
    ) -> Result<Response<proto::GetReservationResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn list_reservations(
        &self,
        _: Request<proto::ListReservationsRequest>,
    ) -> Result<Response<proto::ListReservationsResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn batch_reserve(
        &self,
        _: Request<proto::BatchReserveRequest>,
    ) -> Result<Response<proto::BatchReserveResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }
}

/// The balance that an outcome carries, on the wire.
fn balance(account_id: &AccountId, name: &CreditType, balance: &Balance) -> proto::Balance {
    proto::Balance {
        account_id: account_id.to_string(),
        credit_type: name.to_string(),
        available: balance.available,
        reserved: balance.reserved,
        spent: balance.spent,
        sequence: balance.sequence,
    }
}
