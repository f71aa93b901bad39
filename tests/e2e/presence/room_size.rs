//! What a room shows is bounded (`limits.max_presence_bytes_per_room`), on all nodes together.

use std::time::Duration;

use harness::{Client, Frame, World, eventually};
use hub::Bounds;
use realtime_server::bus::Broker;
use serde_json::{Value, json};
use settings::{ByteSize, Settings};

use super::{ROOM, member};

/// The limit of the tests, and the tracked text of which a room with it shows two but not three.
const LIMIT: u64 = 4_096;
const HALF: usize = 1_900;

const REFUSED: &str = "Room presence size exceeded";

fn limited(settings: &mut Settings) {
    settings.limits.max_presence_bytes_per_room = ByteSize::b(LIMIT);
    settings.presence.coalesce = Duration::ZERO;
}

/// A `presence` message that tracks a text of so many bytes.
fn tracking(bytes: usize) -> Value {
    super::track(json!({"a": "x".repeat(bytes)}))
}

/// Tracks a text of so many bytes in `topic`. Returns the reason if it is refused; other messages are passed over.
async fn track(client: &mut Client, topic: &str, bytes: usize) -> Option<Value> {
    client.push("track", topic, "presence", &tracking(bytes)).await;
    loop {
        let frame = client.next_json().await;
        if frame[3] == "phx_reply" && frame[1] == "track" {
            return frame[4]["response"].get("reason").cloned();
        }
    }
}

/// Reads diffs up to one in which `key` has changed as `how` says.
async fn until(client: &mut Client, how: &str, key: &str) {
    while !client.next_json().await[4][how][key].is_object() {}
}

#[tokio::test]
async fn a_track_beyond_what_the_room_may_show_is_refused() {
    let world = World::with(limited).await;
    let mut clients = Vec::new();
    for key in ["ann", "bob", "carl"] {
        clients.push(member(&world, json!(key)).await);
    }
    let [ann, bob, carl] = &mut clients[..] else { unreachable!("three clients") };
    assert_eq!(track(ann, ROOM, HALF).await, None);
    assert_eq!(track(bob, ROOM, HALF).await, None);
    carl.received().await;
    for reference in ["2", "3"] {
        carl.push(reference, ROOM, "presence", &tracking(HALF)).await;
    }
    let reply = |reference| json!(["1", reference, ROOM, "phx_reply", {"status": "error", "response": {"reason": REFUSED}}]);
    let notice = json!(["1", null, ROOM, "system", {"extension": "system", "status": "ok", "message": REFUSED, "channel": "room"}]);
    let expected = [notice, reply("2"), reply("3")].map(Frame::Json);
    assert_eq!(carl.received().await, expected, "one notice for both");
    assert_eq!(world.number(r#"realtime_limits_refused_total{tenant="default",setting="limits.max_presence_bytes_per_room"}"#).await, 2.0);
    // Who shows something cannot show more of it, but less, and then there is space for others.
    assert_eq!(track(ann, ROOM, 2 * HALF).await, Some(json!(REFUSED)));
    assert_eq!(track(ann, ROOM, HALF / 2).await, None);
    assert_eq!(track(carl, ROOM, HALF / 2 - 200).await, None);
    // A room of its own.
    let mut dora = world.connect().await;
    dora.join("realtime:other", json!({"presence": {"key": "dora", "enabled": true}})).await;
    assert_eq!(track(&mut dora, "realtime:other", HALF).await, None);
    // What leaves is not shown any more.
    clients.remove(0);
    eventually("there is space", async || track(&mut clients[0], ROOM, HALF + HALF / 2).await.is_none())
        .await;
    world.stop().await;
}

// Rooms are many: each has a limit of its own, all of a tenant's together have its memory.
#[tokio::test]
async fn what_all_rooms_show_is_within_the_memory_of_the_tenant() {
    let world = World::with(|settings| {
        settings.presence.coalesce = Duration::ZERO;
        settings.server.memory_budget = Some(ByteSize::mib(64));
    })
    .await;
    let mut ann = member(&world, json!("ann")).await;
    assert_eq!(track(&mut ann, ROOM, HALF).await, None);
    let used = async || world.number("realtime_memory_used_bytes{kind=\"presence\"}").await as usize;
    let shown = used().await;
    assert!((HALF..HALF + 200).contains(&shown), "{shown} bytes");

    let mut bob = member(&world, json!("bob")).await;
    let node = world.node();
    let tenant = node.tenants.get("default").expect("it is configured");
    let memory = &tenant.memory;
    let used_up = memory.charge(hub::MemoryKind::Receiving, memory.budget().limit());
    assert_eq!(
        track(&mut bob, ROOM, HALF).await,
        Some(json!("Memory for presence is used up, try again later"))
    );
    assert_eq!(world.number("realtime_memory_refused_total{kind=\"presence\"}").await, 1.0);
    assert_eq!(track(&mut ann, ROOM, HALF / 2).await, None, "less is accepted");
    assert!(used().await < shown - HALF / 4);
    drop(used_up);
    assert_eq!(track(&mut bob, ROOM, HALF).await, None);
    drop((ann, bob));
    eventually("all is given back", async || used().await == 0).await;
    world.stop().await;
}

#[tokio::test]
async fn what_other_nodes_show_is_charged() {
    let broker = Broker::new(Duration::from_secs(1), Bounds { frames: 1_000, bytes: 1 << 20 });
    let (one, other) = (World::on(broker.clone(), limited).await, World::on(broker, limited).await);
    let mut ann = member(&one, json!("ann")).await;
    let _bob = member(&other, json!("bob")).await;
    assert_eq!(track(&mut ann, ROOM, HALF).await, None);
    let used = async || other.number("realtime_memory_used_bytes{kind=\"presence\"}").await as usize;
    eventually("it is charged", async || used().await >= HALF).await;
    drop(ann);
    eventually("it is given back", async || used().await == 0).await;
    one.stop().await;
    other.stop().await;
}

// Otherwise no client could show less after an operator has lowered the limit.
#[tokio::test]
async fn a_smaller_object_is_accepted_in_a_room_over_its_limit() {
    let world = World::with(limited).await;
    let mut ann = member(&world, json!("ann")).await;
    let mut bob = member(&world, json!("bob")).await;
    assert_eq!(track(&mut ann, ROOM, HALF).await, None);
    assert_eq!(track(&mut bob, ROOM, HALF).await, None);
    world.apply(|settings| settings.limits.max_presence_bytes_per_room = ByteSize::kib(1));
    assert_eq!(track(&mut ann, ROOM, HALF + 1).await, Some(json!(REFUSED)));
    assert_eq!(track(&mut ann, ROOM, HALF - 50).await, None);
    world.stop().await;
}

#[tokio::test]
async fn a_tenant_has_a_limit_of_its_own() {
    let world = World::with_tenants(&["acme"]).await;
    world.apply(|settings| {
        let acme = settings.tenants.get_mut("acme").expect("the tenant");
        acme.limits.max_presence_bytes_per_room = ByteSize::b(LIMIT);
    });
    let mut here = world.connect().await;
    let mut there = world.connect_for("acme").await;
    for client in [&mut here, &mut there] {
        client.join(ROOM, json!({"presence": {"key": "ann", "enabled": true}})).await;
    }
    assert_eq!(track(&mut here, ROOM, 3 * HALF).await, None);
    assert_eq!(track(&mut there, ROOM, 3 * HALF).await, Some(json!(REFUSED)));
    world.stop().await;
}

// The key takes memory and is sent to every member like the object, escaped as JSON escapes it.
#[tokio::test]
async fn keys_count_as_they_are_sent() {
    let world = World::with(limited).await;
    let mut quotes = member(&world, json!("\u{1}".repeat(700))).await;
    assert_eq!(track(&mut quotes, ROOM, 10).await, Some(json!(REFUSED)));
    let mut letters = member(&world, json!("x".repeat(700))).await;
    assert_eq!(track(&mut letters, ROOM, 10).await, None);
    world.stop().await;
}

#[tokio::test]
async fn what_other_nodes_show_counts() {
    let broker = Broker::new(Duration::from_secs(1), Bounds { frames: 1_000, bytes: 1 << 20 });
    let (one, two) = (World::on(broker.clone(), limited).await, World::on(broker, limited).await);
    let mut ann = member(&one, json!("ann")).await;
    let mut more = member(&one, json!("more")).await;
    let mut bob = member(&two, json!("bob")).await;
    assert_eq!(track(&mut ann, ROOM, HALF).await, None);
    until(&mut bob, "joins", "ann").await;
    assert_eq!(track(&mut more, ROOM, HALF).await, None);
    until(&mut bob, "joins", "more").await;
    assert_eq!(track(&mut bob, ROOM, HALF).await, Some(json!(REFUSED)));
    drop(more);
    until(&mut bob, "leaves", "more").await;
    assert_eq!(track(&mut bob, ROOM, HALF).await, None);
    one.stop().await;
    two.stop().await;
}

// Each node is within the limit by itself, and what it receives is shown: a member that one node has accepted is never
// hidden on another.
#[tokio::test]
async fn nodes_that_accept_at_the_same_time_exceed_the_limit_together() {
    let broker = Broker::new(Duration::from_secs(1), Bounds { frames: 1_000, bytes: 1 << 20 });
    let (one, two) = (World::on(broker.clone(), limited).await, World::on(broker.clone(), limited).await);
    let mut ann = member(&one, json!("ann")).await;
    let mut bob = member(&two, json!("bob")).await;
    let apart = two.node().id;
    broker.refuse_connections();
    broker.disconnect(apart);
    eventually("the node is alone", async || two.number("realtime_bus_connected").await == 0.0).await;
    assert_eq!(track(&mut ann, ROOM, 2 * HALF).await, None);
    assert_eq!(track(&mut bob, ROOM, 2 * HALF).await, None);
    broker.accept_connections();
    until(&mut ann, "joins", "bob").await;
    until(&mut bob, "joins", "ann").await;
    assert_eq!(track(&mut ann, ROOM, 2 * HALF + 1).await, Some(json!(REFUSED)));
    assert_eq!(track(&mut ann, ROOM, HALF).await, None);
    one.stop().await;
    two.stop().await;
}
