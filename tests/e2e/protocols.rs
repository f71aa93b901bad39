//! A further protocol beside Phoenix: its own path, its own handshake, its own messages, the same rooms.
//!
//! The protocol exists in these tests alone (`protocols/lines.rs`); the edge knows it by the trait `Protocol` and
//! nothing else.

mod documents;
mod lines;
mod tokens;

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use harness::{Client, Dialect, Frame, Request, Token, World};
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, channel};

use lines::{LARGE_LINE, LinesProtocol};

async fn world() -> World {
    world_of(LinesProtocol::default()).await
}

async fn world_of(protocol: LinesProtocol) -> World {
    World::extended(|server| server.protocol(Arc::new(protocol)), |_| {}).await
}

/// Large lines that sessions have begun to handle, and that wait.
struct HeldLines {
    begun: Receiver<()>,
    go_on: mpsc::Sender<()>,
}

async fn world_with_held_lines() -> (World, HeldLines) {
    let (begin, begun) = channel(1);
    let (go_on, may_go_on) = mpsc::channel();
    let may_go_on = Mutex::new(may_go_on);
    let on_large_line = Arc::new(move || {
        begin.try_send(()).expect("the test goes on");
        let waits = may_go_on.lock().expect("no other panics").recv_timeout(Duration::from_secs(10));
        waits.expect("the thread of the test goes on, which is the only worker");
    });
    (world_of(LinesProtocol { on_large_line }).await, HeldLines { begun, go_on })
}

/// A client of the test's protocol.
async fn connect(world: &World) -> Client {
    let target = format!("/lines?format=1&key={}", world.token(Token::Valid));
    world.connect_to(Dialect::V2, &target).await.expect("the handshake succeeds")
}

#[tokio::test]
async fn clients_of_two_protocols_exchange_broadcasts_in_a_room() {
    let world = world().await;
    let mut lines = connect(&world).await;
    let mut phoenix = world.connect().await;
    lines.send_text("join room").await;
    assert_eq!(lines.next().await, Frame::Text("joined room".into()));
    phoenix.join("realtime:room", json!({})).await;

    let from_lines = json!({"event": "hi", "payload": {"from": "lines"}});
    lines.send_text(format!("send {from_lines}")).await;
    assert_eq!(phoenix.next_json().await, json!([null, null, "realtime:room", "broadcast", from_lines]));

    let from_phoenix = json!({"event": "hi", "payload": {"from": "phoenix"}});
    phoenix.push("2", "realtime:room", "broadcast", &from_phoenix).await;
    assert_eq!(lines.next_json().await, json!([null, null, "realtime:room", "broadcast", from_phoenix]));

    lines.send_text("leave").await;
    assert_eq!(lines.next().await, Frame::Text("left".into()));
    phoenix.push("3", "realtime:room", "broadcast", &from_phoenix).await;
    phoenix.settle().await;
    lines.send_text("leave").await;
    assert_eq!(lines.next().await, Frame::Text("left".into()), "nothing of the room before it");
    world.stop().await;
}

#[tokio::test]
async fn each_protocol_answers_refused_handshakes_in_its_own_form() {
    let world = world().await;
    let forged = world.token(Token::Forged);
    for (target, status, text) in [
        (format!("/lines?format=2&key={forged}"), 400, "refused: <nothing>"),
        (format!("/lines?format=1&key={forged}"), 401, "refused: Failed to validate JWT signature"),
        ("/lines?format=1".into(), 401, "refused: API key is missing"),
        // The place of the token is the protocol's, too.
        (format!("/lines?format=1&apikey={forged}"), 401, "refused: API key is missing"),
        ("/socket/websocket?vsn=2.0.0".into(), 401, r#"{"error":"API key is missing"}"#),
    ] {
        let refusal = world.send(Request::upgrade(&target)).await;
        assert_eq!((refusal.status, refusal.text().as_str()), (status, text), "{target}");
    }
    world.stop().await;
}

#[tokio::test]
async fn limits_and_permits_are_the_same_for_every_protocol() {
    let world = World::extended(
        |server| server.protocol(Arc::new(LinesProtocol::default())),
        |settings| settings.server.max_connections = crate::size(1),
    )
    .await;
    let phoenix = world.connect().await;
    let target = format!("/lines?format=1&key={}", world.token(Token::Valid));
    let refusal = world.send(Request::upgrade(&target)).await;
    assert_eq!((refusal.status, refusal.text().as_str()), (503, "refused: Too many connections"));
    drop(phoenix);
    harness::eventually("the permit is returned", async || world.node().connections() == 0).await;
    let lines = connect(&world).await;
    let (target, phoenix) = (world.target("/socket/websocket", Dialect::V2, Token::Valid), Request::upgrade);
    assert_eq!(world.send(phoenix(&target)).await.status, 503);
    drop(lines);
    world.stop().await;
}

#[tokio::test]
async fn a_client_of_a_further_protocol_is_disconnected_by_a_stop_like_others() {
    let world = world().await;
    let mut lines = connect(&world).await;
    lines.send_text("join room").await;
    assert_eq!(lines.next().await, Frame::Text("joined room".into()));
    world.stop().await;
    assert_eq!(lines.expect_close().await, Some(1012));
}

#[tokio::test]
async fn a_large_message_is_handled_beside_the_worker_and_in_its_order() {
    let (world, mut held) = world_with_held_lines().await;
    let (mut lines, mut phoenix) = (connect(&world).await, world.connect().await);
    lines.send_text("join room").await;
    assert_eq!(lines.next().await, Frame::Text("joined room".into()));
    phoenix.join("realtime:room", json!({})).await;

    let (small, large) = (json!({"event": "small"}), json!({"text": "x".repeat(LARGE_LINE)}));
    for payload in [&small, &large, &small] {
        lines.send_text(format!("send {payload}")).await;
    }
    let broadcast = |payload: &Value| json!([null, null, "realtime:room", "broadcast", payload]);
    assert_eq!(phoenix.next_json().await, broadcast(&small));
    // Others are served, and what they send reaches the one whose message is being handled.
    phoenix.push("2", "realtime:room", "broadcast", &small).await;
    assert_eq!(lines.next_json().await, broadcast(&small));
    phoenix.expect_quiet().await;
    held.begun.recv().await.expect("the line waits");
    held.go_on.send(()).expect("the line waits");
    assert_eq!(phoenix.next_json().await, broadcast(&large));
    assert_eq!(phoenix.next_json().await, broadcast(&small));
    world.stop().await;
}

#[tokio::test]
async fn a_client_is_disconnected_when_its_large_message_has_been_handled() {
    let (world, mut held) = world_with_held_lines().await;
    let mut lines = connect(&world).await;
    lines.send_text(format!("leave{}", " ".repeat(LARGE_LINE))).await;
    held.begun.recv().await.expect("the line waits");
    let mut other = connect(&world).await;
    let stop = tokio::spawn(world.stop());
    assert_eq!(other.expect_close().await, Some(1012));
    held.go_on.send(()).expect("the line waits");
    assert_eq!(lines.next().await, Frame::Text("left".into()));
    assert_eq!(lines.expect_close().await, Some(1012));
    stop.await.expect("the server stops");
}
