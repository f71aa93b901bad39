//! Keys of another type than they should have disturb what the key is for, and not for long.

use std::time::Duration;

use harness::{Redis, World, eventually};
use hub::{Membership, PresenceEntry};

use super::{join_locally, on, two, wait_for_nodes, wait_for_presence};

async fn two_on(redis: &Redis) -> (World, World) {
    two(|settings| {
        on(redis)(settings);
        settings.bus.lease = Duration::from_secs(1);
    })
    .await
}

/// A member of the room on this node that shows `key` there.
fn shown(world: &World, topic: &str, key: &str) -> Membership {
    let member = join_locally(&world.node().hub, topic);
    member.track(PresenceEntry { key: key.into(), meta: "{}".into() });
    member
}

/// Puts a string in place of the only key that matches.
async fn damage(redis: &Redis, pattern: &str) -> String {
    let mut keys = Vec::new();
    eventually("there is such a key", async || {
        keys = redis.keys(pattern).await;
        keys.len() == 1
    })
    .await;
    redis.run(&format!("SET {} nonsense", keys[0])).await;
    keys.remove(0)
}

async fn is_repaired(redis: &Redis, key: &str, kind: &str) {
    eventually(&format!("`{key}` is a {kind} again"), async || {
        redis.ask::<String>(&["TYPE", key]).await == kind
    })
    .await;
}

async fn deleted(worlds: [&World; 2]) -> f64 {
    let [one, two] = worlds;
    let name = "realtime_bus_wrong_types_total";
    one.number(name).await + two.number(name).await
}

async fn assert_nothing_fails(worlds: [&World; 2]) {
    for world in worlds {
        eventually("no room fails", async || {
            world.number("realtime_bus_presence_failing_rooms").await == 0.0
        })
        .await;
        assert_eq!(world.number("realtime_bus_presence_shared").await, 1.0);
        assert_eq!(world.number("realtime_bus_reconnects_total").await, 0.0);
    }
}

// Every room of the node is in it. It is needed only when the node has died.
#[tokio::test]
async fn a_damaged_list_of_rooms_concerns_no_room() {
    let redis = Redis::start().await;
    let (one, two) = two_on(&redis).await;
    let _ann = shown(&one, "room", "ann");
    wait_for_presence(&two, &["ann"]).await;
    let list = damage(&redis, "realtime:rooms:*").await;
    let _bob = shown(&one, "room", "bob");
    wait_for_presence(&two, &["ann", "bob"]).await;
    assert_eq!(one.number("realtime_bus_room_errors_total").await, 0.0);
    is_repaired(&redis, &list, "set").await;
    eventually("the room is listed again", async || {
        redis.ask::<Vec<String>>(&["SMEMBERS", &list]).await == [super::NAME]
    })
    .await;
    assert_eq!(deleted([&one, &two]).await, 1.0);
    assert_nothing_fails([&one, &two]).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_damaged_list_of_nodes_is_made_again() {
    let redis = Redis::start().await;
    let (one, two) = two_on(&redis).await;
    let (_ann, _carl) = (shown(&one, "room", "ann"), shown(&two, "room", "carl"));
    wait_for_presence(&two, &["ann", "carl"]).await;
    redis.run("SET realtime:accounts nonsense").await;
    is_repaired(&redis, "realtime:accounts", "set").await;
    eventually("both are listed", async || redis.ask::<usize>(&["SCARD", "realtime:accounts"]).await == 2)
        .await;
    for world in [&one, &two] {
        wait_for_nodes(world, 2).await;
        wait_for_presence(world, &["ann", "carl"]).await;
    }
    assert_eq!(deleted([&one, &two]).await, 1.0);
    // Nor does it keep out a node that connects while it is damaged.
    redis.run("SET realtime:accounts nonsense").await;
    let three = one.beside(on(&redis)).await;
    wait_for_nodes(&three, 3).await;
    wait_for_presence(&three, &["ann", "carl"]).await;
    assert_nothing_fails([&one, &two]).await;
    for world in [one, two, three] {
        world.stop().await;
    }
}

// Whether it shows anything there or only reads, and whether it was damaged before or after.
#[tokio::test]
async fn a_damaged_list_of_the_nodes_in_a_room_is_made_again() {
    let redis = Redis::start().await;
    let (one, two) = two_on(&redis).await;
    let list = "realtime:present:default:phoenix:public:room";
    redis.run(&format!("SET {list} nonsense")).await;
    let ann = shown(&one, "room", "ann");
    for world in [&one, &two] {
        wait_for_presence(world, &["ann"]).await;
    }
    redis.run(&format!("SET {list} nonsense")).await;
    // It is noticed although nothing changes.
    is_repaired(&redis, list, "set").await;
    let other = shown(&one, "other", "dora");
    let three = one.beside(on(&redis)).await;
    wait_for_presence(&three, &["ann"]).await;
    assert!(deleted([&one, &two]).await >= 2.0);
    assert_nothing_fails([&one, &two]).await;
    drop((ann, other));
    eventually("nothing is left of the rooms", async || redis.keys("realtime:present:*").await.is_empty())
        .await;
    for world in [one, two, three] {
        world.stop().await;
    }
}

// A node that has died cannot repair what it has stored: others read past it and remove it.
#[tokio::test]
async fn damaged_keys_of_a_node_are_removed_with_it() {
    let redis = Redis::start().await;
    let (one, two) = two_on(&redis).await;
    let (_ann, _bob) = (shown(&one, "room", "ann"), shown(&two, "room", "bob"));
    wait_for_presence(&one, &["ann", "bob"]).await;
    for key in
        ["realtime:rooms:000000000000dead.0", "realtime:shown:000000000000dead.0:default:phoenix:public:room"]
    {
        redis.run(&format!("SET {key} nonsense")).await;
    }
    redis.run("SADD realtime:present:default:phoenix:public:room 000000000000dead.0").await;
    redis.run("SADD realtime:accounts 000000000000dead.0").await;
    eventually("the dead node is removed", async || {
        redis.ask::<usize>(&["SISMEMBER", "realtime:accounts", "000000000000dead.0"]).await == 0
            && redis.keys("realtime:rooms:000000000000dead.0").await.is_empty()
    })
    .await;
    wait_for_presence(&two, &["ann", "bob"]).await;
    assert_nothing_fails([&one, &two]).await;
    one.stop().await;
    two.stop().await;
}
