//! Where everything lies inside the data directory.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use super::DevError;

/// The paths inside one data directory, all absolute and free of symbolic links in `root`.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// The data directory itself.
    pub(super) root: PathBuf,
    /// The database cluster, PostgreSQL's own data directory.
    pub(super) cluster: PathBuf,
    /// Where `initdb` works, until the cluster is whole.
    pub(super) unfinished: PathBuf,
    /// The lock that makes this process the only one here. The file stays for good.
    pub(super) lock: PathBuf,
    /// The server's log.
    pub(super) log: PathBuf,
}

impl Layout {
    /// Creates the data directory where it is missing, and names what lies in it.
    pub(super) fn create(data_dir: &Path) -> Result<Self, DevError> {
        let wanted = std::path::absolute(data_dir)
            .map_err(DevError::io("cannot make sense of the path", data_dir))?;
        create_reachable(&wanted)?;
        let root = wanted.canonicalize().map_err(DevError::io("cannot resolve", &wanted))?;
        Ok(Self {
            cluster: root.join("postgres"),
            unfinished: root.join("postgres.new"),
            lock: root.join("lock"),
            log: root.join("postgres.log"),
            root,
        })
    }
}

/// Creates `path` and its missing parents. As root they are made passable whatever the umask is,
/// because another user has to get through them.
fn create_reachable(path: &Path) -> Result<(), DevError> {
    let missing: Vec<&Path> = path.ancestors().take_while(|dir| !dir.exists()).collect();
    for dir in missing.into_iter().rev() {
        match fs::create_dir(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(DevError::io("cannot create the directory", dir)(error));
            }
            _ => {}
        }
        if Uid::effective().is_root() {
            fs::set_permissions(dir, Permissions::from_mode(0o755))
                .map_err(DevError::io("cannot set the permissions of", dir))?;
        }
    }
    Ok(())
}
