//! Broadcasts that rooms keep on the bus: every node reads those of all, in one order, and whether any is missing.

use std::sync::Arc;

use harness::{ChaosProxy, Redis, World, eventually};
use hub::{HistoryQuery, Privacy, RoomKey, Space};
use realtime_server::broadcast::history::{self, KeptBroadcast};
use serde_json::json;
use settings::{History, Settings, TopicPattern};

use super::{ROOM, at, member, on, send_broadcast, two, wait_for_disconnect, wait_for_nodes};

const ALL: HistoryQuery = HistoryQuery { since: None, after: Vec::new(), limit: usize::MAX };

fn keeping(node: impl Fn(&mut Settings)) -> impl Fn(&mut Settings) {
    move |settings| {
        node(settings);
        let rooms = vec![TopicPattern::new("room").expect("a pattern")];
        settings.broadcast.history = History { rooms, ..History::default() };
    }
}

/// The payloads and ids that a node reads of the room, and whether they are complete.
async fn read(world: &World, query: HistoryQuery) -> Option<(Vec<(String, u128)>, bool)> {
    let node = world.node();
    let tenant = node.tenants.get("default").expect("the default tenant");
    let (space, privacy) = (Space::Phoenix, Privacy::Public);
    let key = RoomKey { tenant: Arc::clone(&tenant.id), space, privacy, topic: "room".into() };
    let read = history::read(&node, &tenant, &key, query).await.ok()?;
    let messages = read.messages.iter().map(|message| {
        let KeptBroadcast { id, payload, .. } = KeptBroadcast::of(message).expect("a broadcast");
        (format!("{payload:?}"), id.as_u128())
    });
    Some((messages.collect(), read.is_complete))
}

async fn ids(world: &World, query: HistoryQuery) -> (Vec<u128>, bool) {
    let (messages, is_complete) = read(world, query).await.expect("the bus can be reached");
    (messages.into_iter().map(|(_, id)| id).collect(), is_complete)
}

/// The id of the broadcast that a client has received.
async fn received(client: &mut harness::Client) -> u128 {
    let message = client.next_json().await;
    let id = message[4]["meta"]["id"].as_str().unwrap_or_else(|| panic!("no id: {message}"));
    u128::from_str_radix(&id.replace('-', ""), 16).expect("an id")
}

#[tokio::test]
async fn nodes_read_the_broadcasts_of_all_in_one_order() {
    let redis = Redis::start().await;
    let (one, two) = two(keeping(on(&redis))).await;
    let ((mut ann, _), (mut bob, _)) = (member(&one, "ann").await, member(&two, "bob").await);
    let mut sent = Vec::new();
    for number in 0..20 {
        // Each is received before the next is sent, so there is one order.
        let (sender, receiver) = if number % 3 == 0 { (&mut bob, &mut ann) } else { (&mut ann, &mut bob) };
        send_broadcast(sender, json!({ "n": number })).await;
        sent.push(received(receiver).await);
    }
    for world in [&one, &two] {
        assert_eq!(ids(world, ALL).await, (sent.clone(), true));
        assert_eq!(ids(world, HistoryQuery { limit: 3, ..ALL }).await, (sent[17..].to_vec(), false));
        let after = HistoryQuery { after: vec![sent[4]], ..ALL };
        assert_eq!(ids(world, after).await, (sent[5..].to_vec(), true));
        let unknown = HistoryQuery { after: vec![1], ..ALL };
        assert_eq!(ids(world, unknown).await, (sent.clone(), false));
    }
    // A node that was not there reads it all.
    let three = one.beside(keeping(on(&redis))).await;
    wait_for_nodes(&three, 3).await;
    assert_eq!(ids(&three, ALL).await.0, sent);
    for world in [one, two, three] {
        world.stop().await;
    }
}

#[tokio::test]
async fn a_broadcast_is_found_as_soon_as_it_is_acknowledged_and_once() {
    let redis = Redis::start().await;
    let world = World::with(keeping(on(&redis))).await;
    wait_for_nodes(&world, 1).await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({"broadcast": {"ack": true}})).await;
    for number in 1..=25 {
        send_broadcast(&mut ann, json!({ "n": number })).await;
        ann.next_json().await;
        // On its way to Redis or there already.
        let (messages, _) = read(&world, ALL).await.expect("Redis can be reached");
        let payloads: Vec<_> = messages.into_iter().map(|(payload, _)| payload).collect();
        let expected: Vec<_> = (1..=number).map(|n| format!("Json(\"{{\\\"n\\\":{n}}}\")")).collect();
        assert_eq!(payloads, expected);
    }
    world.stop().await;
}

#[tokio::test]
async fn a_reader_learns_that_a_node_has_lost_broadcasts() {
    let redis = Redis::start().await;
    let proxy = ChaosProxy::to(redis.address()).await;
    let (direct, proxied) = (keeping(on(&redis)), keeping(at(&redis, proxy.address())));
    let one = World::with(proxied).await;
    let two = one.beside(direct).await;
    wait_for_nodes(&one, 2).await;
    wait_for_nodes(&two, 2).await;
    let ((mut ann, _), (mut bob, _)) = (member(&one, "ann").await, member(&two, "bob").await);
    send_broadcast(&mut bob, json!({})).await;
    let first = received(&mut ann).await;
    let after = HistoryQuery { after: vec![first], ..ALL };
    assert_eq!(ids(&two, after.clone()).await, (vec![], true));

    proxy.cut();
    wait_for_disconnect(&one).await;
    assert_eq!(read(&one, ALL).await, None, "it would not know what others have sent");
    send_broadcast(&mut ann, json!({"is": "lost"})).await;
    ann.settle().await;
    proxy.mend();
    wait_for_nodes(&one, 2).await;
    let mut next = 0;
    eventually("bob receives of ann again", async || {
        send_broadcast(&mut ann, json!({"is": "kept"})).await;
        ann.settle().await;
        let frames = bob.received().await;
        next += frames.len();
        next > 0
    })
    .await;
    for world in [&one, &two] {
        let (messages, is_complete) = ids(world, after.clone()).await;
        assert!(!messages.is_empty() && !is_complete, "{messages:?}");
    }
    for world in [one, two] {
        world.stop().await;
    }
}
