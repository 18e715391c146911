//! The running server, a child of this process.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::DevError;
use super::log_file::LogFile;
use super::pid_file::PidFile;
use super::shutdown::{Patience, Shutdown};

/// How often we look for a change.
const POLL: Duration = Duration::from_millis(10);

/// How long a server may take to accept connections. Mostly it takes a tenth of a second; after a
/// crash it first replays what it had not yet written to its tables.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// A `postgres` process and what is needed to follow it. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pid: Pid,
    cluster: PathBuf,
    log: LogFile,
}

impl Server {
    /// Starts `command`, a server on `cluster`, with its output going to the file `log`.
    pub(super) fn spawn(
        mut command: Command,
        cluster: &Path,
        log: &Path,
    ) -> Result<Self, DevError> {
        let (log, stdout, stderr) = LogFile::open(log)?;
        // Killing it would be the end of its manners: Drop does better.
        command.kill_on_drop(false).stdout(stdout).stderr(stderr);
        let child = command.spawn().map_err(DevError::io("cannot run the server on", cluster))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        Ok(Self {
            // A child that was just spawned and not waited for has an id.
            pid: Pid::from_raw(pid.unwrap_or_default()),
            child,
            cluster: cluster.to_owned(),
            log,
        })
    }

    /// The id of its process.
    pub(super) fn process_id(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Waits until the server accepts connections.
    ///
    /// # Errors
    ///
    /// [`DevError::Exited`] or [`DevError::NotReady`], quoting the log.
    pub(super) async fn ready(&mut self) -> Result<(), DevError> {
        let deadline = Instant::now() + START_DEADLINE;
        while !self.says_ready()? {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.ended(&status.to_string()));
            }
            if Instant::now() > deadline {
                return Err(DevError::NotReady {
                    seconds: START_DEADLINE.as_secs(),
                    log: self.log.path().to_owned(),
                    tail: self.log.tail(),
                });
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn says_ready(&self) -> Result<bool, DevError> {
        let note = PidFile::read(&self.cluster)?;
        let read = note.as_deref().and_then(PidFile::parse);
        Ok(read.is_some_and(|read| read.pid == self.pid.as_raw() && read.ready))
    }

    /// Completes when the server has ended by itself, and says how. Cancel safe.
    pub(super) async fn exited(&mut self) -> DevError {
        match self.child.wait().await {
            Ok(status) => self.ended(&status.to_string()),
            Err(error) => self.ended(&error.to_string()),
        }
    }

    fn ended(&self, status: &str) -> DevError {
        DevError::Exited {
            status: status.to_owned(),
            log: self.log.path().to_owned(),
            tail: self.log.tail(),
        }
    }

    /// Ends the server and waits until it is gone.
    ///
    /// # Errors
    ///
    /// [`DevError::Unstoppable`] if it will not go.
    pub(super) async fn stop(&mut self) -> Result<(), DevError> {
        let mut shutdown = Shutdown::new(self.pid, Patience::LONG);
        while self.runs() {
            if shutdown.press() {
                return Err(DevError::Unstoppable(self.pid.as_raw()));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Whether the process is there. As long as it has not been waited for, which only happens here
    /// and in `exited`, its id cannot be another's.
    fn runs(&mut self) -> bool {
        self.pid.as_raw() > 1
            && self.child.id().is_some()
            && matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut shutdown = Shutdown::new(self.pid, Patience::SHORT);
        while self.runs() {
            if shutdown.press() {
                return;
            }
            std::thread::sleep(POLL);
        }
    }
}
