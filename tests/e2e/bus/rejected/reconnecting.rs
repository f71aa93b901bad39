//! Nodes that reconnect to a Redis that rejects what presence needs.

use std::time::{Duration, Instant};

use harness::{Redis, World, eventually};
use serde_json::json;

use super::PresenceSharing::{Rejected, Shared};
use super::{assert_delivered, exhaust_memory, presence_is, restore_memory, tracked};
use crate::bus::{member, on, two, wait_for_nodes, wait_for_presence};

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
