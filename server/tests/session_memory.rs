//! What sessions keep stays inside `server.memory_budget`, and is given back: joined channels, claims, and presence that is
//! held back. Measured as the peak of the resident memory of the program.

use std::process::{Command, Stdio};

use harness::{Client, RawFrame, RawSocket, ServerProcess, TokenIssuer, World, eventually};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tempfile::TempDir;

const SECRET: &str = "the secret of a program, of thirty-two bytes";
const BUDGET: usize = 80 << 20;
const CHANNELS: usize = 100;
const REFUSED: &str = "MemoryLimitReached: Memory for channels is used up, try again later";

/// A running program with a second tenant, `acme`.
struct Program {
    process: ServerProcess,
    world: World,
    _folder: TempDir,
}

fn start() -> Program {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let settings = format!(
        "[server]\nhost = \"127.0.0.1\"\nport = 0\nmemory_budget = \"80 MiB\"\nlarge_message_timeout = \"1s\"\n\
         [limits]\nmax_joins_per_second = 1000000\nmax_concurrent_users = 10000\n\
         max_client_presence_events_per_window = 1\nclient_presence_window_ms = 600000\n\
         [tenants.acme.auth]\njwt_secret = \"{SECRET}, of acme\"\n"
    );
    std::fs::write(folder.path().join("config.toml"), settings).expect("writable");
    let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
    command.args(["serve", "--config", "config.toml"]).current_dir(folder.path()).env_clear();
    command.env("JWT_SECRET", SECRET).stdout(Stdio::null());
    let process = ServerProcess::start(command);
    let world = World::at(process.listening(), TokenIssuer::new(SECRET));
    Program { process, world, _folder: folder }
}

impl Program {
    /// The peak is inside the budget, another tenant joins, and nothing is charged once `sessions` are gone.
    async fn check<T>(&self, kind: &str, sessions: Vec<T>) {
        let peak = self.process.resident_peak();
        assert!(peak < BUDGET, "{} MB were resident", peak / 1_000_000);
        self.world.connect_for("acme").await.join("realtime:room", json!({})).await;
        let mut refused = 0.0;
        // What is large is refused before it is handled, when the rest is not enough to receive it.
        for kind in [kind, "receiving"] {
            refused += self.world.number(&format!("realtime_memory_refused_total{{kind=\"{kind}\"}}")).await;
        }
        assert!(refused >= 1.0, "something was refused");
        drop(sessions);
        let used = format!("realtime_memory_used_bytes{{kind=\"{kind}\"}}");
        eventually("everything is given back", async || self.world.number(&used).await == 0.0).await;
    }
}

/// Raises the limit of open files of this process as far as it may.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("permitted");
}

/// Joins as many channels as a client may, with long texts. A join is only refused for lack of memory.
async fn join_all(socket: &mut RawSocket, number: usize, token: impl Fn(usize) -> Option<String>) {
    let reference = "r".repeat(250);
    let mut frames = Vec::new();
    for channel in 0..CHANNELS {
        let topic = format!("realtime:{number}-{channel}-{}", "x".repeat(200));
        let payload = json!({
            "config": {"presence": {"key": "k".repeat(1000), "enabled": false}}, "access_token": token(channel),
        });
        let join = json!([reference, reference, topic, "phx_join", payload]);
        frames.extend(RawFrame::text(&join.to_string()).encode());
    }
    socket.write(&frames).await.expect("it is read");
    for _ in 0..CHANNELS {
        let answer: Value =
            serde_json::from_slice(&socket.next().await.expect("a reply").payload).expect("JSON");
        let response = &answer[4];
        if response["status"] == "error" {
            assert_eq!(response["response"]["reason"], REFUSED);
        }
    }
}

#[tokio::test]
async fn joined_channels_stay_inside_the_budget() {
    let program = start();
    let mut sockets = Vec::new();
    for number in 0..400 {
        let mut socket = program.world.raw().await;
        join_all(&mut socket, number, |_| None).await;
        sockets.push(socket);
    }
    program.check("sessions", sockets).await;
}

#[tokio::test]
async fn claims_of_channels_stay_inside_the_budget() {
    let program = start();
    let mut sockets = Vec::new();
    let subject = "s".repeat(8_000);
    let tokens: Vec<String> = (0..CHANNELS)
        .map(|n| {
            program
                .world
                .sign(&json!({"role": "anon", "exp": 9_999_999_999_u64, "sub": format!("{n}{subject}")}))
        })
        .collect();
    for number in 0..120 {
        let mut socket = program.world.raw().await;
        join_all(&mut socket, number, |channel| Some(tokens[channel].clone())).await;
        sockets.push(socket);
    }
    program.check("sessions", sockets).await;
}

#[tokio::test]
async fn claims_of_handshakes_stay_inside_the_budget() {
    allow_many_files();
    let program = start();
    let (mut sockets, mut refused) = (Vec::new(), 0);
    // A tenant gets some 20 MB; what is kept of a connection beside its claims takes a fifth of that.
    for number in 0..1_600 {
        let subject = format!("{number} {}", "s".repeat(20_000));
        let token = program.world.sign(&json!({"role": "anon", "exp": 9_999_999_999_u64, "sub": subject}));
        let mut socket = program.world.dial().await;
        let head = format!(
            "GET /socket/websocket?vsn=2.0.0&apikey={token} HTTP/1.1\r\nhost: localhost\r\n\
             connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        socket.write(head.as_bytes()).await.expect("it is read");
        let response = socket.response().await;
        if response.status == 101 {
            sockets.push(socket);
        } else {
            let error = "Memory for connections is used up, try again later";
            assert_eq!((response.status, response.json()), (503, json!({"error": error})));
            refused += 1;
        }
    }
    assert!(refused > 400, "{refused} were refused, {} were not", sockets.len());
    let counted = program.world.number("realtime_memory_refused_total{kind=\"sessions\"}").await;
    assert_eq!(counted as usize, refused, "the claims were what was refused");
    program.check("sessions", sockets).await;
}

#[tokio::test]
async fn presence_that_is_held_back_stays_inside_the_budget() {
    let program = start();
    let mut clients: Vec<Client> = Vec::new();
    let track = json!({"type": "presence", "event": "track", "payload": {"text": "x".repeat(2_500_000)}});
    for _ in 0..40 {
        let mut client = program.world.connect().await;
        client.join("realtime:room", json!({"presence": {"enabled": true}})).await;
        client.push("1", "realtime:room", "presence", &json!({"type": "presence", "event": "untrack"})).await;
        client.push("held", "realtime:room", "presence", &track).await;
        while client.next_json().await[1] != "held" {}
        clients.push(client);
    }
    program.check("held", clients).await;
}
