//! `postmaster.pid`, the note that a running PostgreSQL keeps in its data directory.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::DevError;

/// What we read of it. PostgreSQL writes one fact a line; the first is the process id and the
/// eighth, once there is anything to say, the state.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    /// The server's process id.
    pub(super) pid: i32,
    /// Whether the server says that it takes connections.
    pub(super) ready: bool,
}

impl PidFile {
    /// Where the note of the cluster in `cluster` is.
    pub(super) fn path(cluster: &Path) -> PathBuf {
        cluster.join("postmaster.pid")
    }

    /// Reads the note of the cluster in `cluster`: `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`DevError::Io`] if it is there but cannot be read.
    pub(super) fn read(cluster: &Path) -> Result<Option<String>, DevError> {
        let path = Self::path(cluster);
        match fs::read(&path) {
            Ok(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DevError::io("cannot read", &path)(error)),
        }
    }

    /// `None` if the note is unfinished or damaged, as after a power cut.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        // A single-user server notes its id with a minus sign.
        let pid = lines.next()?.trim().parse::<i32>().ok()?.checked_abs()?;
        let ready = lines.nth(6).is_some_and(|state| state.trim() == "ready");
        (pid > 1).then_some(Self { pid, ready })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str =
        "4711\n/data/postgres\n1700000000\n5432\n/data/socket\n\n    5432001         4\nready   \n";

    #[test]
    fn a_server_that_is_ready_says_so_in_the_eighth_line() {
        let read = PidFile::parse(READY);
        assert_eq!(read, Some(PidFile { pid: 4711, ready: true }));
    }

    #[test]
    fn a_server_that_is_starting_or_stopping_is_not_ready() {
        for state in ["starting", "stopping", "standby "] {
            let text = READY.replace("ready   ", state);
            assert!(!PidFile::parse(&text).unwrap().ready, "{state}");
        }
        assert!(!PidFile::parse("4711\n/data/postgres\n").unwrap().ready);
    }

    #[test]
    fn a_single_user_server_is_recognised() {
        assert_eq!(PidFile::parse("-4711\n").unwrap().pid, 4711);
    }

    #[test]
    fn a_damaged_note_is_no_process() {
        // 0 and 1 would mean ourselves and init to whoever sends a signal.
        for text in ["", "\n", "x\n", "0\n", "1\n", "-1\n", "99999999999\n", "\0\0\0\0"] {
            assert_eq!(PidFile::parse(text), None, "{text:?}");
        }
    }
}
