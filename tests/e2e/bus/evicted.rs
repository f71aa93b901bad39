//! Keys that Redis deletes or evicts: what a node stores is stored again with its next renewals, without a change of it.

use std::time::Duration;

use harness::{Redis, World, eventually};
use serde_json::json;

use super::{member, on, track, wait_for_nodes, wait_for_presence};

const LEASE: Duration = Duration::from_secs(1);

async fn quick_two(redis: &Redis) -> (World, World) {
    super::two(|settings| {
        on(redis)(settings);
        settings.bus.lease = LEASE;
    })
    .await
}

#[tokio::test]
async fn whichever_key_is_deleted_presence_is_stored_again_without_a_change() {
    let redis = Redis::start().await;
    let (one, two) = quick_two(&redis).await;
    let ((mut ann, _), (mut bob, _)) = (member(&one, "ann").await, member(&two, "bob").await);
    track(&mut ann, json!({})).await;
    track(&mut bob, json!({})).await;
    for world in [&one, &two] {
        wait_for_presence(world, &["ann", "bob"]).await;
    }
    for pattern in
        ["realtime:shown:*", "realtime:present:*", "realtime:rooms:*", "realtime:accounts", "realtime:*"]
    {
        eprintln!("{pattern}");
        let keys = redis.keys(pattern).await;
        assert!(!keys.is_empty());
        for key in &keys {
            let _: usize = redis.ask(&["DEL", key]).await;
        }
        if pattern == "realtime:*" {
            // Without its lease a node connects again.
            for world in [&one, &two] {
                eventually("it is back", async || world.number("realtime_bus_reconnects_total").await == 1.0)
                    .await;
                wait_for_nodes(world, 2).await;
            }
        }
        eventually("every key is there again", async || {
            let now: Vec<_> = redis.keys(pattern).await;
            now.len() == keys.len()
        })
        .await;
        // It knows nothing but what is stored.
        let three = one.beside(on(&redis)).await;
        wait_for_nodes(&three, 3).await;
        for world in [&one, &two, &three] {
            wait_for_presence(world, &["ann", "bob"]).await;
        }
        three.stop().await;
    }
    // No ghost stays.
    drop(bob);
    for world in [&one, &two] {
        wait_for_presence(world, &["ann"]).await;
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn presence_survives_evictions() {
    let redis = Redis::start().await;
    let (one, two) = quick_two(&redis).await;
    let ((mut ann, _), (mut bob, _)) = (member(&one, "ann").await, member(&two, "bob").await);
    track(&mut ann, json!({})).await;
    track(&mut bob, json!({})).await;
    for world in [&one, &two] {
        wait_for_presence(world, &["ann", "bob"]).await;
    }
    redis.run("CONFIG SET maxmemory-policy allkeys-random").await;
    let used: String = redis.ask(&["INFO", "memory"]).await;
    let used: usize = used
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok())
        .expect("a number");
    // Another application fills the rest.
    redis.run(&format!("CONFIG SET maxmemory {}", used + (1 << 20))).await;
    for n in 0..3_000 {
        let _: String = redis.ask(&["SET", &format!("other:{n}"), &"x".repeat(1_000)]).await;
    }
    let evicted: String = redis.ask(&["INFO", "stats"]).await;
    assert!(!evicted.contains("evicted_keys:0\r\n"), "{evicted}");
    redis.run("CONFIG SET maxmemory 0").await;
    let three = one.beside(on(&redis)).await;
    for world in [&one, &two, &three] {
        wait_for_nodes(world, 3).await;
        wait_for_presence(world, &["ann", "bob"]).await;
    }
    drop(ann);
    for world in [&one, &two, &three] {
        wait_for_presence(world, &["bob"]).await;
    }
    for world in [one, two, three] {
        world.stop().await;
    }
}

#[tokio::test]
async fn everything_that_is_stored_expires() {
    let redis = Redis::start().await;
    let (one, two) = quick_two(&redis).await;
    let ((mut ann, _), (mut bob, _)) = (member(&one, "ann").await, member(&two, "bob").await);
    track(&mut ann, json!({})).await;
    track(&mut bob, json!({})).await;
    wait_for_presence(&one, &["ann", "bob"]).await;
    let mut untimed = Vec::new();
    eventually("each key has a lifetime", async || {
        untimed.clear();
        for key in redis.keys("*").await {
            if redis.ask::<i64>(&["TTL", &key]).await == -1 {
                untimed.push(key);
            }
        }
        untimed.is_empty()
    })
    .await;
    one.stop().await;
    two.stop().await;
}
