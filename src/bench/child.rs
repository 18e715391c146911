//! Servers as processes of their own, so that what they take of the machine can
//! be told from what their callers take.

use std::{
    collections::VecDeque,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{self, Command},
    sync::oneshot,
    time,
};

use super::BenchError;

/// How long a server may take to be ready.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to end.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// Lines of its log that are kept for an error.
const KEPT_LINES: usize = 20;

/// What a server says when it is ready, on a line of JSON.
#[derive(Debug, serde::Deserialize)]
struct Ready {
    message: String,
    grpc: String,
    http: Option<String>,
}

/// A server that runs. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Child {
    process: process::Child,
    /// Its process id.
    pub process_id: u32,
    /// Where it serves gRPC.
    pub grpc: String,
    /// Where it serves metrics.
    pub http: Option<String>,
}

impl Child {
    /// Starts the gate as `creditgate serve` does. What `CREDITGATE_LANES` and
    /// the like say holds for it.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub(super) async fn gate(url: &str) -> Result<Self, BenchError> {
        let arguments = [
            "serve",
            "--grpc-addr=127.0.0.1:0",
            "--http-addr=127.0.0.1:0",
            "--drain-seconds=0",
            "--log=info",
            "--log-format=json",
        ];
        Self::start("the gate", &arguments, url).await
    }

    /// Starts the service that people would write first.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub(super) async fn plain_service(url: &str) -> Result<Self, BenchError> {
        Self::start("the baseline's service", &["bench", "--serve-baseline"], url).await
    }

    async fn start(name: &'static str, arguments: &[&str], url: &str) -> Result<Self, BenchError> {
        let failed = |why: String| BenchError::Start { name, why };
        let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
        let mut process = Command::new(program)
            .args(arguments)
            // Not on the command line, where the list of processes shows it.
            .env("CREDITGATE_DATABASE_URL", url)
            .env_remove("DATABASE_URL")
            .env_remove("CREDITGATE_CONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C is for this program to hear, and to pass on.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let process_id = process.id().unwrap_or_default();
        let said = Arc::new(Mutex::new(VecDeque::new()));
        let (is_ready, ready) = oneshot::channel();
        if let Some(stderr) = process.stderr.take() {
            tokio::spawn(listen(BufReader::new(stderr), is_ready, said.clone()));
        }
        let tail = || {
            let said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
        };
        match time::timeout(START_PATIENCE, ready).await {
            Ok(Ok(Ready { grpc, http, .. })) => Ok(Self { process, process_id, grpc, http }),
            Ok(Err(_)) => Err(failed(tail())),
            Err(_) => Err(failed(format!("it was not ready in time\n{}", tail()))),
        }
    }

    /// The sum and the count of a histogram among its metrics.
    pub(super) async fn metric(&self, name: &str) -> Option<(f64, f64)> {
        let text = get(self.http.as_ref()?, "/metrics").await.ok()?;
        Some((sample(&text, &format!("{name}_sum"))?, sample(&text, &format!("{name}_count"))?))
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    ///
    /// It will not.
    pub(super) async fn stop(mut self) -> Result<(), BenchError> {
        let broken = |error: std::io::Error| BenchError::Other(error.to_string());
        if let Ok(pid) = i32::try_from(self.process_id) {
            // It is our child, not waited for: its id is no other's.
            let _gone = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        match time::timeout(END_PATIENCE, self.process.wait()).await {
            Ok(ended) => ended.map(|_| ()).map_err(broken),
            Err(_) => self.process.kill().await.map_err(broken),
        }
    }
}

/// Reads what a server says, so that it never waits for us to.
async fn listen(
    lines: BufReader<process::ChildStderr>,
    is_ready: oneshot::Sender<Ready>,
    said: Arc<Mutex<VecDeque<String>>>,
) {
    let mut lines = lines.lines();
    let mut is_ready = Some(is_ready);
    while let Ok(Some(line)) = lines.next_line().await {
        if is_ready.is_some()
            && let Ok(ready) = serde_json::from_str::<Ready>(&line)
            && ready.message == "ready"
            && let Some(is_ready) = is_ready.take()
        {
            // Nobody listens where it took too long.
            let _ = is_ready.send(ready);
        }
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() == KEPT_LINES {
            said.pop_front();
        }
        said.push_back(line);
    }
}

/// A plain HTTP GET.
async fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

/// The value of a metric, in Prometheus' text format; of all its labels together.
pub(super) fn sample(text: &str, name: &str) -> Option<f64> {
    let values: Vec<f64> = text
        .lines()
        .filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with([' ', '{']).then(|| rest.rsplit(' ').next()?.parse().ok())?
        })
        .collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_not_taken_for_a_longer_name() {
        let text =
            "# TYPE a_sum counter\na_sum{x=\"1\"} 2\na_sum{x=\"2\"} 3.5\na_sum_other 7\nb 1\n";
        assert_eq!(sample(text, "a_sum"), Some(5.5));
        assert_eq!(sample(text, "b"), Some(1.0));
        assert_eq!(sample(text, "c"), None);
    }
}
