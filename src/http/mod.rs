//! The HTTP port: health for orchestrators that do not speak gRPC, metrics, and
//! [`webhooks`] of payment providers.

pub mod webhooks;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::map_response,
    response::Response,
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;

/// In every answer: they are for programs, so a browser that was led here is to make
/// nothing of them, and nobody on the way is to keep them.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];
/// What metrics are written in: Prometheus's text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether this replica takes calls: set by the server, read by the probes.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Sets it.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::SeqCst);
    }

    /// True where calls are taken.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// The routes: `/livez` never looks at the database, `/readyz` says whether
/// calls are taken, `/metrics` is for Prometheus.
pub fn routes(readiness: Readiness, metrics: PrometheusHandle) -> Router {
    let ready = move || async move {
        if readiness.get() {
            (StatusCode::OK, "ready\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        }
    };
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready.clone()))
        .route("/healthz", get(ready))
        .route(
            "/metrics",
            get(move || async move { ([(CONTENT_TYPE, METRICS)], metrics.render()) }),
        )
}

/// These routes, with what stands in the head of every answer.
pub fn with_headers(routes: Router) -> Router {
    routes.layer(map_response(async |mut response: Response| {
        response.headers_mut().extend(HEADERS);
        response
    }))
}
