//! A program with few file descriptors: no client can use them up.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::{RawSocket, Request, ServerProcess, TokenIssuer, World};

const SECRET: &str = "the secret of a program, of thirty-two bytes";

/// Descriptors of the program.
const OPEN_FILES: usize = 300;

/// Time within which a health check is answered on a busy machine, whatever other clients do: they hold their connections for an hour.
const HEALTH_CHECK_MAX: Duration = Duration::from_secs(10);

/// A program that waits for requests for an hour.
fn patient() -> (ServerProcess, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let mut command = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_realtime-server");
    command.args(["-c", &format!("ulimit -n {OPEN_FILES}; exec {program} serve")]);
    command.current_dir(folder.path()).env("HOST", "127.0.0.1").env("PORT", "0").env("JWT_SECRET", SECRET);
    command.env("REALTIME__SERVER__HANDSHAKE_TIMEOUT", "1h").stdout(Stdio::null());
    (ServerProcess::start(command), folder)
}

/// Connections that send nothing, from `address`.
async fn silent(world: &World, address: &str, number: usize) -> Vec<RawSocket> {
    let client = world.behind(world.endpoint().from(address));
    let mut sockets = Vec::new();
    for _ in 0..number {
        sockets.push(client.dial().await);
    }
    sockets
}

async fn assert_ready(world: &World) {
    let client = world.behind(world.endpoint().from("127.0.0.99"));
    let asked = Instant::now();
    assert_eq!(client.send(Request::get("/readyz")).await.status, 200);
    assert!(asked.elapsed() < HEALTH_CHECK_MAX, "{:?}", asked.elapsed());
}

// Accepting failed when all descriptors were used, and no other client was answered.
#[tokio::test]
async fn clients_that_hold_connections_leave_descriptors_for_others() {
    let (process, _folder) = patient();
    let world = World::at(process.listening(), TokenIssuer::new(SECRET));
    let _of_one = silent(&world, "127.0.0.2", OPEN_FILES + 50).await;
    for _ in 0..10 {
        assert_ready(&world).await;
    }
    let mut of_many = Vec::new();
    for host in 3..13 {
        of_many.extend(silent(&world, &format!("127.0.0.{host}"), 40).await);
        assert_ready(&world).await;
    }
    let other = world.behind(world.endpoint().from("127.0.0.98"));
    assert_eq!(other.send(Request::get("/nowhere")).await.status, 404, "not only health checks");
    other.check("ann joins realtime:room\n ann is alive").await;
    assert!(!process.log().contains("Cannot accept"), "{}", process.log());
}
