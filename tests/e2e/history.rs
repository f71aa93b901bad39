//! Rooms that keep their broadcasts (docs/protocol/history.md).

use std::sync::Arc;

use harness::{Client, Dialect, Request, Token, World, eventually};
use hub::{HistoryQuery, Privacy, RoomKey, Space};
use realtime_server::broadcast::history::{self, KeptBroadcast};
use realtime_server::tenants::Tenant;
use serde_json::{Value, json};
use settings::{History, TopicPattern};

const ALL: HistoryQuery = HistoryQuery { since: None, after: Vec::new(), limit: usize::MAX };

/// The default settings, for the rooms that a pattern selects.
fn keeping(pattern: &str) -> History {
    let rooms = vec![TopicPattern::new(pattern).expect("a pattern")];
    History { rooms, ..History::default() }
}

async fn world() -> World {
    World::with(|settings| settings.broadcast.history = keeping("chat:*")).await
}

fn tenant(world: &World) -> Arc<Tenant> {
    world.node().tenants.get("default").expect("the default tenant")
}

/// What a room keeps: ids, events and payloads.
async fn kept(world: &World, topic: &str, query: HistoryQuery) -> Vec<(String, String, String)> {
    let tenant = tenant(world);
    let key = RoomKey {
        tenant: Arc::clone(&tenant.id),
        space: Space::Phoenix,
        privacy: Privacy::Public,
        topic: topic.into(),
    };
    let read = history::read(&world.node(), &tenant, &key, query).await.expect("there is no bus");
    let messages = read.messages.iter().map(|message| {
        let KeptBroadcast { id, event, payload } = KeptBroadcast::of(message).expect("a broadcast");
        (id.to_string(), event.to_owned(), format!("{payload:?}"))
    });
    messages.collect()
}

async fn send(client: &mut Client, topic: &str, event: &str) {
    let payload = json!({"type": "broadcast", "event": event, "payload": {"n": 1}});
    client.push("9", topic, "broadcast", &payload).await;
}

/// The event and the id of a broadcast that has arrived as text.
fn event_and_id(message: &Value, is_v1: bool) -> (String, String) {
    let body = if is_v1 { &message["payload"] } else { &message[4] };
    let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    (text(&body["event"]), text(&body["meta"]["id"]))
}

#[tokio::test]
async fn broadcasts_of_sockets_and_http_are_kept_with_the_id_that_members_receive() {
    let world = world().await;
    let mut ann = world.connect().await;
    let mut bob = world.connect_as(Dialect::V1, Token::Valid).await;
    for client in [&mut ann, &mut bob] {
        client.join("realtime:chat:1", json!({})).await;
    }
    send(&mut ann, "realtime:chat:1", "socket").await;
    let first = event_and_id(&bob.next_json().await, true);
    let message = json!({"topic": "chat:1", "event": "batch", "payload": {"n": 2}});
    let batch = Request::post("/api/broadcast").json(&json!({ "messages": [message] }));
    assert_eq!(world.send(batch.bearer(&world.token(Token::Valid))).await.status, 202);
    let second = event_and_id(&bob.next_json().await, true);
    assert_eq!(event_and_id(&ann.next_json().await, false), second);
    let single = Request::post("/api/broadcast/chat:1/events/single")
        .header("content-type", "application/octet-stream");
    assert_eq!(world.send(single.body([1, 2]).bearer(&world.token(Token::Valid))).await.status, 202);

    let messages = kept(&world, "chat:1", ALL).await;
    let [(id_1, event_1, payload_1), (id_2, event_2, _), (_, event_3, payload_3)] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!([(event_1, id_1), (event_2, id_2)], [(&first.0, &first.1), (&second.0, &second.1)]);
    assert_eq!(
        (&**payload_1, &**event_3, &**payload_3),
        (r#"Json("{\"n\":1}")"#, "single", "Binary([1, 2])")
    );
    let after = u128::from_str_radix(&id_2.replace('-', ""), 16).expect("an id");
    assert_eq!(kept(&world, "chat:1", HistoryQuery { after: vec![after], ..ALL }).await, messages[2..]);
    world.stop().await;
}

#[tokio::test]
async fn other_rooms_keep_nothing_and_have_no_ids() {
    let world = world().await;
    let (mut ann, mut bob) = (world.connect().await, world.connect().await);
    for client in [&mut ann, &mut bob] {
        client.join("realtime:news", json!({})).await;
    }
    send(&mut ann, "realtime:news", "socket").await;
    let received = bob.next_json().await;
    assert_eq!(received[4], json!({"type": "broadcast", "event": "socket", "payload": {"n": 1}}));
    assert_eq!((kept(&world, "news", ALL).await, tenant(&world).history.counts().messages), (vec![], 0));
    world.stop().await;
}

#[tokio::test]
async fn a_reload_changes_which_rooms_keep_broadcasts() {
    let world = world().await;
    let mut ann = world.connect().await;
    ann.join("realtime:chat:1", json!({"broadcast": {"self": true}})).await;
    send(&mut ann, "realtime:chat:1", "kept").await;
    ann.next_json().await;
    eventually("it is counted", async || world.number("realtime_history_messages").await == 1.0).await;
    world.apply(|settings| settings.broadcast.history = History::default());
    send(&mut ann, "realtime:chat:1", "not kept").await;
    assert_eq!(event_and_id(&ann.next_json().await, false), ("not kept".to_owned(), "none".to_owned()));
    assert_eq!(world.number("realtime_history_messages").await, 0.0);
    world.stop().await;
}
