//! The memory of the program stays inside `server.memory_budget`, whatever the clients of one tenant do, and another
//! tenant notices nothing. Measured as the peak of its resident memory.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Client, RawSocket, ServerProcess, Token, TokenIssuer, World};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

const SECRET: &str = "the secret of a program, of thirty-two bytes";
const ROOM: &str = "realtime:room";

/// The budget: 96 MiB for clients, of which one tenant alone gets 72 MiB.
const BUDGET: usize = 128 << 20;

/// How many clients send something large. Together it is 500 MB at least.
const SENDERS: usize = 100;

/// A running program with a second tenant, `acme`.
struct Program {
    process: ServerProcess,
    world: World,
    _folder: TempDir,
}

impl Program {
    fn start() -> Program {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let program = env!("CARGO_BIN_EXE_realtime-server");
        configure(&folder, "128 MiB");
        let mut command = Command::new(program);
        command.args(["serve", "--config", "config.toml"]).current_dir(folder.path()).env_clear();
        command.env("JWT_SECRET", SECRET).stdout(Stdio::null());
        let process = ServerProcess::start(command);
        let world = World::at(process.listening(), TokenIssuer::new(SECRET));
        Program { process, world, _folder: folder }
    }

    /// A WebSocket of the default tenant that has sent all but the end of a message of 5 MB, or as much as was accepted.
    async fn send_unfinished_frame(&self) -> RawSocket {
        let mut socket = self.world.raw().await;
        let mut frame = vec![0x82, 0xff];
        frame.extend(5_000_000_u64.to_be_bytes());
        frame.resize(4_990_000, 7);
        let _paused = socket.write(&frame).await;
        socket
    }

    /// A POST of the default tenant with all but the end of a body of 8 MB, or as much as was accepted.
    async fn send_unfinished_body(&self) -> RawSocket {
        let mut socket = self.world.dial().await;
        let token = self.world.token(Token::Valid);
        let head = format!(
            "POST /api/broadcast HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: 8000000\r\n\r\n"
        );
        let mut bytes = head.into_bytes();
        bytes.resize(7_990_000, b' ');
        let _paused = socket.write(&bytes).await;
        socket
    }
}

/// Writes the settings.
fn configure(folder: &TempDir, budget: &str) {
    let settings = format!(
        "[server]\nhost = \"127.0.0.1\"\nport = 0\nmemory_budget = \"{budget}\"\nlarge_message_timeout = \"2s\"\n\
         [tenants.acme.auth]\njwt_secret = \"{SECRET}, of acme\"\n"
    );
    fs::write(folder.path().join("config.toml"), settings).expect("writable");
}

/// Two clients of `acme` in a room, one of which sends and one of which receives.
struct Pair {
    sender: Client,
    receiver: Client,
}

impl Pair {
    async fn join(world: &World) -> Pair {
        let (mut sender, mut receiver) = (world.connect_for("acme").await, world.connect_for("acme").await);
        sender.join(ROOM, json!({"broadcast": {"ack": true}})).await;
        receiver.join(ROOM, json!({})).await;
        Pair { sender, receiver }
    }

    /// Sends a broadcast of this size and receives it. Returns how long that takes.
    async fn pass(&mut self, bytes: usize) -> Duration {
        let begin = Instant::now();
        let payload = json!({"type": "broadcast", "event": "e", "payload": {"text": "x".repeat(bytes)}});
        self.sender.push("7", ROOM, "broadcast", &payload).await;
        let received = self.receiver.next_json().await;
        assert_eq!(received[4]["payload"]["text"].as_str().map(str::len), Some(bytes));
        assert_eq!(self.sender.next_json().await[4]["status"], "ok");
        begin.elapsed()
    }
}

/// What passes between the clients of another tenant while `attack` lasts, and what is resident in the end.
async fn check_others_during<T>(program: &Program, mut attack: JoinSet<T>) -> Vec<T>
where
    T: Send + 'static,
{
    let mut pair = Pair::join(&program.world).await;
    let mut ended = Vec::new();
    let mut slowest = Duration::ZERO;
    while ended.len() < SENDERS {
        slowest = slowest.max(pair.pass(1_000).await);
        while let Some(one) = attack.try_join_next() {
            ended.push(one.expect("no sender panics"));
        }
    }
    for _ in 0..5 {
        slowest = slowest.max(pair.pass(2_900_000).await);
    }
    let peak = program.process.resident_peak();
    assert!(peak < BUDGET, "{} MB were resident", peak / 1_000_000);
    assert!(slowest < Duration::from_secs(2), "another tenant waited {slowest:?}");
    ended
}

#[tokio::test]
async fn unfinished_frames_stay_inside_the_budget() {
    let program = std::sync::Arc::new(Program::start());
    let mut attack = JoinSet::new();
    for _ in 0..SENDERS {
        let program = std::sync::Arc::clone(&program);
        attack.spawn(async move { program.send_unfinished_frame().await });
    }
    check_others_during(&program, attack).await;
}

#[tokio::test]
async fn unfinished_bodies_stay_inside_the_budget() {
    let program = std::sync::Arc::new(Program::start());
    let mut attack = JoinSet::new();
    for _ in 0..SENDERS {
        let program = std::sync::Arc::clone(&program);
        attack.spawn(async move { program.send_unfinished_body().await });
    }
    check_others_during(&program, attack).await;
}
