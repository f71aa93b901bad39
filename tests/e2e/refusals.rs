//! Whatever is refused because of a limit is counted by the setting that has the limit, so that an operator can tell which
//! one to raise (docs/protocol/operations.md#metrics).

use harness::{Client, Dialect, RawFrame, Request, Token, World, opcode};
use serde_json::{Value, json};
use settings::{ByteSize, Settings};

use crate::{count, size};

const ROOM: &str = "realtime:room";

/// How often something was refused to clients of the default tenant because of `setting`.
async fn refused(world: &World, setting: &str) -> f64 {
    let series = format!(r#"realtime_limits_refused_total{{tenant="default",setting="{setting}"}}"#);
    world.number(&series).await
}

/// A client of a server with these settings, in one room.
async fn joined(change: impl FnOnce(&mut Settings)) -> (World, Client) {
    let world = World::with(change).await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({"broadcast": {"ack": true}})).await;
    (world, ann)
}

fn broadcast(bytes: usize) -> Value {
    json!({"type": "broadcast", "event": "e", "payload": {"text": "x".repeat(bytes)}})
}

fn track(bytes: usize) -> Value {
    json!({"type": "presence", "event": "track", "payload": {"a": "x".repeat(bytes)}})
}

/// The reason of the reply to a message.
async fn reason(ann: &mut Client, topic: &str, event: &str, payload: &Value) -> String {
    ann.push("7", topic, event, payload).await;
    loop {
        let frame = ann.next_json().await;
        if frame[1] == "7" {
            return frame[4]["response"]["reason"].as_str().unwrap_or_default().to_owned();
        }
    }
}

/// The status of the response to messages over HTTP.
async fn post(world: &World, messages: &[Value]) -> u16 {
    let request = Request::post("/api/broadcast").bearer(&world.token(Token::Valid));
    world.send(request.json(&json!({ "messages": messages }))).await.status
}

async fn handshake(world: &World) -> u16 {
    world.send(Request::upgrade(&world.target("/socket/websocket", Dialect::V2, Token::Valid))).await.status
}

#[tokio::test]
async fn messages_by_size() {
    let (world, mut ann) = joined(|settings| {
        settings.limits.max_payload_size_in_kb = count(2);
        settings.presence.max_bytes_per_client = ByteSize::kib(3);
        settings.presence.max_key_bytes = ByteSize::b(10);
        settings.broadcast.max_body_size = ByteSize::kib(8);
        settings.broadcast.max_batch_size = size(2);
        settings.limits.max_channels_per_client = size(2);
    })
    .await;
    assert_eq!(reason(&mut ann, ROOM, "broadcast", &broadcast(3_000)).await, "payload_size_exceeded");
    let message = |bytes: usize| json!({"topic": "room", "event": "e", "payload": {"a": "x".repeat(bytes)}});
    assert_eq!(post(&world, &[message(3_000)]).await, 422);
    assert_eq!(reason(&mut ann, ROOM, "presence", &track(3_500)).await, "Track message size exceeded");
    assert_eq!(refused(&world, "limits.max_payload_size_in_kb").await, 3.0);
    let key = json!({"config": {"presence": {"key": "x".repeat(11)}}});
    let text = "PresenceKeySizeExceeded: The presence key is too long";
    assert_eq!(reason(&mut ann, "realtime:other", "phx_join", &key).await, text);
    assert_eq!(refused(&world, "presence.max_key_bytes").await, 1.0);
    ann.join("realtime:other", json!({})).await;
    assert_eq!(reason(&mut ann, ROOM, "presence", &track(2_000)).await, "");
    let text = "Client presence size exceeded";
    assert_eq!(reason(&mut ann, "realtime:other", "presence", &track(2_000)).await, text);
    assert_eq!(refused(&world, "presence.max_bytes_per_client").await, 1.0);
    let text = "ChannelRateLimitReached: Too many channels";
    assert_eq!(reason(&mut ann, "realtime:third", "phx_join", &json!({})).await, text);
    assert_eq!(refused(&world, "limits.max_channels_per_client").await, 1.0);
    assert_eq!(post(&world, &vec![message(1); 3]).await, 429);
    assert_eq!(refused(&world, "broadcast.max_batch_size").await, 1.0);
    assert_eq!(post(&world, &[message(9_000)]).await, 413);
    assert_eq!(refused(&world, "broadcast.max_body_size").await, 1.0);
    world.stop().await;
}

#[tokio::test]
async fn a_message_that_closes_its_connection_is_not_malformed() {
    let world = World::with(|settings| {
        settings.limits.max_payload_size_in_kb = count(1);
        settings.server.max_frame_size = ByteSize::kib(4);
    })
    .await;
    let mut socket = world.raw().await;
    socket.send(&RawFrame::new(opcode::TEXT, vec![b'x'; 5_000])).await;
    assert_eq!(socket.drain_to_close().await, Some(1009));
    assert_eq!(refused(&world, "server.max_frame_size").await, 1.0);
    assert_eq!(world.number(r#"realtime_malformed_messages_total{tenant="default"}"#).await, 0.0);
    world.stop().await;
}

#[tokio::test]
async fn rates() {
    let (world, mut ann) = joined(|settings| {
        settings.limits.max_events_per_second = count(1);
        settings.limits.max_presence_events_per_second = count(1);
        settings.limits.max_client_presence_events_per_window = count(1_000);
        settings.limits.max_joins_per_second = count(1);
    })
    .await;
    while reason(&mut ann, ROOM, "broadcast", &broadcast(1)).await.is_empty() {}
    assert_eq!(refused(&world, "limits.max_events_per_second").await, 1.0);
    let mut bytes = 1..;
    while reason(&mut ann, ROOM, "presence", &track(bytes.next().expect("endless"))).await.is_empty() {}
    assert_eq!(refused(&world, "limits.max_presence_events_per_second").await, 1.0);
    while reason(&mut ann, ROOM, "phx_join", &json!({})).await.is_empty() {}
    assert_eq!(handshake(&world).await, 429);
    assert_eq!(refused(&world, "limits.max_joins_per_second").await, 2.0);
    world.stop().await;
}

#[tokio::test]
async fn users_and_connections() {
    let (world, _ann) = joined(|settings| settings.limits.max_concurrent_users = Some(size(1))).await;
    assert_eq!(handshake(&world).await, 429);
    assert_eq!(refused(&world, "limits.max_concurrent_users").await, 1.0);
    world.apply(|settings| {
        settings.limits.max_concurrent_users = None;
        settings.limits.max_connections = Some(size(1));
    });
    assert_eq!(handshake(&world).await, 429);
    assert_eq!(refused(&world, "limits.max_connections").await, 1.0);
    // Before the tenant is known, a refusal belongs to none.
    let of_the_server = async |setting: &str| {
        world.number(&format!(r#"realtime_limits_refused_total{{tenant="nil",setting="{setting}"}}"#)).await
    };
    world.apply(|settings| settings.server.max_connections = size(1));
    assert_eq!(handshake(&world).await, 503);
    assert_eq!(of_the_server("server.max_connections").await, 1.0);
    world.apply(|settings| {
        settings.server.max_connections = size(100);
        settings.server.max_connections_per_address = Some(size(1));
    });
    assert_eq!(handshake(&world).await, 429);
    assert_eq!(of_the_server("server.max_connections_per_address").await, 1.0);
    world.stop().await;
}
