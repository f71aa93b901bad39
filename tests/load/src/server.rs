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
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use jsonwebtoken::{EncodingKey, Header};
use rustls::{ClientConfig, StreamOwned};
use serde_json::json;

use crate::certificate;
use crate::entry::Entry;
use crate::floor::Style;
use crate::machine::{Cores, Deadline};
use crate::message::{self, Broadcast, Encoding, Privacy};
use crate::setup::{Setup, random_secret};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// The product.
    Server,
    /// The least a relay can do.
    Floor(Style),
}

/// One of the two, running.
pub struct Target {
    kind: Kind,
    child: Child,
    folder: PathBuf,
    secret: String,
    /// How its certificate is verified, if it has one.
    tls: Option<Arc<ClientConfig>>,
    /// Where it listens.
    pub address: SocketAddr,
    /// From `spawn` until it accepted a connection (the server: and answered `GET /health` with 200).
    pub started_in: Duration,
}

impl Target {
    /// Starts one and waits until it accepts. The floor takes nothing but the placement from `setup`.
    pub fn start(kind: Kind, server: &Path, cores: Option<Cores>, setup: &Setup) -> Result<Self> {
        let folder = fresh_folder()?;
        let secret = setup.secret.clone().map_or_else(random_secret, Ok)?;
        if let Some(config) = &setup.config {
            fs::write(folder.join("config.toml"), config).context("cannot write config.toml")?;
        }
        let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = match kind {
            Kind::Server => setup.server_command(server, &secret, free),
            Kind::Floor(style) => floor_command(style)?,
        };
        if let Some(certificate) = &setup.certificate {
            command.envs(certificate.write_to(&folder)?);
        }
        // Not where it is run, because the server watches that folder for a configuration.
        let log = folder.join("log");
        fs::create_dir(&log)?;
        command.current_dir(&folder).stdin(Stdio::null()).stderr(File::create(log.join("stderr"))?);
        let from = Instant::now();
        let child = match cores {
            Some(cores) => cores.start_on(setup.placement, || command.spawn())?,
            None => command.spawn(),
        };
        let child = child.with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let tls = setup.certificate.as_ref().map(|certificate| Arc::clone(&certificate.client));
        let mut target = Self { kind, child, folder, secret, tls, address: free, started_in: Duration::ZERO };
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
        let join = message::join(&topic(room), presence, Privacy::Public);
        Ok(Entry::phoenix(&self.address.to_string(), &self.token(member)?, &join, self.tls.clone()))
    }

    /// The first messages of a member with this token, in a room without presence.
    pub fn entry_with(&self, token: &str, room: u32, privacy: Privacy) -> Entry {
        let join = message::join(&topic(room), &json!({"enabled": false}), privacy);
        Entry::phoenix(&self.address.to_string(), token, &join, self.tls.clone())
    }

    /// The first messages of a client that subscribes to changes of tables.
    pub fn subscriber(&self, token: &str, room: u32, bindings: &[serde_json::Value]) -> Entry {
        let join = message::subscribe(&topic(room), bindings);
        Entry::phoenix(&self.address.to_string(), token, &join, self.tls.clone())
    }

    /// The first messages of a client of the second tenant, which its host name selects.
    pub fn noisy_tenant(&self, room: u32, member: usize) -> Result<Entry> {
        let host = format!("noisy.localhost:{}", self.address.port());
        let join = message::join(&topic(room), &json!({"enabled": false}), Privacy::Public);
        Ok(Entry::phoenix(&host, &self.token(member)?, &join, self.tls.clone()))
    }

    /// A token that names a key that no key set has.
    pub fn unknown_key(&self, number: usize) -> Result<String> {
        self.token_of(&member_name(number), Some(format!("unknown-{number}")))
    }

    /// The broadcast a member of this room sends.
    pub fn broadcast(&self, encoding: Encoding, room: u32, payload_size: usize) -> Broadcast {
        match self.kind {
            Kind::Server => Broadcast::phoenix(encoding, &topic(room), payload_size),
            Kind::Floor(_) => Broadcast::floor(encoding, &topic(room), payload_size),
        }
    }

    /// A token as of a Supabase user; each member has its own, or a cache of tokens would distort the storm.
    pub fn token(&self, member: usize) -> Result<String> {
        self.token_of(&member_name(member), None)
    }

    /// A token of a user with this id.
    pub fn user_token(&self, user: &str) -> Result<String> {
        self.token_of(user, None)
    }

    fn token_of(&self, sub: &str, kid: Option<String>) -> Result<String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let claims = json!({
            "sub": sub, "role": "authenticated", "aud": "authenticated",
            "iat": now, "exp": now + 3600,
        });
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        Ok(jsonwebtoken::encode(&Header { kid, ..Header::default() }, &claims, &key)?)
    }

    fn wait_for_health(&mut self) -> Result<()> {
        let deadline = Deadline::after(Duration::from_secs(15));
        while !is_healthy(self.address, self.tls.as_ref()) {
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

    /// Waits until a line of its log has this text.
    pub fn wait_for_log(&self, text: &str) -> Result<()> {
        let deadline = Deadline::after(Duration::from_secs(20));
        while !fs::read_to_string(self.log_file()).context("the server has a log")?.contains(text) {
            deadline.check(|| format!("no line with `{text}`; its log: {}", self.log()))?;
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
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

fn member_name(member: usize) -> String {
    format!("member-{member:05}")
}

/// The name of a room on the wire; as long for every room, so that all frames are of one size.
pub fn topic(room: u32) -> String {
    format!("realtime:room-{room:04}")
}

fn floor_command(style: Style) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["floor", if style == Style::Single { "single" } else { "coalesced" }]);
    command.stdout(Stdio::piped());
    Ok(command)
}

fn is_healthy(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    if stream.set_read_timeout(Some(Duration::from_secs(2))).is_err() {
        return false;
    }
    let Some(config) = tls else { return answers_200(&mut stream, address) };
    let session = certificate::session(config);
    session.is_ok_and(|session| answers_200(&mut StreamOwned::new(session, stream), address))
}

fn answers_200(stream: &mut (impl Read + Write), address: SocketAddr) -> bool {
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut answer = [0; 12];
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer == *b"HTTP/1.1 200"
}

/// An empty folder for a child process.
pub fn fresh_folder() -> Result<PathBuf> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let folder = std::env::temp_dir().join(format!("load-{}-{}", std::process::id(), since.as_nanos()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}
