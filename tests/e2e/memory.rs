//! What clients notice when the memory of their tenant is used up: small messages pass, large ones wait and are then
//! refused (docs/protocol/limits.md#memory). That the process stays inside its budget is shown in `server/tests/memory.rs`.

use std::time::Duration;

use harness::{Request, Response, Token, World};
use hub::{MemoryCharge, MemoryKind};
use serde_json::json;
use settings::ByteSize;

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
    let memory = &node.tenants.default_tenant().memory;
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
    assert_eq!(post(&world, 10_000).await.status, 202, "a small body passes");
    let refused = post(&world, 100_000).await;
    let text = "Memory for large messages is used up, try again later";
    assert_eq!((refused.status, refused.json()), (429, json!({ "message": text })));
    assert_eq!(world.number("realtime_memory_refused_total{kind=\"receiving\"}").await, 1.0);
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
    harness::eventually("the body is charged", async || {
        world.number("realtime_memory_used_bytes{kind=\"receiving\"}").await == limit
    })
    .await;
    assert_eq!(socket.response().await.status, 408);
    world.stop().await;
}
