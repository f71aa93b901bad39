//! Several programs on one Redis, as a supervisor runs and loses them.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use harness::{Client, Redis, RedisOptions, TokenIssuer, World, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_realtime-server");
const SECRET: &str = "the secret of two programs, of thirty-two bytes";
const ROOM: &str = "realtime:room";

/// A node that is not heard of for this long is dead.
const LEASE: Duration = Duration::from_secs(1);

/// A running program. Killed when the test is over.
struct Program {
    child: Child,
    log: Arc<Mutex<String>>,
    world: World,
    _folder: TempDir,
}

impl Program {
    /// On a free port, with the bus at `url`.
    fn start(url: &str) -> Program {
        Program::start_with(url, &[])
    }

    /// With these variables besides.
    fn start_with(url: &str, variables: &[(&str, &str)]) -> Program {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let mut command = Command::new(PROGRAM);
        command.arg("serve").current_dir(folder.path()).env("HOST", "127.0.0.1").env("PORT", "0");
        command.env("JWT_SECRET", SECRET).env("REDIS_URL", url).env("REALTIME__BUS__LEASE", "1s");
        command.envs(variables.iter().copied());
        command.env("REALTIME__SERVER__DRAIN_DELAY", "0s").env("REALTIME__SERVER__DRAIN_TIMEOUT", "0s");
        command.env("REALTIME__SERVER__SHUTDOWN_TIMEOUT", "200ms");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut begin = String::new();
        let address = loop {
            let line = lines.next().unwrap_or_else(|| panic!("it ended:\n{begin}")).expect("a line of text");
            begin.push_str(&line);
            begin.push('\n');
            if line.contains("Listening") {
                break address_in(&line);
            }
        };
        let log = Arc::new(Mutex::new(begin));
        let kept = Arc::clone(&log);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().expect("nobody panics here").push_str(&format!("{line}\n"));
            }
        });
        Program { child, log, world: World::at(address, TokenIssuer::new(SECRET)), _folder: folder }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    fn log(&self) -> String {
        self.log.lock().expect("nobody panics here").clone()
    }

    async fn hears(&self, nodes: usize) {
        eventually("the node hears the others", async || {
            self.world.number("realtime_bus_connected").await == 1.0
                && self.world.number("realtime_bus_nodes").await == nodes as f64
        })
        .await;
    }

    async fn member(&self, key: &str) -> (Client, Value) {
        let mut client = self.world.connect().await;
        client.join(ROOM, json!({"presence": {"key": key, "enabled": true}})).await;
        let state = client.next_json().await;
        (client, state[4].clone())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The address in a line of the log.
fn address_in(line: &str) -> SocketAddr {
    let at = line.find("127.0.0.1:").expect("an address");
    let end = line[at..].find(|c: char| !(c.is_ascii_digit() || ".:".contains(c)));
    line[at..end.map_or(line.len(), |end| at + end)].parse().expect("an address")
}

async fn track(client: &mut Client) {
    let call = json!({"type": "presence", "event": "track", "payload": {}});
    client.push("2", ROOM, "presence", &call).await;
}

#[tokio::test]
async fn whoever_is_on_a_node_that_is_killed_leaves_within_its_lease() {
    let redis = Redis::start().await;
    let (one, two) = (Program::start(&redis.url()), Program::start(&redis.url()));
    one.hears(2).await;
    two.hears(2).await;
    let (mut bob, _) = two.member("bob").await;
    let (mut ann, _) = one.member("ann").await;
    track(&mut ann).await;
    assert!(bob.next_json().await[4]["joins"]["ann"].is_object());

    let killed = Instant::now();
    one.signal(Signal::KILL);
    let diff = bob.next_json().await;
    assert!(diff[4]["leaves"]["ann"].is_object(), "{diff}");
    // A lease, and the third of one until the other looks; the rest is for the slowness of the machine.
    assert!(killed.elapsed() < LEASE * 3, "{:?}", killed.elapsed());
    two.hears(1).await;
    assert!(two.log().contains("RealtimeNodeDisconnected"), "{}", two.log());
    // Nothing is left of it but what belongs to the other.
    drop(bob);
    eventually("it is tidied up", async || redis.keys("realtime:*").await.len() == 2).await;
}

#[tokio::test]
async fn whoever_is_on_a_node_that_stops_leaves_at_once() {
    let redis = Redis::start().await;
    let (mut one, two) = (Program::start(&redis.url()), Program::start(&redis.url()));
    one.hears(2).await;
    two.hears(2).await;
    let (mut bob, _) = two.member("bob").await;
    let (mut ann, _) = one.member("ann").await;
    track(&mut ann).await;
    assert!(bob.next_json().await[4]["joins"]["ann"].is_object());
    one.signal(Signal::TERM);
    let diff = bob.next_json().await;
    assert!(diff[4]["leaves"]["ann"].is_object(), "{diff}");
    assert!(one.child.wait().expect("it is our child").success());
    two.hears(1).await;
    assert!(!two.log().contains("RealtimeNodeDisconnected"), "{}", two.log());
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_shown() {
    let redis =
        Redis::with(RedisOptions { password: Some("the-right-one"), ..RedisOptions::default() }).await;
    let program = Program::start(&format!("redis://:a-wrong-one@localhost:{}", redis.address().port()));
    eventually("the log says why", async || program.log().contains("BusAway")).await;
    let log = program.log();
    let line = log.lines().find(|line| line.contains("BusAway")).expect("a line");
    assert!(line.to_lowercase().contains("password"), "{line}");
    assert!(!log.contains("a-wrong-one"), "{log}");
    // It serves all the same.
    let (mut ann, _) = program.member("ann").await;
    ann.settle().await;
}

/// Waits for a line with this in it.
async fn logs(program: &Program, text: &str) {
    eventually(&format!("the log says «{text}»"), async || program.log().contains(text)).await;
}

#[tokio::test]
async fn the_log_tells_a_redis_that_was_never_there_from_one_that_is_lost() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("a port").port();
    let program = Program::start(&format!("redis://somebody:hush@localhost:{port}/0"));
    logs(&program, &format!("cannot reach Redis at localhost:{port}: connection refused")).await;
    assert!(!program.log().contains("lost the connection"), "{}", program.log());

    let options = RedisOptions { port: Some(port), ..RedisOptions::default() };
    let redis = Redis::with(options).await;
    let _: String = redis.ask(&["ACL", "SETUSER", "somebody", "on", ">hush", "allkeys", "&*", "+@all"]).await;
    program.hears(1).await;
    logs(&program, &format!("Connected to Redis at localhost:{port}")).await;
    assert!(!program.log().contains("again"), "{}", program.log());

    // Of one code there is a line in ten seconds, so this takes another program.
    let program = Program::start(&format!("redis://somebody:hush@localhost:{port}/0"));
    program.hears(2).await;
    drop(redis);
    logs(&program, &format!("lost the connection to Redis at localhost:{port}: the connection was closed"))
        .await;
    let redis = Redis::with(options).await;
    let _: String = redis.ask(&["ACL", "SETUSER", "somebody", "on", ">hush", "allkeys", "&*", "+@all"]).await;
    logs(&program, &format!("Connected to Redis at localhost:{port} again")).await;
    assert!(!program.log().contains("hush"), "{}", program.log());
}

#[tokio::test]
async fn what_redis_refuses_is_told_with_what_to_do() {
    let plain = Redis::start().await;
    let [secret, encrypted] = [(Some("secret"), false), (None, true)].map(|(password, tls)| RedisOptions {
        password,
        tls,
        ..RedisOptions::default()
    });
    let (secret, encrypted) = (Redis::with(secret).await, Redis::with(encrypted).await);
    let replica =
        Redis::with(RedisOptions { replica_of: Some(plain.address()), ..RedisOptions::default() }).await;
    replica.copies_in_full().await;
    let full = Redis::start().await;
    let _: String = full.ask(&["CONFIG", "SET", "maxclients", "1"]).await;
    let limited = Redis::start().await;
    let _: String = limited.ask(&["ACL", "SETUSER", "default", "-publish"]).await;
    let at = |scheme: &str, redis: &Redis| format!("{scheme}://localhost:{}", redis.address().port());
    for (url, expected) in [
        (at("redis", &secret), "it requires a password, and `bus.redis_url` has none"),
        (at("redis", &encrypted), "has to begin with rediss://"),
        (at("rediss", &plain), "has to begin with redis://"),
        (at("rediss", &encrypted), "`bus.tls_ca_file` has to name"),
        (at("redis", &replica), "has to lead to the primary"),
        (at("redis", &full), "`maxclients`"),
        (at("redis", &limited), "lacks a permission"),
    ] {
        eprintln!("{url}: {expected}");
        let program = Program::start_with(&url, &[("REALTIME__BUS__TIMEOUT", "2s")]);
        let address = url.split("//").nth(1).expect("an address");
        logs(&program, "BusAway").await;
        let log = program.log();
        let line = log.lines().find(|line| line.contains("BusAway")).expect("a line");
        assert!(line.contains(&format!("cannot reach Redis at {address}: ")), "{line}");
        assert!(line.contains(expected), "{line}");
    }
}

#[test]
fn an_address_that_is_none_is_told_and_not_shown() {
    let mut command = Command::new(PROGRAM);
    command.arg("serve").env("JWT_SECRET", SECRET).env("HOST", "127.0.0.1").env("PORT", "0");
    let output = command.env("REDIS_URL", "ftp://:hush@localhost").output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("bus.redis_url"), "{told}");
    assert!(!told.contains("hush"), "{told}");
}
