//! All metrics, with what they mean: what `/metrics` says of them, and
//! `deploy/METRICS.md`.

use metrics::{describe_counter, describe_gauge, describe_histogram};

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution, in buckets.
    Histogram,
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name, with its unit.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its labels: few values each, and no account's.
    pub labels: &'static [&'static str],
    /// What it counts or measures, and what it is good for.
    pub help: &'static str,
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram, labels, help }
}

/// All of them, in the order of the path that a call takes.
pub const METRICS: [Metric; 35] = [
    gauge("creditgate_build_info", &["version"], "1, with the version that runs"),
    gauge("creditgate_connections", &[], "gRPC connections that are open"),
    counter(
        "creditgate_connections_refused_total",
        &[],
        "connections closed at once: --max-connections were open",
    ),
    counter("creditgate_tls_handshake_failures_total", &[], "handshakes that came to nothing"),
    counter("creditgate_certificate_reloads_total", &[], "certificates that were read again"),
    counter(
        "creditgate_certificate_errors_total",
        &[],
        "new certificates that are of no use: the ones before go on",
    ),
    counter(
        "creditgate_requests_total",
        &["method", "code"],
        "calls that were answered, by method and gRPC code; a block is an answer: Ok",
    ),
    histogram("creditgate_request_seconds", &["method"], "from a call's headers to its answer's"),
    counter(
        "creditgate_verdicts_total",
        &["asked", "verdict"],
        "verdicts of check and reserve: ELIGIBLE, HELD, REPLAYED, or the reason of a block",
    ),
    counter("creditgate_calls_denied_total", &["reason"], "calls that were not let through"),
    counter(
        "creditgate_keyring_errors_total",
        &[],
        "reads of callers that failed: those that were known stay good",
    ),
    counter(
        "creditgate_issuer_errors_total",
        &[],
        "reads of the token issuer's keys that failed: those that were known stay good",
    ),
    counter(
        "creditgate_shed_total",
        &["reason"],
        "commands that were not begun: queue_full, parked_full, too_late, caller_gone",
    ),
    gauge(
        "creditgate_queue_commands",
        &["lane"],
        "commands that wait for a lane: write, check; looked at every 5 s",
    ),
    histogram("creditgate_queue_seconds", &[], "how long the oldest command of a batch has waited"),
    histogram("creditgate_batch_commands", &[], "commands in a batch"),
    histogram(
        "creditgate_batch_phase_seconds",
        &["phase"],
        "a batch's transaction, by phase: known (decided on what was kept), lock, read, decide, write (and commit, where all was kept), commit",
    ),
    counter(
        "creditgate_kept_batches_total",
        &["what"],
        "batches with accounts that their lane had kept: stood, or stale (another replica has changed them) and done again with a read",
    ),
    counter(
        "creditgate_batch_retries_total",
        &["reason"],
        "batches that were tried again: conflict, unavailable",
    ),
    counter(
        "creditgate_batch_splits_total",
        &[],
        "batches that the database refused, tried command by command",
    ),
    counter("creditgate_batch_panics_total", &[], "batches that met a bug of this program"),
    counter(
        "creditgate_commands_parked_total",
        &[],
        "commands set aside: another session has locked their account",
    ),
    counter("creditgate_reaper_rounds_total", &[], "looks for holds whose lease has run out"),
    counter(
        "creditgate_leases_expired_total",
        &[],
        "holds that were freed: nobody had settled them",
    ),
    gauge("creditgate_holds", &[], "holds that nobody has settled yet; looked at every 15 s"),
    gauge(
        "creditgate_holds_overdue_seconds",
        &[],
        "since when the lease of the oldest of them has run out; 0 where none has",
    ),
    gauge("creditgate_watchers", &[], "streams that are open: of events, of parked scans"),
    counter(
        "creditgate_deliveries_total",
        &["channel", "outcome"],
        "attempts to tell of an event: delivered, failed (tried again), given_up",
    ),
    gauge("creditgate_parked_scans", &[], "scans that wait to be told that they could run"),
    gauge(
        "creditgate_feed_lag_seconds",
        &[],
        "how long what was committed first has waited to be told, while somebody is to be told",
    ),
    counter(
        "creditgate_webhooks_total",
        &["provider", "outcome"],
        "webhooks by how they were answered",
    ),
    gauge(
        "creditgate_inbox_events",
        &["provider", "state"],
        "events of providers that are kept, by state",
    ),
    gauge("creditgate_inbox_oldest_seconds", &["provider", "state"], "age of the oldest of them"),
    counter(
        "creditgate_inbox_events_total",
        &["provider", "outcome"],
        "events of providers by what became of them",
    ),
    gauge("process_resident_memory_bytes", &[], "and the other process_ metrics of Prometheus"),
];

/// Says of each metric what it is.
pub(super) fn describe() {
    for Metric { name, kind, help, .. } in METRICS {
        match kind {
            Kind::Counter => describe_counter!(name, help),
            Kind::Gauge => describe_gauge!(name, help),
            Kind::Histogram => describe_histogram!(name, help),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        fs,
        path::{Path, PathBuf},
    };

    use super::*;

    fn root() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
    }

    /// The texts that a metric's macro is given first, in all sources.
    fn used(dir: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                used(&path, found);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                for kind in ["metrics::counter!(", "metrics::gauge!(", "metrics::histogram!("] {
                    let calls = text.split(kind).skip(1);
                    let names = calls
                        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
                        .filter(|name| name.starts_with("creditgate_"));
                    found.extend(names.map(str::to_owned));
                }
            }
        }
    }

    #[test]
    fn every_metric_is_in_the_table_and_every_one_of_the_table_is_used() {
        let mut found = BTreeSet::new();
        used(&root().join("src"), &mut found);
        let ours = |metric: &Metric| metric.name.starts_with("creditgate_");
        let table: BTreeSet<String> =
            METRICS.iter().filter(|one| ours(one)).map(|one| one.name.to_owned()).collect();
        assert_eq!(found, table);
    }

    #[test]
    fn names_say_what_prometheus_wants_of_them() {
        for Metric { name, kind, .. } in METRICS {
            assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
        }
    }

    #[test]
    fn the_page_for_operators_is_the_table() {
        let mut page = String::from(
            "# Metrics\n\nWhat `/metrics` on the HTTP port tells, in Prometheus's format. Labels have few values, \
             and never an\naccount's id. [RUNBOOK.md](RUNBOOK.md) says what to do about them.\n\n\
             | metric | kind | labels | |\n|---|---|---|---|\n",
        );
        for Metric { name, kind, labels, help } in METRICS {
            let kind = format!("{kind:?}").to_lowercase();
            let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
            page.push_str(&format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", ")));
        }
        let path = root().join("deploy/METRICS.md");
        let kept = fs::read_to_string(&path).unwrap_or_default();
        if std::env::var_os("CREDITGATE_UPDATE").is_some() {
            fs::write(&path, &page).unwrap();
            return;
        }
        assert_eq!(kept, page, "deploy/METRICS.md is out of date: CREDITGATE_UPDATE=1 writes it");
    }
}
