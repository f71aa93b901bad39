//! A PostgreSQL for a workload: the installed programs with their defaults, so that a commit is durable.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::machine::{self, Cores, Deadline, LOWEST_PRIORITY};
use crate::server::fresh_folder;

/// A database, on whichever core is free. Ended and removed when dropped.
pub struct Database {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Database {
    /// Starts one with these settings (`name=value`) beyond the defaults, and waits until it accepts connections.
    pub fn start(cores: Option<Cores>, settings: &[&str]) -> Result<Self> {
        let programs = programs()?;
        let folder = fresh_folder()?;
        let data = folder.join("data");
        fs::create_dir(&data)?;
        let user = other_user();
        for folder in [&folder, &data] {
            if let Some((user, group)) = user {
                chown(folder, Some(user), Some(group))?;
            }
        }
        let as_other = |program: &str| {
            let mut command = Command::new(programs.join(program));
            if let Some((user, group)) = user {
                command.uid(user).gid(group);
            }
            command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
            command
        };
        let mut initdb = as_other("initdb");
        // What it writes need not last; what the server writes later does.
        initdb.args(["--username", "postgres", "--auth", "trust", "--no-sync", "--pgdata"]).arg(&data);
        ensure!(initdb.status().context("no initdb: see tests/install")?.success(), "initdb failed");
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut server = as_other("postgres");
        server.arg("-D").arg(&data).arg("-k").arg(&folder).args(["-h", "127.0.0.1", "-p", &port.to_string()]);
        server.args(settings.iter().flat_map(|setting| ["-c", setting]));
        server.stderr(File::create(folder.join("log"))?);
        let child = machine::start_everywhere(cores, || server.spawn())?.context("no postgres")?;
        let database = Self { child, folder, port };
        let deadline = Deadline::after(Duration::from_secs(30));
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            deadline.check(|| "PostgreSQL does not accept connections".to_owned())?;
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(database)
    }

    /// Its port on 127.0.0.1. The user `postgres` needs no password.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Gives the sessions that begin from now on the lowest priority.
    pub fn lower_priority(&self) -> Result<()> {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::setpriority_process(Some(id), LOWEST_PRIORITY).context("cannot lower the priority")
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Its own signal for an immediate end, with all its processes. Errors mean that it has ended already.
        let id = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::QUIT);
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The programs of the newest version that is installed.
pub fn programs() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
    let newest = newest.context("PostgreSQL is not installed: see tests/install")?;
    Ok(Path::new("/usr/lib/postgresql").join(newest.to_string()).join("bin"))
}

/// For root, which PostgreSQL refuses, the ids of the user `postgres`.
fn other_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let fields: Vec<_> = users.lines().find(|line| line.starts_with("postgres:"))?.split(':').collect();
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}
