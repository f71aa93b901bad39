//! A PostgreSQL for tests: a cluster of the installed programs on a free port, shared by the tests of a process that need
//! one at the same time, and an empty database for each. Stopped when the last of them is dropped.

mod standby;
mod template;

use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{PostgresSession, WAIT_MAX};

/// The superuser of a cluster.
const USER: &str = "postgres";

/// How long a cluster may take to start.
const START_MAX: Duration = Duration::from_secs(30);

/// An empty database. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Postgres {
    cluster: Arc<Cluster>,
    database: String,
}

/// A program that ends when this is dropped.
#[derive(Debug)]
pub struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _has_ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[derive(Debug)]
struct Cluster {
    server: Mutex<Option<Child>>,
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    settings: Vec<String>,
}

impl Postgres {
    /// A database.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    pub fn start() -> Postgres {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        static DATABASES: AtomicU32 = AtomicU32::new(0);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = shared.upgrade().unwrap_or_else(|| Arc::new(Cluster::start(&[])));
        *shared = Arc::downgrade(&cluster);
        drop(shared);
        let database = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        cluster.sql(USER, &format!("CREATE DATABASE {database}"));
        Postgres { cluster, database }
    }

    /// A database in a cluster that no other test uses, with more settings (`name=value`).
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn alone(settings: &[&str]) -> Postgres {
        Postgres { cluster: Arc::new(Cluster::start(settings)), database: USER.into() }
    }

    /// Ends the cluster, which is [alone](Self::alone): `INT` closes its connections, `KILL` leaves them to be found closed.
    ///
    /// # Panics
    /// When it does not run.
    pub fn end(&self, signal: Signal) {
        self.cluster.end(signal);
    }

    /// Starts the cluster that was ended, with the same data.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&self) {
        self.cluster.run();
    }

    /// Where the data of the cluster is.
    pub fn data(&self) -> PathBuf {
        self.cluster.folder.path().join("data")
    }

    /// A file that the cluster may read, and no other user.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_file(&self, name: &str, contents: &[u8]) -> PathBuf {
        let file = self.data().join(name);
        fs::write(&file, contents).expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("an own file");
        give_away(&file);
        file
    }

    /// What the cluster has logged since it was started.
    pub fn log(&self) -> String {
        self.cluster.log()
    }

    /// A connection that stays open.
    pub fn session(&self) -> PostgresSession {
        PostgresSession::start(self.cluster.psql(&self.database))
    }

    /// A program that takes a WAL sender (`pg_receivewal`) until it is dropped. None for a server that is newer than the installed
    /// program, which refuses it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn receive_log(&self) -> Option<KilledOnDrop> {
        if std::env::var_os(OTHER_SERVER).is_some() {
            println!("SKIPPED: taking a WAL sender: pg_receivewal is of another version than the server");
            return None;
        }
        let folder = self.data().join("received");
        fs::create_dir(&folder).expect("a folder of its own");
        let mut program = Command::new(self.cluster.programs.join("pg_receivewal"));
        program.args(["-h", "127.0.0.1", "-p", &self.cluster.port.to_string(), "-U", USER, "-D"]).arg(folder);
        let program = program.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let program = KilledOnDrop(program.expect("pg_receivewal is installed"));
        let (taken, started) = ("SELECT count(*) FROM pg_stat_replication", Instant::now());
        while self.sql(taken) == "0" {
            assert!(started.elapsed() < START_MAX, "pg_receivewal takes no WAL sender");
            thread::sleep(Duration::from_millis(20));
        }
        Some(program)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        self.url_at(SocketAddr::from((Ipv4Addr::LOCALHOST, self.cluster.port)))
    }

    /// Its URL through a proxy at `address`.
    pub fn url_at(&self, address: SocketAddr) -> String {
        format!("postgres://{USER}@{address}/{}", self.database)
    }

    /// Where the cluster listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.cluster.port))
    }

    /// Runs statements. Returns the rows of the last one, a line each, columns separated by `|`.
    ///
    /// # Panics
    /// When a statement fails.
    pub fn sql(&self, statements: &str) -> String {
        self.cluster.sql(&self.database, statements)
    }

    /// Runs statements, which may fail. Returns whether they did not.
    ///
    /// # Panics
    /// When `psql` is not installed.
    pub fn try_sql(&self, statements: &str) -> bool {
        self.cluster.try_sql(&self.database, statements).status.success()
    }

    /// Runs statements. Returns the notices and warnings that they cause, a line each.
    ///
    /// # Panics
    /// When a statement fails.
    pub fn notices(&self, statements: &str) -> String {
        let ran = self.cluster.run_sql(&self.database, statements);
        String::from_utf8_lossy(&ran.stderr).trim_end().into()
    }
}

impl Postgres {
    /// The definitions in a schema, as `pg_dump` writes them; none of a server that is newer than the installed `pg_dump`,
    /// which refuses it.
    ///
    /// # Panics
    /// When it fails.
    pub fn definitions(&self, schema: &str) -> String {
        if std::env::var_os(OTHER_SERVER).is_some() {
            println!("SKIPPED: the definitions in {schema}: pg_dump is of another version than the server");
            return String::new();
        }
        let mut dump = Command::new(self.cluster.programs.join("pg_dump"));
        dump.args([
            "-h",
            "127.0.0.1",
            "-p",
            &self.cluster.port.to_string(),
            "-U",
            USER,
            "-d",
            &self.database,
        ]);
        let dumped = dump.args(["--schema-only", "--schema", schema]).output().expect("pg_dump is installed");
        assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
        // Newer versions write a random key in these.
        let text = String::from_utf8_lossy(&dumped.stdout);
        text.lines().filter(|line| !line.starts_with("\\")).collect::<Vec<_>>().join("\n")
    }
}

impl Cluster {
    fn start(settings: &[&str]) -> Cluster {
        let programs = programs();
        let folder = tempfile::tempdir().expect("a folder for PostgreSQL");
        give_away(folder.path());
        template::copy_to(&folder.path().join("data"));
        let port = free_port();
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let cluster = Cluster { server: Mutex::new(None), folder, programs, port, settings };
        cluster.run();
        cluster
    }

    /// Starts the server, and waits until it answers.
    fn run(&self) {
        let started = Instant::now();
        let mut child = self.spawn();
        while !self.psql(USER).args(["-c", "SELECT 1"]).status().expect("psql is installed").success() {
            assert!(started.elapsed() < START_MAX, "PostgreSQL does not start: {}", self.log());
            thread::sleep(Duration::from_millis(20));
            if child.try_wait().expect("a child of this process").is_some() {
                // A client of another test may have been given its port for a moment.
                assert!(self.log().contains("Address already in use"), "it ends: {}", self.log());
                child = self.spawn();
            }
        }
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
    }

    fn spawn(&self) -> Child {
        let mut command = as_other_user(&server_programs().join("postgres"));
        command.arg("-D").arg(self.folder.path().join("data"));
        command.arg("-k").arg(self.folder.path()).args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        // A replication session or two for each test that runs at the same time.
        let settings = [
            "wal_level=logical",
            "max_wal_senders=100",
            "max_replication_slots=100",
            "max_connections=200",
            "shared_buffers=32MB",
            // No machine loses power in a test. What was written outlives the processes that have written it.
            "fsync=off",
        ];
        for setting in settings.into_iter().chain(self.settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        let log = fs::File::create(self.folder.path().join("log")).expect("a log");
        // A pipe, which is open for as long as one of its processes is left.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        command.spawn().expect("postgres is installed; `tests/install` does that")
    }

    /// Returns when none of its processes is left: of one that is killed, those that serve connections answer for a moment more.
    fn end(&self, signal: Signal) {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut server = server.expect("it runs");
        kill_process(Pid::from_child(&server), signal).expect("it runs");
        server.wait().expect("a child of this process");
        let mut output = server.stdout.take().expect("a pipe");
        let (end, ended) = mpsc::channel();
        thread::spawn(move || end.send(output.read_to_end(&mut Vec::new())));
        ended.recv_timeout(WAIT_MAX).expect("all its processes end").expect("a pipe");
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("log")).unwrap_or_default()).into_owned()
    }

    fn psql(&self, database: &str) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", USER, "-d", database]);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        psql.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        psql
    }

    fn sql(&self, database: &str, statements: &str) -> String {
        String::from_utf8_lossy(&self.run_sql(database, statements).stdout).trim_end().into()
    }

    fn run_sql(&self, database: &str, statements: &str) -> Output {
        let ran = self.try_sql(database, statements);
        assert!(ran.status.success(), "{statements}: {}", String::from_utf8_lossy(&ran.stderr));
        ran
    }

    fn try_sql(&self, database: &str, statements: &str) -> Output {
        let mut psql = self.psql(database);
        psql.args(["-c", statements]).stdout(Stdio::piped()).stderr(Stdio::piped());
        psql.output().expect("psql is installed")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut server) = server {
            // Its own signal for an immediate end: the other processes of the cluster end with it.
            let _has_ended = kill_process(Pid::from_child(&server), Signal::QUIT);
            let _reaped = server.wait();
        }
    }
}

/// Names the folder with `initdb` and `postgres` of another version than the newest that is installed.
const OTHER_SERVER: &str = "TEST_POSTGRES_SERVER";

/// The programs that make and run a cluster.
fn server_programs() -> PathBuf {
    std::env::var_os(OTHER_SERVER).map_or_else(programs, PathBuf::from)
}

/// The programs of the newest version that is installed.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
    let newest = newest.expect("PostgreSQL is installed; `tests/install` does that");
    Path::new("/usr/lib/postgresql").join(newest.to_string()).join("bin")
}

/// A command that does not run as root, which PostgreSQL refuses.
fn as_other_user(program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = other_user() {
        command.uid(user).gid(group);
    }
    command.current_dir("/");
    command
}

/// Gives a folder to the user that the programs run as.
fn give_away(folder: &Path) {
    if let Some((user, group)) = other_user() {
        chown(folder, Some(user), Some(group)).expect("root may do that");
    }
}

/// For root, the ids of the user `postgres`, which Debian's package makes.
fn other_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("a list of users");
    let fields: Vec<_> = users.lines().find(|line| line.starts_with("postgres:"))?.split(':').collect();
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}
