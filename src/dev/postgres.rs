//! Starting, using and stopping a managed PostgreSQL.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;

use super::DevError;
use super::binaries::Binaries;
use super::cluster::{self, OWNER};
use super::layout::Layout;
use super::leftover;
use super::lock::Lock;
use super::run_as::{self, RunAs};
use super::server::Server;
use super::socket_dir::{PORT, SocketDir};
use super::tool;

/// The role that owns the managed cluster: its superuser.
pub const OWNER_ROLE: &str = OWNER;

/// How long the processes of a crashed server may take to let go of its shared memory.
const CRASH_DEADLINE: Duration = Duration::from_secs(5);

/// What a managed PostgreSQL needs to know.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where everything is kept; created if it is not there. One process at a time may use it.
    pub data_dir: PathBuf,
    /// PostgreSQL's own settings, where another value than its built-in one is wanted: name and
    /// value. They do not hold for what this module sets itself.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// PostgreSQL as it comes, with its data in `data_dir`.
    pub fn new(data_dir: PathBuf) -> Self {
        Self { data_dir, settings: Vec::new() }
    }
}

/// Where to keep the data when nobody has said so: `.creditgate` in the current directory, or, as
/// root in a place that the user `postgres` cannot reach (below `/root`, say),
/// `/var/lib/creditgate`.
pub async fn default_data_dir() -> PathBuf {
    run_as::default_data_dir().await
}

/// A running PostgreSQL that belongs to this process.
///
/// End it with [`ManagedPostgres::stop`]. Dropping it ends it too, but blocks the thread for as long
/// as that takes (usually some tens of milliseconds, five seconds at most). If this process is
/// killed the server stays, and the next start on the same data directory ends it first.
#[derive(Debug)]
pub struct ManagedPostgres {
    // In this order they are dropped: the lock is held until the server is gone.
    server: Server,
    socket_dir: SocketDir,
    binaries: Binaries,
    run_as: RunAs,
    data_dir: PathBuf,
    new: bool,
    _lock: Lock,
}

impl ManagedPostgres {
    /// Starts PostgreSQL on the data directory, which is made first if there is none, and returns
    /// when it accepts connections. Needs a tokio runtime with I/O and time enabled.
    ///
    /// Its log is `postgres.log` in the data directory.
    ///
    /// # Errors
    ///
    /// Any [`DevError`] but [`DevError::Psql`] and [`DevError::DatabaseName`]; in particular
    /// [`DevError::NoPostgres`] with what to install, [`DevError::Locked`] if another process uses
    /// the data directory, and [`DevError::Exited`] with the end of the server's log.
    pub async fn start(options: Options) -> Result<Self, DevError> {
        let layout = Layout::create(&options.data_dir)?;
        let lock = Lock::take(&layout.lock, &layout.root)?;

        let run_as = RunAs::choose(&layout.cluster)?;
        run_as.check_reach(&layout.root).await?;
        let made_by = cluster::made_by(&layout.cluster)?;
        let binaries = Binaries::find(&run_as, made_by).await?;

        let new = made_by.is_none();
        if new {
            cluster::create(&layout, &binaries, &run_as).await?;
        } else {
            run_as.give_if_roots(&layout.cluster)?;
            leftover::evict(&layout.cluster).await?;
        }

        let socket_dir = SocketDir::create(&layout.root, &run_as)?;
        let command =
            || server_command(&layout, &binaries, &run_as, socket_dir.path(), &options.settings);
        let server = serve(&layout, command).await?;
        Ok(Self { server, socket_dir, binaries, run_as, data_dir: layout.root, new, _lock: lock })
    }

    /// The directory of the unix socket, mode 0700: the only way in.
    pub fn socket_dir(&self) -> &Path {
        self.socket_dir.path()
    }

    /// The data directory, absolute.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// A connection string for `role` on `database`, as sqlx and libpq (so `psql`) understand it. No
    /// password is needed. Neither the role nor the database has to exist yet; [`OWNER_ROLE`] and
    /// `postgres` always do.
    pub fn url(&self, role: &str, database: &str) -> String {
        format!(
            "postgres://{}@localhost/{}?host={}&port={PORT}",
            percent_encoded(role),
            percent_encoded(database),
            percent_encoded(&self.socket_dir.path().to_string_lossy()),
        )
    }

    /// The process id of the server, the parent of all of PostgreSQL's processes.
    pub fn process_id(&self) -> u32 {
        self.server.process_id()
    }

    /// Whether this start made the cluster, so that nothing is in it yet.
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// Completes when the server has ended without being asked to, with the reason:
    /// [`DevError::Exited`], quoting its log. May be dropped and called again.
    pub async fn exited(&mut self) -> DevError {
        self.server.exited().await
    }

    /// Creates the database `name`, owned by [`OWNER_ROLE`], if it does not exist. True if it was
    /// created.
    ///
    /// # Errors
    ///
    /// [`DevError::DatabaseName`] if the name would need quoting, [`DevError::Psql`] if the server
    /// refuses.
    pub async fn ensure_database(&self, name: &str) -> Result<bool, DevError> {
        if !is_plain_name(name) {
            return Err(DevError::DatabaseName(name.to_owned()));
        }
        let ask = format!("SELECT 1 FROM pg_database WHERE datname = '{name}'");
        if self.psql(&ask).await?.trim() == "1" {
            return Ok(false);
        }
        self.psql(&format!("CREATE DATABASE \"{name}\"")).await?;
        Ok(true)
    }

    /// Ends the server in good order, by force if it takes more than ten seconds, and returns when
    /// its process is gone.
    ///
    /// # Errors
    ///
    /// [`DevError::Unstoppable`] if not even force helps.
    pub async fn stop(mut self) -> Result<(), DevError> {
        self.server.stop().await
    }

    /// Runs one statement as the owner, with the `psql` that came with the server.
    async fn psql(&self, statement: &str) -> Result<String, DevError> {
        let program = self.binaries.program("psql");
        let output = tool::command(&program, &self.run_as)
            .args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-U", OWNER])
            .args(["-d", "postgres", "-p", &PORT.to_string(), "-h"])
            .arg(self.socket_dir.path())
            .args(["-c", statement])
            .output()
            .await
            .map_err(DevError::io("cannot run", &program))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(DevError::Psql(said.trim().to_owned()))
        }
    }
}

/// Starts the server and waits until it is ready. When the server before it was killed, its
/// processes may hold the shared memory for a moment longer: then it is tried again.
async fn serve(layout: &Layout, command: impl Fn() -> Command) -> Result<Server, DevError> {
    let deadline = Instant::now() + CRASH_DEADLINE;
    loop {
        let mut server = Server::spawn(command(), &layout.cluster, &layout.log)?;
        match server.ready().await {
            Ok(()) => return Ok(server),
            Err(DevError::Exited { tail, .. })
                if tail.contains("pre-existing shared memory") && Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Settings on the command line win over those in the data directory, so these hold whatever
/// somebody has set there. Everything else, `fsync` first of all, is as PostgreSQL comes, unless the
/// caller has asked otherwise.
fn server_command(
    layout: &Layout,
    binaries: &Binaries,
    run_as: &RunAs,
    socket_dir: &Path,
    settings: &[(String, String)],
) -> Command {
    let mut command = tool::command(&binaries.program("postgres"), run_as);
    command.arg("-D").arg(&layout.cluster);
    // First: of two settings of the same name the last one wins.
    for (name, value) in settings {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    for setting in [
        // No TCP.
        "listen_addresses=",
        &format!("port={PORT}"),
        &format!("unix_socket_directories={}", socket_dir.display()),
        "unix_socket_permissions=0700",
        // To our file, so that an error can quote it.
        "log_destination=stderr",
        "logging_collector=off",
    ] {
        command.arg("-c").arg(setting);
    }
    command.stdin(Stdio::null());
    command
}

/// A name that means the same in a string, in double quotes and on a command line.
fn is_plain_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// For a part of a URL: everything but letters, digits, `-._~` and the slashes of a path.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_a_url_is_encoded() {
        assert_eq!(percent_encoded("/run/a-b_c.d"), "/run/a-b_c.d");
        assert_eq!(percent_encoded("a b+c@d&é"), "a%20b%2Bc%40d%26%C3%A9");
    }

    #[test]
    fn a_database_name_is_plain_or_refused() {
        assert!(is_plain_name("creditgate"));
        assert!(is_plain_name("tenant_7"));
        let long = "a".repeat(64);
        for name in ["", "7up", "Upper", "a-b", "a'b", "a\"b", "a b", &long] {
            assert!(!is_plain_name(name), "{name:?}");
        }
    }
}
