//! A rolling update of two programs behind HAProxy, which stands for a Network Load Balancer of AWS: TLS, PROXY protocol v2,
//! checks of `/readyz`.
//!
//! Old and new programs overlap as in Kubernetes: a new one starts, an old one is asked to stop once the new one gets clients,
//! and the next pair follows without waiting until the old one has exited. So the clients of the first find no program that is
//! about to be replaced as well.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use harness::{
    Certificate, Client, Endpoint, Frame, Haproxy, Redis, Request, ServerProcess, TokenIssuer, WAIT_MAX,
    World, eventually,
};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{sleep, timeout};

const CLIENTS: usize = 1_000;
/// A thousand handshakes at once occupy debug builds for longer than a check may take.
const HANDSHAKES_AT_ONCE: usize = 50;

const SECRET: &str = "the secret of four programs, of thirty-two bytes";

/// Longer than the load balancer needs to notice, and than the next program needs to start.
const DRAIN_DELAY: &str = "10s";

/// How a program is checked: often, so that little of the delay passes until a check has failed twice.
const CHECK: &str = "inter 500ms fastinter 300ms downinter 200ms rise 1 fall 2";

/// The time that a response to a check may take, which is long on a busy machine.
const CHECK_TIMEOUT: &str = "5s";

/// What each client waits between the reply to a broadcast and the next one.
const BROADCAST_INTERVAL: Duration = Duration::from_secs(2);

/// Where HAProxy shows how many programs it sends clients to, at its own port.
const BALANCER_STATE: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 9);

/// A running program, with an address of its own as a pod has.
struct Program {
    process: ServerProcess,
    _folder: TempDir,
}

impl Program {
    fn start(address: SocketAddr, redis: &Redis) -> Program {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
        command.arg("serve").current_dir(folder.path()).stdout(Stdio::null());
        command.env("HOST", address.ip().to_string()).env("PORT", address.port().to_string());
        command.env("JWT_SECRET", SECRET).env("REDIS_URL", redis.url());
        command.env("REALTIME__SERVER__PROXY_PROTOCOL_FROM", "127.0.0.1");
        command.env("REALTIME__SERVER__DRAIN_DELAY", DRAIN_DELAY);
        command.env("REALTIME__SERVER__DRAIN_TIMEOUT", "3s").env("REALTIME__SERVER__SHUTDOWN_TIMEOUT", "3s");
        let process = ServerProcess::start(command);
        assert_eq!(block_in_place(|| process.listening()), address);
        Program { process, _folder: folder }
    }
}

/// Two programs, and a load balancer that knows the addresses of their successors.
struct Cluster {
    addresses: [SocketAddr; 4],
    old: [Program; 2],
    redis: Redis,
    certificate: Certificate,
    haproxy: Haproxy,
}

impl Cluster {
    /// `marked_down` is what HAProxy does with the connections of a program whose check fails.
    async fn start(marked_down: &str) -> Cluster {
        allow_open_files();
        let free = TcpListener::bind("127.0.1.1:0").expect("a free port").local_addr().expect("bound").port();
        let addresses = [1, 2, 3, 4].map(|host| SocketAddr::from(([127, 0, 1, host], free)));
        let redis = Redis::start().await;
        let old = [addresses[0], addresses[1]].map(|address| Program::start(address, &redis));
        let certificate = Certificate::new();
        let programs = addresses.map(|address| format!(" server at-{address} {address}\n")).concat();
        let haproxy = Haproxy::start(|address| {
            format!(
                "backend programs\n mode tcp\n balance roundrobin\n timeout check {CHECK_TIMEOUT}\n \
                 option httpchk GET /readyz\n \
                 default-server send-proxy-v2 check check-send-proxy {CHECK} {marked_down}\n{programs}\
                 frontend clients\n mode tcp\n bind {address} ssl crt {}\n default_backend programs\n\
                 frontend state\n mode http\n bind {BALANCER_STATE}:{}\n \
                 http-request return status 200 content-type text/plain lf-string %[nbsrv(programs)]\n",
                certificate.folder().join("both.pem").display(),
                address.port(),
            )
        })
        .await;
        let cluster = Cluster { addresses, old, redis, certificate, haproxy };
        cluster.wait_for_used(2).await;
        cluster
    }

    /// What clients see of it.
    fn world(&self) -> World {
        let endpoint = self.haproxy.endpoint();
        let world = World::at(endpoint.address(), TokenIssuer::new(SECRET));
        world.behind(endpoint.over_tls(self.certificate.client()))
    }

    /// Waits until new clients are sent to this many programs.
    async fn wait_for_used(&self, programs: usize) {
        let port = self.haproxy.endpoint().address().port();
        let state = self.world().behind(Endpoint::at((BALANCER_STATE, port).into()));
        eventually(&format!("{programs} programs get clients"), async || {
            state.send(Request::get("/")).await.text() == programs.to_string()
        })
        .await;
    }

    /// Replaces both programs, one after the other.
    async fn update(&self) -> [Program; 2] {
        let new = [self.replace(0).await, self.replace(1).await];
        let log = self.old[0].process.log();
        assert!(!log.contains("disconnecting"), "{DRAIN_DELAY} are too short for this machine:\n{log}");
        new
    }

    async fn replace(&self, number: usize) -> Program {
        let new = Program::start(self.addresses[2 + number], &self.redis);
        self.wait_for_used(3).await;
        self.old[number].process.signal(Signal::TERM);
        self.wait_for_used(2).await;
        new
    }
}

/// Each client is an open file of this process, of which a shell often allows 1,024.
fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let needed = CLIENTS as u64 * 4;
    if limit.current.is_some_and(|current| current < needed) {
        let current = Some(limit.maximum.map_or(needed, |maximum| maximum.min(needed)));
        setrlimit(Resource::Nofile, Rlimit { current, ..limit }).expect("no more than the hard limit");
    }
}

/// What one client has seen.
#[derive(Debug, Default)]
struct Seen {
    /// What came instead of replies: how its connections ended.
    ends: Vec<Frame>,
    acknowledged: usize,
    unacknowledged: usize,
}

/// A client that connects and joins again whenever its connection ends.
async fn stay_joined(
    world: Arc<World>,
    room: String,
    joins: Arc<AtomicUsize>,
    mut stop: watch::Receiver<bool>,
) -> Seen {
    let mut seen = Seen::default();
    loop {
        let mut client = world.connect().await;
        client.join(&room, json!({"broadcast": {"ack": true}})).await;
        joins.fetch_add(1, Ordering::Relaxed);
        match broadcast(&mut client, &room, &mut stop, &mut seen).await {
            Some(end) => seen.ends.push(end),
            None => return seen,
        }
    }
}

/// Sends broadcasts until the connection ends, which is returned, or the test stops.
async fn broadcast(
    client: &mut Client,
    room: &str,
    stop: &mut watch::Receiver<bool>,
    seen: &mut Seen,
) -> Option<Frame> {
    let reply = json!(["1", "2", room, "phx_reply", {"status": "ok", "response": {}}]);
    loop {
        let payload = json!({"type": "broadcast", "event": "hi", "payload": {}});
        client.push("2", room, "broadcast", &payload).await;
        match client.next().await {
            Frame::Json(frame) if frame == reply => seen.acknowledged += 1,
            end => {
                seen.unacknowledged += 1;
                return Some(end);
            }
        }
        tokio::select! {
            biased;
            end = client.next() => return Some(end),
            _ = stop.wait_for(|stop| *stop) => return None,
            () = sleep(BROADCAST_INTERVAL) => {}
        }
    }
}

async fn wait_for_joins(joins: &AtomicUsize, expected: usize) {
    eventually(&format!("{expected} joins"), async || joins.load(Ordering::Relaxed) >= expected).await;
}

// Takes the drain delay, the time in which clients are disconnected, and 2,000 handshakes with TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_client_reconnects_once_and_has_its_broadcasts_acknowledged() {
    let mut cluster = Cluster::start("").await;
    let (world, joins) = (Arc::new(cluster.world()), Arc::new(AtomicUsize::new(0)));
    let (stop, stopped) = watch::channel(false);
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let room = format!("realtime:{number}");
        clients.spawn(stay_joined(Arc::clone(&world), room, Arc::clone(&joins), stopped.clone()));
        if (number + 1) % HANDSHAKES_AT_ONCE == 0 {
            wait_for_joins(&joins, number + 1).await;
        }
    }

    let _new = cluster.update().await;
    for old in &mut cluster.old {
        let (status, log) = block_in_place(|| old.process.exit());
        assert!(status.success(), "{status}: {log}");
    }
    wait_for_joins(&joins, 2 * CLIENTS).await;
    stop.send_replace(true);
    let (mut acknowledged, mut unacknowledged) = (0, 0);
    while let Some(client) = clients.join_next().await {
        let seen = client.expect("no handshake, join or broadcast is refused");
        assert_eq!(seen.ends, [Frame::Closed(1012)]);
        assert!(seen.acknowledged >= 2, "before and after it: {seen:?}");
        acknowledged += seen.acknowledged;
        unacknowledged += seen.unacknowledged;
    }
    println!("{acknowledged} broadcasts acknowledged, {unacknowledged} sent again");
}

// As such a load balancer does by default, and as the test above would fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_get_no_close_frame_if_the_load_balancer_cuts_connections_when_the_check_fails() {
    let cluster = Cluster::start("on-marked-down shutdown-sessions").await;
    let mut clients = Vec::new();
    for number in 0..CLIENTS / 10 {
        let mut client = cluster.world().connect().await;
        client.join(&format!("realtime:{number}"), json!({})).await;
        clients.push(client);
    }
    let _new = cluster.update().await;
    for mut client in clients {
        assert_eq!(timeout(WAIT_MAX, client.end()).await, Ok(None));
    }
}
