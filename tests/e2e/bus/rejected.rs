//! A Redis that rejects what presence needs: messages pass, and presence is repaired later.

use std::time::{Duration, Instant};

use harness::{ChaosProxy, Client, Redis, Request, World, eventually};
use serde_json::{Value, json};

use self::PresenceSharing::{Rejected, Shared};
use super::{
    at, member, on, send_broadcast, status, track, two, wait_for_disconnect, wait_for_nodes,
    wait_for_presence,
};

/// Makes Redis refuse all that needs memory.
async fn exhaust_memory(redis: &Redis) {
    redis.run("CONFIG SET maxmemory 1").await;
}

async fn restore_memory(redis: &Redis) {
    redis.run("CONFIG SET maxmemory 0").await;
}

/// Whether a connected node shares presence with the others, and what its pages report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PresenceSharing {
    Shared,
    Rejected,
}

/// Waits until the node, connected all the time, reports `sharing`.
async fn presence_is(world: &World, sharing: PresenceSharing) {
    let (metric, readiness, bus) = match sharing {
        Shared => (1.0, "ready", "connected"),
        Rejected => (0.0, "degraded", "without presence"),
    };
    eventually(&format!("presence is {sharing:?}"), async || {
        world.number("realtime_bus_presence_shared").await == metric
    })
    .await;
    assert_eq!(world.number("realtime_bus_connected").await, 1.0);
    let ready = world.send(Request::get("/readyz")).await;
    assert_eq!((ready.status, &ready.json()["status"]), (200, &json!(readiness)));
    assert_eq!(status(world).await["bus"], bus);
}

/// The next broadcast that a client receives.
async fn next_broadcast(client: &mut Client) -> Value {
    loop {
        let frame = client.next_json().await;
        if frame[3] == "broadcast" {
            return frame[4]["payload"].clone();
        }
    }
}

/// Sends a broadcast from one client, and checks that the other receives it.
async fn assert_delivered(from: &mut Client, to: &mut Client, what: Value) {
    send_broadcast(from, what.clone()).await;
    assert_eq!(next_broadcast(to).await, what);
    from.received().await;
}

async fn untracked(world: &World, key: &str) -> Client {
    let (client, _) = member(world, key).await;
    client
}

async fn tracked(world: &World, key: &str) -> Client {
    let mut client = untracked(world, key).await;
    track(&mut client, json!({})).await;
    client
}

// Its nodes keep their leases, too: to renew one needs no memory.
#[tokio::test]
async fn a_redis_without_memory_passes_messages_and_shares_presence_again_later() {
    const LEASE: Duration = Duration::from_secs(1);
    let redis = Redis::start().await;
    let (one, two) = two(|settings| {
        on(&redis)(settings);
        settings.bus.lease = LEASE;
    })
    .await;
    let (mut ann, mut bob) = (tracked(&one, "ann").await, tracked(&two, "bob").await);
    wait_for_presence(&one, &["ann", "bob"]).await;
    wait_for_presence(&two, &["ann", "bob"]).await;
    presence_is(&one, Shared).await;
    exhaust_memory(&redis).await;
    let carl = tracked(&one, "carl").await;
    let mut dora = tracked(&two, "dora").await;
    for world in [&one, &two] {
        presence_is(world, Rejected).await;
    }
    assert_eq!(one.number("realtime_bus_nodes").await, 2.0);
    let (begun, mut number) = (Instant::now(), 0);
    while begun.elapsed() < LEASE * 3 {
        number += 1;
        assert_delivered(&mut ann, &mut bob, json!(number)).await;
        assert_delivered(&mut bob, &mut ann, json!(number)).await;
    }
    dora.received().await;
    // Presence does not change; no member is removed.
    wait_for_presence(&one, &["ann", "bob", "carl"]).await;
    drop(carl);
    restore_memory(&redis).await;
    for world in [&one, &two] {
        presence_is(world, Shared).await;
        wait_for_nodes(world, 2).await;
        wait_for_presence(world, &["ann", "bob", "dora"]).await;
        assert_eq!(world.number("realtime_bus_reconnects_total").await, 0.0);
        assert_eq!(world.number("realtime_bus_unsent_total").await, 0.0);
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn nodes_that_connect_to_a_redis_without_memory_pass_messages() {
    let redis = Redis::start().await;
    exhaust_memory(&redis).await;
    let (one, two) = two(|settings| {
        on(&redis)(settings);
        settings.bus.lease = Duration::from_secs(1);
    })
    .await;
    let (mut ann, mut bob) = (tracked(&one, "ann").await, tracked(&two, "bob").await);
    for world in [&one, &two] {
        presence_is(world, Rejected).await;
    }
    for number in 0..10 {
        assert_delivered(&mut ann, &mut bob, json!(number)).await;
        assert_delivered(&mut bob, &mut ann, json!(number)).await;
    }
    // Over new connections, too.
    redis.kill_connections("realtime-server:publish").await;
    for world in [&one, &two] {
        eventually("it is back", async || world.number("realtime_bus_reconnects_total").await == 1.0).await;
        wait_for_nodes(world, 2).await;
    }
    assert_delivered(&mut ann, &mut bob, json!("still")).await;
    restore_memory(&redis).await;
    for world in [&one, &two] {
        presence_is(world, Shared).await;
        wait_for_presence(world, &["ann", "bob"]).await;
        assert_eq!(world.number("realtime_bus_reconnects_total").await, 1.0);
    }
    one.stop().await;
    two.stop().await;
}

// Each of these refuses something else: what needs memory, all that writes, single commands.
#[tokio::test]
async fn whichever_command_is_refused_messages_pass_and_presence_is_repaired() {
    let redis = Redis::start().await;
    let (one, two) = two(|settings| {
        on(&redis)(settings);
        settings.bus.lease = Duration::from_secs(3);
    })
    .await;
    let (mut ann, mut bob) = (tracked(&one, "ann").await, tracked(&two, "bob").await);
    wait_for_presence(&two, &["ann", "bob"]).await;
    // Only a Redis that is configured to save refuses writes when it cannot.
    let _: String = redis.ask(&["CONFIG", "SET", "save", "3600 1"]).await;
    for (refuse, allow) in [
        (vec!["CONFIG SET min-replicas-to-write 1"], "CONFIG SET min-replicas-to-write 0"),
        (vec!["CONFIG SET dir /proc", "BGSAVE"], "CONFIG SET stop-writes-on-bgsave-error no"),
        (vec!["ACL SETUSER default -hset"], "ACL SETUSER default +hset"),
        (vec!["ACL SETUSER default -hgetall -smembers"], "ACL SETUSER default +hgetall +smembers"),
        (vec!["ACL SETUSER default resetkeys"], "ACL SETUSER default allkeys"),
    ] {
        eprintln!("{refuse:?}");
        for refuse in refuse {
            redis.run(refuse).await;
        }
        eventually("nothing is being saved", async || {
            let info: String = redis.ask(&["INFO", "persistence"]).await;
            info.contains("rdb_bgsave_in_progress:0")
        })
        .await;
        let carl = tracked(&one, "carl").await;
        presence_is(&one, Rejected).await;
        for number in 0..10 {
            assert_delivered(&mut ann, &mut bob, json!(number)).await;
            assert_delivered(&mut bob, &mut ann, json!(number)).await;
        }
        redis.run(allow).await;
        for world in [&one, &two] {
            eventually("nothing is refused any more", async || {
                world.number("realtime_bus_presence_shared").await == 1.0
            })
            .await;
            wait_for_presence(world, &["ann", "bob", "carl"]).await;
        }
        drop(carl);
        wait_for_presence(&two, &["ann", "bob"]).await;
    }
    one.stop().await;
    two.stop().await;
}

// A node that registers again while changes are refused has not shared all it had: nothing follows from what is missing.
#[tokio::test]
async fn members_of_a_node_that_reconnects_while_changes_are_refused_stay() {
    const LEASE: Duration = Duration::from_secs(3);
    let redis = Redis::start().await;
    let (one, two) = two(|settings| {
        on(&redis)(settings);
        settings.bus.lease = LEASE;
    })
    .await;
    let (mut ann, mut bob) = (tracked(&one, "ann").await, tracked(&two, "bob").await);
    wait_for_presence(&one, &["ann", "bob"]).await;
    wait_for_presence(&two, &["ann", "bob"]).await;
    redis.run("ACL SETUSER default -hset").await;
    // Of either node: which of them connected last is not known.
    let one_of_them = redis.connections("realtime-server:publish").await.pop().expect("a connection");
    redis.run(&format!("CLIENT KILL ID {one_of_them}")).await;
    let reconnects = async |world: &World| world.number("realtime_bus_reconnects_total").await;
    eventually("it is back", async || reconnects(&one).await + reconnects(&two).await == 1.0).await;
    let begun = Instant::now();
    while begun.elapsed() < LEASE {
        assert_delivered(&mut ann, &mut bob, json!(1)).await;
        assert_delivered(&mut bob, &mut ann, json!(2)).await;
        for (world, name) in [(&one, "bob"), (&two, "ann")] {
            let (_look, state) = member(world, "look").await;
            assert!(state[name].is_object(), "{state}");
        }
    }
    redis.run("ACL SETUSER default +hset").await;
    drop(bob);
    let _carl = tracked(&two, "carl").await;
    for world in [&one, &two] {
        presence_is(world, Shared).await;
        wait_for_presence(world, &["ann", "carl"]).await;
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_new_connection_to_a_redis_that_still_refuses_is_no_recovery() {
    const LEASE: Duration = Duration::from_secs(1);
    const EPISODES: &str = r#"realtime_codes_total{tenant="nil",code="BusPresenceRefused"}"#;
    let redis = Redis::start().await;
    let (one, two) = two(|settings| {
        on(&redis)(settings);
        settings.bus.lease = LEASE;
    })
    .await;
    let (mut ann, mut bob) = (tracked(&one, "ann").await, tracked(&two, "bob").await);
    redis.run("ACL SETUSER default -hset").await;
    let _carl = tracked(&one, "carl").await;
    presence_is(&one, Rejected).await;
    for round in 1..4 {
        redis.kill_connections("realtime-server:publish").await;
        for world in [&one, &two] {
            eventually("it is back", async || {
                world.number("realtime_bus_reconnects_total").await == f64::from(round)
            })
            .await;
        }
        let begun = Instant::now();
        while begun.elapsed() < LEASE {
            assert_delivered(&mut ann, &mut bob, json!(1)).await;
        }
        assert_eq!(one.number(EPISODES).await, 1.0);
    }
    redis.run("ACL SETUSER default +hset").await;
    for world in [&one, &two] {
        presence_is(world, Shared).await;
        wait_for_presence(world, &["ann", "bob", "carl"]).await;
    }
    one.stop().await;
    two.stop().await;
}

// They cannot renew their leases, and know each other by the messages they publish.
#[tokio::test]
async fn no_node_expires_because_leases_cannot_be_renewed() {
    const LEASE: Duration = Duration::from_secs(1);
    let redis = Redis::start().await;
    let (one, two) = two(|settings| {
        on(&redis)(settings);
        settings.bus.lease = LEASE;
    })
    .await;
    let (mut ann, mut bob) = (tracked(&one, "ann").await, tracked(&two, "bob").await);
    wait_for_presence(&one, &["ann", "bob"]).await;
    wait_for_presence(&two, &["ann", "bob"]).await;
    redis.run("CONFIG SET min-replicas-to-write 1").await;
    eventually("the leases have run out", async || redis.keys("realtime:lease:*").await.is_empty()).await;
    let begun = Instant::now();
    while begun.elapsed() < LEASE * 2 {
        assert_delivered(&mut ann, &mut bob, json!(1)).await;
    }
    for world in [&one, &two] {
        presence_is(world, Rejected).await;
        assert_eq!(world.number("realtime_bus_nodes").await, 2.0);
        wait_for_presence(world, &["ann", "bob"]).await;
    }
    redis.run("CONFIG SET min-replicas-to-write 0").await;
    for world in [&one, &two] {
        eventually("it has a lease again", async || {
            world.number("realtime_bus_presence_shared").await == 1.0
                && redis.keys("realtime:lease:*").await.len() == 2
        })
        .await;
        wait_for_presence(world, &["ann", "bob"]).await;
    }
    one.stop().await;
    two.stop().await;
}

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
        let member = super::join_room(&one.node().hub, key(tenant, n));
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

// Each of the two knows nothing of the other but what it publishes over the new connection.
#[tokio::test]
async fn members_of_two_nodes_that_both_reconnect_while_changes_are_rejected_stay() {
    const LEASE: Duration = Duration::from_secs(1);
    let redis = Redis::start().await;
    let (one, two) = two(|settings| {
        on(&redis)(settings);
        settings.bus.lease = LEASE;
    })
    .await;
    let (mut ann, mut bob) = (tracked(&one, "ann").await, tracked(&two, "bob").await);
    wait_for_presence(&one, &["ann", "bob"]).await;
    wait_for_presence(&two, &["ann", "bob"]).await;
    redis.run("ACL SETUSER default -hset").await;
    for round in 1..4 {
        redis.kill_connections("realtime-server:publish").await;
        for world in [&one, &two] {
            eventually("it is back", async || {
                world.number("realtime_bus_reconnects_total").await == f64::from(round)
            })
            .await;
        }
        let begun = Instant::now();
        while begun.elapsed() < LEASE * 2 {
            assert_delivered(&mut ann, &mut bob, json!(1)).await;
            assert_delivered(&mut bob, &mut ann, json!(2)).await;
            for (world, name) in [(&one, "bob"), (&two, "ann")] {
                let (_look, state) = member(world, "look").await;
                assert!(state[name].is_object(), "{state}");
            }
        }
    }
    redis.run("ACL SETUSER default +hset").await;
    for world in [&one, &two] {
        presence_is(world, Shared).await;
        wait_for_presence(world, &["ann", "bob"]).await;
    }
    // The resync has ended: a member that leaves now is removed.
    drop(bob);
    for world in [&one, &two] {
        wait_for_presence(world, &["ann"]).await;
    }
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
    let other = super::join_locally(&one.node().hub, "other");
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
