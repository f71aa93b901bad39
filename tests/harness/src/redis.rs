//! A Redis for one test: the installed `redis-server` on a free port, empty, stopped when dropped.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, FromRedisValue, TlsCertificates};
use tempfile::TempDir;

use crate::{Certificate, WAIT_MAX, eventually};

/// Attempts to start Redis: another process may take the free port before Redis binds it.
const TRIES: usize = 5;

/// Options of a Redis.
#[derive(Debug, Clone, Copy, Default)]
pub struct RedisOptions<'a> {
    /// Required of clients.
    pub password: Option<&'a str>,
    /// Listens with TLS, and with a certificate made for it.
    pub tls: bool,
    /// Is a replica of this one.
    pub replica_of: Option<SocketAddr>,
    /// Listens here rather than on a free port.
    pub port: Option<u16>,
    /// Closes connections that are idle for this many seconds.
    pub idle_timeout: Option<u32>,
}

/// A running Redis.
#[derive(Debug)]
pub struct Redis {
    child: Child,
    address: SocketAddr,
    password: Option<String>,
    certificate: Option<Certificate>,
    _folder: TempDir,
}

impl Redis {
    /// A Redis with default options.
    ///
    /// # Panics
    /// When `redis-server` is not installed or does not start.
    pub async fn start() -> Redis {
        Redis::with(RedisOptions::default()).await
    }

    /// A Redis with options.
    ///
    /// # Panics
    /// As [`Redis::start`].
    pub async fn with(options: RedisOptions<'_>) -> Redis {
        for _ in 0..TRIES {
            if let Some(redis) = Redis::try_start(&options).await {
                return redis;
            }
        }
        panic!("redis-server does not start; is it installed? `tests/install` does that");
    }

    async fn try_start(options: &RedisOptions<'_>) -> Option<Redis> {
        let folder = tempfile::tempdir().expect("a folder for Redis");
        let address = SocketAddr::from(([127, 0, 0, 1], options.port.unwrap_or_else(free_port)));
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "warning"]);
        command.args(["--repl-diskless-sync-delay", "0"]);
        // So that a test may change where it saves.
        command.args(["--enable-protected-configs", "yes"]).arg("--dir").arg(folder.path());
        let port = address.port().to_string();
        let mut certificate = None;
        if options.tls {
            let new = Certificate::new();
            command.args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"]);
            command.arg("--tls-cert-file").arg(new.cert_file()).arg("--tls-key-file").arg(new.key_file());
            certificate = Some(new);
        } else {
            command.args(["--port", &port]);
        }
        if let Some(password) = options.password {
            command.args(["--requirepass", password]);
        }
        if let Some(seconds) = options.idle_timeout {
            command.args(["--timeout", &seconds.to_string()]);
        }
        if let Some(primary) = options.replica_of {
            command.args(["--replicaof", "127.0.0.1", &primary.port().to_string()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("redis-server is installed; `tests/install` does that");
        let password = options.password.map(str::to_owned);
        let mut redis = Redis { child, address, password, certificate, _folder: folder };
        redis.is_ready().await.then_some(redis)
    }

    /// Waits until it responds. Returns false when it has ended.
    async fn is_ready(&mut self) -> bool {
        let started = std::time::Instant::now();
        while started.elapsed() < WAIT_MAX {
            if self.child.try_wait().expect("a child process").is_some() {
                return false;
            }
            if let Ok(mut connection) = self.connect().await
                && ::redis::cmd("PING").query_async::<()>(&mut connection).await.is_ok()
            {
                return true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        false
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn url(&self) -> String {
        self.url_at(self.address)
    }

    /// Its URL through a proxy at `address`.
    pub fn url_at(&self, address: SocketAddr) -> String {
        let scheme = if self.certificate.is_some() { "rediss" } else { "redis" };
        let password = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        // The certificate is for this name.
        format!("{scheme}://{password}localhost:{}", address.port())
    }

    /// The file of the CA certificate that verifies it, if it uses TLS.
    pub fn authority(&self) -> Option<PathBuf> {
        self.certificate.as_ref().map(Certificate::cert_file)
    }

    /// Runs a command and reads its response.
    ///
    /// # Panics
    /// When it is refused, or the response has another type.
    pub async fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        let mut connection = self.connect().await.expect("Redis answers");
        let mut asked = ::redis::cmd(command[0]);
        asked.arg(&command[1..]).query_async(&mut connection).await.expect("Redis runs the command")
    }

    /// Runs a command, whose words are separated by spaces.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn run(&self, command: &str) {
        let words: Vec<_> = command.split(' ').collect();
        let _response: ::redis::Value = self.ask(&words).await;
    }

    /// How many clients have subscribed to the channel of this name.
    ///
    /// # Panics
    /// As [`Redis::ask`].
    pub async fn subscribers(&self, channel: &str) -> usize {
        self.ask::<(String, usize)>(&["PUBSUB", "NUMSUB", channel]).await.1
    }

    /// All keys that match.
    ///
    /// # Panics
    /// As [`Redis::ask`].
    pub async fn keys(&self, pattern: &str) -> Vec<String> {
        self.ask(&["KEYS", pattern]).await
    }

    /// Waits until it has all data of its primary.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn copies_in_full(&self) {
        eventually("the replica is in step", async || {
            let info: String = self.ask(&["INFO", "replication"]).await;
            info.contains("master_link_status:up")
        })
        .await;
    }

    /// Closes the connections of all clients that have subscribed to channels.
    ///
    /// # Panics
    /// As [`Redis::ask`].
    pub async fn kill_subscribers(&self) -> usize {
        self.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]).await
    }

    /// The ids of the connections that have this name, in order.
    ///
    /// # Panics
    /// As [`Redis::ask`].
    pub async fn connections(&self, name: &str) -> Vec<u64> {
        let list: String = self.ask(&["CLIENT", "LIST"]).await;
        let named = list.lines().filter(|line| line.split(' ').any(|field| field == format!("name={name}")));
        let id = |line: &str| line.split(' ').find_map(|field| field.strip_prefix("id=")?.parse().ok());
        let mut ids: Vec<_> = named.filter_map(id).collect();
        ids.sort_unstable();
        ids
    }

    /// Closes the connections that have this name. Returns how many there were.
    ///
    /// # Panics
    /// As [`Redis::ask`].
    pub async fn kill_connections(&self, name: &str) -> usize {
        let ids = self.connections(name).await;
        for id in &ids {
            let _killed: usize = self.ask(&["CLIENT", "KILL", "ID", &id.to_string()]).await;
        }
        ids.len()
    }

    async fn connect(&self) -> ::redis::RedisResult<MultiplexedConnection> {
        let url = self.url();
        let client = match self.authority() {
            None => Client::open(url)?,
            Some(path) => {
                let root_cert = Some(fs::read(path)?);
                Client::build_with_tls(url, TlsCertificates { client_tls: None, root_cert })?
            }
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(WAIT_MAX))
            .set_response_timeout(Some(WAIT_MAX));
        client.get_multiplexed_async_connection_with_config(&config).await
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _has_ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a port").port()
}
