//! What Redis rejects of one room concerns no other room.

use std::time::{Duration, Instant};

use harness::{ChaosProxy, Client, Redis, World, eventually};
use serde_json::json;

use super::PresenceSharing::Shared;
use super::{assert_delivered, presence_is, tracked, untracked};
use crate::bus::{at, on, status, two, wait_for_disconnect, wait_for_nodes, wait_for_presence};

/// How many rooms have presence that the node cannot share.
async fn failing_rooms(world: &World) -> f64 {
    world.number("realtime_bus_presence_failing_rooms").await
}

// Over a new connection, too. Its members may leave other rooms meanwhile.
#[tokio::test]
async fn an_error_in_one_room_concerns_no_other_room() {
    const LEASE: Duration = Duration::from_secs(1);
    let redis = Redis::start().await;
    let (one, two) = two(|settings| {
        on(&redis)(settings);
        settings.bus.lease = LEASE;
    })
    .await;
    let allowed = "~realtime:accounts ~realtime:lease:* ~realtime:rooms:* ~realtime:shown:* \
                   ~realtime:present:default:phoenix:public:other";
    redis.run(&format!("ACL SETUSER default resetkeys {allowed}")).await;
    let (mut ann, mut bob) = (tracked(&one, "ann").await, tracked(&two, "bob").await);
    for world in [&one, &two] {
        eventually("the room has failed", async || failing_rooms(world).await == 1.0).await;
        presence_is(world, Shared).await;
        assert!(world.number("realtime_bus_room_errors_total").await >= 1.0);
    }
    assert_delivered(&mut ann, &mut bob, json!(1)).await;
    let shares = async |key: &str| {
        let mut other = one.connect().await;
        other.join("realtime:other", json!({"presence": {"key": key, "enabled": true}})).await;
        other.next_json().await;
        let call = json!({"type": "presence", "event": "track", "payload": {}});
        other.push("2", "realtime:other", "presence", &call).await;
        other
    };
    let shown = async |keys: &[&str]| {
        let mut look = two.connect().await;
        look.join("realtime:other", json!({"presence": {"key": "look", "enabled": true}})).await;
        let state = look.next_json().await[4].clone();
        let state = state.as_object().expect("a state");
        state.len() == keys.len() && keys.iter().all(|key| state.contains_key(*key))
    };
    let carl = shares("carl").await;
    let _dora = shares("dora").await;
    eventually("the other room is shared", async || shown(&["carl", "dora"]).await).await;
    redis.kill_connections("realtime-server:publish").await;
    for world in [&one, &two] {
        eventually("it is back", async || world.number("realtime_bus_reconnects_total").await == 1.0).await;
        wait_for_nodes(world, 2).await;
        presence_is(world, Shared).await;
        eventually("the room fails again", async || failing_rooms(world).await == 1.0).await;
    }
    drop(carl);
    eventually("who has left is gone", async || shown(&["dora"]).await).await;
    assert_eq!(status(&one).await["presence_failing_rooms"], 1);
    redis.run("ACL SETUSER default allkeys").await;
    for world in [&one, &two] {
        wait_for_presence(world, &["ann", "bob"]).await;
        eventually("no room fails", async || failing_rooms(world).await == 0.0).await;
        assert_eq!(world.number("realtime_bus_reconnects_total").await, 1.0);
    }
    one.stop().await;
    two.stop().await;
}

// As an ACL may that an operator gives too narrow patterns.
#[tokio::test]
async fn a_channel_that_may_not_be_used_concerns_its_room_alone() {
    let redis = Redis::start().await;
    let (one, two) = two(|settings| {
        on(&redis)(settings);
        settings.bus.lease = Duration::from_secs(1);
    })
    .await;
    let (mut ann, mut bob) = (tracked(&one, "ann").await, tracked(&two, "bob").await);
    wait_for_presence(&two, &["ann", "bob"]).await;
    redis
        .run("ACL SETUSER default resetchannels &realtime:nodes &realtime:room:default:phoenix:public:room")
        .await;
    let mut other = one.connect().await;
    other.join("realtime:other", json!({"presence": {"key": "carl", "enabled": true}})).await;
    send_to(&mut other, "realtime:other").await;
    track_in(&mut other, "realtime:other").await;
    eventually("the room has failed", async || failing_rooms(&one).await == 1.0).await;
    for number in 0..10 {
        assert_delivered(&mut ann, &mut bob, json!(number)).await;
        assert_delivered(&mut bob, &mut ann, json!(number)).await;
    }
    presence_is(&one, Shared).await;
    redis.run("ACL SETUSER default allchannels").await;
    eventually("no room fails", async || failing_rooms(&one).await == 0.0).await;
    for world in [&one, &two] {
        assert_eq!(world.number("realtime_bus_reconnects_total").await, 0.0);
    }
    one.stop().await;
    two.stop().await;
}

async fn send_to(client: &mut Client, topic: &str) {
    let call = json!({"type": "broadcast", "event": "said", "payload": {}});
    client.push("say", topic, "broadcast", &call).await;
}

async fn track_in(client: &mut Client, topic: &str) {
    client
        .push("track", topic, "presence", &json!({"type": "presence", "event": "track", "payload": {}}))
        .await;
}

// What one tenant stores does not use up the memory of Redis.
#[tokio::test]
async fn the_presence_that_a_tenant_stores_is_bounded() {
    let redis = Redis::start().await;
    let (one, two) = two(|settings| {
        on(&redis)(settings);
        settings.bus.lease = Duration::from_secs(1);
        settings.bus.max_presence_bytes_per_tenant = "64 KiB".parse().expect("a size");
    })
    .await;
    let key = |tenant: &str, n: usize| hub::RoomKey {
        tenant: tenant.into(),
        space: hub::Space::Phoenix,
        privacy: hub::Privacy::Public,
        topic: format!("room {n}").into(),
    };
    let show = |tenant: &str, n: usize, bytes: usize| {
        let member = crate::bus::join_room(&one.node().hub, key(tenant, n));
        member.track(hub::PresenceEntry { key: "ann".into(), meta: "x".repeat(bytes).into() });
        member
    };
    let mut much: Vec<_> = (0..20).map(|n| show("a", n, 10_000)).collect();
    let stored = async |tenant: &str| redis.keys(&format!("realtime:shown:*:{tenant}:*")).await.len();
    eventually("the rest is refused", async || failing_rooms(&one).await == 14.0).await;
    assert_eq!(stored("a").await, 6);
    let _small = show("b", 0, 1_000);
    eventually("another tenant's is stored", async || stored("b").await == 1).await;
    presence_is(&one, Shared).await;
    // What is removed makes room.
    much.drain(3..);
    eventually("what fits is stored", async || failing_rooms(&one).await == 0.0 && stored("a").await == 3)
        .await;
    drop(much);
    one.stop().await;
    two.stop().await;
}

/// The only stored snapshot of a room.
async fn stored_snapshot(redis: &Redis) -> String {
    let mut keys = Vec::new();
    eventually("there is a snapshot", async || {
        keys = redis.keys("realtime:shown:*:default:phoenix:public:room").await;
        keys.len() == 1
    })
    .await;
    keys.remove(0)
}

// `DEL` is what an eviction does. What is missing is not gone, and comes back with the next change.
#[tokio::test]
async fn an_evicted_snapshot_removes_no_member_and_is_stored_again() {
    let redis = Redis::start().await;
    let proxy = ChaosProxy::to(redis.address()).await;
    let quick = |settings: &mut settings::Settings| settings.bus.lease = Duration::from_secs(1);
    let one = World::with(|settings| {
        on(&redis)(settings);
        quick(settings);
    })
    .await;
    let two = one
        .beside(|settings| {
            at(&redis, proxy.address())(settings);
            quick(settings);
        })
        .await;
    wait_for_nodes(&one, 2).await;
    wait_for_nodes(&two, 2).await;
    let (_ann, _watcher) = (tracked(&one, "ann").await, untracked(&two, "watcher").await);
    wait_for_presence(&two, &["ann"]).await;
    let snapshot = stored_snapshot(&redis).await;
    let _: usize = redis.ask(&["DEL", &snapshot]).await;
    // It reads everything again.
    proxy.cut();
    wait_for_disconnect(&two).await;
    proxy.mend();
    wait_for_nodes(&two, 2).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        wait_for_presence(&two, &["ann"]).await;
    }
    let _carl = tracked(&one, "carl").await;
    // A third node knows nothing but what is stored.
    let three = one.beside(on(&redis)).await;
    for world in [&one, &two, &three] {
        wait_for_presence(world, &["ann", "carl"]).await;
    }
    for world in [one, two, three] {
        world.stop().await;
    }
}

#[tokio::test]
async fn a_snapshot_of_another_type_is_replaced_and_concerns_no_other_room() {
    let redis = Redis::start().await;
    let (one, two) = two(|settings| {
        on(&redis)(settings);
        settings.bus.lease = Duration::from_secs(1);
    })
    .await;
    let (mut ann, mut bob) = (tracked(&one, "ann").await, untracked(&two, "bob").await);
    wait_for_presence(&two, &["ann"]).await;
    let snapshot = stored_snapshot(&redis).await;
    let _: usize = redis.ask(&["DEL", &snapshot]).await;
    let _: String = redis.ask(&["SET", &snapshot, "nonsense"]).await;
    let _carl = tracked(&one, "carl").await;
    assert_delivered(&mut ann, &mut bob, json!(1)).await;
    let other = crate::bus::join_locally(&one.node().hub, "other");
    other.track(hub::PresenceEntry { key: "dora".into(), meta: "{}".into() });
    eventually("the other room is shared", async || {
        redis.keys("realtime:shown:*:default:phoenix:public:other").await.len() == 1
    })
    .await;
    let three = one.beside(on(&redis)).await;
    for world in [&one, &two, &three] {
        wait_for_presence(world, &["ann", "carl"]).await;
        assert_eq!(world.number("realtime_bus_reconnects_total").await, 0.0);
    }
    drop(other);
    for world in [one, two, three] {
        world.stop().await;
    }
}
