//! The directory of the unix socket, which is the whole of the access control.

use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::DevError;
use super::run_as::{RunAs, name_of};

/// The port: only part of the socket's name, as nothing listens on TCP.
pub(super) const PORT: u16 = 5432;

/// What a socket's path may have in bytes everywhere: 107 on Linux, 103 on macOS and the BSDs.
const LONGEST_SOCKET_PATH: usize = 103;

/// The socket's directory, ready for use.
#[derive(Debug)]
pub(super) struct SocketDir {
    path: PathBuf,
    /// Whether it lies in the temporary directory, where it should not stay behind.
    temporary: bool,
}

impl SocketDir {
    /// Creates the directory for the data directory `root`, or takes the one that is there, so that
    /// only the user that PostgreSQL runs as (and root) can get in.
    ///
    /// # Errors
    ///
    /// [`DevError::NotOwner`] if somebody else has put a directory there: in the temporary directory
    /// anybody can, and would own our socket.
    pub(super) fn create(root: &Path, run_as: &RunAs) -> Result<Self, DevError> {
        let path = choose(root, &std::env::temp_dir());
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => run_as.give(&path)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(DevError::io("cannot create the directory", &path)(error)),
        }
        // Not followed if it is a link: that would be somebody else's doing.
        let meta = fs::symlink_metadata(&path).map_err(DevError::io("cannot read", &path))?;
        let roots = run_as.switch && meta.uid() == 0;
        if !meta.is_dir() || !(meta.uid() == run_as.uid || roots) {
            return Err(DevError::NotOwner { path, owner: name_of(meta.uid()) });
        }
        fs::set_permissions(&path, Permissions::from_mode(0o700))
            .map_err(DevError::io("cannot set the permissions of", &path))?;
        // Made by an earlier root that was interrupted before it could give it away.
        run_as.give(&path)?;
        Ok(Self { temporary: !path.starts_with(root), path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketDir {
    fn drop(&mut self) {
        if self.temporary {
            // Fails, as it should, while the socket is still in use.
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// `<root>/socket`, unless a socket in there would have too long a path or PostgreSQL could not take
/// the path for one name (it splits its setting at commas): then a short directory under `temp`,
/// always the same for the same data directory.
fn choose(root: &Path, temp: &Path) -> PathBuf {
    let inside = root.join("socket");
    if usable(&inside) {
        return inside;
    }
    let digest = Sha256::digest(root.as_os_str().as_bytes());
    let name = digest
        .iter()
        .take(8)
        .fold("creditgate-".to_owned(), |name, byte| format!("{name}{byte:02x}"));
    let outside = temp.join(&name);
    if usable(&outside) { outside } else { Path::new("/tmp").join(name) }
}

fn usable(dir: &Path) -> bool {
    let socket = dir.join(format!(".s.PGSQL.{PORT}"));
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+@~=".contains(byte);
    dir.is_absolute()
        && socket.as_os_str().len() <= LONGEST_SOCKET_PATH
        && socket.as_os_str().as_bytes().iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_lies_in_the_data_directory_as_long_as_its_path_is_short_enough() {
        let temp = Path::new("/tmp");
        // "/socket/.s.PGSQL.5432" has 21 bytes.
        let fits = format!("/{}", "a".repeat(LONGEST_SOCKET_PATH - 22));
        let longer = format!("{fits}a");
        assert_eq!(choose(Path::new(&fits), temp), Path::new(&fits).join("socket"));
        assert!(choose(Path::new(&longer), temp).starts_with(temp));
    }

    #[test]
    fn each_data_directory_with_a_long_path_has_a_socket_directory_of_its_own() {
        let long = |end| PathBuf::from(format!("/{}/{end}", "a".repeat(100)));
        let temp = Path::new("/var/tmp");
        let one = choose(&long("one"), temp);
        assert_eq!(one, choose(&long("one"), temp));
        assert_ne!(one, choose(&long("two"), temp));
        assert_eq!(one.parent(), Some(temp));
    }

    #[test]
    fn a_temporary_directory_with_a_long_path_is_not_used_either() {
        let long = PathBuf::from(format!("/{}", "a".repeat(100)));
        assert_eq!(choose(&long, &long).parent(), Some(Path::new("/tmp")));
    }

    #[test]
    fn a_path_that_postgres_would_take_apart_is_avoided() {
        for odd in ["/home/me/a,b", "/home/me/a b", "/home/me/a\"b", "/home/mé"] {
            assert!(choose(Path::new(odd), Path::new("/tmp")).starts_with("/tmp"));
        }
    }
}
