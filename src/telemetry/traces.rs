//! Traces by OpenTelemetry: a call, the batch that it was in, the batch's phases.
//!
//! A caller's context comes in W3C's `traceparent` header. The batch is a child of
//! the first of its calls that is traced, and linked to the others; phases are its
//! children. Without an endpoint nothing of this is recorded, and spans cost a
//! look at a flag.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    KeyValue,
    propagation::{Extractor, TextMapPropagator},
    trace::{Span as _, SpanKind, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};
use tonic::transport::ClientTlsConfig;
use tracing::Span;
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::registry::LookupSpan;

/// The target of all spans that are traced: whoever filters logs never sees them,
/// unless `trace` is asked for.
pub(super) const TARGET: &str = "creditgate::trace";

/// True once spans are sent anywhere: a look at it is all that calls cost until then.
static ON: AtomicBool = AtomicBool::new(false);

/// What sends spans to a collector.
#[derive(Debug, Clone)]
pub(super) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Sends spans to `endpoint`, `http://collector:4317` or `https://...`: of one call
    /// in `one_in`, and of those whose caller traces them. Needs a Tokio runtime.
    ///
    /// # Errors
    ///
    /// An endpoint that is none.
    pub(super) fn to(endpoint: &str, one_in: u32) -> Result<Self, ExporterBuildError> {
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint);
        let exporter = match endpoint.starts_with("https://") {
            true => exporter.with_tls_config(ClientTlsConfig::new().with_native_roots()),
            false => exporter,
        };
        let share = 1.0 / f64::from(one_in.max(1));
        let ours = Sampler::TraceIdRatioBased(share);
        let resource = Resource::builder()
            .with_service_name("creditgate")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter.build()?)
            .with_sampler(Sampler::ParentBased(Box::new(ours)))
            .with_resource(resource.build())
            .build();
        opentelemetry::global::set_tracer_provider(provider.clone());
        ON.store(true, Relaxed);
        Ok(Self { provider })
    }

    /// What takes spans from `tracing`.
    pub(super) fn layer<S>(&self) -> OpenTelemetryLayer<S, SdkTracer>
    where
        S: tracing::Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("creditgate"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
    }

    /// Sends what is left. Blocks, for seconds where the collector is away.
    pub(super) fn flush(&self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// A caller's headers, as the propagator wants them.
struct Headers<'h>(&'h HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

/// The span of a call, in its caller's trace where it came with one.
pub(crate) fn call(method: &str, headers: &HeaderMap<HeaderValue>) -> Span {
    if !ON.load(Relaxed) {
        return Span::none();
    }
    let span = tracing::trace_span!(
        target: TARGET,
        "call",
        otel.name = method.trim_start_matches('/'),
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.grpc.status_code = tracing::field::Empty,
    );
    if !span.is_disabled() {
        let parent = TraceContextPropagator::new().extract(&Headers(headers));
        // Fails for a span that has begun only.
        let _ = span.set_parent(parent);
    }
    span
}

/// The span that the current task works in.
pub(crate) fn current() -> Span {
    if ON.load(Relaxed) { Span::current() } else { Span::none() }
}

/// How a call was answered.
pub(crate) fn answered(span: &Span, code: i32) {
    span.record("rpc.grpc.status_code", code);
}

/// The span of a batch: none where no caller is traced.
pub(crate) fn batch<'s>(commands: usize, callers: impl Iterator<Item = &'s Span>) -> Span {
    let mut traced = callers.filter(|caller| {
        !caller.is_disabled() && caller.context().span().span_context().is_sampled()
    });
    let Some(first) = traced.next() else { return Span::none() };
    let span = tracing::trace_span!(target: TARGET, parent: first, "batch", commands);
    for other in traced {
        span.add_link(other.context().span().span_context().clone());
    }
    span
}

/// A phase of the current batch, which has just ended.
pub(crate) fn phase(name: &'static str, took: Duration) {
    let batch = current();
    if batch.is_disabled() {
        return;
    }
    let end = SystemTime::now();
    let tracer = opentelemetry::global::tracer("creditgate");
    let phase = tracer
        .span_builder(name)
        .with_kind(SpanKind::Client)
        .with_start_time(end.checked_sub(took).unwrap_or(end))
        .with_attributes([KeyValue::new("db.system.name", "postgresql")]);
    phase.start_with_context(&tracer, &batch.context()).end_with_timestamp(end);
}
