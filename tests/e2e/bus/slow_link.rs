//! A node with much presence, or among much presence of others, over a slow connection to Redis.

use std::time::{Duration, Instant};

use harness::{ChaosProxy, Redis, World};
use hub::{Membership, PresenceEntry};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{at, join_locally, on, wait_for_disconnect, wait_for_nodes};

/// What one room shows. More than passes within `bus.timeout`.
const ROOM_BYTES: usize = 2_000_000;
const ROOMS: usize = 16;
const BANDWIDTH: u32 = 8_000_000;
const TIMEOUT: Duration = Duration::from_millis(200);

/// What the bytes take when each is sent once.
const RETURN_TIME: Duration = Duration::from_secs((ROOM_BYTES * ROOMS) as u64 / BANDWIDTH as u64);

/// On a machine that is shared with other tests.
const RETURN_MAX: Duration = RETURN_TIME.saturating_mul(8);

/// Joins `ROOMS` rooms and shows `ROOM_BYTES` in each.
fn show_much(world: &World) -> Vec<Membership> {
    let members: Vec<_> = (0..ROOMS).map(|n| join_locally(&world.node().hub, &format!("room {n}"))).collect();
    for member in &members {
        let meta = json!({"phx_ref": "1", "picture": "x".repeat(ROOM_BYTES)}).to_string();
        member.track(PresenceEntry { key: "ann".into(), meta: meta.into() });
    }
    members
}

fn watch(world: &World) -> Vec<Membership> {
    (0..ROOMS).map(|n| join_locally(&world.node().hub, &format!("room {n}"))).collect()
}

/// A node near Redis, and one behind a proxy.
async fn near_and_far(redis: &Redis) -> (World, World, ChaosProxy) {
    let proxy = ChaosProxy::to(redis.address()).await;
    let patient = |settings: &mut settings::Settings| {
        settings.bus.timeout = TIMEOUT;
        settings.bus.lease = Duration::from_secs(30);
    };
    let near = World::with(|settings| {
        on(redis)(settings);
        patient(settings);
    })
    .await;
    let far = near
        .beside(|settings| {
            at(redis, proxy.address())(settings);
            patient(settings);
        })
        .await;
    wait_for_nodes(&near, 2).await;
    wait_for_nodes(&far, 2).await;
    (near, far, proxy)
}

/// Waits until it holds, and returns how long that took.
async fn within(limit: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < limit, "does not hold within {limit:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
    begun.elapsed()
}

async fn is_connected(world: &World) -> bool {
    world.number("realtime_bus_connected").await == 1.0
}

async fn stored(redis: &Redis) -> usize {
    redis.keys("realtime:shown:*").await.len()
}

/// Disconnects the node, and lets it return over a slow connection.
async fn return_slowly(world: &World, proxy: &ChaosProxy) -> Duration {
    proxy.cut();
    proxy.limit_bandwidth(BANDWIDTH);
    wait_for_disconnect(world).await;
    proxy.mend();
    within(RETURN_MAX, "the node has returned", async || is_connected(world).await).await
}

#[tokio::test]
async fn a_node_stores_much_presence_in_the_time_its_bytes_take() {
    let redis = Redis::start().await;
    let (near, far, proxy) = near_and_far(&redis).await;
    let members = show_much(&far);
    within(RETURN_MAX, "everything is stored", async || stored(&redis).await == ROOMS).await;
    let took = return_slowly(&far, &proxy).await;
    within(RETURN_MAX, "everything is stored again", async || stored(&redis).await == ROOMS).await;
    eprintln!("returned after {took:?}");
    assert_eq!(far.number("realtime_bus_reconnects_total").await, 1.0, "the connection was lost again");
    drop(members);
    far.stop().await;
    near.stop().await;
}

#[tokio::test]
async fn a_node_reads_much_presence_in_the_time_its_bytes_take() {
    let redis = Redis::start().await;
    let (near, far, proxy) = near_and_far(&redis).await;
    let members = show_much(&near);
    let watchers = watch(&far);
    within(RETURN_MAX, "everything is stored", async || stored(&redis).await == ROOMS).await;
    return_slowly(&far, &proxy).await;
    let shown = async || {
        let rooms = far.node().hub.rooms();
        rooms.iter().filter(|room| !room.remote_nodes().is_empty()).count() == ROOMS
    };
    within(RETURN_MAX, "everything is read", shown).await;
    assert_eq!(far.number("realtime_bus_reconnects_total").await, 1.0, "the connection was lost again");
    assert_eq!(redis.connections("realtime-server:read").await.len(), 2);
    drop((members, watchers));
    far.stop().await;
    near.stop().await;
}

// Of another tenant, too: what one has in its rooms does not delay the others.
#[tokio::test]
async fn a_small_room_does_not_wait_for_much_presence() {
    let redis = Redis::start().await;
    let (near, far, proxy) = near_and_far(&redis).await;
    let members = show_much(&far);
    within(RETURN_MAX, "everything is stored", async || stored(&redis).await == ROOMS).await;
    proxy.cut();
    proxy.limit_bandwidth(BANDWIDTH / 4);
    wait_for_disconnect(&far).await;
    let key = hub::RoomKey {
        tenant: "other".into(),
        space: hub::Space::Phoenix,
        privacy: hub::Privacy::Public,
        topic: "small".into(),
    };
    let small = super::join_room(&far.node().hub, key);
    small.track(PresenceEntry { key: "bob".into(), meta: "{}".into() });
    proxy.mend();
    let is_stored = async || !redis.keys("realtime:shown:*:other:phoenix:public:small").await.is_empty();
    // All that precedes it would take four times as long as usual.
    within(RETURN_TIME * 2, "the small room is stored", is_stored).await;
    drop((members, small));
    far.stop().await;
    near.stop().await;
}

/// The progress that `/status` reports while the node stores and reads.
#[tokio::test]
async fn the_progress_of_a_return_is_reported() {
    let redis = Redis::start().await;
    let (near, far, proxy) = near_and_far(&redis).await;
    let members = show_much(&far);
    within(RETURN_MAX, "everything is stored", async || stored(&redis).await == ROOMS).await;
    assert_eq!(progress(&far).await, Value::Null);
    proxy.cut();
    proxy.limit_bandwidth(BANDWIDTH);
    wait_for_disconnect(&far).await;
    proxy.mend();
    let mut steps = Vec::new();
    within(RETURN_MAX, "the node has returned", async || {
        let now = progress(&far).await;
        if now.is_object() && steps.last() != Some(&now) {
            steps.push(now);
        }
        is_connected(&far).await
    })
    .await;
    let numbers = |kind: &str, field: &str| -> Vec<u64> {
        steps.iter().map(|step| step[kind][field].as_u64().expect("a number")).collect()
    };
    let bytes = numbers("stored", "bytes");
    assert!(bytes.is_sorted() && bytes.windows(2).filter(|pair| pair[0] < pair[1]).count() >= 3, "{steps:?}");
    let last = steps.last().expect("progress");
    assert_eq!(last["stored"]["rooms_total"], ROOMS, "{last}");
    assert!(last["stored"]["bytes_total"].as_u64() > Some((ROOMS * ROOM_BYTES) as u64), "{last}");
    assert_eq!(progress(&far).await, Value::Null);
    drop(members);
    far.stop().await;
    near.stop().await;
}

async fn progress(world: &World) -> Value {
    super::status(world).await["resync"].clone()
}
