//! Logs and metrics.

pub mod names;

use std::{
    io::IsTerminal,
    sync::{Mutex, PoisonError},
};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::LogFormat;

/// Phases of a batch and whole calls, in seconds.
const SECONDS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// Commands in a batch.
const COMMANDS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// One recorder a process; tests start many servers.
static METRICS: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Sends logs to standard error; a second call changes nothing.
///
/// # Errors
///
/// A filter that is not understood, and why.
pub fn init_logs(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
    let logs = fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let result = match format {
        LogFormat::Text => logs.with_target(false).try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    };
    if result.is_err() {
        tracing::debug!("logs were set up before");
    }
    Ok(())
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
