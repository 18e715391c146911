//! Whom PostgreSQL runs as: it refuses to run as root.

use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, User};
use tokio::process::Command;

use super::DevError;
use super::tool;

/// The user that the server and its tools run as.
#[derive(Debug, Clone)]
pub(super) struct RunAs {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// For messages.
    pub(super) name: String,
    /// Whether that is somebody else than this process runs as, which only root may ask for.
    pub(super) switch: bool,
}

impl RunAs {
    /// An ordinary user runs PostgreSQL as itself. Root runs it as whoever owns the cluster already
    /// (so that one start as root does not lock its owner out), else `postgres`, else `nobody`.
    ///
    /// # Errors
    ///
    /// [`DevError::NotOwner`] if the cluster is another user's, [`DevError::NoAccount`] if root finds
    /// no user to run it as.
    pub(super) fn choose(cluster: &Path) -> Result<Self, DevError> {
        let owner = fs::metadata(cluster).ok().map(|m| (m.uid(), m.gid()));
        let me = Uid::effective();
        if !me.is_root() {
            return match owner {
                Some((uid, _)) if uid != me.as_raw() => {
                    Err(DevError::NotOwner { path: cluster.to_owned(), owner: name_of(uid) })
                }
                _ => Ok(Self {
                    uid: me.as_raw(),
                    gid: Gid::effective().as_raw(),
                    name: name_of(me.as_raw()),
                    switch: false,
                }),
            };
        }
        match owner {
            Some((uid, gid)) if uid != 0 => Ok(Self { uid, gid, name: name_of(uid), switch: true }),
            _ => Self::unprivileged(),
        }
    }

    /// `postgres`, else `nobody`.
    fn unprivileged() -> Result<Self, DevError> {
        let user = ["postgres", "nobody"]
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .ok_or(DevError::NoAccount)?;
        Ok(Self { uid: user.uid.as_raw(), gid: user.gid.as_raw(), name: user.name, switch: true })
    }

    /// Makes a command run as this user. The standard library drops root's supplementary groups
    /// when it changes the user.
    pub(super) fn apply(&self, command: &mut Command) {
        if self.switch {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Gives one file or directory to this user.
    pub(super) fn give(&self, path: &Path) -> Result<(), DevError> {
        if self.switch {
            lchown(path, Some(self.uid), Some(self.gid))
                .map_err(DevError::io("cannot change the owner of", path))?;
        }
        Ok(())
    }

    /// Gives a whole tree to this user if root owns it, as after a copy or a restore made by root.
    pub(super) fn give_if_roots(&self, tree: &Path) -> Result<(), DevError> {
        if !self.switch || fs::metadata(tree).is_ok_and(|m| m.uid() != 0) {
            return Ok(());
        }
        let mut pending = vec![tree.to_owned()];
        while let Some(path) = pending.pop() {
            let meta = fs::symlink_metadata(&path).map_err(DevError::io("cannot read", &path))?;
            if meta.is_dir() {
                for entry in fs::read_dir(&path).map_err(DevError::io("cannot list", &path))? {
                    pending.push(entry.map_err(DevError::io("cannot list", &path))?.path());
                }
            }
            // The directory last named is still root's while its content changes hands, so an
            // interrupted run starts over.
            if path != tree {
                self.give(&path)?;
            }
        }
        self.give(tree)
    }

    /// Checks that this user can get to the data directory: a parent may be closed to it, as `/root`
    /// is.
    ///
    /// # Errors
    ///
    /// [`DevError::Unreachable`] naming the first directory that it may not enter.
    pub(super) async fn check_reach(&self, data_dir: &Path) -> Result<(), DevError> {
        if !self.switch || self.can_enter(data_dir).await {
            return Ok(());
        }
        let mut way: Vec<&Path> = data_dir.ancestors().collect();
        way.reverse();
        let mut blocked = data_dir;
        for dir in way {
            if !self.can_enter(dir).await {
                blocked = dir;
                break;
            }
        }
        Err(DevError::Unreachable {
            data_dir: data_dir.to_owned(),
            blocked: blocked.to_owned(),
            user: self.name.clone(),
        })
    }

    /// Asks the kernel by trying: permission bits alone do not tell (ACLs, mounts, containers).
    async fn can_enter(&self, dir: &Path) -> bool {
        let mut command = tool::command(Path::new("/bin/sh"), self);
        command.args(["-c", r#"cd -- "$0""#]).arg(dir);
        command.output().await.is_ok_and(|out| out.status.success())
    }
}

/// The data directory when none was asked for: `.creditgate` in the current directory; as root in a
/// place that PostgreSQL's user cannot reach (below `/root`, say), `/var/lib/creditgate`.
pub(super) async fn default_data_dir() -> PathBuf {
    let here = PathBuf::from(".creditgate");
    let Ok(absolute) = std::path::absolute(&here) else {
        return here;
    };
    let Ok(user) = RunAs::choose(&absolute.join("postgres")) else {
        return here;
    };
    let existing = absolute.ancestors().find(|dir| dir.exists());
    match existing {
        Some(dir) if user.check_reach(dir).await.is_err() => PathBuf::from("/var/lib/creditgate"),
        _ => here,
    }
}

/// A user's name, or its number when it has none.
pub(super) fn name_of(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => format!("uid {uid}"),
    }
}
