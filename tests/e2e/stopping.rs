//! A planned stop: all clients are disconnected with 1012, after which every client library reconnects
//! (docs/protocol/websocket.md#close-codes).

use std::time::Duration;

use harness::{Client, RawFrame, RawSocket, Request, World, opcode};
use serde_json::json;

/// Time for all clients to receive the close frame; other tests do without.
fn with_time_to_close(settings: &mut settings::Settings) {
    settings.server.shutdown_timeout = Duration::from_secs(3);
}

#[tokio::test]
async fn a_server_that_stops_closes_all_connections_with_1012() {
    let world = World::with(with_time_to_close).await;
    let mut ann = world.connect().await;
    ann.join("realtime:room", json!({})).await;
    let mut bob = world.connect().await;
    let (_, a, b) = tokio::join!(world.stop(), ann.drain_to_close(), bob.drain_to_close());
    assert_eq!((a, b), (Some(1012), Some(1012)));
}

#[tokio::test]
async fn what_was_accepted_is_delivered_before_the_stop() {
    let world = World::with(with_time_to_close).await;
    let mut room = world.conversation();
    room.check("ann, bob join realtime:room").await;
    room.client("ann").push("2", "realtime:room", "broadcast", &json!({"event": "the last event"})).await;
    room.client("ann").settle().await;
    room.check("the server stops").await;
    let bob = room.client("bob");
    assert_eq!(
        bob.next_json().await,
        json!([null, null, "realtime:room", "broadcast", {"event": "the last event"}])
    );
    assert_eq!(bob.drain_to_close().await, Some(1012));
}

// A reader that stalls, or a handshake that is never finished, must not delay a stop.
#[tokio::test]
async fn no_client_can_prevent_the_stop() {
    let world = World::with(|settings| settings.server.shutdown_timeout = Duration::from_millis(500)).await;
    let mut halfway = world.dial().await;
    halfway.write(b"GET /socket/websocket HTTP/1.1\r\nhost:").await.expect("the server listens");
    let silent = world.raw().await;
    let mut ann: Client = world.connect().await;
    ann.join("realtime:room", json!({})).await;
    world.stop().await;
    drop(silent);
}

// A browser or a load balancer keeps its HTTP connection for the next request, which will not come.
#[tokio::test]
async fn a_kept_http_connection_does_not_delay_the_stop() {
    let world = World::with(|settings| settings.server.shutdown_timeout = Duration::from_secs(60)).await;
    let mut kept = world.dial().await;
    kept.write(b"GET /healthcheck HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("the server listens");
    // Its response has arrived when a later request on another connection is answered.
    assert_eq!(world.send(Request::get("/healthcheck")).await.status, 200);
    world.stop().await;
}

/// A member of `topic` that sends nothing else, and answers nothing.
async fn raw_member(world: &World, topic: &str) -> RawSocket {
    let mut member = world.raw().await;
    member.send(&RawFrame::text(&format!(r#"["1","1","{topic}","phx_join",{{"config":{{}}}}]"#))).await;
    assert_eq!(member.next().await.map(|reply| reply.opcode), Some(opcode::TEXT));
    member
}

/// Broadcasts until the server closes the connection.
async fn publish_on(mut publisher: RawSocket, topic: &str) {
    let burst = RawFrame::text(&format!(r#"["1","2","{topic}","broadcast",{{}}]"#)).encode().repeat(10);
    while publisher.write(&burst).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

/// Reads to the close frame, and asserts that it is the last frame.
async fn read_on(mut reader: RawSocket) {
    assert_eq!(reader.drain_to_close().await, Some(1012));
    let after = reader.next().await.map(|frame| String::from_utf8_lossy(&frame.payload).into_owned());
    assert_eq!(after, None, "nothing follows a close frame");
}

// RFC 6455 §5.5.1. On several threads, so that publishers run while the readers are closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_follows_the_close_frame_while_others_publish() {
    let world = World::with(|settings| {
        settings.server.shutdown_timeout = Duration::from_secs(3);
        settings.server.close_timeout = Duration::from_millis(500);
    })
    .await;
    let mut clients = Vec::new();
    for topic in ["realtime:a", "realtime:b", "realtime:c", "realtime:d"] {
        let mut reader = raw_member(&world, topic).await;
        let publisher = raw_member(&world, topic).await;
        clients.push(tokio::spawn(publish_on(publisher, topic)));
        for _ in 0..100 {
            assert_eq!(reader.next().await.map(|frame| frame.opcode), Some(opcode::TEXT));
        }
        clients.push(tokio::spawn(read_on(reader)));
    }
    world.stop().await;
    for client in clients {
        client.await.expect("no client receives what it should not");
    }
}
