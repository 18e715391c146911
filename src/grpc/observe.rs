//! Counts and times every call, by method and code.

use std::{
    collections::HashSet,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use tonic::{
    Code, Status,
    codegen::http::{Request, Response},
};
use tower::{Layer, Service};

use crate::proto;

/// Puts an [`Observe`] before each service.
#[derive(Debug, Clone)]
pub struct ObserveLayer {
    methods: Arc<HashSet<String>>,
}

impl ObserveLayer {
    /// Knows the methods of the contract. Any other path, which a caller may
    /// choose freely, is counted as "other": labels stay few.
    #[must_use]
    pub fn new() -> Self {
        Self { methods: Arc::new(proto::calls().into_iter().collect()) }
    }
}

impl Default for ObserveLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner, methods: self.methods.clone() }
    }
}

/// A service whose calls are counted and timed.
#[derive(Debug, Clone)]
pub struct Observe<S> {
    inner: S,
    methods: Arc<HashSet<String>>,
}

impl<S, B, R> Service<Request<B>> for Observe<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let method =
            self.methods.get(request.uri().path()).cloned().unwrap_or_else(|| "other".to_owned());
        let begun = Instant::now();
        let call = self.inner.call(request);
        Box::pin(async move {
            let response = call.await?;
            // A refused call has its status in the headers; a stream, and a
            // success, in trailers that are still to come.
            let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |s| s.code());
            metrics::counter!("creditgate_requests_total", "method" => method.clone(), "code" => format!("{code:?}"))
                .increment(1);
            metrics::histogram!("creditgate_request_seconds", "method" => method)
                .record(begun.elapsed().as_secs_f64());
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_the_contract_is_known_by_its_path() {
        let layer = ObserveLayer::new();
        assert!(layer.methods.contains("/creditgate.v1.GateService/Reserve"));
        assert!(layer.methods.len() > 25, "{}", layer.methods.len());
    }
}
