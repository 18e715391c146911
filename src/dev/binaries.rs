//! Finding PostgreSQL's programs on this machine.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::DevError;
use super::run_as::RunAs;
use super::tool;

/// The oldest major version that the schema and the statements are written for.
const OLDEST: u32 = 15;

/// Names the directory of PostgreSQL's programs, instead of a search.
const OVERRIDE: &str = "CREDITGATE_PG_BINDIR";

/// What we call. A server package without `psql` exists (Alpine), so it is looked for as well.
const PROGRAMS: [&str; 3] = ["postgres", "initdb", "psql"];

/// One usable installation.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    dir: PathBuf,
    pub(super) major: u32,
}

impl Binaries {
    /// The first usable installation, in the order of [`search`]. An existing cluster can only be
    /// opened by the major version that made it, so `made_by` asks for exactly that one.
    ///
    /// # Errors
    ///
    /// [`DevError::NoPostgres`] with what to install.
    pub(super) async fn find(run_as: &RunAs, made_by: Option<u32>) -> Result<Self, DevError> {
        let forced = std::env::var_os(OVERRIDE).map(PathBuf::from);
        let dirs = match forced {
            Some(dir) => vec![dir],
            None => {
                search(pg_config(run_as).await, std::env::var_os("PATH").as_deref(), Path::new("/"))
            }
        };
        let mut turned_down = Vec::new();
        for dir in dirs {
            match look_at(&dir, run_as).await {
                Ok(major) if made_by.map_or(major >= OLDEST, |made_by| major == made_by) => {
                    return Ok(Self { dir, major });
                }
                Ok(major) => turned_down.push(format!("{}: version {major}", dir.display())),
                Err(why) => turned_down.push(format!("{}: {why}", dir.display())),
            }
        }
        Err(DevError::NoPostgres {
            needed: match made_by {
                Some(major) => format!("{major}, which made this data directory,"),
                None => format!("{OLDEST} or newer"),
            },
            turned_down,
        })
    }

    /// The path of one of PostgreSQL's programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Directories that hold a `postgres`, the likeliest first, each once: what `pg_config` names, what
/// is in `PATH`, then where packages put it (below `root`), newest version first.
fn search(pg_config: Option<PathBuf>, path: Option<&OsStr>, root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let in_path = path.into_iter().flat_map(std::env::split_paths);
    let packaged = [
        ("usr/lib/postgresql", "", "bin"),          // Debian, Ubuntu
        ("usr", "pgsql-", "bin"),                   // PostgreSQL's own packages for Fedora and RHEL
        ("usr/libexec", "postgresql", ""),          // Alpine
        ("opt/homebrew/opt", "postgresql@", "bin"), // Homebrew, Apple silicon
        ("usr/local/opt", "postgresql@", "bin"),    // Homebrew, Intel
        ("home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
    ]
    .into_iter()
    .flat_map(|(parent, prefix, bin)| by_version(&root.join(parent), prefix, bin));
    let app = root.join("Applications/Postgres.app/Contents/Versions/latest/bin");
    for dir in pg_config.into_iter().chain(in_path).chain(packaged).chain([app]) {
        if dir.is_absolute() && dir.join("postgres").is_file() && !found.contains(&dir) {
            found.push(dir);
        }
    }
    found
}

/// The subdirectories of `parent` called `prefix` and a version number, newest first.
fn by_version(parent: &Path, prefix: &str, bin: &str) -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            // Joining nothing would leave a slash at the end.
            let dir = match bin {
                "" => entry.path(),
                bin => entry.path().join(bin),
            };
            Some((version, dir))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, dir)| dir).collect()
}

/// What `pg_config --bindir` says. It may come with a client library alone, so it is but a hint.
async fn pg_config(run_as: &RunAs) -> Option<PathBuf> {
    let mut command = tool::command(Path::new("pg_config"), run_as);
    let output = command.arg("--bindir").output().await.ok()?;
    let dir = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !dir.trim().is_empty()).then(|| PathBuf::from(dir.trim()))
}

/// The major version installed in `dir`, or why it cannot be used. The programs are called as the
/// user that is to run them, who may not be allowed to.
async fn look_at(dir: &Path, run_as: &RunAs) -> Result<u32, String> {
    let missing = PROGRAMS.iter().find(|name| !dir.join(name).is_file());
    if let Some(name) = missing {
        return Err(format!("has no {name}"));
    }
    let output = tool::command(&dir.join("postgres"), run_as)
        .arg("--version")
        .output()
        .await
        .map_err(|error| format!("user {}: {error}", run_as.name))?;
    let said = String::from_utf8_lossy(&output.stdout);
    major_version(&said).ok_or_else(|| format!("`postgres --version` says {:?}", said.trim()))
}

/// The major version out of `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`, `... 18beta1`.
fn major_version(said: &str) -> Option<u32> {
    let version = said.split_once("(PostgreSQL) ")?.1;
    let end = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_what_postgres_says_of_itself() {
        let debian = "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n";
        assert_eq!(major_version(debian), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_version("postgres (PostgreSQL) 17"), Some(17));
        assert_eq!(major_version("bash: postgres: command not found"), None);
    }

    #[test]
    fn pg_config_comes_first_then_path_then_packages_newest_first_and_each_once() {
        let root = std::env::temp_dir().join(format!("creditgate-search-{}", std::process::id()));
        let put = |dir: &str| {
            let dir = root.join(dir);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("postgres"), "").unwrap();
            dir
        };
        let nine = put("usr/lib/postgresql/9/bin");
        let fifteen = put("usr/lib/postgresql/15/bin");
        let hundred = put("usr/lib/postgresql/100/bin");
        let alpine = put("usr/libexec/postgresql17");
        let brew = put("opt/homebrew/opt/postgresql@16/bin");
        let own = put("home/me/bin");
        fs::create_dir_all(root.join("usr/lib/postgresql/14/bin")).unwrap();

        let path = std::env::join_paths([root.join("empty"), own.clone(), fifteen.clone()]);
        let found = search(Some(fifteen.clone()), Some(&path.unwrap()), &root);
        assert_eq!(found, [fifteen, own, hundred, nine, alpine, brew]);
        fs::remove_dir_all(&root).unwrap();
    }
}
