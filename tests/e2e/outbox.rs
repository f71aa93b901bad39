//! Slow readers are their own problem, never the room's (design §5, issue §3).

use std::time::Duration;

use harness::{Frame, RawFrame, RawSocket, Request, World, eventually};
use serde_json::{Value, json};
use settings::ByteSize;

const ROOM: &str = "realtime:room";
/// More than the kernel keeps for one connection on loopback (about ten megabytes), in quarter megabytes.
const MESSAGES: u32 = 120;

/// Puts a member into the room that does not read.
async fn deaf_member(world: &World) -> RawSocket {
    let mut deaf = world.raw().await;
    deaf.send(&RawFrame::text(r#"["1","1","realtime:room","phx_join",{"config":{}}]"#)).await;
    eventually("the deaf member is in", async || {
        world.send(Request::get("/health")).await.json()["members"] == 1
    })
    .await;
    deaf
}

/// Lets two others talk, and asserts that every word arrives.
async fn talk(world: &World) {
    let mut room = world.conversation();
    room.check("ann, bob join realtime:room").await;
    let text = "x".repeat(250_000);
    for n in 0..MESSAGES {
        room.client("ann").push("2", ROOM, "broadcast", &json!({"n": n, "text": text})).await;
        match room.client("bob").next().await {
            Frame::Json(frame) => assert_eq!(frame[4]["n"], n),
            other => panic!("expected message {n}, got {other}"),
        }
    }
}

async fn metric(world: &World, name: &str) -> f64 {
    let page = world.send(Request::get("/metrics")).await.text();
    let series = page.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[tokio::test]
async fn a_reader_that_never_reads_costs_only_itself() {
    let world = World::with(|settings| {
        settings.outbox.max_bytes = ByteSize::mib(1);
        settings.outbox.stall_timeout = Duration::from_millis(500);
        settings.server.close_timeout = Duration::from_millis(500);
    })
    .await;
    let mut deaf = deaf_member(&world).await;
    talk(&world).await;
    assert!(
        metric(&world, "realtime_outbox_dropped").await > 0.0,
        "what did not fit was dropped and counted"
    );
    eventually("and it is let go in the end", async || {
        world.send(Request::get("/health")).await.json()["connections"] == 0
    })
    .await;
    assert!(deaf.is_dropped().await);
    world.stop().await;
}

#[tokio::test]
async fn a_slow_reader_misses_some_keeps_the_order_and_is_told_once() {
    let world = World::with(|settings| settings.outbox.max_bytes = ByteSize::mib(1)).await;
    let mut slow = deaf_member(&world).await;
    talk(&world).await;
    slow.send(&RawFrame::text(r#"[null,"end","phoenix","heartbeat",{}]"#)).await;
    let (mut last, mut received, mut notices, mut answered) = (None, 0, 0, false);
    while !answered || notices == 0 {
        let frame = slow.next().await.expect("it is still connected");
        let Ok(frame) = serde_json::from_slice::<Value>(&frame.payload) else { continue };
        match frame[3].as_str() {
            Some("broadcast") => {
                let n = frame[4]["n"].as_u64();
                assert!(n > last, "{n:?} after {last:?}");
                (last, received) = (n, received + 1);
            }
            Some("system") => notices += 1,
            _ => answered |= frame[1] == "end",
        }
    }
    assert!((1..MESSAGES).contains(&received), "{received} of {MESSAGES}");
    assert_eq!(notices, 1, "one notice");
    world.stop().await;
}
