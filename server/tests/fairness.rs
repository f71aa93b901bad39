//! What one tenant does to another: the program under load of the default tenant, measured by clients of `quiet`.
//!
//! The servers are processes of their own. Their settings are the defaults, but for what makes a limit reachable in a
//! few seconds.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use harness::{
    ChaosProxy, Client, RawFrame, RawSocket, Redis, Request, ServerProcess, Token, TokenIssuer, WAIT_MAX,
    World, eventually,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
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

fn presence(event: &str, payload: &Value) -> Value {
    json!({"type": "presence", "event": event, "payload": payload})
}

/// Joins with presence, and waits for the state.
async fn join_with_presence(client: &mut Client, topic: &str) {
    let config = json!({"config": {"presence": {"enabled": true}}});
    client.send_json(&json!(["1", "1", topic, "phx_join", config])).await;
    while client.next_json().await[3] != "presence_state" {}
}

/// The rooms of the busy tenant, and who tracks in each.
const ROOMS: usize = 90;
const HOLDERS: usize = 6;

fn busy(number: usize) -> String {
    format!("realtime:busy {number}")
}

/// Tracks 80 KB in each room.
async fn hold(client: &mut Client) {
    let much = presence("track", &json!({"text": "x".repeat(80_000)}));
    for number in 0..ROOMS {
        let join = number.to_string();
        client.send_json(&json!([join, "1", busy(number), "phx_join", {"config": {}}])).await;
        client.send_json(&json!([join, "2", busy(number), "presence", much])).await;
        client.received().await;
    }
}

async fn read_forever(mut client: Client) {
    loop {
        client.received().await;
    }
}

/// Rejoins each room, reads the states, and begins again.
async fn rejoin_forever(mut client: RawSocket) {
    let config = json!({"config": {"presence": {"enabled": true}}});
    let heartbeat =
        RawFrame::text(&json!([null, "end of the round", "phoenix", "heartbeat", {}]).to_string());
    loop {
        for number in 0..ROOMS {
            let join = json!([number.to_string(), "1", busy(number), "phx_join", config]);
            client.send(&RawFrame::text(&join.to_string())).await;
        }
        client.send(&heartbeat).await;
        loop {
            let frame = client.next().await.expect("the connection holds");
            if frame.payload.len() < 200
                && String::from_utf8_lossy(&frame.payload).contains("end of the round")
            {
                break;
            }
        }
    }
}

// The announcer serves tenants in turns: with a single line for all, 1,440 rejoins are answered before this room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_is_not_late_because_another_tenant_rejoins_rooms() {
    let _alone = alone();
    let program = Program::start(&[]);
    let mut quiet = [program.world.connect_for("quiet").await, program.world.connect_for("quiet").await];
    for client in &mut quiet {
        join_with_presence(client, ROOM).await;
    }
    let mut load = Load::default();
    for _ in 0..HOLDERS {
        let mut client = program.world.connect().await;
        hold(&mut client).await;
        load.add(read_forever(client));
    }
    for _ in 0..16 {
        load.add(rejoin_forever(program.world.raw().await));
    }
    let [from, to] = &mut quiet;
    let track = async |client: &mut Client, number: usize| {
        client.push("3", ROOM, "presence", &presence("track", &json!({"number": number}))).await;
    };
    let is_diff = |frame: &Value, number: usize| {
        let joins = frame[4]["joins"].as_object();
        joins.is_some_and(|joins| joins.values().any(|entry| entry["metas"][0]["number"] == number))
    };
    let latencies = latencies(60, [from, to], track, is_diff).await;
    load.assert_running();
    // They are gathered for 50 ms.
    assert!(latencies[latencies.len() - 1] < Duration::from_millis(400), "{latencies:?}");
}

async fn wait_for_nodes(world: &World, nodes: usize) {
    eventually("the node is connected to the others", async || {
        world.number("realtime_bus_connected").await == 1.0
            && world.number("realtime_bus_nodes").await == nodes as f64
    })
    .await;
}

fn broadcast(payload: &Value) -> Value {
    json!({"type": "broadcast", "event": "said", "payload": payload})
}

/// Sends 15 MB/s, within the default limits.
async fn broadcast_forever(mut client: Client, topic: String) {
    client.join(&topic, json!({})).await;
    let call = broadcast(&json!({"text": "x".repeat(30_000)}));
    let mut interval = tokio::time::interval(Duration::from_millis(20));
    loop {
        interval.tick().await;
        for _ in 0..10 {
            client.push("1", &topic, "broadcast", &call).await;
        }
        client.received().await;
    }
}

// Two clients send far more than the connection to Redis carries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_to_another_node_is_lost_or_late_because_another_tenant_sends_too_much() {
    let _alone = alone();
    let redis = Redis::start().await;
    let proxy = ChaosProxy::to(redis.address()).await;
    let bounds = [("REALTIME__BUS__MAX_BYTES", "2 MiB"), ("REALTIME__BUS__TIMEOUT", "20s")];
    let [one, two] = [redis.url_at(proxy.address()), redis.url()].map(|url| {
        let url = ("REDIS_URL", &*url);
        Program::start(&[url, bounds[0], bounds[1]])
    });
    wait_for_nodes(&one.world, 2).await;
    wait_for_nodes(&two.world, 2).await;
    let mut quiet = [one.world.connect_for("quiet").await, two.world.connect_for("quiet").await];
    for client in &mut quiet {
        client.join(ROOM, json!({})).await;
    }
    let mut load = Load::default();
    proxy.limit_bandwidth(2_000_000);
    for number in 0..2 {
        load.add(broadcast_forever(one.world.connect().await, format!("realtime:busy {number}")));
    }
    eventually("the load exceeds the queue", async || {
        one.world.number("realtime_bus_unsent_total").await > 100.0
    })
    .await;
    let [from, to] = &mut quiet;
    let send = async |client: &mut Client, number: usize| {
        client.push("3", ROOM, "broadcast", &broadcast(&json!({"number": number}))).await;
    };
    let is_message = |frame: &Value, number: usize| frame[4]["payload"]["number"] == number;
    let latencies = latencies(20, [from, to], send, is_message).await;
    load.assert_running();
    assert!(latencies[latencies.len() - 1] < Duration::from_secs(2), "{latencies:?}");
}

/// Heartbeats of the quiet tenant, one after the other, from a thread that does nothing else.
struct Heartbeats {
    end: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Duration>>,
}

impl Heartbeats {
    fn start(address: SocketAddr) -> Heartbeats {
        let end = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&end);
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(measure_heartbeats(address, &ended))
        });
        Heartbeats { end, thread }
    }

    /// How long each took, in order.
    fn stop(self) -> Vec<Duration> {
        self.end.store(true, Ordering::Relaxed);
        let mut latencies = self.thread.join().expect("each heartbeat is answered");
        latencies.sort();
        latencies
    }
}

async fn measure_heartbeats(address: SocketAddr, ended: &AtomicBool) -> Vec<Duration> {
    let world = World::at(address, TokenIssuer::new(SECRET));
    let mut client = world.connect_for("quiet").await;
    client.join(ROOM, json!({})).await;
    let (mut latencies, mut interval) = (Vec::new(), tokio::time::interval(Duration::from_millis(2)));
    while !ended.load(Ordering::Relaxed) {
        interval.tick().await;
        let sent = Instant::now();
        client.settle().await;
        latencies.push(sent.elapsed());
    }
    latencies
}

// The kernel took 4 MB for each of them, as fast as the server could copy it, and no other connection had a turn before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_are_not_late_because_another_tenant_broadcasts_to_members_who_do_not_read() {
    let _alone = alone();
    let program = Program::start(&[]);
    let mut non_readers = Vec::new();
    for _ in 0..500 {
        let mut socket = program.world.raw().await;
        socket.send(&RawFrame::text(&json!(["1", "1", "realtime:busy", "phx_join", {}]).to_string())).await;
        assert!(socket.next().await.is_some(), "the join is answered");
        non_readers.push(socket);
    }
    let heartbeats = Heartbeats::start(program.world.address());
    let message = json!({"topic": "busy", "event": "e", "payload": {"text": "x".repeat(1_000_000)}});
    for _ in 0..8 {
        let request = Request::post("/api/broadcast").bearer(&program.world.token(Token::Valid));
        let response = program.world.send(request.json(&json!({"messages": [message]}))).await;
        assert_eq!(response.status, 202, "within its limits: {}", response.text());
    }
    let latencies = heartbeats.stop();
    let slowest = latencies[latencies.len() - 1];
    println!("{} heartbeats, the slowest {slowest:?}", latencies.len());
    assert!(slowest < Duration::from_millis(400), "{slowest:?}");
}

/// Sends `first`, and then `repeated` again and again, as fast as the server reads; forgets what it answers.
async fn flood(address: SocketAddr, first: Vec<u8>, repeated: Vec<u8>) {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (mut answers, mut stream) = stream.into_split();
    stream.write_all(&first).await.expect("it reads");
    let discard = async { tokio::io::copy(&mut answers, &mut tokio::io::sink()).await.map(|_end| ()) };
    let send = async { while stream.write_all(&repeated).await.is_ok() {} };
    let _ended = tokio::join!(discard, send);
}

/// How long the heartbeats of the quiet tenant take during `number` such floods, in order.
async fn heartbeats_during_floods(
    program: &Program,
    (first, repeated): (&[u8], &[u8]),
    number: usize,
) -> Vec<Duration> {
    let mut load = Load::default();
    for _ in 0..number {
        load.add(flood(program.world.address(), first.to_vec(), repeated.to_vec()));
    }
    let heartbeats = Heartbeats::start(program.world.address());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let latencies = heartbeats.stop();
    load.assert_running();
    latencies
}

/// Asserts that half of them are answered within `max`.
async fn check_heartbeats_during_floods(
    program: &Program,
    sent: (&[u8], &[u8]),
    number: usize,
    max: Duration,
) {
    let latencies = heartbeats_during_floods(program, sent, number).await;
    let median = latencies[latencies.len() / 2];
    println!("{} heartbeats, half of them within {median:?}", latencies.len());
    assert!(median < max, "{median:?}");
}

// hyper handles sixteen requests and wakes itself, and the runtime looked for input after 1,024 such turns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_are_not_late_because_clients_without_a_token_send_many_requests_at_once() {
    let _alone = alone();
    let program = Program::start(&[]);
    let post = "POST /api/broadcast HTTP/1.1\r\nhost: x\r\nx-tenant: quiet\r\ncontent-type: application/json\r\n\
                content-length: 15\r\n\r\n{\"messages\":[]}";
    let sent: (&[u8], _) = (b"", post.repeat(100));
    check_heartbeats_during_floods(&program, (sent.0, sent.1.as_bytes()), 8, Duration::from_millis(100))
        .await;
}

// As above, with the 128 messages that a connection may have read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_are_not_late_because_clients_of_another_tenant_never_stop_to_send() {
    let _alone = alone();
    let program = Program::start(&[]);
    let first = joined_connection(&program);
    // The first is answered, which wakes the connection; the second is not, so that it has nothing to wait for.
    for message in [r#"[null,"1","phoenix","heartbeat",{}]"#, r#"["1",null,"realtime:busy","dance",{}]"#] {
        let message = RawFrame::text(message).encode().repeat(500);
        check_heartbeats_during_floods(&program, (&first, &message), 8, Duration::from_millis(100)).await;
    }
}

// Each had a turn of a millisecond before new input was looked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_are_not_late_because_another_tenant_has_many_clients_that_send() {
    let _alone = alone();
    let program = Program::start(&[]);
    let first = joined_connection(&program);
    let message = RawFrame::text(r#"["1",null,"realtime:busy","dance",{}]"#).encode().repeat(500);
    check_heartbeats_during_floods(&program, (&first, &message), 200, Duration::from_millis(10)).await;
}

// A connection that has failed is read until its client closes it, at most `server.close_timeout`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_are_not_late_because_clients_of_another_tenant_send_after_they_have_failed() {
    let _alone = alone();
    let program = Program::start(&[]);
    // A frame without a mask, which ends a connection.
    let first = [&joined_connection(&program)[..], &[0x81, 0x01, b'x']].concat();
    check_heartbeats_during_floods(&program, (&first, &[0; 256 * 1024]), 60, Duration::from_millis(10)).await;
}

// The whole batch was parsed in one poll, which takes 60 ms here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_are_not_late_because_another_tenant_sends_large_batches() {
    let _alone = alone();
    let program = Program::start(&[]);
    // What serde_json reads the slowest.
    let nested = ["[".repeat(390_000), "]".repeat(390_000)].concat();
    let message = format!(r#"{{"topic":"busy","event":"e","payload":{{"a":{nested}}}}}"#);
    let body = format!(r#"{{"messages":[{}]}}"#, vec![message; 10].join(","));
    let request = format!(
        "POST /api/broadcast HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        program.world.token(Token::Valid),
        body.len()
    );
    let latencies = heartbeats_during_floods(&program, (b"", request.as_bytes()), 8).await;
    // Not the median: the clients send less than the server can parse.
    let late = latencies[latencies.len() * 99 / 100];
    println!("{} heartbeats, a hundredth of them later than {late:?}", latencies.len());
    assert!(late < Duration::from_millis(25), "{late:?}");
}

/// What a client sends to be connected and a member of a room.
fn joined_connection(program: &Program) -> Vec<u8> {
    let handshake = format!(
        "GET /socket/websocket?vsn=2.0.0&apikey={} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        program.world.token(Token::Valid)
    );
    let join = RawFrame::text(r#"["1","1","realtime:busy","phx_join",{}]"#).encode();
    [handshake.as_bytes(), &join].concat()
}
