//! One process a data directory.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::DevError;

/// Held as long as this process manages the data directory.
///
/// The kernel lets go of it when the process ends, however it ends, so it can never be stale. The
/// file is never removed: whoever has it open would hold a lock on a file that no one else can see.
#[derive(Debug)]
pub(super) struct Lock {
    _held: Flock<File>,
}

impl Lock {
    /// Takes the lock in `file`, at once or not at all.
    ///
    /// # Errors
    ///
    /// [`DevError::Locked`] with the holder's process id when another process has it.
    pub(super) fn take(file: &Path, data_dir: &Path) -> Result<Self, DevError> {
        let io = |error| DevError::io("cannot lock", file)(error);
        let open = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(file)
            .map_err(io)?;
        let mut held = match Flock::lock(open, FlockArg::LockExclusiveNonblock) {
            Ok(held) => held,
            Err((mut open, Errno::EWOULDBLOCK)) => {
                let mut holder = String::new();
                let _ = open.read_to_string(&mut holder);
                return Err(DevError::Locked {
                    data_dir: data_dir.to_owned(),
                    pid: holder.trim().parse().ok(),
                });
            }
            Err((_, errno)) => return Err(io(errno.into())),
        };
        // The id is for the message of the one who comes second; it decides nothing.
        held.set_len(0).map_err(io)?;
        writeln!(held, "{}", std::process::id()).map_err(io)?;
        Ok(Self { _held: held })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_to_come_learns_who_holds_the_lock_and_gets_it_once_it_is_free() {
        let dir = std::env::temp_dir().join(format!("creditgate-lock-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = dir.join("lock");
        let first = Lock::take(&file, &dir).unwrap();
        match Lock::take(&file, &dir) {
            Err(DevError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(first);
        Lock::take(&file, &dir).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
