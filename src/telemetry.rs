//! Logs, metrics and traces.

pub mod names;
pub(crate) mod traces;

use std::{
    io::IsTerminal,
    num::NonZeroU32,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::Targets, fmt, layer::SubscriberExt, reload,
    util::SubscriberInitExt,
};

use traces::Traces;

use crate::config::LogFormat;

/// Phases of a batch and whole calls, in seconds.
const SECONDS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// Commands in a batch.
const COMMANDS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// How long the last spans may take to be sent.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);

/// One recorder a process; tests start many servers.
static METRICS: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// What changes the filter of the logs while they are written.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Where spans go, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSettings {
    /// A collector that takes OTLP by gRPC: `http://collector:4317`, or `https://...`.
    pub endpoint: String,
    /// One call in so many is traced, unless its caller has decided.
    pub one_in: NonZeroU32,
}

/// What was set up: spans that are left are sent when it is told to.
#[derive(Debug)]
#[must_use = "spans that are left are sent by `flush`"]
pub struct Telemetry(Option<Traces>);

impl Telemetry {
    /// Sends the spans that are left, for a few seconds at most.
    pub async fn flush(self) {
        if let Some(traces) = self.0 {
            let flushed = tokio::task::spawn_blocking(move || traces.flush());
            let _late = tokio::time::timeout(FLUSH_LIMIT, flushed).await;
        }
    }
}

/// Sends logs to standard error, and spans to a collector where one is named; a
/// second call changes nothing.
///
/// # Errors
///
/// A filter or an endpoint that is not understood, and why.
pub fn init(
    filter: &str,
    format: LogFormat,
    traces: Option<&TraceSettings>,
) -> Result<Telemetry, TelemetryError> {
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    let logs = fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    let logs = match format {
        LogFormat::Text => logs.with_target(false).boxed(),
        LogFormat::Json => logs.json().flatten_event(true).boxed(),
    };
    let traces = traces
        .map(|settings| Traces::to(&settings.endpoint, settings.one_in.get()))
        .transpose()
        .map_err(|error| TelemetryError::Endpoint(error.to_string()))?;
    let spans = traces.as_ref().map(|traces| {
        let ours = Targets::new().with_target(traces::TARGET, LevelFilter::TRACE);
        traces.layer().with_filter(ours)
    });
    let subscriber = Registry::default().with(logs.with_filter(filter)).with(spans);
    if subscriber.try_init().is_err() {
        tracing::debug!("logs were set up before");
    } else {
        let _first = FILTER.set(handle);
    }
    Ok(Telemetry(traces))
}

/// Has something else logged from now on.
///
/// # Errors
///
/// A filter that is not understood: the one before stays.
pub fn set_log_filter(filter: &str) -> Result<(), TelemetryError> {
    let filter = parse(filter)?;
    if let Some(handle) = FILTER.get() {
        handle.reload(filter).map_err(|error| TelemetryError::Filter(error.to_string()))?;
    }
    Ok(())
}

fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(filter)
        .map_err(|error| TelemetryError::Filter(format!("{filter:?}: {error}")))
}

/// Why logs or spans were not set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Not a filter.
    #[error("the log filter is not understood: {0}")]
    Filter(String),
    /// Not an endpoint.
    #[error("otlp_endpoint is not understood: {0}")]
    Endpoint(String),
}

/// Starts to collect metrics; gives the handle that shows them.
///
/// # Errors
///
/// Another recorder was installed by somebody else.
pub fn init_metrics() -> Result<PrometheusHandle, BuildError> {
    let mut installed = METRICS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_commands".to_owned()), &COMMANDS)?
        .install_recorder()?;
    names::describe();
    metrics::gauge!("creditgate_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    *installed = Some(handle.clone());
    Ok(handle)
}
