//! Earlier messages in joins: of rooms that keep them, and of the database of a tenant (docs/protocol/history.md#replay).

mod cuts;
mod database;
mod faults;
mod mixed;

use harness::{Client, Dialect, Frame, Token, World};
use serde_json::{Value, json};
use settings::{History, TopicPattern};

use crate::count;

const ROOM: &str = "realtime:chat";

/// Rooms that keep up to 500 broadcasts, and send as many to a join.
fn history() -> History {
    let rooms = vec![TopicPattern::new("chat*").expect("a pattern")];
    History { rooms, max_messages: count(500), max_replay: count(500), ..History::default() }
}

async fn world() -> World {
    World::with(|settings| settings.broadcast.history = history()).await
}

/// Joins as a V1 client, and returns the reply.
async fn join(client: &mut Client, topic: &str, replay: Value, is_private: bool) -> Value {
    let config = json!({"private": is_private, "broadcast": {"replay": replay}});
    client.push("1", topic, "phx_join", &json!({ "config": config })).await;
    loop {
        let message = client.next_json().await;
        match message["event"].as_str() {
            Some("phx_reply") => return message["payload"].clone(),
            // Of an earlier join.
            Some("phx_close") => {}
            _ => panic!("the reply is first: {message}"),
        }
    }
}

/// The reason why a join is refused; null if it is not.
async fn refusal(client: &mut Client, topic: &str, replay: Value, is_private: bool) -> Value {
    join(client, topic, replay, is_private).await["response"]["reason"].clone()
}

async fn v1(world: &World) -> Client {
    world.connect_as(Dialect::V1, Token::Valid).await
}

/// What a V1 client receives that joins with this replay.
async fn replayed(world: &World, topic: &str, replay: Value) -> Vec<Value> {
    let mut client = v1(world).await;
    assert_eq!(join(&mut client, topic, replay, false).await["status"], "ok");
    payloads(client.received().await)
}

/// The payloads of frames for a V1 client.
fn payloads(frames: Vec<Frame>) -> Vec<Value> {
    let messages = frames.into_iter().map(|frame| match frame {
        Frame::Json(mut message) => message["payload"].take(),
        other => panic!("{other}"),
    });
    messages.collect()
}

/// The numbers of broadcasts.
fn numbers(messages: &[Value]) -> Vec<u64> {
    messages.iter().map(|message| message["payload"]["n"].as_u64().expect("a number")).collect()
}

/// Sends broadcasts with these numbers, and returns their ids.
async fn send(world: &World, topic: &str, numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    let (mut sender, mut receiver) = (world.connect().await, v1(world).await);
    for client in [&mut sender, &mut receiver] {
        client.join(topic, json!({})).await;
    }
    let mut ids = Vec::new();
    for n in numbers {
        let payload = json!({"type": "broadcast", "event": "e", "payload": {"n": n}});
        sender.push("9", topic, "broadcast", &payload).await;
        ids.push(receiver.next_json().await["payload"]["meta"]["id"].as_str().expect("an id").to_owned());
    }
    ids
}

#[tokio::test]
async fn a_join_is_sent_earlier_broadcasts_after_its_reply() {
    let world = world().await;
    let ids = send(&world, ROOM, 1..=2).await;
    let mut bob = world.connect().await;
    bob.join(ROOM, json!({})).await;
    let mut binary = vec![3, 1, 1, 13, 1, 0, 0];
    binary.extend(b"19realtime:chatb\xff\x00");
    bob.send_binary(binary).await;
    bob.settle().await;

    let mut ann = world.connect().await;
    let config = json!({"config": {"broadcast": {"replay": {"since": 0}}}});
    ann.push("5", ROOM, "phx_join", &config).await;
    let reply = json!(["1", "5", ROOM, "phx_reply", {"status": "ok", "response": {"postgres_changes": []}}]);
    assert_eq!(ann.next_json().await, reply);
    for (n, id) in (1..).zip(&ids) {
        let meta = json!({"replayed": true, "id": id});
        let payload = json!({"type": "broadcast", "event": "e", "payload": {"n": n}, "meta": meta});
        assert_eq!(ann.next_json().await, json!(["1", null, ROOM, "broadcast", payload]));
    }
    let Frame::Binary(frame) = ann.next().await else { panic!("bytes stay bytes") };
    let (head, tail) = (b"\x04\x0d\x01\x3d\x00realtime:chatb{\"replayed\":true,\"id\":\"", b"\"}\xff\x00");
    assert!(frame.starts_with(head) && frame.ends_with(tail), "{frame:?}");
    // No id comes twice.
    send(&world, ROOM, 3..=3).await;
    let live = ann.next_json().await;
    assert_eq!((&live[4]["payload"]["n"], &live[4]["meta"]["replayed"]), (&json!(3), &Value::Null));
    ann.expect_quiet().await;
    // V1 has no form for bytes.
    assert_eq!(numbers(&replayed(&world, ROOM, json!({"since": 0})).await), [1, 2, 3]);
    world.stop().await;
}

#[tokio::test]
async fn a_client_is_sent_what_follows_the_messages_that_it_has() {
    let world = world().await;
    let ids = send(&world, ROOM, 1..=40).await;
    let ask = async |replay: Value| numbers(&replayed(&world, ROOM, replay).await);
    let last = |n: u64| (41 - n..=40).collect::<Vec<_>>();
    assert_eq!(ask(json!({"since": 0})).await, last(25), "upstream's limit");
    assert_eq!(ask(json!({"since": 0, "limit": 1000})).await, last(40));
    assert_eq!(ask(json!({"since": 0, "limit": 3})).await, last(3));
    assert_eq!(ask(json!({"since": 4_000_000_000_000_u64})).await, last(0));
    assert_eq!(ask(json!({"after": ids[4]})).await, last(35), "without a limit all of them");
    assert_eq!(ask(json!({"after": ids[39]})).await, last(0));
    let named = [35, 36, 38, 39].map(|index: usize| &ids[index]);
    assert_eq!(ask(json!({ "after": named })).await, [38], "it lacks one in between");
    world.stop().await;
}

#[tokio::test]
async fn a_client_learns_that_it_may_have_missed_messages() {
    let world = world().await;
    let ids = send(&world, ROOM, 1..=6).await;
    let notice = json!({"channel": "chat", "extension": "system", "message": "Earlier messages may be missing", "status": "ok"});
    for incomplete in
        [json!({"after": "00000000-0000-0000-0000-000000000001"}), json!({"after": ids[0], "limit": 2})]
    {
        let messages = replayed(&world, ROOM, incomplete).await;
        assert_eq!(messages[0], notice, "first of all");
        assert_eq!(numbers(&messages[1..]).last(), Some(&6));
    }
    assert_eq!(world.number(r#"realtime_replays_incomplete_total{tenant="default"}"#).await, 2.0);
    assert_eq!(numbers(&replayed(&world, ROOM, json!({"since": 0, "limit": 2})).await), [5, 6]);
    world.stop().await;
}

#[tokio::test]
async fn a_replay_that_cannot_be_read_is_refused() {
    let world = world().await;
    let mut ann = v1(&world).await;
    for invalid in [json!({}), json!({"since": "0"}), json!({"after": []}), json!({"after": "x", "since": 0})]
    {
        let reason = refusal(&mut ann, ROOM, invalid, false).await;
        assert_eq!(reason, "UnableToReplayMessages: Replay params are not valid");
    }
    let reason = refusal(&mut ann, "realtime:news", json!({"since": 0}), false).await;
    assert_eq!(reason, "UnableToReplayMessages: Replay is not allowed for public channels");
    for no_map in [Value::Null, json!(7), json!([])] {
        assert_eq!(refusal(&mut ann, ROOM, no_map, false).await, Value::Null, "it has no effect");
    }
    world.stop().await;
}

#[tokio::test]
async fn what_a_client_sends_while_it_joins_is_handled_in_order_afterwards() {
    let world = world().await;
    send(&world, ROOM, 1..=3).await;
    let mut ann = v1(&world).await;
    let config = json!({"presence": {"enabled": true}, "broadcast": {"self": true, "replay": {"since": 0}}});
    ann.push("1", ROOM, "phx_join", &json!({ "config": config })).await;
    for n in 4..=5 {
        let payload = json!({"type": "broadcast", "event": "e", "payload": {"n": n}});
        ann.push("2", ROOM, "broadcast", &payload).await;
    }
    let (mut events, mut payloads) = (Vec::new(), Vec::new());
    while payloads.len() < 5 {
        let mut message = ann.next_json().await;
        if message["event"] == "broadcast" {
            payloads.push(message["payload"].take());
        }
        events.push(message["event"].clone());
    }
    events.retain(|event| event != "presence_state");
    assert_eq!((&events[0], events.len()), (&json!("phx_reply"), 6), "{events:?}");
    assert_eq!(numbers(&payloads), [1, 2, 3, 4, 5]);
    world.stop().await;
}

#[tokio::test]
async fn a_join_that_is_taken_back_leaves_nothing() {
    let world = world().await;
    send(&world, ROOM, 1..=3).await;
    let mut ann = v1(&world).await;
    for _ in 0..20 {
        let config = json!({"broadcast": {"replay": {"since": 0}}});
        ann.push("1", ROOM, "phx_join", &json!({ "config": config })).await;
        ann.push("2", ROOM, "phx_leave", &json!({})).await;
        while ann.next_json().await["ref"] != "2" {}
    }
    assert_eq!(world.node().hub.population().members, 0);
    world.stop().await;
}

#[tokio::test]
async fn what_is_published_while_a_client_joins_arrives_once_and_in_order() {
    let world = world().await;
    let mut sender = world.connect().await;
    sender.join(ROOM, json!({})).await;
    let mut sent = 0;
    for _ in 0..20 {
        let mut ann = v1(&world).await;
        let config = json!({"config": {"broadcast": {"replay": {"since": 0, "limit": 500}}}});
        ann.push("1", ROOM, "phx_join", &config).await;
        for _ in 0..20 {
            sent += 1;
            let payload = json!({"type": "broadcast", "event": "e", "payload": {"n": sent}});
            sender.push("9", ROOM, "broadcast", &payload).await;
        }
        assert_eq!(ann.next_json().await["payload"]["status"], "ok");
        let mut messages = Vec::new();
        while messages.len() < sent as usize {
            messages.push(ann.next_json().await["payload"].take());
        }
        assert_eq!(numbers(&messages), (1..=sent).collect::<Vec<_>>());
        ann.expect_quiet().await;
    }
    world.stop().await;
}
