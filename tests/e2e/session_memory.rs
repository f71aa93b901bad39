//! What clients notice when there is no memory for what their sessions keep, and that it is given back
//! (docs/protocol/limits.md#memory). That the process stays inside its budget is shown in `server/tests/session_memory.rs`.

use std::num::NonZeroU32;
use std::sync::Arc;

use harness::{Dialect, World, eventually};
use hub::{MemoryCharge, MemoryKind};
use serde_json::{Value, json};
use settings::ByteSize;

const ROOM: &str = "realtime:room";
const REFUSED: &str = "MemoryLimitReached: Memory for channels is used up, try again later";

async fn small_world() -> World {
    World::with(|settings| {
        settings.server.memory_budget = Some(ByteSize::mib(64));
        settings.limits.max_client_presence_events_per_window = NonZeroU32::MIN;
    })
    .await
}

/// Uses up the memory of the default tenant until the charge is dropped.
fn use_up(world: &World) -> MemoryCharge {
    let node = world.node();
    let memory = Arc::clone(&node.tenants.get("default").expect("it is configured").memory);
    memory.charge(MemoryKind::Presence, memory.budget().limit())
}

async fn used(world: &World, kind: &str) -> f64 {
    world.number(&format!("realtime_memory_used_bytes{{kind=\"{kind}\"}}")).await
}

/// A token whose `sub` has this length.
fn token(world: &World, bytes: usize) -> String {
    world.sign(&json!({"role": "anon", "exp": 9_999_999_999_u64, "sub": "s".repeat(bytes)}))
}

#[tokio::test]
async fn a_join_is_refused_while_memory_is_used_up_and_a_leave_gives_back() {
    let world = small_world().await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({})).await;
    let one = used(&world, "sessions").await;
    assert!((1024.0..1200.0).contains(&one), "{one} bytes for a channel");
    let used_up = use_up(&world);
    ann.push("2", "realtime:other", "phx_join", &json!({})).await;
    assert_eq!(ann.next_json().await[4], json!({"status": "error", "response": {"reason": REFUSED}}));
    assert_eq!(used(&world, "sessions").await, one, "the first channel stays");
    assert_eq!(world.number("realtime_memory_refused_total{kind=\"sessions\"}").await, 1.0);
    drop(used_up);
    let own = json!({"config": {}, "access_token": token(&world, 5_000)});
    ann.push("3", "realtime:other", "phx_join", &own).await;
    assert_eq!(ann.next_json().await[4]["status"], "ok");
    assert!(used(&world, "sessions").await > 2.0 * one + 5_000.0, "its token is charged");
    ann.push("4", "realtime:other", "access_token", &json!({"access_token": token(&world, 50)})).await;
    ann.settle().await;
    assert!(used(&world, "sessions").await < 2.0 * one + 1_000.0, "the replaced token is given back");
    for topic in [ROOM, "realtime:other"] {
        ann.push("5", topic, "phx_leave", &json!({})).await;
    }
    eventually("both are given back", async || used(&world, "sessions").await == 0.0).await;
    world.stop().await;
}

#[tokio::test]
async fn a_join_without_config_is_charged_for_the_subscription_of_its_topic() {
    let world = small_world().await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({})).await;
    let one = used(&world, "sessions").await;
    ann.push("2", "realtime:public:todos", "phx_join", &json!({})).await;
    assert_eq!(ann.next_json().await[4]["status"], "ok");
    assert!(used(&world, "sessions").await >= 2.0 * one + 1_024.0);
    world.stop().await;
}

#[tokio::test]
async fn a_long_token_is_refused_at_the_handshake_while_memory_is_used_up() {
    let world = small_world().await;
    let connect = async |bytes| {
        let target = format!("/socket/websocket?vsn=2.0.0&apikey={}", token(&world, bytes));
        world.connect_to(Dialect::V2, &target).await
    };
    let used_up = use_up(&world);
    let short = connect(100).await.expect("connections have a part of their own");
    assert!(connect(5_000).await.is_err());
    drop(used_up);
    let long = connect(5_000).await.expect("there is memory");
    assert!(used(&world, "sessions").await >= 4_000.0);
    drop((short, long));
    eventually("it is given back", async || used(&world, "sessions").await == 0.0).await;
    world.stop().await;
}

#[tokio::test]
async fn a_track_is_not_held_back_without_memory() {
    let world = small_world().await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({"presence": {"enabled": true}})).await;
    ann.push("1", ROOM, "presence", &json!({"type": "presence", "event": "untrack"})).await;
    let track = |bytes: usize| -> Value {
        json!({"type": "presence", "event": "track", "payload": {"text": "x".repeat(bytes)}})
    };
    ann.push("2", ROOM, "presence", &track(1_000)).await;
    while ann.next_json().await[1] != "2" {}
    let held = used(&world, "held").await;
    assert!((1_000.0..1_100.0).contains(&held), "{held}");
    let used_up = use_up(&world);
    ann.push("3", ROOM, "presence", &track(2_000)).await;
    let refused = loop {
        let frame = ann.next_json().await;
        if frame[1] == "3" {
            break frame;
        }
    };
    assert_eq!(refused[4]["response"]["reason"], "Memory for presence is used up, try again later");
    assert_eq!(used(&world, "held").await, held, "what was held back stays");
    drop((used_up, ann));
    eventually("it is given back", async || used(&world, "held").await == 0.0).await;
    world.stop().await;
}

// What has a limit of its own is charged beyond a tenant's share, so the sum of all can reach the limit.
#[tokio::test]
async fn a_new_client_of_another_tenant_joins_and_broadcasts_although_all_memory_is_used_up() {
    let world = World::with_tenants(&["quiet"]).await;
    let memory = Arc::clone(&world.node().tenants.get("default").expect("it is configured").memory);
    let limit = memory.budget().limit();
    let _used_up = memory.charge(MemoryKind::Sending, limit - limit / 4);
    let mut busy = world.connect().await;
    busy.send_json(&json!(["1", "1", ROOM, "phx_join", {}])).await;
    assert_eq!(busy.next_json().await[4]["status"], "error");
    let mut quiet = world.connect_for("quiet").await;
    quiet.join(ROOM, json!({"broadcast": {"self": true}})).await;
    let broadcast = json!({"type": "broadcast", "event": "e", "payload": {"text": "x".repeat(20_000)}});
    quiet.push("2", ROOM, "broadcast", &broadcast).await;
    assert_eq!(quiet.next_json().await[4]["event"], "e");
    world.stop().await;
}
