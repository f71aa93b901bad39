//! Presence reaches over nodes: everybody sees everybody, once, under the same refs, until they go.

use std::sync::Arc;
use std::time::Duration;

use harness::{Client, Conversation, Frame, Redis, WAIT_MAX, World, eventually};
use serde_json::{Value, json};

use super::{ROOM, guest, hears, member, on, shows, track, two};

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
async fn whoever_joins_on_a_cold_node_is_shown_everybody_under_the_same_refs() {
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
    hears(&two, 1).await;
    drop(bob);
    eventually("nothing is left of anybody", async || redis.keys("realtime:shown:*").await.is_empty()).await;
    two.stop().await;
    assert_eq!(redis.keys("*").await, [""; 0]);
}

#[tokio::test]
async fn many_in_a_room_are_shown_to_all() {
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
        eventually("everybody is shown", async || {
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

// Redis ends the connection of whoever has too much to hear at once. In a large room the whole is.
#[tokio::test]
async fn a_room_may_show_more_than_fits_into_a_message() {
    let redis = Redis::start().await;
    let _: String = redis.ask(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 3mb 3mb 60"]).await;
    let (one, two) = two(on(&redis)).await;
    let (_watcher, _) = member(&two, "watcher").await;
    let hub = Arc::clone(&one.node().hub);
    let keys: Vec<_> = (0..24).map(|n| format!("user {n}")).collect();
    let mut guests = Vec::new();
    for key in &keys {
        let guest = guest(&hub, "room");
        let meta = json!({"phx_ref": key, "picture": "x".repeat(200_000)}).to_string();
        guest.track(hub::PresenceEntry { key: key.as_str().into(), meta: meta.into() });
        guests.push(guest);
    }
    shows(&two, &keys).await;
    for world in [&one, &two] {
        assert_eq!(world.number("realtime_bus_reconnects_total").await, 0.0);
    }
    // Published as a whole, to those who know nothing of it any more.
    redis.kill_subscribers().await;
    for world in [&one, &two] {
        eventually("it has come back", async || world.number("realtime_bus_reconnects_total").await == 1.0)
            .await;
    }
    shows(&two, &keys).await;
    guests.truncate(1);
    shows(&two, &keys[..1]).await;
    for world in [&one, &two] {
        assert_eq!(world.number("realtime_bus_reconnects_total").await, 1.0);
    }
    drop(guests);
    one.stop().await;
    two.stop().await;
}

// What does not fit into a node's inbox is dropped. Presence must come right all the same.
#[tokio::test]
async fn a_node_that_was_too_slow_to_hear_everything_sees_everybody_in_the_end() {
    use hub::Bounds;
    use realtime_server::bus::Broker;

    let lease = Duration::from_millis(600);
    let broker = Broker::new(lease, Bounds { frames: 1, bytes: 1 << 20 });
    let change = |settings: &mut settings::Settings| {
        settings.bus.lease = lease;
        settings.presence.coalesce = Duration::ZERO;
    };
    let (one, two) = (World::on(broker.clone(), change).await, World::on(broker, change).await);
    hears(&one, 2).await;
    hears(&two, 2).await;
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
    eventually("everybody is shown", async || {
        let (_client, state) = member(&two, "another").await;
        state.as_object().map(serde_json::Map::len) == Some(clients.len())
    })
    .await;
    watcher.settle().await;
    one.stop().await;
    two.stop().await;
}

// Whoever comes back tells everything it shows, and then that this was everything. What does not fit into the inbox
// in between was told all the same.
#[tokio::test]
async fn nobody_leaves_because_a_node_was_too_slow_to_hear_of_them() {
    use hub::{Bounds, PresenceEntry};
    use realtime_server::bus::{BATCH_MAX, Broker};

    let broker = Broker::new(Duration::from_secs(60), Bounds { frames: 50, bytes: 1 << 20 });
    let change = |settings: &mut settings::Settings| {
        settings.presence.coalesce = Duration::ZERO;
        settings.limits.max_channels_per_client = crate::size(2 * BATCH_MAX);
    };
    let (one, two) = (World::on(broker.clone(), change).await, World::on(broker.clone(), change).await);
    hears(&one, 2).await;
    hears(&two, 2).await;
    let hub = Arc::clone(&one.node().hub);
    let show = |topic: &str, key: &str| {
        let guest = guest(&hub, topic);
        guest.track(PresenceEntry { key: key.into(), meta: json!({"phx_ref": key}).to_string().into() });
        guest
    };
    // They are told in two messages' worth of time, of which the second is short and fits.
    let topics: Vec<_> = (0..BATCH_MAX + 3).map(|n| format!("room {n}")).collect();
    let mut guests: Vec<_> = topics.iter().map(|topic| show(topic, "guest")).collect();
    let mut ann = two.connect().await;
    for topic in &topics {
        let config = json!({"presence": {"key": "ann", "enabled": true}});
        ann.join(&format!("realtime:{topic}"), config).await;
        assert!(ann.next_json().await[4]["guest"].is_object());
    }
    broker.cut(one.node().id);
    eventually("it is back", async || one.number("realtime_bus_reconnects_total").await == 1.0).await;
    eventually("much was not heard", async || two.number("realtime_bus_unheard_total").await >= 400.0).await;
    guests.push(show(&topics[0], "late"));
    let mut has_come = false;
    eventually("what follows is heard", async || {
        for frame in ann.received().await {
            let Frame::Json(frame) = frame else { panic!("{frame:?}") };
            assert!(frame[4]["leaves"].get("guest").is_none(), "{frame}");
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
    for shown in state.as_object_mut().into_iter().flat_map(|state| state.values_mut()) {
        if let Some(metas) = shown["metas"].as_array_mut() {
            metas.sort_by_key(|meta| meta["phx_ref"].to_string());
        }
    }
    state
}
