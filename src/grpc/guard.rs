//! Lets a call through, or not: before anything of it is read but its headers.

use std::{
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tonic::{
    Status,
    codegen::http::{Request, Response, header::AUTHORIZATION},
};
use tower::{Layer, Service};

use crate::auth::{Keyring, PeerNames, Shown, Standing};

/// The contract's calls; health and reflection, which tell nothing of accounts,
/// are everybody's.
const GUARDED: &str = "/creditgate.";
/// Calls that last, and whose caller has to be asked again.
const LASTING: &str = "/Watch";
/// Who a connection without a certificate says that it is.
static NOBODY: PeerNames = PeerNames(Vec::new());

/// Puts a [`Guard`] before each service.
#[derive(Debug, Clone)]
pub struct GuardLayer {
    keyring: Option<Keyring>,
}

impl GuardLayer {
    /// Asks for these keys, or, without a keyring, for none.
    #[must_use]
    pub fn new(keyring: Option<Keyring>) -> Self {
        Self { keyring }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, keyring: self.keyring.clone() }
    }
}

/// A service that is called by those who may call it.
#[derive(Debug, Clone)]
pub struct Guard<S> {
    inner: S,
    keyring: Option<Keyring>,
}

impl<S, B, R> Service<Request<B>> for Guard<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Default + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let path = request.uri().path();
        if let Some(keyring) = self.keyring.as_ref().filter(|_| path.starts_with(GUARDED)) {
            // Text that is none of a header's is no key.
            let header = request.headers().get(AUTHORIZATION);
            let authorization = header.map(|value| value.to_str().unwrap_or_default());
            let peer = request.extensions().get::<Arc<PeerNames>>();
            let peer = peer.map_or(&NOBODY, Arc::as_ref);
            let shown = Shown { authorization, peer };
            match keyring.admit(shown, path) {
                Ok(caller) => {
                    let lasts = path.contains(LASTING);
                    let standing = lasts.then(|| Standing::new(keyring.clone(), shown, path));
                    let extensions = request.extensions_mut();
                    extensions.insert(caller);
                    if let Some(standing) = standing {
                        extensions.insert(standing);
                    }
                }
                Err(denied) => {
                    metrics::counter!("creditgate_calls_denied_total", "reason" => denied.name())
                        .increment(1);
                    return Box::pin(ready(Ok(Status::from(denied).into_http())));
                }
            }
        }
        Box::pin(self.inner.call(request))
    }
}
