//! Messages that are too large for a worker to parse between two others: they are answered, refused and ordered as all.

use harness::{Client, World};
use serde_json::{Value, json};

use crate::count;

const ROOM: &str = "realtime:room";

/// Far more than what a worker parses itself.
const LARGE: usize = 200_000;

fn broadcast(text: &str) -> Value {
    json!({"type": "broadcast", "event": "said", "payload": {"text": text}})
}

/// The beginning of the text of the next broadcast to `client`.
async fn said_to(client: &mut Client) -> String {
    let message = client.next_json().await;
    let text = message[4]["payload"]["text"].as_str().unwrap_or_else(|| panic!("no broadcast: {message}"));
    text.chars().take(10).collect()
}

/// A binary broadcast of JSON (docs/protocol/websocket.md#binary-frames).
fn binary(reference: &str, json: &str) -> Vec<u8> {
    let mut frame = vec![3, 1, reference.len() as u8, ROOM.len() as u8, 4, 0, 1];
    frame.extend(["1", reference, ROOM, "said", json].concat().into_bytes());
    frame
}

#[tokio::test]
async fn large_messages_keep_their_order_with_small_ones_and_are_answered_alike() {
    let world = World::with(|settings| settings.limits.max_payload_size_in_kb = count(500)).await;
    let (mut ann, mut bob) = (world.connect().await, world.connect().await);
    ann.join(ROOM, json!({"broadcast": {"ack": true}})).await;
    bob.join(ROOM, json!({})).await;

    let large = |name: &str, bytes| format!("{name:10}{}", "x".repeat(bytes));
    ann.push("a", ROOM, "broadcast", &broadcast("first")).await;
    ann.push("b", ROOM, "broadcast", &broadcast(&large("second", LARGE))).await;
    ann.send_text("[".repeat(LARGE)).await;
    ann.push("c", ROOM, "broadcast", &broadcast("third")).await;
    ann.send_binary(binary("d", &json!({"text": large("fourth", LARGE)}).to_string())).await;
    ann.send_binary(binary("e", &"[".repeat(LARGE))).await;
    ann.push("f", ROOM, "broadcast", &broadcast(&large("too large", 600_000))).await;
    ann.push("g", "realtime:other", "phx_join", &json!({"config": {}, "more": "x".repeat(300_000)})).await;
    ann.push("h", "phoenix", "heartbeat", &json!({"more": "x".repeat(LARGE)})).await;
    ann.push("i", ROOM, "broadcast", &broadcast("fifth")).await;

    for (reference, status, reason) in [
        ("a", "ok", Value::Null),
        ("b", "ok", Value::Null),
        ("c", "ok", Value::Null),
        ("d", "ok", Value::Null),
        ("e", "error", json!("payload of a binary frame is not JSON")),
        ("f", "error", json!("payload_size_exceeded")),
        ("g", "error", json!("InvalidJoinPayload: The payload is too large")),
        ("h", "ok", Value::Null),
        ("i", "ok", Value::Null),
    ] {
        let reply = ann.next_json().await;
        let response = (&reply[1], &reply[4]["status"], &reply[4]["response"]["reason"]);
        assert_eq!(response, (&json!(reference), &json!(status), &reason), "{reply}");
    }
    for text in ["first", "second", "third"] {
        assert_eq!(said_to(&mut bob).await.trim_end(), text);
    }
    bob.next().await;
    assert_eq!(said_to(&mut bob).await, "fifth");
    assert_eq!(world.number(r#"realtime_malformed_messages_total{tenant="default"}"#).await, 2.0);
    world.stop().await;
}

#[tokio::test]
async fn a_large_message_is_delivered_although_its_sender_closes_at_once() {
    let world = World::start().await;
    let (mut ann, mut bob) = (world.connect().await, world.connect().await);
    ann.join(ROOM, json!({})).await;
    bob.join(ROOM, json!({})).await;
    for text in ["first", "second"] {
        ann.push("a", ROOM, "broadcast", &broadcast(&format!("{text:10}{}", "x".repeat(LARGE)))).await;
    }
    drop(ann);
    for text in ["first", "second"] {
        assert_eq!(said_to(&mut bob).await.trim_end(), text);
    }
    world.stop().await;
}
