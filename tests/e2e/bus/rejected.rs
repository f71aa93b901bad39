//! A Redis that rejects what presence needs: messages pass, and presence is repaired later.

mod reconnecting;
mod rooms;

use std::time::{Duration, Instant};

use harness::{Client, Redis, Request, World, eventually};
use serde_json::{Value, json};

use self::PresenceSharing::{Rejected, Shared};
use super::{member, on, send_broadcast, status, track, two, wait_for_nodes, wait_for_presence};

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
