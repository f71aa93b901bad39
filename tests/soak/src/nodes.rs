//! The two nodes, their Redis, and the slow key set of a tenant.
//!
//! All settings but the tenants are the defaults: what an operator has who has limited the memory of the container and
//! nothing else.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::{Redis, ServerProcess};
use tempfile::TempDir;

use crate::control_group::ControlGroup;
use crate::machine::Machine;
use crate::target::{QUIET, SECOND, SLOW, secret_of};

/// What a node may use, with the kernel's part.
pub const MEMORY_MAX: u64 = 512 << 20;

/// What its process may have resident: its `server.memory_budget`.
pub const BUDGET: u64 = MEMORY_MAX / 2;

/// Lines of a log that are shown when a soak fails.
const LINES_SHOWN: usize = 40;

/// How long the key set takes to answer.
const KEY_SET_DELAY: Duration = Duration::from_secs(3);

/// Tenants without clients. Each has metrics, whose page has more than a megabyte with them.
const IDLE_TENANTS: usize = 700;

/// One node, in a group of its own if that is possible.
#[derive(Debug)]
pub struct Node {
    /// First, so that the process ends before its group.
    process: ServerProcess,
    group: Option<ControlGroup>,
    address: SocketAddr,
    start_line: String,
    _folder: TempDir,
    config: PathBuf,
    settings: String,
}

/// Everything that is attacked.
#[derive(Debug)]
pub struct Nodes {
    pub one: Node,
    /// None without Redis.
    pub two: Option<Node>,
    pub secret: String,
    _redis: Option<Redis>,
}

impl Nodes {
    /// Starts them. Says what this machine lacks.
    pub fn start(server: &Path, machine: &Machine, runtime: &tokio::runtime::Runtime) -> Result<Nodes> {
        let redis = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        let redis = match redis {
            Ok(_) => Some(runtime.block_on(Redis::start())),
            Err(error) => {
                println!("SKIPPED: a second node, because redis-server does not start: {error}");
                None
            }
        };
        let url = redis.as_ref().map(Redis::url);
        let secret = "the secret of the attackers' tenant, of 32 bytes and more".to_owned();
        let keys = serve_keys_slowly()?;
        let start = |name| Node::start(server, name, &settings(&secret, keys), url.as_deref());
        let one = machine.on_first(|| start("one"))?;
        let two = url.is_some().then(|| start("two")).transpose()?;
        Ok(Nodes { one, two, secret, _redis: redis })
    }

    /// Each with its name.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &Node)> {
        [("node one", Some(&self.one)), ("node two", self.two.as_ref())]
            .into_iter()
            .filter_map(|(name, node)| Some((name, node?)))
    }
}

impl Node {
    fn start(server: &Path, name: &str, settings: &str, redis: Option<&str>) -> Result<Node> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("config.toml");
        fs::write(&config, settings)?;
        let group = ControlGroup::with_limit(name, MEMORY_MAX);
        let mut command = match &group {
            Ok(group) => group.command(server),
            Err(error) => {
                println!(
                    "No control group can be made ({error:#}). Instead, the resident memory is checked."
                );
                let mut command = Command::new(server);
                command.env("REALTIME__SERVER__MEMORY_BUDGET", BUDGET.to_string());
                command
            }
        };
        command.args(["serve", "--config"]).arg(&config).current_dir(folder.path());
        command.envs(redis.map(|url| ("REDIS_URL", url))).stdout(Stdio::null());
        let process = ServerProcess::start(command);
        let start_line = process.log_line("Listening");
        let address = start_line.split_once("address=").context("no address in the start line")?.1;
        let address = address.split(' ').next().unwrap_or_default().parse().context("not an address")?;
        Ok(Node {
            process,
            group: group.ok(),
            address,
            start_line,
            _folder: folder,
            config,
            settings: settings.to_owned(),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its settings.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Puts its first settings back, whatever is in their place.
    pub fn restore_settings(&self) -> Result<()> {
        let _not_a_folder = fs::remove_dir(&self.config);
        let new = self.config.with_extension("good");
        fs::write(&new, &self.settings)?;
        Ok(fs::rename(&new, &self.config)?)
    }

    /// Its control group, if there is one.
    pub fn group(&self) -> Option<&ControlGroup> {
        self.group.as_ref()
    }

    /// What it has written when it began to listen.
    pub fn start_line(&self) -> &str {
        &self.start_line
    }

    /// The last lines that it has logged.
    pub fn last_lines(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
    }

    /// All that it has written.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Whether the process that was started still runs.
    pub fn is_running(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        // It stays a zombie until it is dropped here, so nothing else gets its id.
        status.is_ok_and(|text| !text.lines().any(|line| line.starts_with("State:\tZ")))
    }

    /// What asks the node how it is.
    pub fn probe(&self) -> Probe {
        Probe { address: self.address, id: self.process.id() }
    }
}

/// Asks a node how it is.
#[derive(Debug)]
pub struct Probe {
    address: SocketAddr,
    id: u32,
}

impl Probe {
    /// Its resident memory, in bytes.
    pub fn resident(&self) -> Result<u64> {
        self.memory("VmRSS:")
    }

    /// The most memory that it has had resident, in bytes.
    pub fn resident_peak(&self) -> Result<u64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, key: &str) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.id))?;
        let value = text.lines().find_map(|line| line.strip_prefix(key)).context("the process has ended")?;
        Ok(value.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// The page `/metrics`.
    pub fn metrics(&self) -> Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut page = String::new();
        let read = stream.read_to_string(&mut page);
        let received = page.len();
        read.with_context(|| format!("after {received} bytes"))?;
        let (head, body) = page.split_once("\r\n\r\n").context("no head")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{}", head.lines().next().unwrap_or_default());
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        ensure!(length == Some(body.len()), "{} of {length:?} bytes", body.len());
        Ok(body.to_owned())
    }
}

/// The value of a metric without labels.
pub fn number(page: &str, metric: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' ')?.parse().ok())
}

/// Bytes in words.
pub fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// The settings of both nodes.
fn settings(secret: &str, keys: SocketAddr) -> String {
    let tenant = |number| format!("[tenants.idle-{number}.auth]\njwt_secret = \"{secret}, of idle ones\"\n");
    let idle: String = (0..IDLE_TENANTS).map(tenant).collect();
    format!(
        "[server]\nhost = \"127.0.0.1\"\nport = 0\n\
         [auth]\njwt_secret = \"{secret}\"\n\
         [tenants.{QUIET}.auth]\njwt_secret = \"{}\"\n\
         [tenants.{SECOND}.auth]\njwt_secret = \"{}\"\n\
         [tenants.{SLOW}.auth]\njwks_url = \"http://{keys}/keys\"\n{idle}",
        secret_of(QUIET, secret),
        secret_of(SECOND, secret)
    )
}

/// A key set without keys that takes [`KEY_SET_DELAY`] for each answer.
fn serve_keys_slowly() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // Ends with the process.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer_slowly(stream));
        }
    });
    Ok(address)
}

fn answer_slowly(mut stream: TcpStream) {
    let mut request = [0; 2048];
    let _begins = stream.read(&mut request);
    thread::sleep(KEY_SET_DELAY);
    let _gone =
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\n{\"keys\":[]}");
}
