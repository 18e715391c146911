//! The gate's calls go to it past the router: they are most of all calls, and a router
//! that takes any service wraps the body of each request and answer anew.

use std::task::{Context, Poll};

use futures_util::future::Either;
use tonic::{
    body::Body,
    codegen::http::{Request, Response},
    server::NamedService,
};
use tower::{Layer, Service};

/// Puts a [`Direct`] before the router.
#[derive(Debug, Clone)]
pub struct DirectLayer<G> {
    service: G,
}

impl<G> DirectLayer<G> {
    /// This service is called directly.
    pub(super) fn new(service: G) -> Self {
        Self { service }
    }
}

impl<G: Clone, S> Layer<S> for DirectLayer<G> {
    type Service = Direct<G, S>;

    fn layer(&self, others: S) -> Direct<G, S> {
        Direct { service: self.service.clone(), others }
    }
}

/// Calls one service by its name, and the router for all others.
#[derive(Debug, Clone)]
pub struct Direct<G, S> {
    service: G,
    others: S,
}

impl<G, S, B> Service<Request<B>> for Direct<G, S>
where
    G: Service<Request<B>, Response = Response<Body>> + NamedService,
    S: Service<Request<B>, Response = Response<Body>, Error = G::Error>,
{
    type Response = Response<Body>;
    type Error = G::Error;
    type Future = Either<G::Future, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), G::Error>> {
        match self.service.poll_ready(context)? {
            Poll::Ready(()) => self.others.poll_ready(context),
            Poll::Pending => Poll::Pending,
        }
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let path = request.uri().path().strip_prefix('/');
        match path.and_then(|path| path.strip_prefix(G::NAME)) {
            Some(method) if method.starts_with('/') => Either::Left(self.service.call(request)),
            _ => Either::Right(self.others.call(request)),
        }
    }
}
