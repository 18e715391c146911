//! What can go wrong, said so that the reader knows what to do next.

use std::io;
use std::path::{Path, PathBuf};

use super::install;

/// Why the managed PostgreSQL could not be started, used or stopped.
///
/// Messages are for people at a terminal: several lines where that helps, with what to type.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevError {
    /// No usable PostgreSQL on this machine: none at all, or only ones that were turned down.
    #[error(
        "no PostgreSQL {needed} was found on this machine.{}\n\n{}",
        rejected(.turned_down),
        install::hint()
    )]
    NoPostgres {
        /// The version that is needed, in words: `15 or newer`, or `16, which made ...`.
        needed: String,
        /// Installations that were looked at, each with the reason it will not do.
        turned_down: Vec<String>,
    },

    /// Another process already manages this data directory.
    #[error(
        "the data directory {} is in use by another creditgate{}.\n\
         Stop that one first, or choose another directory with --data-dir.",
        .data_dir.display(),
        .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Locked {
        /// The data directory that both want.
        data_dir: PathBuf,
        /// The holder, if it has written its id down.
        pid: Option<u32>,
    },

    /// The user that PostgreSQL has to run as cannot get to the data directory.
    #[error(
        "PostgreSQL refuses to run as root, so it would run as the user {user:?}; but that user \
         cannot enter {}, on the way to the data directory {}.\n\
         Choose a directory that it can reach, for example --data-dir /var/lib/creditgate.",
        .blocked.display(),
        .data_dir.display()
    )]
    Unreachable {
        /// The data directory that was asked for.
        data_dir: PathBuf,
        /// The first directory on the way that the user may not enter.
        blocked: PathBuf,
        /// The user that PostgreSQL would run as.
        user: String,
    },

    /// The data directory belongs to another user.
    #[error(
        "{} belongs to the user {owner:?}.\n\
         Run creditgate as that user, or choose another directory with --data-dir.",
        .path.display()
    )]
    NotOwner {
        /// What belongs to someone else.
        path: PathBuf,
        /// Whom it belongs to.
        owner: String,
    },

    /// Running as root, and no user is there to run PostgreSQL as.
    #[error(
        "PostgreSQL refuses to run as root, and this machine has neither a user `postgres` nor \
         `nobody` to run it as. Run creditgate as an ordinary user, or create the user `postgres`."
    )]
    NoAccount,

    /// Something that is no PostgreSQL data directory lies where ours should be.
    #[error(
        "{} exists, but is no PostgreSQL data directory. Move it away, or choose another \
         directory with --data-dir.",
        .0.display()
    )]
    NotACluster(PathBuf),

    /// `initdb` failed.
    #[error("initdb could not create the database cluster in {}:\n{output}", .path.display())]
    InitDb {
        /// The directory it worked in.
        path: PathBuf,
        /// What it printed.
        output: String,
    },

    /// The server ended by itself while it was starting or running.
    #[error("PostgreSQL ended unexpectedly ({status}). The end of its log, {}:\n{tail}", .log.display())]
    Exited {
        /// How it ended, in words.
        status: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of that log since this start.
        tail: String,
    },

    /// The server did not accept connections in time.
    #[error(
        "PostgreSQL was not ready after {seconds} s. The end of its log, {}:\n{tail}",
        .log.display()
    )]
    NotReady {
        /// How long we waited, in seconds.
        seconds: u64,
        /// Its log file.
        log: PathBuf,
        /// The last lines of that log since this start.
        tail: String,
    },

    /// The server, or one left over from an earlier run, could not be stopped, not even by force.
    #[error("the PostgreSQL process {0} could not be stopped")]
    Unstoppable(i32),

    /// A database name that would need quoting.
    #[error(
        "{0:?} is no database name that can be used here: lower-case letters, digits and \
         underscores, a letter first, at most 63 in all"
    )]
    DatabaseName(String),

    /// A statement sent through `psql` failed.
    #[error("psql failed: {0}")]
    Psql(String),

    /// A file or a process could not be worked with.
    #[error("{what} {}: {source}", .path.display())]
    Io {
        /// What was tried, as the beginning of a sentence.
        what: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl DevError {
    /// For `map_err`: says what was tried on which path.
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }
}

fn rejected(turned_down: &[String]) -> String {
    if turned_down.is_empty() {
        return String::new();
    }
    format!(" Found, but not usable:\n  {}", turned_down.join("\n  "))
}
