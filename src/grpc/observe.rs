//! Counts and times every call, by method and code.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Instant,
};

use metrics::{Counter, Histogram};
use tonic::{
    Code, Status,
    codegen::http::{Request, Response},
};
use tower::{Layer, Service};
use tracing::Instrument;

use crate::{proto, telemetry::traces};

/// gRPC's codes are 0 to 16.
const CODES: usize = 17;

/// A method's metrics: looked up once, not in every call.
#[derive(Debug)]
struct Method {
    name: String,
    seconds: Histogram,
    /// By code; one that is never answered is not there.
    requests: [OnceLock<Counter>; CODES],
}

impl Method {
    fn new(name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            seconds: metrics::histogram!("creditgate_request_seconds", "method" => name.to_owned()),
            requests: Default::default(),
        })
    }

    fn answered(&self, code: Code, begun: Instant) {
        let counter = || {
            let code = format!("{code:?}");
            metrics::counter!("creditgate_requests_total", "method" => self.name.clone(), "code" => code)
        };
        let place = usize::try_from(i32::from(code)).ok().and_then(|at| self.requests.get(at));
        if let Some(place) = place {
            place.get_or_init(counter).increment(1);
        }
        self.seconds.record(begun.elapsed().as_secs_f64());
    }
}

/// Puts an [`Observe`] before each service.
#[derive(Debug, Clone)]
pub struct ObserveLayer {
    methods: Arc<HashMap<String, Arc<Method>>>,
    other: Arc<Method>,
}

impl ObserveLayer {
    /// Knows the methods of the contract. Any other path, which a caller may
    /// choose freely, is counted as "other": labels stay few. The process's metrics
    /// are to be set up before.
    #[must_use]
    pub fn new() -> Self {
        let method = |path: String| (path.clone(), Method::new(&path));
        let methods = proto::calls().into_iter().map(method).collect();
        Self { methods: Arc::new(methods), other: Method::new("other") }
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
        Observe { inner, layer: self.clone() }
    }
}

/// A service whose calls are counted and timed.
#[derive(Debug, Clone)]
pub struct Observe<S> {
    inner: S,
    layer: ObserveLayer,
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
        let ObserveLayer { methods, other } = &self.layer;
        let method = Arc::clone(methods.get(request.uri().path()).unwrap_or(other));
        let begun = Instant::now();
        let span = traces::call(&method.name, request.headers());
        let call = span.in_scope(|| self.inner.call(request));
        let told = span.clone();
        let answered = async move {
            let response = call.await?;
            // A refused call has its status in the headers; a stream, and a
            // success, in trailers that are still to come.
            let code = code(&response);
            traces::answered(&told, code.into());
            method.answered(code, begun);
            Ok(response)
        };
        // Another wrapper is another move of all of the call.
        if span.is_none() { Box::pin(answered) } else { Box::pin(answered.instrument(span)) }
    }
}

/// The code in an answer's headers. Its message and details, which are for the caller,
/// are not looked at.
fn code<R>(response: &Response<R>) -> Code {
    let value = response.headers().get(Status::GRPC_STATUS);
    value.map_or(Code::Ok, |value| Code::from_bytes(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_the_contract_is_known_by_its_path() {
        let layer = ObserveLayer::new();
        assert!(layer.methods.contains_key("/creditgate.v1.GateService/Reserve"));
        assert!(layer.methods.len() > 25, "{}", layer.methods.len());
    }

    #[test]
    fn a_refused_call_counts_by_the_code_in_its_headers() {
        assert_eq!(code(&Response::new(())), Code::Ok);
        let refused = Status::resource_exhausted("wait").into_http::<()>();
        assert_eq!(code(&refused), Code::ResourceExhausted);
        let last = i32::from(Code::Unauthenticated);
        assert_eq!(usize::try_from(last).unwrap() + 1, CODES);
    }
}
