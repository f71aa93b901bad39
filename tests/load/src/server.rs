//! The two things we measure, as child processes: the release server and the floor.
//!
//! Each runs alone on its core, started fresh for every run, in a folder of its own so that no
//! configuration lying about is picked up. A [`Target`] ends its child when dropped, by its own id, so a
//! failed or interrupted run leaves nothing behind.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use crate::entry::Entry;
use crate::floor::Style;
use crate::machine::{Cores, Deadline};
use crate::message::{self, Broadcast, Encoding};

/// Limits that are raised, so that the server does not refuse the benchmark. All else is
/// as the product ships. A second tenant is there in every run; only `abuse` lets it speak.
const RAISED: &[(&str, &str)] = &[
    ("REALTIME__LIMITS__MAX_CONCURRENT_USERS", "20000"),
    ("REALTIME__LIMITS__MAX_EVENTS_PER_SECOND", "10000000"),
    ("REALTIME__LIMITS__MAX_JOINS_PER_SECOND", "10000000"),
    ("REALTIME__LIMITS__MAX_PRESENCE_EVENTS_PER_SECOND", "10000000"),
    ("REALTIME__SERVER__MAX_CONNECTIONS", "20000"),
    ("REALTIME__TENANTS__NOISY__LIMITS__MAX_EVENTS_PER_SECOND", "500"),
    ("REALTIME__TENANTS__NOISY__LIMITS__MAX_JOINS_PER_SECOND", "500"),
];

/// The secret of the second tenant: that of the first, because what keeps them apart is not the secret.
const NOISY_SECRET: &str = "REALTIME__TENANTS__NOISY__AUTH__JWT_SECRET";

/// Messages and joins that the second tenant may have in a second, as [`RAISED`] says.
pub const NOISY_RATE: u32 = 500;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// The product.
    Server,
    /// The least a relay can do.
    Floor(Style),
}

/// What a server is given beyond what every server of a benchmark is given.
#[derive(Debug, Default)]
pub struct Setup {
    /// The secret of its tokens, when several servers must accept the same ones.
    pub secret: Option<String>,
    /// Variables.
    pub variables: Vec<(&'static str, String)>,
    /// Its `config.toml`.
    pub config: Option<String>,
}

/// One of the two, running.
pub struct Target {
    kind: Kind,
    child: Child,
    folder: PathBuf,
    secret: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// From `spawn` until it accepted a connection (the server: and answered `GET /health` with 200).
    pub started_in: Duration,
}

impl Target {
    /// Starts one and waits until it accepts.
    pub fn start(kind: Kind, server: &Path, cores: Option<Cores>) -> Result<Self> {
        Self::start_with(kind, server, cores, &Setup::default())
    }

    /// The same, with more than the usual set-up.
    pub fn start_with(kind: Kind, server: &Path, cores: Option<Cores>, setup: &Setup) -> Result<Self> {
        let folder = fresh_folder()?;
        let secret = setup.secret.clone().map_or_else(secret, Ok)?;
        if let Some(config) = &setup.config {
            fs::write(folder.join("config.toml"), config).context("cannot write config.toml")?;
        }
        let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = match kind {
            Kind::Server => server_command(server, &secret, free),
            Kind::Floor(style) => floor_command(style)?,
        };
        command.envs(setup.variables.iter().map(|(name, value)| (name, value)));
        // Not where it is run, because the server watches that folder for a configuration.
        let log = folder.join("log");
        fs::create_dir(&log)?;
        command.current_dir(&folder).stdin(Stdio::null()).stderr(File::create(log.join("stderr"))?);
        let from = Instant::now();
        let child = match cores {
            Some(cores) => cores.on_server_core(|| command.spawn())?,
            None => command.spawn(),
        };
        let child = child.with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let mut target = Self { kind, child, folder, secret, address: free, started_in: Duration::ZERO };
        match kind {
            Kind::Server => target.wait_for_health()?,
            Kind::Floor(_) => target.wait_for_address()?,
        }
        target.started_in = from.elapsed();
        Ok(target)
    }

    /// The child's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it speaks WebSocket and Phoenix.
    pub fn is_server(&self) -> bool {
        self.kind == Kind::Server
    }

    /// The first messages of a member. `presence` is its part of the join's config.
    pub fn entry(&self, room: u32, member: usize, presence: &serde_json::Value) -> Result<Entry> {
        if !self.is_server() {
            return Ok(Entry::floor(room));
        }
        let join = message::join(&topic(room), presence);
        Ok(Entry::phoenix(&self.address.to_string(), &self.token(member)?, &join))
    }

    /// The first messages of a client of the second tenant, which its host name selects.
    pub fn noisy_tenant(&self, room: u32, member: usize) -> Result<Entry> {
        let host = format!("noisy.localhost:{}", self.address.port());
        let join = message::join(&topic(room), &json!({"enabled": false}));
        Ok(Entry::phoenix(&host, &self.token(member)?, &join))
    }

    /// The broadcast a member of this room sends.
    pub fn broadcast(&self, encoding: Encoding, room: u32, payload_size: usize) -> Broadcast {
        match self.kind {
            Kind::Server => Broadcast::phoenix(encoding, &topic(room), payload_size),
            Kind::Floor(_) => Broadcast::floor(encoding, &topic(room), payload_size),
        }
    }

    /// A token as of a Supabase user; each member has its own, or a cache of tokens would distort the storm.
    fn token(&self, member: usize) -> Result<String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let claims = json!({
            "sub": format!("member-{member:05}"), "role": "authenticated", "aud": "authenticated",
            "iat": now, "exp": now + 3600,
        });
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        Ok(jsonwebtoken::encode(&Header::default(), &claims, &key)?)
    }

    fn wait_for_health(&mut self) -> Result<()> {
        let deadline = Deadline::after(Duration::from_secs(15));
        while !is_healthy(self.address) {
            self.check_alive()?;
            deadline.check(|| format!("no 200 from /health; its log: {}", self.log()))?;
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    fn wait_for_address(&mut self) -> Result<()> {
        let stdout = self.child.stdout.as_mut().context("the floor's stdout is ours")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        self.address = line.trim().parse().context("the floor did not print its address")?;
        Ok(())
    }

    /// Fails if the child has ended, with its output.
    pub fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("ended with {status}: {}", self.log());
        }
        Ok(())
    }

    /// Where its log lines go.
    pub fn log_file(&self) -> PathBuf {
        self.folder.join("log").join("stderr")
    }

    /// The `config.toml` it follows, if it was given one.
    pub fn config_file(&self) -> PathBuf {
        self.folder.join("config.toml")
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.log_file()).unwrap_or_default();
        log.chars().rev().take(2000).collect::<Vec<_>>().into_iter().rev().collect()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The name of a room on the wire; as long for every room, so that all frames are of one size.
pub fn topic(room: u32) -> String {
    format!("realtime:room-{room:04}")
}

fn server_command(server: &Path, secret: &str, address: SocketAddr) -> Command {
    let mut command = Command::new(server);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("REALTIME__") {
            command.env_remove(name);
        }
    }
    command.arg("serve").envs(RAISED.iter().copied());
    command.env("JWT_SECRET", secret).env(NOISY_SECRET, secret);
    command.env("HOST", "127.0.0.1").env("PORT", address.port().to_string());
    // Logs go to a file rather than a pipe without a reader: a full pipe would stop the server.
    command.stdout(Stdio::null());
    command
}

fn floor_command(style: Style) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["floor", if style == Style::Single { "single" } else { "coalesced" }]);
    command.stdout(Stdio::piped());
    Ok(command)
}

fn is_healthy(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut answer = [0; 12];
    stream.set_read_timeout(Some(Duration::from_secs(2))).is_ok()
        && stream.write_all(request.as_bytes()).is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer == *b"HTTP/1.1 200"
}

fn fresh_folder() -> Result<PathBuf> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let folder = std::env::temp_dir().join(format!("load-{}-{}", std::process::id(), since.as_nanos()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// A random secret.
pub fn secret() -> Result<String> {
    let mut random = [0; 24];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
