//! The database cluster on disk: made once, whole or not at all.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use tracing::info;

use super::DevError;
use super::binaries::Binaries;
use super::layout::Layout;
use super::run_as::RunAs;
use super::tool;

/// The role that owns everything. It is the cluster's superuser.
pub(super) const OWNER: &str = "creditgate_owner";

/// The major version that made the cluster in `path`; `None` if there is no cluster yet.
///
/// # Errors
///
/// [`DevError::NotACluster`] if something else is there.
pub(super) fn made_by(path: &Path) -> Result<Option<u32>, DevError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DevError::io("cannot read", path)(error)),
    };
    match fs::read_to_string(path.join("PG_VERSION")) {
        Ok(version) => match version.trim().parse() {
            Ok(major) => Ok(Some(major)),
            Err(_) => Err(DevError::NotACluster(path.to_owned())),
        },
        Err(_) if entries.count() == 0 => Ok(None),
        Err(_) => Err(DevError::NotACluster(path.to_owned())),
    }
}

/// Makes the cluster. `initdb` works in a directory of another name, which gets the right one when
/// everything is there: so a half-finished one is never mistaken for a cluster, and starts over.
///
/// # Errors
///
/// [`DevError::InitDb`] with what `initdb` said.
pub(super) async fn create(
    layout: &Layout,
    binaries: &Binaries,
    run_as: &RunAs,
) -> Result<(), DevError> {
    let dir = &layout.unfinished;
    remove(dir)?;
    DirBuilder::new()
        .mode(0o700)
        .create(dir)
        .map_err(DevError::io("cannot create the directory", dir))?;
    run_as.give(dir)?;
    info!(
        version = binaries.major,
        path = %layout.cluster.display(),
        "creating the database cluster"
    );
    let mut initdb = tool::command(&binaries.program("initdb"), run_as);
    initdb.arg("-D").arg(dir).args([
        "--username",
        OWNER,
        "--encoding",
        "UTF8",
        // Exists everywhere and sorts the same everywhere: a data directory that moves to another
        // machine keeps its indexes valid.
        "--locale",
        "C",
        "--auth-local",
        "trust",
        "--auth-host",
        "reject",
        "--no-instructions",
    ]);
    let output =
        initdb.output().await.map_err(DevError::io("cannot run", &binaries.program("initdb")))?;
    if !output.status.success() {
        return Err(DevError::InitDb {
            path: dir.clone(),
            output: format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
        });
    }
    fs::rename(dir, &layout.cluster).map_err(DevError::io("cannot rename", dir))?;
    // initdb has flushed its files; the new name has to reach the disk too.
    File::open(&layout.root)
        .and_then(|root| root.sync_all())
        .map_err(DevError::io("cannot flush", &layout.root))
}

/// Removes what an interrupted `initdb` has left. Its child may write on for a moment, so a
/// directory that is not empty after all is tried again.
fn remove(dir: &Path) -> Result<(), DevError> {
    let mut tries = 0;
    loop {
        match fs::remove_dir_all(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty && tries < 10 => tries += 1,
            Err(error) => return Err(DevError::io("cannot remove", dir)(error)),
        }
    }
}
