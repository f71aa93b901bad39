//! The memory of the program stays inside `server.memory_budget`, whatever the clients of one tenant do, and another
//! tenant notices nothing. Measured as the peak of its resident memory.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::{Client, RawFrame, RawSocket, Request, ServerProcess, Token, TokenIssuer, World};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;

const SECRET: &str = "the secret of a program, of thirty-two bytes";
const ROOM: &str = "realtime:room";

/// The budget: 72 MiB for clients, of which one tenant alone gets 54 MiB.
const BUDGET: usize = 128 << 20;

/// How many clients send something large. Together it is 500 MB at least.
const SENDERS: usize = 100;

/// Held by the test that runs: each of them sends as fast as it can.
static TURN: Mutex<()> = Mutex::const_new(());

/// A running program with a second tenant, `acme`.
struct Program {
    process: ServerProcess,
    world: World,
    _folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Program {
    async fn start() -> Program {
        let turn = TURN.lock().await;
        let folder = tempfile::tempdir().expect("a folder for the test");
        let program = env!("CARGO_BIN_EXE_realtime-server");
        configure(&folder, "128 MiB");
        let mut command = Command::new(program);
        command.args(["serve", "--config", "config.toml"]).current_dir(folder.path()).env_clear();
        command.env("JWT_SECRET", SECRET).stdout(Stdio::null());
        let process = ServerProcess::start(command);
        let world = World::at(process.listening(), TokenIssuer::new(SECRET));
        Program { process, world, _folder: folder, _turn: turn }
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

impl Program {
    /// A WebSocket of the default tenant that joins a room of its own and reads nothing after that.
    async fn join_without_reading(&self, number: usize) -> RawSocket {
        let mut socket = self.world.raw().await;
        let join = json!(["1", "1", format!("realtime:room-{number}"), "phx_join", {}]);
        socket.send(&RawFrame::text(&join.to_string())).await;
        assert!(socket.next().await.is_some(), "the join is answered");
        socket
    }

    /// Sends a broadcast of the default tenant to that room.
    async fn post(&self, number: usize, bytes: usize) {
        let text = "x".repeat(bytes);
        let message = json!({"topic": format!("room-{number}"), "event": "e", "payload": {"text": text}});
        let request = Request::post("/api/broadcast").bearer(&self.world.token(Token::Valid));
        // Refused when the memory is used up.
        let _response = self.world.try_send(request.json(&json!({"messages": [message]}))).await;
    }
}

/// Writes the settings.
fn configure(folder: &TempDir, budget: &str) {
    let settings = format!(
        "[server]\nhost = \"127.0.0.1\"\nport = 0\nmemory_budget = \"{budget}\"\nlarge_message_timeout = \"2s\"\nhandshake_timeout = \"3s\"\n\
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

/// What passes between the clients of another tenant while `send` runs many times at once, each with a number of its own, and what
/// is resident in the end. They have joined before: on a busy machine, what is sent leaves too little of the time for a handshake.
async fn check_others_during<F>(program: Program, send: impl Fn(Arc<Program>, usize) -> F) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let program = Arc::new(program);
    let mut pair = Pair::join(&program.world).await;
    let mut attack: JoinSet<F::Output> =
        (0..SENDERS).map(|number| send(Arc::clone(&program), number)).collect();
    let (mut ended, mut times) = (Vec::new(), Vec::new());
    while ended.len() < SENDERS {
        times.push(pair.pass(1_000).await);
        while let Some(one) = attack.try_join_next() {
            ended.push(one.expect("no sender panics"));
        }
    }
    for _ in 0..5 {
        pair.pass(2_900_000).await;
    }
    let peak = program.process.resident_peak();
    assert!(peak < BUDGET, "{} MB were resident", peak / 1_000_000);
    times.sort();
    let median = times[times.len() / 2];
    // Few of them pass on a busy machine. Without room for them, each would wait until the connections of the others have been closed.
    assert!(median < Duration::from_secs(3), "another tenant waited {median:?}, of {}", times.len());
    ended
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_frames_stay_inside_the_budget() {
    let send = |program: Arc<Program>, _| async move { program.send_unfinished_frame().await };
    check_others_during(Program::start().await, send).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_for_clients_that_do_not_read_stay_inside_the_budget() {
    let send = |program: Arc<Program>, number| async move {
        let socket = program.join_without_reading(number).await;
        // More than its outbox takes, and the socket.
        for _ in 0..4 {
            program.post(number, 2_900_000).await;
        }
        socket
    };
    check_others_during(Program::start().await, send).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_bodies_stay_inside_the_budget() {
    let send = |program: Arc<Program>, _| async move { program.send_unfinished_body().await };
    check_others_during(Program::start().await, send).await;
}

/// In chunks of 10 kB.
fn chunked(bytes: usize) -> Vec<u8> {
    let chunk = [b"2710\r\n".to_vec(), vec![b' '; 10_000], b"\r\n".to_vec()].concat();
    chunk.repeat(bytes / 10_000)
}

// A vector that grew had been copied to one of twice the size: 17 MB for 8 MB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_a_length_takes_what_it_is_charged_as() {
    let program = Program::start().await;
    let before = program.process.resident_peak();
    let mut socket = program.world.dial().await;
    let token = program.world.token(Token::Valid);
    let head = format!(
        "POST /api/broadcast HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    socket
        .write(
            &[head.into_bytes(), b"2\r\n{}\r\n".to_vec(), chunked(7_990_000), b"0\r\n\r\n".to_vec()].concat(),
        )
        .await
        .expect("it is read");
    assert_eq!(socket.response().await.status, 422, "it has no messages");
    let more = program.process.resident_peak() - before;
    assert!(more < 13_000_000, "{more} bytes for 8 MB");
}
