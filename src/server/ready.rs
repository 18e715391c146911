//! Whether this replica is ready, and who is told.

use std::time::{Duration, Instant};

use tokio::time;
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use super::PROBE_PERIOD;
use crate::{grpc, http::Readiness, store::Database};

/// All that health is reported of: the whole, and each service.
fn service_names() -> Vec<&'static str> {
    [""].into_iter().chain(grpc::SERVICE_NAMES).collect()
}

/// Says to all who ask whether this replica takes calls.
pub(super) async fn set_serving(reporter: &HealthReporter, readiness: &Readiness, serving: bool) {
    readiness.set(serving);
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    for name in service_names() {
        reporter.set_service_status(name, status).await;
    }
}

/// Ends the streams of those who watch health.
pub(super) async fn end_watches(mut reporter: HealthReporter) {
    for name in service_names() {
        reporter.clear_service_status(name).await;
    }
}

/// The database being away turns readiness off only after `grace`; its return
/// turns it on at once.
pub(super) async fn watch_database(
    database: Database,
    reporter: HealthReporter,
    readiness: Readiness,
    grace: Duration,
    stop: CancellationToken,
) {
    let mut seen = Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = time::sleep(PROBE_PERIOD) => {}
        }
        let probing = database.clone();
        // On its own task: a statement is never dropped half-way.
        match tokio::spawn(async move { probing.ping().await }).await {
            Ok(Ok(())) => {
                seen = Instant::now();
                if !readiness.get() && !stop.is_cancelled() {
                    tracing::info!("the database is back: ready again");
                    set_serving(&reporter, &readiness, true).await;
                }
            }
            Ok(Err(_)) | Err(_) if readiness.get() && seen.elapsed() > grace => {
                tracing::error!("the database has been away for too long: not ready");
                set_serving(&reporter, &readiness, false).await;
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }
}
