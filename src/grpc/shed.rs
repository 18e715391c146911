//! Turns calls away while the ledger has no room for them: before anything of them
//! is read but their headers, so that it costs little to say no.

use std::{
    future::{Ready, ready},
    task::{Context, Poll},
};

use futures_util::future::Either;
use tonic::{
    Status,
    codegen::http::{HeaderMap, Request, Response},
};
use tower::{Layer, Service};

use crate::ledger::{Ledger, LedgerError};

const RESERVE: [&str; 2] =
    ["/creditgate.v1.GateService/Reserve", "/creditgate.v1.GateService/BatchReserve"];

/// Puts a [`Shed`] before each service.
#[derive(Debug, Clone)]
pub struct ShedLayer {
    ledger: Ledger,
    /// What a call that is turned away hears: the same each time.
    headers: HeaderMap,
}

impl ShedLayer {
    /// Asks this ledger whether it has room.
    #[must_use]
    pub fn new(ledger: Ledger) -> Self {
        let response = Status::from(LedgerError::Overloaded).into_http::<()>();
        Self { ledger, headers: response.headers().clone() }
    }
}

impl<S> Layer<S> for ShedLayer {
    type Service = Shed<S>;

    fn layer(&self, inner: S) -> Shed<S> {
        Shed { inner, layer: self.clone() }
    }
}

/// A service that is not called to reserve while there is no room.
///
/// Only what takes credits is turned away here. What gives them back, or settles a
/// scan that has run, finds the last places of the queues.
#[derive(Debug, Clone)]
pub struct Shed<S> {
    inner: S,
    layer: ShedLayer,
}

impl<S, B, R> Service<Request<B>> for Shed<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let reserves = RESERVE.contains(&request.uri().path());
        if reserves && self.layer.ledger.expect_room_to_reserve().is_err() {
            let mut response = Response::new(R::default());
            response.headers_mut().clone_from(&self.layer.headers);
            return Either::Right(ready(Ok(response)));
        }
        Either::Left(self.inner.call(request))
    }
}
