//! TCP connections that are not WebSockets: limits per address, those that wait make room for others, and room for health
//! checks (`server.max_sockets_per_address`, `server.reserved_sockets`).

use std::time::{Duration, Instant};

use harness::{Dialect, RawSocket, Request, Token, World, eventually};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use settings::Settings;

use crate::{count, size};

/// Sockets beyond `server.max_connections`.
const SPARE: usize = 1_024;

/// Time within which a health check is answered on a busy machine, whatever other clients do: they may wait for an hour.
const HEALTH_CHECK_MAX: Duration = Duration::from_secs(10);

const HEALTH_CHECKS: [&str; 6] = ["/", "/health", "/healthcheck", "/ready", "/readyz", "/metrics"];

/// A server that waits for requests for ever.
async fn patient(change: impl FnOnce(&mut Settings)) -> World {
    // Both ends of every socket are in this process, and 1,024 files is the usual limit.
    let limit = getrlimit(Resource::Nofile);
    let _best_effort = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    World::with(|settings| {
        settings.server.handshake_timeout = Duration::from_secs(3_600);
        settings.server.keep_alive_timeout = Duration::from_secs(3_600);
        settings.server.reserved_timeout = Duration::from_secs(3_600);
        change(settings);
    })
    .await
}

fn from(world: &World, address: &str) -> World {
    world.behind(world.endpoint().from(address))
}

/// Connections that send `bytes` and then nothing.
async fn open(world: &World, number: usize, bytes: &[u8]) -> Vec<RawSocket> {
    let mut open = Vec::new();
    for _ in 0..number {
        let mut socket = world.dial().await;
        // One that is refused may be closed already.
        let _may_be_closed = socket.write(bytes).await;
        open.push(socket);
    }
    open
}

async fn assert_health_checks(world: &World) {
    for path in HEALTH_CHECKS {
        let started = Instant::now();
        assert_eq!(world.send(Request::get(path)).await.status, 200, "{path}");
        assert!(started.elapsed() < HEALTH_CHECK_MAX, "{path}: {:?}", started.elapsed());
    }
}

/// The head of a request that is answered once its body has arrived.
fn unfinished_post(world: &World) -> String {
    let token = world.token(Token::Valid);
    format!("POST /api/broadcast HTTP/1.1\r\nhost: x\r\napikey: {token}\r\ncontent-length: 9\r\n\r\n")
}

#[tokio::test]
async fn one_address_leaves_room_for_others_and_for_its_health_checks() {
    let world = patient(|settings| settings.server.max_connections = size(200)).await;
    let greedy = from(&world, "127.0.0.2");
    let open = open(&greedy, 1_300, b"").await;

    world.check("ann joins realtime:room\n ann is alive").await;
    assert_health_checks(&world).await;
    assert_health_checks(&greedy).await;
    let refused =
        greedy.send(Request::upgrade(&world.target("/socket/websocket", Dialect::V2, Token::Valid))).await;
    assert_eq!((refused.status, refused.header("connection")), (503, Some("close")));
    assert_eq!(refused.json(), json!("Too many connections from this address that are not WebSockets"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(
        world.number("realtime_codes_total{tenant=\"nil\",code=\"AddressSocketLimitReached\"}").await >= 1.0
    );
    assert!(world.number("realtime_sockets_refused_by_address_total").await >= 1.0);
    assert!(world.number("phoenix_connections_total").await < 400.0, "a quarter of 1,224, and the reserve");

    drop(open);
    eventually("its sockets are free", async || greedy.send(Request::get("/nowhere")).await.status == 404)
        .await;
    world.stop().await;
}

#[tokio::test]
async fn addresses_with_many_connections_that_wait_make_room() {
    let world = patient(|settings| settings.server.max_connections = size(100)).await;
    let mut conversation = world.conversation();
    conversation.check("ann joins realtime:room").await;
    let mut idle = world.dial().await;
    let health_check = b"GET /healthcheck HTTP/1.1\r\nhost: x\r\n\r\n";
    idle.write(health_check).await.expect("it is open");
    assert_eq!(idle.response().await.status, 200);
    let mut busy = world.dial().await;
    busy.write(unfinished_post(&world).as_bytes()).await.expect("it is open");

    let mut open_sockets = Vec::new();
    for host in 2..8 {
        open_sockets
            .extend(open(&from(&world, &format!("127.0.0.{host}")), (100 + SPARE) / 5, b"GET /").await);
    }
    assert!(open_sockets[0].is_dropped().await);
    idle.write(health_check).await.expect("its address has few, though it has waited the longest");
    assert_eq!(idle.response().await.status, 200);
    conversation.check("bob joins realtime:room\n ann is alive").await;
    assert_eq!(world.send(Request::get("/nowhere")).await.status, 404);
    busy.write(b"{}       ").await.expect("it is open");
    assert_eq!(busy.response().await.status, 422, "what has a request is not closed");
    assert!(world.number("realtime_sockets_closed_early_total").await >= 100.0);
    world.stop().await;
}

#[tokio::test]
async fn a_full_server_answers_health_checks_only() {
    let world = patient(|settings| {
        settings.server.max_connections = size(1);
        settings.server.max_sockets_per_address = Some(size(2_000));
    })
    .await;
    let (greedy, post) = (from(&world, "127.0.0.2"), unfinished_post(&world));
    let mut busy = open(&greedy, 1 + SPARE, post.as_bytes()).await;
    eventually("all sockets have a request", async || {
        let refused = world.send(Request::get("/nowhere")).await;
        // The request above may have closed one that still waited.
        busy.extend(open(&greedy, 1, post.as_bytes()).await);
        (refused.status, refused.header("connection")) == (503, Some("close"))
    })
    .await;
    // More than there are reserved, and more than the share of an address.
    let silent = open(&from(&world, "127.0.0.3"), 100, b"GET /healthcheck HTTP/1.1\r\n").await;
    let at_home = open(&world, 100, b"").await;
    assert_health_checks(&world).await;
    assert_health_checks(&from(&world, "127.0.0.3")).await;
    assert_eq!(world.send(Request::get("/nowhere")).await.json(), json!("Too many connections"));
    assert!(world.number("realtime_sockets_refused_total").await >= 1.0);

    drop((busy, silent, at_home));
    eventually("its sockets are free", async || world.send(Request::get("/nowhere")).await.status == 404)
        .await;
    world.stop().await;
}

#[tokio::test]
async fn a_reserved_connection_is_closed_soon() {
    let world = patient(|settings| {
        settings.server.max_sockets_per_address = Some(size(2));
        settings.server.reserved_timeout = Duration::from_millis(200);
    })
    .await;
    let mut open = open(&world, 3, b"GET /readyz HTTP/1.1\r\n").await;
    assert!(open[2].is_dropped().await, "the head is incomplete");
    let mut answered = world.dial().await;
    answered.write(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it is open");
    assert_eq!(answered.response().await.status, 200);
    assert!(answered.is_dropped().await, "for one request only");
    world.stop().await;
}

#[tokio::test]
async fn the_limit_can_be_changed_while_the_server_runs() {
    let world = patient(|settings| settings.server.max_sockets_per_address = Some(size(2))).await;
    let _open = open(&world, 2, b"").await;
    assert_eq!(world.send(Request::get("/nowhere")).await.status, 503);
    world.apply(|settings| settings.server.max_sockets_per_address = Some(size(3)));
    assert_eq!(world.send(Request::get("/nowhere")).await.status, 404);
    world.stop().await;
}

#[tokio::test]
async fn an_upgraded_socket_is_counted_as_a_websocket() {
    let world = patient(|settings| settings.server.max_sockets_per_address = Some(size(1))).await;
    world.check("ann, bob, cid join realtime:room\n ann is alive").await;
    world.stop().await;
}

#[tokio::test]
async fn an_unlimited_address_has_no_limit() {
    let world = patient(|settings| {
        settings.server.unlimited_addresses = vec!["127.0.0.2/32".into()];
        settings.server.max_sockets_per_address = Some(size(1));
        settings.server.max_connections_per_address = Some(size(1));
        settings.server.max_unverified_requests_per_second = count(1);
    })
    .await;
    let proxy = from(&world, "127.0.0.2");
    let forged = Request::upgrade(&world.target("/socket/websocket", Dialect::V2, Token::Forged));
    for _ in 0..20 {
        assert_eq!(proxy.send(forged.clone()).await.status, 401);
    }
    let _open = open(&proxy, 10, b"").await;
    proxy.check("ann, bob join realtime:room\n ann is alive").await;
    let _other = open(&world, 1, b"").await;
    assert_eq!(world.send(Request::get("/nowhere")).await.status, 503, "other addresses have it");
    world.stop().await;
}

// Behind a balancer that sends PROXY headers every connection has the balancer as its peer.
#[tokio::test]
async fn clients_of_a_load_balancer_are_counted_and_not_the_balancer() {
    let world = patient(|settings| {
        settings.server.proxy_protocol_from = vec!["127.0.0.1".into()];
        settings.server.max_sockets_per_address = Some(size(4));
    })
    .await;
    let client = |address: &str, version: u8| {
        let header = format!("PROXY TCP{version} {address} {address} 4242 443\r\n");
        world.behind(world.endpoint().with_preface(header))
    };
    let _silent = open(&world, 20, b"").await;
    for (greedy, of_its_network, other) in
        [("192.0.2.7", "192.0.2.7", "192.0.2.8"), ("2001:db8::1", "2001:db8::2:3", "2001:db8:0:1::1")]
    {
        let version = if greedy.contains(':') { 6 } else { 4 };
        let _open = open(&client(greedy, version), 4, b"").await;
        let same = client(of_its_network, version);
        eventually("its sockets are counted", async || {
            same.send(Request::get("/nowhere")).await.status == 503
        })
        .await;
        assert_health_checks(&same).await;
        client(other, version).check("ann joins realtime:room\n ann is alive").await;
    }
    world.stop().await;
}
