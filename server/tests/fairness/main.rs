//! What one tenant does to another: the program under load of the default tenant, measured by clients of `quiet`.
//!
//! The servers are processes of their own. Their settings are the defaults, but for what makes a limit reachable in a
//! few seconds.

mod floods;
mod heartbeats;
mod nodes;
mod presence;

use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use harness::{Client, ServerProcess, TokenIssuer, WAIT_MAX, World};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::timeout;

const PROGRAM: &str = env!("CARGO_BIN_EXE_realtime-server");
const SECRET: &str = "the secret of the default tenant, of 32 bytes or more";
const ROOM: &str = "realtime:quiet";

/// Held while one is measured, because the processors are shared.
static MEASURED: Mutex<()> = Mutex::new(());

/// While it exists, no other of these tests runs.
struct Alone {
    _guard: MutexGuard<'static, ()>,
}

fn alone() -> Alone {
    Alone { _guard: MEASURED.lock().unwrap_or_else(PoisonError::into_inner) }
}

/// A running program.
struct Program {
    _process: ServerProcess,
    world: World,
    _folder: TempDir,
}

impl Program {
    fn start(variables: &[(&str, &str)]) -> Program {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let mut command = Command::new(PROGRAM);
        command.arg("serve").current_dir(folder.path()).env("HOST", "127.0.0.1").env("PORT", "0");
        command.env("JWT_SECRET", SECRET);
        command.env("REALTIME__TENANTS__QUIET__AUTH__JWT_SECRET", format!("{SECRET}, of quiet"));
        command.envs(variables.iter().copied()).stdout(Stdio::null());
        let process = ServerProcess::start(command);
        let world = World::at(process.listening(), TokenIssuer::new(SECRET));
        Program { _process: process, world, _folder: folder }
    }
}

/// The tasks of a tenant that never end by themselves. Dropping it ends them.
#[derive(Default)]
struct Load(JoinSet<()>);

impl Load {
    fn add(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }

    /// The load was there all the time.
    fn assert_running(&mut self) {
        assert!(self.0.try_join_next().is_none(), "a client of the load has ended");
    }
}

/// How long each of `count` calls took until `to` has received its effect, in order. `call` sends the one with this number.
async fn latencies(
    count: usize,
    [from, to]: [&mut Client; 2],
    mut call: impl AsyncFnMut(&mut Client, usize),
    is_effect: impl Fn(&Value, usize) -> bool,
) -> Vec<Duration> {
    let mut latencies = Vec::new();
    for number in 0..count {
        let sent = Instant::now();
        call(from, number).await;
        let effect = async { while !is_effect(&to.next_json().await, number) {} };
        timeout(WAIT_MAX, effect).await.unwrap_or_else(|_elapsed| panic!("call {number} has no effect"));
        latencies.push(sent.elapsed());
        from.received().await;
    }
    latencies.sort();
    latencies
}
