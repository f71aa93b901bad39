//! Connections that would be idle are used, and the one that reads may break without harm to the others.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use harness::{ChaosProxy, Redis, RedisOptions, Request, WAIT_MAX, World, eventually};
use hub::Bounds;
use realtime_server::bus::{Broker, BusError};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::tapped::{BusRequest, Tapped};
use super::{at, join_locally, member, on, send_broadcast, track, two, wait_for_nodes, wait_for_presence};

/// What the connections of a node are called.
const NAMES: [&str; 3] = ["realtime-server:subscribe", "realtime-server:publish", "realtime-server:read"];

/// The numbers of all connections of our nodes.
async fn connections(redis: &Redis) -> Vec<Vec<u64>> {
    let mut connections = Vec::new();
    for name in NAMES {
        connections.push(redis.connections(name).await);
    }
    connections
}

/// Waits until an idle connection is closed, by Redis or by the proxy at `address`.
async fn idle_connection_ends(address: SocketAddr) {
    let mut idle = TcpStream::connect(address).await.expect("a connection");
    let ended = timeout(WAIT_MAX * 2, idle.read(&mut [0])).await.expect("it is closed in time");
    assert!(!matches!(ended, Ok(1..)), "{ended:?}");
}

/// How often the nodes have reconnected.
async fn reconnects(one: &World, two: &World) -> f64 {
    one.number("realtime_bus_reconnects_total").await + two.number("realtime_bus_reconnects_total").await
}

#[tokio::test]
async fn the_default_settings_suit_a_redis_that_closes_idle_connections() {
    let redis = Redis::with(RedisOptions { idle_timeout: Some(5), ..RedisOptions::default() }).await;
    let (one, two) = two(on(&redis)).await;
    eventually("all connections are there", async || {
        connections(&redis).await.iter().all(|of_name| of_name.len() == 2)
    })
    .await;
    let before = connections(&redis).await;
    idle_connection_ends(redis.address()).await;
    assert_eq!(connections(&redis).await, before);
    assert_eq!(reconnects(&one, &two).await, 0.0);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_proxy_that_closes_idle_connections_closes_none_of_ours() {
    let redis = Redis::start().await;
    let proxy = ChaosProxy::to(redis.address()).await;
    proxy.limit_idle(Duration::from_millis(800));
    let (one, two) = two(|settings| {
        at(&redis, proxy.address())(settings);
        settings.bus.keep_alive = Duration::from_millis(100);
        settings.bus.lease = Duration::from_secs(60);
    })
    .await;
    eventually("all connections are there", async || {
        connections(&redis).await.iter().all(|of_name| of_name.len() == 2)
    })
    .await;
    let before = connections(&redis).await;
    for _ in 0..2 {
        idle_connection_ends(proxy.address()).await;
    }
    assert_eq!(connections(&redis).await, before);
    assert_eq!(reconnects(&one, &two).await, 0.0);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn losing_the_connection_that_reads_costs_no_message_and_no_presence() {
    let redis = Redis::start().await;
    let (one, two) = two(|settings| {
        on(&redis)(settings);
        settings.bus.keep_alive = Duration::from_millis(20);
        settings.limits.max_events_per_second = crate::count(1_000_000);
    })
    .await;
    let ((mut ann, _), (mut bob, _)) = (member(&one, "ann").await, member(&two, "bob").await);
    track(&mut ann, json!({})).await;
    ann.received().await;
    eventually("Ann is tracked", async || !bob.received().await.is_empty()).await;
    let mut killed = 0;
    for round in 0..10 {
        let topic = format!("realtime:room {round}");
        let (mut here, mut there) = (one.connect().await, two.connect().await);
        let config = json!({"presence": {"key": "here", "enabled": true}});
        here.join(&topic, config.clone()).await;
        here.push("2", &topic, "presence", &json!({"type": "presence", "event": "track", "payload": {}}))
            .await;
        here.settle().await;
        killed += redis.kill_connections("realtime-server:read").await;
        // The room's presence has to be read, over a connection that is being opened.
        there.join(&topic, config).await;
        eventually("the member is tracked", async || {
            let mut look = two.connect().await;
            look.join(&topic, json!({"presence": {"key": "look", "enabled": true}})).await;
            look.next_json().await[4]["here"].is_object()
        })
        .await;
        for n in 0..20 {
            send_broadcast(&mut ann, json!(round * 20 + n)).await;
        }
        for n in 0..20 {
            assert_eq!(bob.next_json().await[4]["payload"], round * 20 + n);
        }
    }
    assert!(killed > 0);
    assert_eq!(reconnects(&one, &two).await, 0.0);
    one.stop().await;
    two.stop().await;
}

// A room that opens waits for its snapshots, up to a timeout. More rooms wait than one request may name.
#[tokio::test]
async fn messages_pass_while_nothing_can_be_read() {
    const ROOMS: usize = 400;
    let redis = Redis::start().await;
    let proxy = ChaosProxy::to(redis.address()).await;
    let (one, two) = two(|settings| {
        at(&redis, proxy.address())(settings);
        settings.bus.keep_alive = Duration::from_millis(100);
        settings.bus.lease = Duration::from_secs(1);
        settings.bus.subscribe_timeout = Duration::from_millis(50);
    })
    .await;
    let ((mut ann, _), (mut bob, _)) = (member(&one, "ann").await, member(&two, "bob").await);
    // No process listens on this port.
    proxy.redirect(SocketAddr::from(([127, 0, 0, 1], 1)));
    assert_eq!(redis.kill_connections("realtime-server:read").await, 2);
    for world in [&one, &two] {
        eventually("presence is reported as not shared", async || {
            world.number("realtime_bus_presence_shared").await == 0.0
        })
        .await;
        assert_eq!(world.send(Request::get("/readyz")).await.json()["status"], "degraded");
    }
    let (hub, mut local_members) = (std::sync::Arc::clone(&two.node().hub), Vec::new());
    for n in 0..ROOMS {
        local_members.push(join_locally(&hub, &n.to_string()));
        let channel = format!("realtime:room:default:phoenix:public:{n}");
        eventually("the room is subscribed", async || redis.subscribers(&channel).await == 1).await;
    }
    send_broadcast(&mut ann, json!("delivered")).await;
    assert_eq!(bob.next_json().await[4]["payload"], "delivered");
    track(&mut ann, json!({})).await;
    proxy.redirect(redis.address());
    for world in [&one, &two] {
        eventually("it can read", async || world.number("realtime_bus_presence_shared").await == 1.0).await;
        wait_for_presence(world, &["ann"]).await;
    }
    assert_eq!(reconnects(&one, &two).await, 0.0);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn stuck_connections_are_detected_without_traffic() {
    let redis = Redis::start().await;
    let proxy = ChaosProxy::to(redis.address()).await;
    let world = World::with(|settings| {
        at(&redis, proxy.address())(settings);
        settings.bus.keep_alive = Duration::from_millis(100);
        settings.bus.timeout = Duration::from_millis(500);
        settings.bus.lease = Duration::from_secs(600);
    })
    .await;
    wait_for_nodes(&world, 1).await;
    proxy.strand();
    eventually("it has connected anew", async || world.number("realtime_bus_reconnects_total").await == 1.0)
        .await;
    wait_for_nodes(&world, 1).await;
    world.stop().await;
}

// Presence missing in another Redis has not left. All connections of the node move to the new address.
#[tokio::test]
async fn a_connection_to_another_redis_moves_the_whole_node() {
    let (old, new) = (Redis::start().await, Redis::start().await);
    let proxy = ChaosProxy::to(old.address()).await;
    let (one, two) = two(at(&old, proxy.address())).await;
    let ((mut ann, _), (mut bob, _)) = (member(&one, "ann").await, member(&two, "bob").await);
    track(&mut ann, json!({})).await;
    track(&mut bob, json!({})).await;
    wait_for_presence(&one, &["ann", "bob"]).await;
    wait_for_presence(&two, &["ann", "bob"]).await;
    proxy.redirect(new.address());
    assert_eq!(old.kill_connections("realtime-server:read").await, 2);
    for world in [&one, &two] {
        eventually("it has moved", async || world.number("realtime_bus_reconnects_total").await == 1.0).await;
        wait_for_nodes(world, 2).await;
        wait_for_presence(world, &["ann", "bob"]).await;
    }
    assert_eq!(new.keys("realtime:lease:*").await.len(), 2);
    one.stop().await;
    two.stop().await;
}

// The queue of a connection is bounded, and requests that wait there would hold up the others.
#[tokio::test]
async fn no_connection_is_checked_again_before_it_has_answered() {
    let broker = Broker::new(Duration::from_secs(60), Bounds { frames: 10_000, bytes: 1 << 26 });
    let bus = Tapped::over(broker);
    let world = World::on(bus.clone(), |settings| {
        settings.bus.keep_alive = Duration::from_millis(1);
        settings.bus.lease = Duration::from_secs(1);
    })
    .await;
    wait_for_nodes(&world, 1).await;
    bus.stall_checks();
    let [checks, sent] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let counters = [Arc::clone(&checks), Arc::clone(&sent)];
    bus.tap(move |request| {
        let [checks, sent] = &counters;
        match request {
            BusRequest::Check => drop(checks.fetch_add(1, Ordering::Relaxed)),
            BusRequest::Send(_) => drop(sent.fetch_add(1, Ordering::Relaxed)),
            BusRequest::Connect | BusRequest::Subscribe(_) => {}
        }
        Ok::<(), BusError>(())
    });
    eventually("the lease was renewed", async || sent.load(Ordering::Relaxed) >= 2).await;
    assert!(checks.load(Ordering::Relaxed) <= 1, "{checks:?}");
    world.stop().await;
}

#[tokio::test]
async fn a_node_that_stops_while_nothing_can_be_read_leaves_nothing_behind() {
    let redis = Redis::start().await;
    let proxy = ChaosProxy::to(redis.address()).await;
    let (one, two) = two(|settings| {
        at(&redis, proxy.address())(settings);
        settings.bus.lease = Duration::from_secs(60);
        settings.bus.subscribe_timeout = Duration::from_millis(50);
    })
    .await;
    let (mut ann, _) = member(&one, "ann").await;
    track(&mut ann, json!({})).await;
    wait_for_presence(&two, &["ann"]).await;
    proxy.redirect(SocketAddr::from(([127, 0, 0, 1], 1)));
    assert_eq!(redis.kill_connections("realtime-server:read").await, 2);
    // Its copies cannot be read.
    let _waiting = join_locally(&one.node().hub, "waiting");
    eventually("the room is subscribed", async || {
        redis.subscribers("realtime:room:default:phoenix:public:waiting").await == 1
    })
    .await;
    one.stop().await;
    two.stop().await;
    assert_eq!(redis.keys("realtime:*").await, Vec::<String>::new());
}
