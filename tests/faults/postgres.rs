//! A PostgreSQL of its own, as durable as in production, that can be killed,
//! stopped and replaced by its standby.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User, chown},
};
use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

/// The superuser.
const OWNER: &str = "creditgate_owner";
/// How long PostgreSQL may take to start; it may have to recover.
const START_PATIENCE: Duration = Duration::from_secs(60);

const SETTINGS: &str = "
listen_addresses = ''
unix_socket_permissions = 0777
port = 5432
max_connections = 200
shared_buffers = 128MB
fsync = on
synchronous_commit = on
full_page_writes = on
wal_level = replica
max_wal_senders = 4
";

/// The server, and where its data lies. Dropped, it is killed and its data goes.
pub struct Postgres {
    /// Dropped before its data is.
    server: Option<Child>,
    bindir: PathBuf,
    home: Home,
    /// Whom it runs as, where this is root: PostgreSQL refuses to.
    user: Option<User>,
    /// How many clusters there have been: each standby is a new one.
    generation: u32,
}

/// A directory that goes with this.
struct Home(PathBuf);

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub async fn start() -> Self {
        let found = std::process::Command::new("deploy/install-postgres.sh")
            .arg("--find")
            .output()
            .unwrap();
        assert!(found.status.success(), "no PostgreSQL was found: `make postgres` installs one");
        let bindir = PathBuf::from(String::from_utf8(found.stdout).unwrap().trim());
        // Short: a socket's path has some hundred bytes.
        let path = PathBuf::from(format!("/tmp/creditgate-faults.{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&path).unwrap();
        let is_root = nix::unistd::Uid::effective().is_root();
        let user = is_root.then(|| User::from_name("postgres").unwrap().expect("no user postgres"));
        if let Some(user) = &user {
            chown(&path, Some(user.uid), Some(user.gid)).unwrap();
        }
        let mut postgres = Self { server: None, bindir, home: Home(path), user, generation: 0 };
        let data = postgres.data();
        let options = [
            &["--username", OWNER, "--encoding", "UTF8", "--locale", "C"][..],
            &["--auth-local", "trust", "--auth-host", "reject", "--no-instructions"],
        ];
        let mut initdb = postgres.command("initdb");
        postgres.run(initdb.arg("-D").arg(&data).args(options.concat())).await;
        let conf = data.join("postgresql.conf");
        let mut settings = std::fs::read_to_string(&conf).unwrap();
        settings.push_str(SETTINGS);
        std::fs::write(&conf, settings).unwrap();
        postgres.serve().await;
        postgres
    }

    fn data_of(&self, generation: u32) -> PathBuf {
        self.home.0.as_path().join(format!("data{generation}"))
    }

    fn data(&self) -> PathBuf {
        self.data_of(self.generation)
    }

    fn socket_dir(&self, generation: u32) -> PathBuf {
        self.home.0.as_path().join(format!("run{generation}"))
    }

    /// The socket of the server that is in charge.
    pub fn socket(&self) -> PathBuf {
        self.socket_dir(self.generation).join(".s.PGSQL.5432")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bindir.join(program));
        command.current_dir(self.home.0.as_path()).env("LC_ALL", "C").stdin(Stdio::null());
        command.kill_on_drop(true);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PG")) {
                command.env_remove(name);
            }
        }
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    async fn run(&self, command: &mut Command) {
        let output = command.output().await.unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {error}");
    }

    /// Starts the server on a cluster.
    async fn launch(&self, generation: u32) -> Child {
        let socket_dir = self.socket_dir(generation);
        std::fs::create_dir_all(&socket_dir).unwrap();
        if let Some(user) = &self.user {
            chown(&socket_dir, Some(user.uid), Some(user.gid)).unwrap();
        }
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.home.0.as_path().join(format!("log{generation}")))
            .unwrap();
        self.command("postgres")
            .arg("-D")
            .arg(self.data_of(generation))
            .arg("-k")
            .arg(&socket_dir)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Starts the server, again where it was killed, and waits until it takes
    /// connections.
    pub async fn serve(&mut self) {
        let begun = Instant::now();
        loop {
            let ended = match &mut self.server {
                None => true,
                Some(server) => server.try_wait().unwrap().is_some(),
            };
            // One that was killed leaves processes behind, which end soon; as long
            // as one lives, no other starts.
            if ended {
                self.server = Some(self.launch(self.generation).await);
            }
            if PgConnection::connect_with(&self.options(OWNER, "postgres")).await.is_ok() {
                return;
            }
            assert!(begun.elapsed() < START_PATIENCE, "it does not start: {}", self.log());
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// The end of its log.
    fn log(&self) -> String {
        let path = self.home.0.as_path().join(format!("log{}", self.generation));
        let log = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    /// Ends it at once: SIGQUIT stops it without a checkpoint, SIGKILL takes the
    /// postmaster away from its processes.
    pub async fn crash(&mut self, signal: Signal) {
        let Some(mut server) = self.server.take() else { return };
        let pid = i32::try_from(server.id().unwrap()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
        timeout(START_PATIENCE, server.wait()).await.expect("it does not end").unwrap();
    }

    /// Starts a standby that every commit waits for from now on.
    pub async fn add_standby(&mut self) -> Standby {
        let generation = self.generation + 1;
        let mut copy = self.command("pg_basebackup");
        copy.arg("-D").arg(self.data_of(generation)).args(["-X", "stream", "-R", "-c", "fast"]);
        let socket_dir = self.socket_dir(self.generation);
        copy.arg("-d").arg(format!("host={} user={OWNER}", socket_dir.display()));
        self.run(&mut copy).await;
        let server = self.launch(generation).await;
        let mut primary = self.connect(OWNER, "postgres").await;
        let begun = Instant::now();
        let streams = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        while sqlx::query_scalar::<_, i64>(streams).fetch_one(&mut primary).await.unwrap() == 0 {
            assert!(begun.elapsed() < START_PATIENCE, "the standby does not follow");
            sleep(Duration::from_millis(20)).await;
        }
        primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'").await.unwrap();
        primary.execute("SELECT pg_reload_conf()").await.unwrap();
        let is_waited_for = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        while sqlx::query_scalar::<_, i64>(is_waited_for).fetch_one(&mut primary).await.unwrap()
            == 0
        {
            assert!(begun.elapsed() < START_PATIENCE, "nobody waits for the standby");
            sleep(Duration::from_millis(20)).await;
        }
        primary.close().await.unwrap();
        Standby { server }
    }

    /// The standby of a server that has crashed takes over, and takes connections when
    /// this returns.
    pub async fn promote(&mut self, standby: Standby) {
        let old = self.data();
        self.generation += 1;
        self.server = Some(standby.server);
        let mut connection = self.connect(OWNER, "postgres").await;
        connection.execute("SELECT pg_promote()").await.unwrap();
        connection.close().await.unwrap();
        // Processes of the old one may still be about to end.
        let _ = std::fs::remove_dir_all(old);
    }

    /// How to connect, past any proxy.
    pub fn options(&self, role: &str, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.socket_dir(self.generation))
            .port(5432)
            .username(role)
            .database(database)
    }

    /// A connection past any proxy.
    pub async fn connect(&self, role: &str, database: &str) -> PgConnection {
        PgConnection::connect_with(&self.options(role, database)).await.unwrap()
    }

    /// A connection as the owner.
    pub async fn owner(&self, database: &str) -> PgConnection {
        self.connect(OWNER, database).await
    }

    /// The owner's URL, past any proxy.
    pub fn owner_url(&self, database: &str) -> String {
        let dir = self.socket_dir(self.generation);
        format!("postgres://{OWNER}@localhost/{database}?host={}&port=5432", dir.display())
    }

    /// Where it lies: for a look after a failure.
    pub fn home(&self) -> &Path {
        self.home.0.as_path()
    }
}

/// A standby that follows.
pub struct Standby {
    server: Child,
}
