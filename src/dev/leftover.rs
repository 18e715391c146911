//! A server that outlived the process that managed it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::unistd::Pid;
use tracing::{info, warn};

use super::DevError;
use super::pid_file::PidFile;
use super::shutdown::{Patience, Shutdown};

/// How often we look whether the leftover is gone.
const POLL: Duration = Duration::from_millis(10);

/// Stops the server that an earlier, killed process left running on `cluster`, and clears away the
/// note of one that no longer runs. To be called under the data directory's lock.
///
/// It is stopped rather than taken over: a server that we start is our child, with the settings of
/// this version, and its end is noticed. Its clients died with their process anyway.
///
/// # Errors
///
/// [`DevError::Unstoppable`] if not even SIGKILL ends it.
pub(super) async fn evict(cluster: &Path) -> Result<(), DevError> {
    let Some(note) = PidFile::read(cluster)? else {
        return Ok(());
    };
    match PidFile::parse(&note) {
        Some(PidFile { pid, .. }) if runs_on(pid, cluster) => {
            info!(pid, "stopping the PostgreSQL that an earlier run left behind");
            let mut shutdown = Shutdown::new(Pid::from_raw(pid), Patience::LONG);
            while runs_on(pid, cluster) {
                if shutdown.press() {
                    return Err(DevError::Unstoppable(pid));
                }
                tokio::time::sleep(POLL).await;
            }
        }
        // The machine went down, or the process was killed, and the id may be another program's by
        // now. PostgreSQL would refuse to start if that program is the same user's.
        Some(PidFile { pid, .. }) => warn!(pid, "removing a stale postmaster.pid"),
        None => warn!("removing a damaged postmaster.pid"),
    }
    // Were we wrong after all, PostgreSQL still finds the other server by its shared memory and
    // refuses to start.
    let path = PidFile::path(cluster);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(DevError::io("cannot remove", &path)(error))
        }
        _ => Ok(()),
    }
}

/// Whether the process `pid` is a PostgreSQL server on this very cluster: nothing else may be sent a
/// signal.
fn runs_on(pid: i32, cluster: &Path) -> bool {
    let cluster = cluster.canonicalize().unwrap_or_else(|_| cluster.to_owned());
    if Path::new("/proc/self/cwd").exists() {
        let process = PathBuf::from(format!("/proc/{pid}"));
        // A server works in its data directory, and keeps doing so when that is renamed. A process
        // that is dead but not yet waited for has no directory and no command line.
        fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == cluster)
            && fs::read(process.join("cmdline")).is_ok_and(|line| is_server(&line))
    } else {
        // No /proc on macOS and the BSDs, but a ps that knows these options.
        let output =
            Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output();
        output.is_ok_and(|output| {
            let line = String::from_utf8_lossy(&output.stdout).into_owned();
            let program = line.split(" -D ").next().unwrap_or_default();
            is_server(program.as_bytes()) && line.contains(&format!(" -D {}", cluster.display()))
        })
    }
}

/// Whether a command line (arguments divided by NUL) starts a PostgreSQL server.
fn is_server(command_line: &[u8]) -> bool {
    let program = command_line.split(|byte| *byte == 0).next();
    let name = program.and_then(|path| path.rsplit(|byte| *byte == b'/').next());
    matches!(name.map(<[u8]>::trim_ascii), Some(b"postgres" | b"postmaster"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_is_taken_for_one() {
        assert!(is_server(b"/usr/lib/postgresql/15/bin/postgres\0-D\0/data\0"));
        assert!(is_server(b"postmaster\0"));
        for other in [&b"/bin/bash\0postgres\0"[..], b"vim\0postgres.conf\0", b""] {
            assert!(!is_server(other));
        }
    }

    #[test]
    fn another_program_in_the_same_directory_is_left_alone() {
        let here = std::env::current_dir().unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(!runs_on(me, &here));
    }
}
