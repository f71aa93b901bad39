//! A planned end: everybody is told with 1012, from which every client comes back
//! (docs/protocol/websocket.md#close-codes).

use std::time::Duration;

use harness::{Client, RawFrame, RawSocket, Request, World, opcode};
use serde_json::json;

/// Time for everybody to hear it, which other tests do not take.
fn unhurried(settings: &mut settings::Settings) {
    settings.server.shutdown_timeout = Duration::from_secs(3);
}

#[tokio::test]
async fn a_server_that_stops_closes_everybody_with_1012() {
    let world = World::with(unhurried).await;
    let mut ann = world.connect().await;
    ann.join("realtime:room", json!({})).await;
    let mut bob = world.connect().await;
    let (_, a, b) = tokio::join!(world.stop(), ann.drain_to_close(), bob.drain_to_close());
    assert_eq!((a, b), (Some(1012), Some(1012)));
}

#[tokio::test]
async fn what_was_accepted_is_delivered_before_the_end() {
    let world = World::with(unhurried).await;
    let mut room = world.conversation();
    room.check("ann, bob join realtime:room").await;
    room.client("ann").push("2", "realtime:room", "broadcast", &json!({"event": "last words"})).await;
    room.client("ann").settle().await;
    room.check("the server stops").await;
    let bob = room.client("bob");
    assert_eq!(
        bob.next_json().await,
        json!([null, null, "realtime:room", "broadcast", {"event": "last words"}])
    );
    assert_eq!(bob.drain_to_close().await, Some(1012));
}

// A reader that stalls, or a handshake that is never finished, must not hold a stop up.
#[tokio::test]
async fn nobody_can_prevent_the_end() {
    let world = World::with(|settings| settings.server.shutdown_timeout = Duration::from_millis(500)).await;
    let mut halfway = world.dial().await;
    halfway.write(b"GET /socket/websocket HTTP/1.1\r\nhost:").await.expect("the server listens");
    let deaf = world.raw().await;
    let mut ann: Client = world.connect().await;
    ann.join("realtime:room", json!({})).await;
    world.stop().await;
    drop(deaf);
}

// A browser or a load balancer keeps its HTTP connection for the next request, which will not come.
#[tokio::test]
async fn a_kept_http_connection_does_not_hold_up_the_end() {
    let world = World::with(|settings| settings.server.shutdown_timeout = Duration::from_secs(60)).await;
    let mut kept = world.dial().await;
    kept.write(b"GET /healthcheck HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("the server listens");
    // Its answer is there when a later request on another connection is answered.
    assert_eq!(world.send(Request::get("/healthcheck")).await.status, 200);
    world.stop().await;
}

/// A member of `topic` that says nothing of its own and answers nothing.
async fn raw_member(world: &World, topic: &str) -> RawSocket {
    let mut member = world.raw().await;
    member.send(&RawFrame::text(&format!(r#"["1","1","{topic}","phx_join",{{"config":{{}}}}]"#))).await;
    assert_eq!(member.next().await.map(|reply| reply.opcode), Some(opcode::TEXT));
    member
}

/// Broadcasts until the server hangs up.
async fn talk_on(mut talker: RawSocket, topic: &str) {
    let burst = RawFrame::text(&format!(r#"["1","2","{topic}","broadcast",{{}}]"#)).encode().repeat(10);
    while talker.write(&burst).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

/// Reads to the close frame, and asserts that it is the last frame.
async fn listen_on(mut listener: RawSocket) {
    assert_eq!(listener.drain_to_close().await, Some(1012));
    let after = listener.next().await.map(|frame| String::from_utf8_lossy(&frame.payload).into_owned());
    assert_eq!(after, None, "nothing follows a close frame");
}

// RFC 6455 §5.5.1. On several threads, because the talkers' are not the one that closes the listeners.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_follows_the_close_frame_while_others_talk_on() {
    let world = World::with(|settings| {
        settings.server.shutdown_timeout = Duration::from_secs(3);
        settings.server.close_timeout = Duration::from_millis(500);
    })
    .await;
    let mut people = Vec::new();
    for topic in ["realtime:a", "realtime:b", "realtime:c", "realtime:d"] {
        let mut listener = raw_member(&world, topic).await;
        let talker = raw_member(&world, topic).await;
        people.push(tokio::spawn(talk_on(talker, topic)));
        for _ in 0..100 {
            assert_eq!(listener.next().await.map(|frame| frame.opcode), Some(opcode::TEXT));
        }
        people.push(tokio::spawn(listen_on(listener)));
    }
    world.stop().await;
    for person in people {
        person.await.expect("nobody hears what it should not");
    }
}
