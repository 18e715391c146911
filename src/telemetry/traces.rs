//! Traces by OpenTelemetry: a call, the batch that it was in, the batch's phases.
//!
//! A caller's context comes in W3C's `traceparent` header. The batch is a child of
//! the first of its calls that is traced, and linked to the others; phases are its
//! children. Without an endpoint nothing of this is recorded, and spans cost a
//! look at a flag. Which calls are traced is decided before there is a span: one that
//! is made and thrown away costs nearly as much as one that is sent.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    KeyValue,
    propagation::{Extractor, TextMapPropagator},
    trace::{Span as _, SpanContext, SpanKind, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};
use rand::RngExt;
use tonic::transport::ClientTlsConfig;
use tracing::Span;
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::registry::LookupSpan;

/// The target of all spans that are traced: whoever filters logs never sees them,
/// unless `trace` is asked for.
pub(super) const TARGET: &str = "creditgate::trace";

/// One call in so many is traced, of those whose caller has not decided; 0 before spans
/// are sent anywhere: a look at it is all that calls cost until then.
static ONE_IN: AtomicU32 = AtomicU32::new(0);

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
        let resource = Resource::builder()
            .with_service_name("creditgate")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter.build()?)
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(resource.build())
            .build();
        opentelemetry::global::set_tracer_provider(provider.clone());
        ONE_IN.store(one_in.max(1), Relaxed);
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
    let one_in = ONE_IN.load(Relaxed);
    if one_in == 0 {
        return Span::none();
    }
    let parent = TraceContextPropagator::new().extract(&Headers(headers));
    if !is_traced(parent.span().span_context(), one_in) {
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
        // Fails for a span that has begun only.
        let _ = span.set_parent(parent);
    }
    span
}

/// Whether a call is traced: as its caller has decided, else one in so many.
fn is_traced(caller: &SpanContext, one_in: u32) -> bool {
    match caller.is_valid() {
        true => caller.is_sampled(),
        false => rand::rng().random_ratio(1, one_in),
    }
}

/// The span that the current task works in.
pub(crate) fn current() -> Span {
    if ONE_IN.load(Relaxed) == 0 { Span::none() } else { Span::current() }
}

/// How a call was answered.
pub(crate) fn answered(span: &Span, code: i32) {
    span.record("rpc.grpc.status_code", code);
}

/// The span of a batch: none where no caller is traced.
pub(crate) fn batch<'s>(commands: usize, callers: impl Iterator<Item = &'s Span>) -> Span {
    let mut traced = callers.filter(|caller| !caller.is_disabled());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn traced(traceparent: Option<&str>, one_in: u32) -> usize {
        let mut headers = HeaderMap::new();
        if let Some(text) = traceparent {
            headers.insert("traceparent", text.parse().unwrap());
        }
        let parent = TraceContextPropagator::new().extract(&Headers(&headers));
        (0..10_000).filter(|_| is_traced(parent.span().span_context(), one_in)).count()
    }

    #[test]
    fn a_caller_decides_and_of_those_who_do_not_one_in_so_many_is_traced() {
        let id = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
        assert_eq!(traced(Some(&format!("{id}-01")), 100), 10_000);
        assert_eq!(traced(Some(&format!("{id}-00")), 1), 0);
        assert_eq!(traced(None, 1), 10_000);
        assert_eq!(traced(Some("00-nonsense"), 1), 10_000);
        assert!((20..300).contains(&traced(None, 100)));
    }
}
