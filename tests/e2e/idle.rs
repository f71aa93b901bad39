//! Silence: pings keep a throttled tab connected, and a client that answers nothing is closed (docs/protocol/websocket.md#silence).

use std::time::Duration;

use harness::{RawFrame, World, opcode};
use serde_json::json;

fn short_timeouts(settings: &mut settings::Settings) {
    settings.server.ping_interval = Duration::from_millis(100);
    settings.server.idle_timeout = Duration::from_millis(600);
    settings.server.close_timeout = Duration::from_millis(200);
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_closed_when_it_does_not_answer() {
    let world = World::with(short_timeouts).await;
    let mut silent = world.raw().await;
    let first = silent.next().await.expect("something comes");
    assert_eq!(first.opcode, opcode::PING);
    let mut last = first;
    while let Some(frame) = silent.next().await {
        last = frame;
    }
    assert_eq!(last.opcode, opcode::CLOSE, "a close frame, and then the end");
    // Not 1000: after that phoenix.js does not reconnect.
    assert_eq!(last.payload[..2], 1013_u16.to_be_bytes(), "a code after which clients return");
    world.stop().await;
}

// A proxy counts the time since it last saw a byte; one ping resets it once.
#[tokio::test]
async fn a_silent_client_is_pinged_after_each_interval_of_silence() {
    let world = World::with(|settings| {
        settings.server.ping_interval = Duration::from_millis(100);
        settings.server.idle_timeout = Duration::from_secs(3600);
    })
    .await;
    let mut silent = world.raw().await;
    for number in 1..=5 {
        let frame = silent.next().await.expect("the connection stays");
        assert_eq!(frame.opcode, opcode::PING, "ping {number}");
    }
    world.stop().await;
}

// A browser answers pings by itself, however rarely its timers run.
#[tokio::test]
async fn answering_pings_is_enough_to_stay() {
    let world = World::with(short_timeouts).await;
    let mut ann = world.connect().await;
    ann.join("realtime:room", json!({})).await;
    // Far more pings than fit in the idle time.
    for _ in 0..12 {
        ann.next_ping().await;
    }
    ann.expect_quiet().await;
    world.stop().await;
}

#[tokio::test]
async fn a_clients_own_pings_are_answered() {
    let world = World::start().await;
    let mut ann = world.raw().await;
    ann.send(&RawFrame::new(opcode::PING, "are you there")).await;
    let pong = ann.next().await.expect("an answer");
    assert_eq!((pong.opcode, pong.payload.as_slice()), (opcode::PONG, &b"are you there"[..]));
    world.stop().await;
}

#[tokio::test]
async fn a_socket_that_never_joins_is_closed_and_one_that_did_is_not() {
    let world = World::with(|settings| settings.server.no_channel_timeout = Duration::from_millis(300)).await;
    let mut member = world.connect().await;
    member.join("realtime:room", json!({})).await;
    let mut idle = world.connect().await;
    assert_eq!(idle.drain_to_close().await, Some(1013));
    member.expect_quiet().await;
    world.stop().await;
}

// The timeout begins with the leave, not before.
#[tokio::test]
async fn a_client_that_leaves_its_last_room_is_closed_too() {
    let world = World::with(|settings| settings.server.no_channel_timeout = Duration::from_millis(300)).await;
    let mut ann = world.connect().await;
    ann.join("realtime:room", json!({})).await;
    ann.expect_quiet().await;
    ann.push("2", "realtime:room", "phx_leave", &json!({})).await;
    assert_eq!(ann.drain_to_close().await, Some(1013));
    world.stop().await;
}
