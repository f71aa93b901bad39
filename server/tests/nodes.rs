//! Several programs on one Redis, which are started, stopped and killed.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Client, Redis, RedisOptions, ServerProcess, TokenIssuer, World, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_realtime-server");
const SECRET: &str = "the secret of two programs, of thirty-two bytes";
const ROOM: &str = "realtime:room";

/// The lease of a node, in which it has to renew it.
const LEASE: Duration = Duration::from_secs(1);

/// A running program.
struct Program {
    process: ServerProcess,
    world: World,
    _folder: TempDir,
}

impl Program {
    /// On a free port, with the bus at `url`.
    fn start(url: &str) -> Program {
        Program::start_with(url, &[])
    }

    /// With these environment variables as well.
    fn start_with(url: &str, variables: &[(&str, &str)]) -> Program {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let mut command = Command::new(PROGRAM);
        command.arg("serve").current_dir(folder.path()).env("HOST", "127.0.0.1").env("PORT", "0");
        command.env("JWT_SECRET", SECRET).env("REDIS_URL", url).env("REALTIME__BUS__LEASE", "1s");
        command.envs(variables.iter().copied());
        command.env("REALTIME__SERVER__DRAIN_DELAY", "0s").env("REALTIME__SERVER__DRAIN_TIMEOUT", "0s");
        command.env("REALTIME__SERVER__SHUTDOWN_TIMEOUT", "200ms");
        command.stdout(Stdio::null());
        let process = ServerProcess::start(command);
        let world = World::at(process.listening(), TokenIssuer::new(SECRET));
        Program { process, world, _folder: folder }
    }

    async fn wait_for_nodes(&self, nodes: usize) {
        eventually("the node is connected to the others", async || {
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

async fn track(client: &mut Client) {
    let call = json!({"type": "presence", "event": "track", "payload": {}});
    client.push("2", ROOM, "presence", &call).await;
}

#[tokio::test]
async fn presence_of_a_killed_node_leaves_within_its_lease() {
    let redis = Redis::start().await;
    let (one, two) = (Program::start(&redis.url()), Program::start(&redis.url()));
    one.wait_for_nodes(2).await;
    two.wait_for_nodes(2).await;
    let (mut bob, _) = two.member("bob").await;
    let (mut ann, _) = one.member("ann").await;
    track(&mut ann).await;
    assert!(bob.next_json().await[4]["joins"]["ann"].is_object());

    let killed = Instant::now();
    one.process.signal(Signal::KILL);
    let diff = bob.next_json().await;
    assert!(diff[4]["leaves"]["ann"].is_object(), "{diff}");
    // A lease, and a third of one until the other node renews its own; the rest is for a busy machine. By default it is 15 seconds.
    assert!(killed.elapsed() < LEASE * 8, "{:?}", killed.elapsed());
    two.wait_for_nodes(1).await;
    // The log is written by another thread.
    logs(&two, "RealtimeNodeDisconnected").await;
    // Only the keys of the other node remain.
    drop(bob);
    eventually("its keys are removed", async || redis.keys("realtime:*").await.len() == 2).await;
}

#[tokio::test]
async fn presence_of_a_stopped_node_leaves_at_once() {
    let redis = Redis::start().await;
    let (mut one, two) = (Program::start(&redis.url()), Program::start(&redis.url()));
    one.wait_for_nodes(2).await;
    two.wait_for_nodes(2).await;
    let (mut bob, _) = two.member("bob").await;
    let (mut ann, _) = one.member("ann").await;
    track(&mut ann).await;
    assert!(bob.next_json().await[4]["joins"]["ann"].is_object());
    one.process.signal(Signal::TERM);
    let diff = bob.next_json().await;
    assert!(diff[4]["leaves"]["ann"].is_object(), "{diff}");
    assert!(one.process.exit().0.success());
    two.wait_for_nodes(1).await;
    assert!(!two.process.log().contains("RealtimeNodeDisconnected"), "{}", two.process.log());
}

#[tokio::test]
async fn a_wrong_password_is_reported_and_not_printed() {
    let redis =
        Redis::with(RedisOptions { password: Some("the-right-one"), ..RedisOptions::default() }).await;
    let program = Program::start(&format!("redis://:a-wrong-one@localhost:{}", redis.address().port()));
    logs(&program, "BusAway").await;
    let log = program.process.log();
    let line = log.lines().find(|line| line.contains("BusAway")).expect("a line");
    assert!(line.to_lowercase().contains("password"), "{line}");
    assert!(!log.contains("a-wrong-one"), "{log}");
    // It accepts clients nevertheless.
    let (mut ann, _) = program.member("ann").await;
    ann.settle().await;
}

/// Waits until a broadcast of `sender` arrives at `receiver`.
async fn exchange(sender: &mut Client, receiver: &mut Client, text: &str) {
    let call = json!({"type": "broadcast", "event": "hi", "payload": {"text": text}});
    sender.push("3", ROOM, "broadcast", &call).await;
    while receiver.next_json().await[4]["payload"]["text"] != text {}
}

/// The file of an address of Redis with a password, for a user of its own.
struct AddressFile {
    folder: TempDir,
    port: u16,
}

impl AddressFile {
    async fn of(redis: &Redis) -> AddressFile {
        redis.run("ACL SETUSER own on >the-first ~* &* +@all").await;
        let folder = tempfile::tempdir().expect("a folder");
        let file = AddressFile { folder, port: redis.address().port() };
        file.replace("the-first");
        file
    }

    fn replace(&self, password: &str) {
        let [next, file] = ["url.next", "url"].map(|name| self.folder.path().join(name));
        fs::write(&next, format!("redis://own:{password}@localhost:{}", self.port)).expect("a file");
        fs::rename(&next, &file).expect("renamed");
    }

    fn start(&self) -> Program {
        let file = self.folder.path().join("url");
        let file = ("REALTIME__BUS__REDIS_URL_FILE", file.to_str().expect("text"));
        Program::start_with("redis://unused", &[file, ("REALTIME__BUS__LEASE", "30s")])
    }
}

#[tokio::test]
async fn a_wrong_new_password_of_redis_keeps_the_old_one_in_use() {
    let redis = Redis::start().await;
    let file = AddressFile::of(&redis).await;
    let program = file.start();
    program.wait_for_nodes(1).await;
    let number = async |name: &str| program.world.number(name).await;

    file.replace("the-second");
    logs(&program, "BusCredentialsRefused").await;
    assert_eq!(number("realtime_credentials_refused").await, 1.0);
    let log = program.process.log();
    let line = log.lines().find(|line| line.contains("refuses the new credentials")).expect("a line");
    assert!(line.contains("it does not accept the user or the password"), "{line}");
    // With the old one.
    let connected = async || {
        let clients: String = redis.ask(&["CLIENT", "LIST"]).await;
        clients.matches("realtime-server:publish").count()
    };
    redis.run("CLIENT KILL USER own").await;
    eventually("it has connected again", async || connected().await == 1).await;
    program.wait_for_nodes(1).await;

    // Until Redis has it too: its file need not be written again.
    redis.run("ACL SETUSER own resetpass >the-second").await;
    logs(&program, "accepts the new credentials").await;
    assert_eq!(number("realtime_credentials_refused").await, 0.0);
    redis.run("CLIENT KILL USER own").await;
    eventually("it has connected again", async || connected().await == 1).await;
    let log = program.process.log();
    assert_eq!(log.matches("refuses the new credentials").count(), 1, "{log}");
    assert!(!log.contains("the-first") && !log.contains("the-second"), "{log}");
}

#[tokio::test]
async fn a_rotated_password_of_redis_is_used_once_its_file_is_replaced() {
    let redis = Redis::start().await;
    let file = AddressFile::of(&redis).await;
    let (one, two) = (file.start(), file.start());
    one.wait_for_nodes(2).await;
    two.wait_for_nodes(2).await;
    let ((mut ann, _), (mut bob, _)) = (one.member("ann").await, two.member("bob").await);

    // Connections that exist stay.
    redis.run("ACL SETUSER own resetpass >the-second").await;
    exchange(&mut ann, &mut bob, "before").await;
    redis.run("CLIENT KILL USER own").await;
    for program in [&one, &two] {
        eventually("the bus is lost", async || program.world.number("realtime_bus_connected").await == 0.0)
            .await;
    }
    file.replace("the-second");
    for program in [&one, &two] {
        logs(program, "changed=bus.redis_url").await;
        logs(program, "accepts the new credentials").await;
        program.wait_for_nodes(2).await;
        let log = program.process.log();
        assert!(!log.contains("the-first") && !log.contains("the-second"), "{log}");
    }
    exchange(&mut ann, &mut bob, "after").await;
    exchange(&mut bob, &mut ann, "back").await;
}

/// Waits for a log line that contains `text`.
async fn logs(program: &Program, text: &str) {
    eventually(&format!("the log contains «{text}»"), async || program.process.log().contains(text)).await;
}

#[tokio::test]
async fn the_log_distinguishes_a_redis_that_was_never_reached_from_one_that_is_lost() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("a port").port();
    let program = Program::start(&format!("redis://ann:hush@localhost:{port}/0"));
    logs(&program, &format!("cannot reach Redis at localhost:{port}: connection refused")).await;
    assert!(!program.process.log().contains("lost the connection"), "{}", program.process.log());

    let options = RedisOptions { port: Some(port), ..RedisOptions::default() };
    let redis = Redis::with(options).await;
    let _: String = redis.ask(&["ACL", "SETUSER", "ann", "on", ">hush", "allkeys", "&*", "+@all"]).await;
    program.wait_for_nodes(1).await;
    logs(&program, &format!("Connected to Redis at localhost:{port}")).await;
    assert!(!program.process.log().contains("again"), "{}", program.process.log());

    // The log has one line per code in ten seconds, so this uses another program.
    let program = Program::start(&format!("redis://ann:hush@localhost:{port}/0"));
    program.wait_for_nodes(2).await;
    drop(redis);
    logs(&program, &format!("lost the connection to Redis at localhost:{port}: the connection was closed"))
        .await;
    let redis = Redis::with(options).await;
    let _: String = redis.ask(&["ACL", "SETUSER", "ann", "on", ">hush", "allkeys", "&*", "+@all"]).await;
    logs(&program, &format!("Connected to Redis at localhost:{port} again")).await;
    assert!(!program.process.log().contains("hush"), "{}", program.process.log());
}

#[tokio::test]
async fn a_refusal_by_redis_is_reported_with_a_remedy() {
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
        let log = program.process.log();
        let line = log.lines().find(|line| line.contains("BusAway")).expect("a line");
        assert!(line.contains(&format!("cannot reach Redis at {address}: ")), "{line}");
        assert!(line.contains(expected), "{line}");
    }
}

#[test]
fn an_invalid_address_is_reported_and_not_printed() {
    let mut command = Command::new(PROGRAM);
    command.arg("serve").env("JWT_SECRET", SECRET).env("HOST", "127.0.0.1").env("PORT", "0");
    let output = command.env("REDIS_URL", "ftp://:hush@localhost").output().expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("bus.redis_url"), "{error}");
    assert!(!error.contains("hush"), "{error}");
}

#[tokio::test]
async fn an_unknown_version_of_the_bus_protocol_is_logged_once_and_has_no_other_effect() {
    let redis = Redis::start().await;
    let (one, two) = (Program::start(&redis.url()), Program::start(&redis.url()));
    one.wait_for_nodes(2).await;
    two.wait_for_nodes(2).await;
    for message in [r#""Hello""#, r#"{"Unknown":{"field":true}}"#, r#""Told""#] {
        let message =
            format!(r#"{{"from":7,"said":{message},"streams":1,"protocol":[2,3],"other":"value"}}"#);
        let subscribers: usize = redis.ask(&["PUBLISH", "realtime:nodes", &message]).await;
        assert_eq!(subscribers, 2);
    }
    let expected = "Node 0000000000000007 uses version 2.3 of the bus protocol, and this node 1.2";
    for program in [&one, &two] {
        logs(program, expected).await;
    }
    let ((mut ann, _), (mut bob, _)) = (one.member("ann").await, two.member("bob").await);
    track(&mut ann).await;
    assert!(bob.next_json().await[4]["joins"]["ann"].is_object());
    assert_eq!(one.process.log().matches("bus protocol").count(), 1);
}

// What is stored and read anew passes in parts: memory has what members show once, and little beside it.
#[tokio::test]
async fn a_node_that_returns_with_much_presence_needs_little_memory_beside_it() {
    const ROOMS: usize = 64;
    const SHOWN: usize = 1_000_000;
    /// For the batches under way, of which each has one room, a few times over. All rooms together are 64 MB.
    const GROWTH_MAX: f64 = 40e6;
    let redis = Redis::start().await;
    let variables = [("REALTIME__BUS__LEASE", "30s"), ("REALTIME__BUS__TIMEOUT", "5s")];
    let (one, two) =
        (Program::start_with(&redis.url(), &variables), Program::start_with(&redis.url(), &variables));
    one.wait_for_nodes(2).await;
    two.wait_for_nodes(2).await;
    let (mut bob, mut members) = (two.world.connect().await, Vec::new());
    for room in 0..ROOMS {
        let topic = format!("realtime:{room}");
        bob.join(&topic, json!({})).await;
        // One each, because what one client may track is bounded.
        let mut ann = one.world.connect().await;
        ann.join(&topic, json!({})).await;
        let call = json!({"type": "presence", "event": "track", "payload": {"picture": "x".repeat(SHOWN)}});
        ann.push("2", &topic, "presence", &call).await;
        ann.settle().await;
        members.push(ann);
    }
    let rss = async |program: &Program| program.world.number("process_resident_memory_bytes").await;
    let stored = async || redis.keys("realtime:shown:*").await.len();
    let begun = Instant::now();
    while stored().await < ROOMS {
        assert!(begun.elapsed() < Duration::from_secs(30), "{} are stored", stored().await);
    }
    let before = [rss(&one).await, rss(&two).await];
    redis.kill_connections("realtime-server:publish").await;
    let (mut highest, mut returned) = ([0.0_f64; 2], 0.0);
    let begun = Instant::now();
    while returned < 2.0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "they do not return");
        returned = 0.0;
        for (highest, program) in highest.iter_mut().zip([&one, &two]) {
            *highest = highest.max(rss(program).await);
            returned += program.world.number("realtime_bus_reconnects_total").await;
        }
    }
    eprintln!("returned after {:?}, RSS {before:?}, at most {highest:?}", begun.elapsed());
    for (before, highest) in before.into_iter().zip(highest) {
        assert!(highest - before < GROWTH_MAX, "{before} bytes, then {highest}");
    }
}
