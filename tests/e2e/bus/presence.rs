//! Presence across nodes: every member has one entry on all nodes, under the same refs, until it leaves.

use std::sync::Arc;
use std::time::Duration;

use harness::{Client, Conversation, Frame, Redis, WAIT_MAX, World, eventually};
use serde_json::{Value, json};

use super::{ROOM, join_locally, member, on, track, two, wait_for_nodes, wait_for_presence};

#[tokio::test]
async fn a_change_on_one_node_is_a_diff_on_the_others() {
    let redis = Redis::start().await;
    let (one, two) = two(on(&redis)).await;
    Conversation::among([&one, &two])
        .check(
            r#"
            ann joins realtime:room {"presence":{"key":"ann","enabled":true}}
            ann < ["1",null,"realtime:room","presence_state",{}]
            bob (node 2) joins realtime:room {"presence":{"key":"bob","enabled":true}}
            bob < ["1",null,"realtime:room","presence_state",{}]
            ann > ["1","2","realtime:room","presence",{"type":"presence","event":"track","payload":{"at":1}}]
            bob < [null,null,"realtime:room","presence_diff",{"joins":{"ann":{"metas":[{"phx_ref":_,"at":1}]}},"leaves":{}}]
            ann > ["1","3","realtime:room","presence",{"type":"presence","event":"track","payload":{"at":2}}]
            bob < [null,null,"realtime:room","presence_diff",{"joins":{"ann":{"metas":[{"phx_ref":_,"phx_ref_prev":_,"at":2}]}},"leaves":{"ann":{"metas":[{"phx_ref":_,"at":1}]}}}]
            bob > ["1","2","realtime:room","presence",{"type":"presence","event":"track","payload":{"at":3}}]
            carl (v1) (node 2) joins realtime:room {"presence":{"key":"carl","enabled":true}}
            ann > ["1","4","realtime:room","presence",{"type":"presence","event":"untrack"}]
            "#,
        )
        .await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn the_first_member_on_a_node_receives_all_entries_under_the_same_refs() {
    let redis = Redis::start().await;
    let (one, two) = two(on(&redis)).await;
    let (mut ann, _) = member(&one, "ann").await;
    let (mut anna, _) = member(&one, "ann").await;
    track(&mut ann, json!({"tab": 1})).await;
    track(&mut anna, json!({"tab": 2})).await;
    let (_watcher, here) = member(&one, "watcher").await;
    assert_eq!(here["ann"]["metas"].as_array().map(Vec::len), Some(2), "{here}");
    let (_bob, there) = member(&two, "bob").await;
    assert_eq!(sorted(&here), sorted(&there));
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn members_of_a_room_or_node_that_ends_leave_on_every_node() {
    let redis = Redis::start().await;
    let (one, two) = two(on(&redis)).await;
    let (mut bob, _) = member(&two, "bob").await;
    for _ in 0..3 {
        let (mut ann, _) = member(&one, "ann").await;
        track(&mut ann, json!({})).await;
        assert!(diff(&mut bob).await["joins"]["ann"].is_object());
        // Her room closes on that node, and opens again.
        drop(ann);
        assert!(diff(&mut bob).await["leaves"]["ann"].is_object());
    }
    let (mut ann, _) = member(&one, "ann").await;
    track(&mut ann, json!({})).await;
    assert!(diff(&mut bob).await["joins"]["ann"].is_object());
    one.stop().await;
    assert!(diff(&mut bob).await["leaves"]["ann"].is_object());
    wait_for_nodes(&two, 1).await;
    drop(bob);
    eventually("no presence is stored", async || redis.keys("realtime:shown:*").await.is_empty()).await;
    two.stop().await;
    assert_eq!(redis.keys("*").await, [""; 0]);
}

#[tokio::test]
async fn many_members_of_a_room_are_tracked_on_all_nodes() {
    const MEMBERS: usize = 60;
    let redis = Redis::start().await;
    let (one, two) = two(on(&redis)).await;
    let mut clients = Vec::new();
    for n in 0..MEMBERS {
        let world = if n % 2 == 0 { &one } else { &two };
        let (mut client, _) = member(world, &format!("user {n}")).await;
        track(&mut client, json!({"n": n})).await;
        clients.push(client);
    }
    for world in [&one, &two] {
        eventually("all members are tracked", async || {
            let (_client, state) = member(world, "watcher").await;
            state.as_object().map(serde_json::Map::len) == Some(MEMBERS)
        })
        .await;
    }
    clients.truncate(MEMBERS / 2);
    for world in [&one, &two] {
        eventually("those who left are gone", async || {
            let (_client, state) = member(world, "watcher").await;
            state.as_object().map(serde_json::Map::len) == Some(MEMBERS / 2)
        })
        .await;
    }
    one.stop().await;
    two.stop().await;
}

// Redis closes the connection of a subscriber with too much output pending. A large room's snapshot exceeds it.
#[tokio::test]
async fn the_presence_of_a_room_may_exceed_one_message() {
    let redis = Redis::start().await;
    let _: String = redis.ask(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 3mb 3mb 60"]).await;
    let (one, two) = two(on(&redis)).await;
    let (_watcher, _) = member(&two, "watcher").await;
    let hub = Arc::clone(&one.node().hub);
    let keys: Vec<_> = (0..24).map(|n| format!("user {n}")).collect();
    let mut local_members = Vec::new();
    for key in &keys {
        let local_member = join_locally(&hub, "room");
        let meta = json!({"phx_ref": key, "picture": "x".repeat(200_000)}).to_string();
        local_member.track(hub::PresenceEntry { key: key.as_str().into(), meta: meta.into() });
        local_members.push(local_member);
    }
    wait_for_presence(&two, &keys).await;
    for world in [&one, &two] {
        assert_eq!(world.number("realtime_bus_reconnects_total").await, 0.0);
    }
    // The nodes publish and read whole snapshots again.
    redis.kill_subscribers().await;
    for world in [&one, &two] {
        eventually("it has come back", async || world.number("realtime_bus_reconnects_total").await == 1.0)
            .await;
    }
    wait_for_presence(&two, &keys).await;
    local_members.truncate(1);
    wait_for_presence(&two, &keys[..1]).await;
    for world in [&one, &two] {
        assert_eq!(world.number("realtime_bus_reconnects_total").await, 1.0);
    }
    drop(local_members);
    one.stop().await;
    two.stop().await;
}

// What does not fit into a node's inbox is dropped. Presence is repaired all the same.
#[tokio::test]
async fn a_node_whose_inbox_overflowed_has_complete_presence_in_the_end() {
    use hub::Bounds;
    use realtime_server::bus::Broker;

    let lease = Duration::from_millis(600);
    let broker = Broker::new(lease, Bounds { frames: 1, bytes: 1 << 20 });
    let change = |settings: &mut settings::Settings| {
        settings.bus.lease = lease;
        settings.presence.coalesce = Duration::ZERO;
    };
    let (one, two) = (World::on(broker.clone(), change).await, World::on(broker, change).await);
    wait_for_nodes(&one, 2).await;
    wait_for_nodes(&two, 2).await;
    let (mut watcher, _) = member(&two, "watcher").await;
    let mut clients = Vec::new();
    for n in 0..40 {
        let (client, _) = member(&one, &format!("user {n}")).await;
        clients.push(client);
    }
    for client in &mut clients {
        let call = json!({"type": "presence", "event": "track", "payload": {}});
        client.push("2", ROOM, "presence", &call).await;
    }
    eventually("all members are tracked", async || {
        let (_client, state) = member(&two, "another").await;
        state.as_object().map(serde_json::Map::len) == Some(clients.len())
    })
    .await;
    watcher.settle().await;
    one.stop().await;
    two.stop().await;
}

// A node that reconnects publishes all its presence, and then the end of its resync. Updates that did not fit into
// the inbox in between were published all the same.
#[tokio::test]
async fn no_member_leaves_because_an_inbox_overflowed() {
    use hub::{Bounds, PresenceEntry};
    use realtime_server::bus::{BATCH_MAX, Broker};

    let broker = Broker::new(Duration::from_secs(60), Bounds { frames: 5, bytes: 1 << 20 });
    let change = |settings: &mut settings::Settings| {
        settings.presence.coalesce = Duration::ZERO;
        settings.limits.max_channels_per_client = crate::size(2 * BATCH_MAX);
    };
    let (one, two) = (World::on(broker.clone(), change).await, World::on(broker.clone(), change).await);
    wait_for_nodes(&one, 2).await;
    wait_for_nodes(&two, 2).await;
    let hub = Arc::clone(&one.node().hub);
    let track_locally = |topic: &str, key: &str| {
        let local_member = join_locally(&hub, topic);
        local_member
            .track(PresenceEntry { key: key.into(), meta: json!({"phx_ref": key}).to_string().into() });
        local_member
    };
    // More than fit are published at once.
    let topics: Vec<_> = (0..BATCH_MAX + 3).map(|n| format!("room {n}")).collect();
    let mut local_members: Vec<_> = topics.iter().map(|topic| track_locally(topic, "local_member")).collect();
    let mut ann = two.connect().await;
    for topic in &topics {
        let config = json!({"presence": {"key": "ann", "enabled": true}});
        ann.join(&format!("realtime:{topic}"), config).await;
        assert!(ann.next_json().await[4]["local_member"].is_object());
    }
    broker.disconnect(one.node().id);
    eventually("it is back", async || one.number("realtime_bus_reconnects_total").await == 1.0).await;
    eventually("some was not received", async || two.number("realtime_bus_unheard_total").await >= 10.0)
        .await;
    local_members.push(track_locally(&topics[0], "late"));
    let mut has_come = false;
    eventually("what follows is received", async || {
        for frame in ann.received().await {
            let Frame::Json(frame) = frame else { panic!("{frame:?}") };
            assert!(frame[4]["leaves"].get("local_member").is_none(), "{frame}");
            has_come |= frame[4]["joins"].get("late").is_some();
        }
        has_come
    })
    .await;
    one.stop().await;
    two.stop().await;
}

/// The payload of the next diff.
async fn diff(client: &mut Client) -> Value {
    let next = async {
        loop {
            match client.next().await {
                Frame::Json(frame) if frame[3] == "presence_diff" => return frame[4].clone(),
                _ => {}
            }
        }
    };
    tokio::time::timeout(WAIT_MAX, next).await.expect("a diff comes")
}

/// A state whose metas stand in a certain order.
fn sorted(state: &Value) -> Value {
    let mut state = state.clone();
    for entry in state.as_object_mut().into_iter().flat_map(|state| state.values_mut()) {
        if let Some(metas) = entry["metas"].as_array_mut() {
            metas.sort_by_key(|meta| meta["phx_ref"].to_string());
        }
    }
    state
}
