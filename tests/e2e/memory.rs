//! What clients notice when the memory of their tenant is used up: small messages pass, large ones wait and are then
//! refused (docs/protocol/limits.md#memory). That the process stays inside its budget is shown in `server/tests/memory.rs`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use harness::{Dialect, RawFrame, Request, Response, Token, World, eventually, opcode};
use hub::{MemoryCharge, MemoryKind};
use serde_json::{Value, json};
use settings::ByteSize;

const ROOM: &str = "realtime:room";

/// The text of a refusal.
const REFUSED: &str = "Memory for large messages is used up, try again later";

/// What was refused to clients of the default tenant because its memory was used up.
const MEMORY_REFUSED: &str =
    r#"realtime_limits_refused_total{tenant="default",setting="server.memory_budget"}"#;

/// Members of rooms.
const MEMBERS: &str = "realtime_members";

/// A server whose large messages and bodies wait for a moment only.
async fn impatient_world() -> World {
    World::with(|settings| {
        settings.server.memory_budget = Some(ByteSize::mib(64));
        settings.server.large_message_timeout = Duration::from_millis(200);
        settings.server.handshake_timeout = Duration::from_secs(1);
    })
    .await
}

/// Uses up the memory of the default tenant, as presence may, until the charge is dropped.
fn use_up(world: &World) -> MemoryCharge {
    let node = world.node();
    let memory = Arc::clone(&node.tenants.get("default").expect("it is configured").memory);
    memory.charge(MemoryKind::Presence, memory.budget().limit())
}

/// The response to a broadcast over HTTP with a payload of this size.
async fn post(world: &World, bytes: usize) -> Response {
    let message = json!({"topic": "room", "event": "e", "payload": {"text": "x".repeat(bytes)}});
    let request = Request::post("/api/broadcast").bearer(&world.token(Token::Valid));
    world.send(request.json(&json!({"messages": [message]}))).await
}

#[tokio::test]
async fn a_large_body_is_refused_while_memory_is_used_up() {
    let world = impatient_world().await;
    let used_up = use_up(&world);
    assert_eq!(post(&world, 3_000).await.status, 202, "a small body passes");
    let refused = post(&world, 100_000).await;
    assert_eq!((refused.status, refused.json()), (429, json!({ "message": REFUSED })));
    assert_eq!(world.number("realtime_memory_refused_total{kind=\"receiving\"}").await, 1.0);
    assert_eq!(world.number(MEMORY_REFUSED).await, 1.0);
    drop(used_up);
    assert_eq!(post(&world, 100_000).await.status, 202);
    assert_eq!(world.number("realtime_memory_used_bytes{kind=\"receiving\"}").await, 0.0);
    world.stop().await;
}

#[tokio::test]
async fn a_body_without_a_length_is_charged_as_the_largest() {
    let world = impatient_world().await;
    let mut socket = world.dial().await;
    let token = world.token(Token::Valid);
    let head = format!(
        "POST /api/broadcast HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n1\r\n \r\n"
    );
    socket.write(head.as_bytes()).await.expect("it is sent");
    let limit = settings::Settings::default().broadcast.max_body_size.as_u64() as f64;
    eventually("the body is charged", async || {
        world.number("realtime_memory_used_bytes{kind=\"receiving\"}").await == limit
    })
    .await;
    assert_eq!(socket.response().await.status, 408);
    world.stop().await;
}

/// The payload of a broadcast of this size.
fn broadcast(bytes: usize) -> Value {
    json!({"type": "broadcast", "event": "e", "payload": {"text": "x".repeat(bytes)}})
}

#[tokio::test]
async fn a_large_broadcast_is_refused_with_a_reply_and_the_channel_stays() {
    let world = impatient_world().await;
    let (mut ann, mut bob) = (world.connect().await, world.connect().await);
    ann.join(ROOM, json!({"broadcast": {"ack": true}})).await;
    bob.join(ROOM, json!({})).await;
    let used_up = use_up(&world);
    ann.push("7", ROOM, "broadcast", &broadcast(100_000)).await;
    ann.push("8", ROOM, "broadcast", &broadcast(1_000)).await;
    let refused = ann.next_json().await;
    assert_eq!((&refused[1], &refused[4]["status"]), (&json!("7"), &json!("error")));
    assert_eq!(refused[4]["response"], json!({ "reason": REFUSED }));
    let passed = ann.next_json().await;
    assert_eq!((&passed[1], &passed[4]["status"]), (&json!("8"), &json!("ok")));
    assert_eq!(bob.next_json().await[4]["payload"]["text"].as_str().map(str::len), Some(1_000));
    drop(used_up);
    ann.push("9", ROOM, "broadcast", &broadcast(100_000)).await;
    assert_eq!(ann.next_json().await[4]["status"], "ok");
    assert_eq!(bob.next_json().await[4]["payload"]["text"].as_str().map(str::len), Some(100_000));
    world.stop().await;
}

#[tokio::test]
async fn a_large_broadcast_waits_for_memory() {
    let world = World::with(|settings| settings.server.memory_budget = Some(ByteSize::mib(64))).await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({"broadcast": {"self": true}})).await;
    let used_up = use_up(&world);
    ann.push("7", ROOM, "broadcast", &broadcast(100_000)).await;
    let mut other = world.connect().await;
    other.settle().await;
    drop(used_up);
    assert_eq!(ann.next_json().await[4]["payload"]["text"].as_str().map(str::len), Some(100_000));
    world.stop().await;
}

// Each asked again every 100 ms, and the first that did after a release got it.
#[tokio::test]
async fn all_that_wait_get_the_memory_that_each_gives_back() {
    let world = World::with(|settings| settings.server.memory_budget = Some(ByteSize::mib(64))).await;
    let memory = Arc::clone(&world.node().tenants.get("default").expect("it is configured").memory);
    let mut clients = Vec::new();
    for n in 0..20 {
        let mut client = world.connect().await;
        client.join(&format!("{ROOM}{n}"), json!({"broadcast": {"ack": true}})).await;
        clients.push(client);
    }
    let mut used_up = use_up(&world);
    for (n, client) in clients.iter_mut().enumerate() {
        client.push("7", &format!("{ROOM}{n}"), "broadcast", &broadcast(300_000)).await;
    }
    let bodies: Vec<_> = (0..20).map(|_| post(&world, 300_000)).collect();
    let answers = join_all(bodies);
    // What is left has room for one of them, beside what their connections take. A quarter is reserved for connections.
    used_up.resize(memory.budget().limit() / 16 * 9 - 1_000_000);
    assert!(answers.await.iter().all(|answer| answer.status == 202));
    for client in &mut clients {
        let mut frame = client.next_json().await;
        while frame[1] != "7" {
            frame = client.next_json().await;
        }
        assert_eq!(frame[4]["status"], "ok");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_refusal_is_reported_in_every_dialect() {
    let world = impatient_world().await;
    let (mut ann, mut bob) = (world.connect().await, world.connect_as(Dialect::V1, Token::Valid).await);
    ann.join(ROOM, json!({})).await;
    bob.join(ROOM, json!({})).await;
    let _used_up = use_up(&world);
    // Kind 3 with a ref, the topic and an event, and a payload of bytes.
    let mut binary = vec![3, 0, 1, ROOM.len() as u8, 1, 0, 0, b'7'];
    binary.extend(ROOM.bytes().chain([b'e']));
    binary.resize(50_000, 0);
    ann.send_binary(binary).await;
    let notice = ann.next_json().await;
    assert_eq!((&notice[3], &notice[4]["message"]), (&json!("system"), &json!(REFUSED)));
    // In the order in which clients write the keys.
    let payload = broadcast(50_000);
    let message = format!(r#"{{"topic":"{ROOM}","event":"broadcast","payload":{payload},"ref":"7"}}"#);
    bob.send_text(message).await;
    let notice = bob.next_json().await;
    assert_eq!((&notice["event"], &notice["payload"]["message"]), (&json!("system"), &json!(REFUSED)));
    // A join that is too large is answered as well.
    ann.push("8", "realtime:other", "phx_join", &broadcast(50_000)).await;
    let reply = ann.next_json().await;
    assert_eq!(reply[4], json!({"status": "error", "response": {"reason": REFUSED}}));
    world.stop().await;
}

#[tokio::test]
async fn fragments_are_refused_as_a_whole_and_pings_between_them_are_answered() {
    let world = impatient_world().await;
    let mut socket = world.raw().await;
    let used_up = use_up(&world);
    let part = |opcode, bytes| RawFrame::new(opcode, vec![b' '; bytes]).unfinished();
    socket.send(&part(opcode::TEXT, 20_000)).await;
    socket.send(&RawFrame::new(opcode::PING, "between")).await;
    socket.send(&part(opcode::CONTINUATION, 20_000)).await;
    socket.send(&RawFrame::new(opcode::CONTINUATION, vec![b' '; 20_000])).await;
    socket.send(&RawFrame::new(opcode::PING, "after")).await;
    for payload in ["between", "after"] {
        let pong = socket.next().await.expect("a pong");
        assert_eq!((pong.opcode, &*pong.payload), (opcode::PONG, payload.as_bytes()));
    }
    // A message that became large after a part of it was accepted cannot be skipped.
    socket.send(&part(opcode::TEXT, 10_000)).await;
    socket.send(&part(opcode::CONTINUATION, 10_000)).await;
    assert_eq!(socket.drain_to_close().await, Some(1013));
    // The first message was blank, which is no fault of its client either.
    assert_eq!(world.number(MEMORY_REFUSED).await, 2.0);
    assert_eq!(world.number(r#"realtime_malformed_messages_total{tenant="default"}"#).await, 0.0);
    drop(used_up);
    world.stop().await;
}

#[tokio::test]
async fn a_message_that_takes_long_gives_its_memory_to_others() {
    let world = impatient_world().await;
    let mut slow = world.raw().await;
    let mut frame = RawFrame::new(opcode::BINARY, vec![0; 1_000_000]).encode();
    let end = frame.split_off(500_000);
    slow.write(&frame).await.expect("it is sent");
    let receiving = async || world.number("realtime_memory_used_bytes{kind=\"receiving\"}").await;
    eventually("the message is charged", async || receiving().await == 1_000_000.0).await;
    let mut other = world.connect().await;
    other.settle().await;
    assert_eq!(receiving().await, 1_000_000.0, "it may go on while there is memory");
    let used_up = use_up(&world);
    assert_eq!(slow.drain_to_close().await, Some(1013));
    drop(slow);
    eventually("the charge is given back", async || receiving().await == 0.0).await;
    drop((used_up, end));
    world.stop().await;
}

// Only a read looked at the time, and a client that does not read is not read.
#[tokio::test]
async fn a_message_that_takes_long_gives_its_memory_to_others_also_if_its_client_does_not_read() {
    let world = World::with(|settings| {
        settings.server.memory_budget = Some(ByteSize::mib(64));
        settings.server.large_message_timeout = Duration::from_secs(2);
        settings.server.close_timeout = Duration::from_millis(200);
    })
    .await;
    let mut slow = world.raw().await;
    let join = json!(["1", "1", ROOM, "phx_join", {}]);
    slow.send(&RawFrame::text(&join.to_string())).await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({"broadcast": {"self": true}})).await;
    let mut frame = RawFrame::new(opcode::BINARY, vec![0; 1_000_000]).encode();
    let _end = frame.split_off(500_000);
    slow.write(&frame).await.expect("it is sent");
    let used =
        async |kind: &str| world.number(&format!("realtime_memory_used_bytes{{kind=\"{kind}\"}}")).await;
    eventually("the message is charged", async || used("receiving").await == 1_000_000.0).await;
    for _ in 0..6 {
        ann.push("7", ROOM, "broadcast", &broadcast(900_000)).await;
        assert_eq!(ann.next_json().await[3], "broadcast");
    }
    assert!(used("sending").await > 100_000.0, "some waits for the slow client");
    let used_up = use_up(&world);
    eventually("the charge is given back", async || used("receiving").await == 0.0).await;
    drop(used_up);
    world.stop().await;
}

// Up to 16 KiB of each of thousands of clients waited without being charged, and as much in the kernel.
#[tokio::test]
async fn a_client_that_does_not_read_is_closed_when_there_is_no_memory_for_what_waits() {
    let world = impatient_world().await;
    let mut slow = world.raw().await;
    let join = json!(["1", "1", ROOM, "phx_join", {}]);
    slow.send(&RawFrame::text(&join.to_string())).await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({"broadcast": {"self": true}})).await;
    let _used_up = use_up(&world);
    let mut rounds = 0..1_000;
    while world.number(MEMBERS).await > 1.0 {
        rounds.next().expect("its socket is full at some time");
        for _ in 0..100 {
            ann.push("7", ROOM, "broadcast", &broadcast(10_000)).await;
            assert_eq!(ann.next_json().await[3], "broadcast");
        }
    }
    assert!(world.number(MEMORY_REFUSED).await >= 1.0);
    assert_eq!(world.number("realtime_memory_refused_total{kind=\"sending\"}").await, 1.0);
    world.stop().await;
}

#[tokio::test]
async fn a_changed_budget_applies_at_once() {
    let world = impatient_world().await;
    let _used_up = use_up(&world);
    assert_eq!(post(&world, 100_000).await.status, 429);
    world.apply(|settings| settings.server.memory_budget = Some(ByteSize::gib(1)));
    assert_eq!(post(&world, 100_000).await.status, 202);
    world.apply(|settings| settings.server.max_memory_percent_per_tenant = 1);
    assert_eq!(post(&world, 100_000).await.status, 429, "the tenant has more than its share");
    world.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_frames_and_others_get_them() {
    let world = impatient_world().await;
    let mut slow = world.raw().await;
    let join = json!(["1", "1", ROOM, "phx_join", {}]);
    slow.send(&RawFrame::text(&join.to_string())).await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({"broadcast": {"self": true}})).await;
    // More than the socket of the slow client takes, so that the rest waits in its outbox.
    for _ in 0..6 {
        ann.push("7", ROOM, "broadcast", &broadcast(2_000_000)).await;
        assert_eq!(ann.next_json().await[3], "broadcast");
    }
    let sending = async || world.number("realtime_memory_used_bytes{kind=\"sending\"}").await;
    eventually("what the slow client has not read is charged", async || sending().await > 100_000.0).await;
    let before = sending().await;
    let _used_up = use_up(&world);
    for _ in 0..20 {
        ann.push("7", ROOM, "broadcast", &broadcast(10_000)).await;
        assert_eq!(ann.next_json().await[3], "broadcast");
    }
    assert!(sending().await <= before);
    assert!(world.number("realtime_memory_refused_total{kind=\"sending\"}").await >= 20.0);
    drop(slow);
    eventually("the charges are given back", async || sending().await == 0.0).await;
    world.stop().await;
}
