//! What thousands of connections keep of small messages stays inside `server.memory_budget`, although each of these alone
//! is not charged: of each, a client has sent all but the end. Measured as the peak of the program's resident memory.

use std::process::{Command, Stdio};

use harness::{RawFrame, RawSocket, ServerProcess, TokenIssuer, World, eventually};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

const SECRET: &str = "the secret of a program, of thirty-two bytes";

/// The budget: 48 MiB for clients and their queue of log lines.
const BUDGET: usize = 80 << 20;

/// With what each of them keeps, 80 MB.
const CLIENTS: usize = 5_000;

/// Bytes of a message that is not charged by itself.
const SMALL: usize = 16_300;

/// Held by the test that runs: each of them needs thousands of sockets.
static TURN: Mutex<()> = Mutex::const_new(());

struct Program {
    process: ServerProcess,
    world: World,
    _folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Program {
    /// A program with a second tenant, `acme`.
    async fn start() -> Program {
        let turn = TURN.lock().await;
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("permitted");
        let folder = tempfile::tempdir().expect("a folder for the test");
        let settings = format!(
            "[server]\nhost = \"127.0.0.1\"\nport = 0\nmemory_budget = \"80 MiB\"\n\
             [limits]\nmax_concurrent_users = 10000\nmax_joins_per_second = 100000\n\
             [tenants.acme.auth]\njwt_secret = \"{SECRET}, of acme\"\n"
        );
        std::fs::write(folder.path().join("config.toml"), settings).expect("writable");
        let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
        command.args(["serve", "--config", "config.toml"]).current_dir(folder.path()).env_clear();
        command.env("JWT_SECRET", SECRET).stdout(Stdio::null());
        let process = ServerProcess::start(command);
        let world = World::at(process.listening(), TokenIssuer::new(SECRET));
        Program { process, world, _folder: folder, _turn: turn }
    }

    /// The peak is inside the budget, another tenant finds room, and some were closed for lack of memory of this kind.
    async fn check(&self, kind: &str) {
        let peak = self.process.resident_peak();
        assert!(peak < BUDGET, "{} MB were resident", peak / 1_000_000);
        self.world.connect_for("acme").await.join("realtime:room", json!({})).await;
        let refused = format!("realtime_memory_refused_total{{kind=\"{kind}\"}}");
        assert!(self.world.number(&refused).await >= 1.0, "some were refused");
    }
}

#[tokio::test]
async fn unfinished_messages_stay_inside_the_budget() {
    let program = Program::start().await;
    let frame = RawFrame::text(&"x".repeat(SMALL)).encode();
    let mut sockets: Vec<RawSocket> = Vec::new();
    for _ in 0..CLIENTS {
        let Some(mut socket) = program.world.try_raw().await else { continue };
        let _closed = socket.write(&frame[..frame.len() - 1]).await;
        sockets.push(socket);
    }
    program.check("connections").await;
    drop(sockets);
    let used = "realtime_memory_used_bytes{kind=\"connections\"}";
    eventually("it is given back", async || program.world.number(used).await < 1_000_000.0).await;
}
