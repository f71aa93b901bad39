//! What connections that are not WebSockets hold stays inside `server.memory_budget`: heads that are not complete, pages that
//! no client reads, and connections that wait for their next request. Measured as the peak of the program's resident memory,
//! while a client that joins a room and a health check find what they need.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{Request, ServerProcess, TokenIssuer, World, eventually};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

const SECRET: &str = "the secret of a program, of thirty-two bytes";

/// The budget: 72 MiB for clients, of which those without a tenant get 54 MiB.
const BUDGET: usize = 128 << 20;

/// How long a socket may take for anything.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Held by the test that runs: each of them needs thousands of sockets.
static TURN: Mutex<()> = Mutex::const_new(());

/// A running program.
struct Program {
    process: ServerProcess,
    address: SocketAddr,
    world: World,
    _folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Program {
    /// A program with this number of tenants beside the default one.
    async fn start(tenants: usize) -> Program {
        let turn = TURN.lock().await;
        allow_many_files();
        let folder = tempfile::tempdir().expect("a folder for the test");
        let mut settings =
            "[server]\nhost = \"127.0.0.1\"\nport = 0\nmemory_budget = \"128 MiB\"\n".to_owned();
        for number in 0..tenants {
            settings.push_str(&format!("[tenants.tenant-{number}.auth]\njwt_secret = \"{SECRET}\"\n"));
        }
        fs::write(folder.path().join("config.toml"), settings).expect("writable");
        let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
        command.args(["serve", "--config", "config.toml"]).current_dir(folder.path()).env_clear();
        command.env("JWT_SECRET", SECRET).stdout(Stdio::null());
        let process = ServerProcess::start(command);
        let address = process.listening();
        let world = World::at(address, TokenIssuer::new(SECRET));
        Program { process, address, world, _folder: folder, _turn: turn }
    }

    /// A connection from the loopback address that ends with `host`, which has sent `bytes` or as much as was accepted.
    async fn send(&self, host: u8, bytes: &[u8]) -> Option<TcpStream> {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, host], 0).into()).expect("a loopback address");
        // A page that is not read stays with the server.
        socket.set_recv_buffer_size(4096).expect("a size");
        let connecting = socket.connect(self.address);
        let mut stream = timeout(WAIT_MAX, connecting).await.expect("it is accepted in time").ok()?;
        // It may be closed for another one.
        timeout(WAIT_MAX, stream.write_all(bytes)).await.expect("it is read in time").ok()?;
        Some(stream)
    }

    /// `count` connections from four addresses, each of which has sent `bytes`.
    async fn send_many(&self, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
        let mut streams = Vec::with_capacity(count);
        for number in 0..count {
            streams.extend(self.send(2 + u8::try_from(number % 4).expect("below four"), bytes).await);
        }
        streams
    }

    /// What another client finds, and what was resident at most.
    async fn check(&self) {
        let health = self.world.send(Request::get("/health")).await;
        assert_eq!(health.status, 200);
        let mut client = self.world.connect().await;
        client.join("realtime:room", json!({})).await;
        let peak = self.process.resident_peak();
        assert!(peak < BUDGET, "{} MB were resident", peak / 1_000_000);
    }

    /// Its open files and sockets.
    fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.process.id());
        fs::read_dir(folder).expect("it runs").count()
    }

    async fn metrics(&self) -> String {
        let page = self.world.send(Request::get("/metrics")).await;
        assert_eq!(page.status, 200);
        page.text()
    }
}

/// Raises the limit of open files of this process as far as it may.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("permitted");
}

/// The status of a response, if there is one.
async fn status(stream: &mut TcpStream) -> Option<String> {
    let mut line = [0; 12];
    let read =
        timeout(WAIT_MAX, stream.read_exact(&mut line)).await.expect("it is answered or closed in time");
    read.ok()?;
    Some(String::from_utf8_lossy(&line[9..]).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_are_not_complete_stay_inside_the_budget() {
    let program = Program::start(0).await;
    let mut head = b"GET / HTTP/1.1\r\nhost: a\r\n".to_vec();
    for number in 0..10 {
        head.extend(format!("x-{number}: {}\r\n", "a".repeat(3_000)).bytes());
    }
    let held = program.send_many(8_000, &head).await;
    program.check().await;
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_wait_stay_inside_the_budget() {
    let program = Program::start(0).await;
    let mut held = program.send_many(8_000, b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut answered = 0;
    for stream in &mut held {
        answered += usize::from(status(stream).await.as_deref() == Some("200"));
    }
    assert!(answered > 7_000, "{answered} were answered");
    program.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_that_are_not_read_stay_inside_the_budget() {
    // A page of 1.6 MB.
    let program = Program::start(1_000).await;
    let mut held = program.send_many(400, b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut answered = 0;
    for stream in &mut held {
        answered += usize::from(status(stream).await.as_deref() == Some("200"));
    }
    assert!(answered > 200, "{answered} were answered");
    // Each of the others was closed for a newer one.
    eventually("no more than may be unread are open", async || program.descriptors() < 256 + 64).await;
    program.check().await;
    assert!(program.metrics().await.contains("realtime_uptime_seconds"), "another address gets the page");
}
