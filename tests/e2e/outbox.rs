//! A slow reader affects itself alone, never the room (docs/protocol/websocket.md#slow-readers).

use std::time::Duration;

use harness::{Frame, RawFrame, RawSocket, Request, World, eventually};
use serde_json::{Value, json};
use settings::ByteSize;

const ROOM: &str = "realtime:room";
/// More than the kernel buffers for one connection on loopback (about ten megabytes), in quarter megabytes.
const MESSAGES: u32 = 120;

/// A member of the room that does not read.
async fn stalled_member(world: &World, config: Value) -> RawSocket {
    let members = async || world.send(Request::get("/health")).await.json()["members"].as_u64();
    let before = members().await;
    let mut deaf = world.raw().await;
    let join = json!(["1", "1", ROOM, "phx_join", {"config": config}]);
    deaf.send(&RawFrame::text(&join.to_string())).await;
    eventually("the deaf member is in", async || members().await > before).await;
    deaf
}

/// Two other members exchange broadcasts; asserts that each one arrives.
async fn exchange(world: &World) {
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
    let mut deaf = stalled_member(&world, json!({})).await;
    exchange(&world).await;
    assert!(
        metric(&world, "realtime_outbox_dropped_total").await > 0.0,
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
async fn a_slow_reader_misses_some_keeps_the_order_and_is_notified_once() {
    let world = World::with(|settings| settings.outbox.max_bytes = ByteSize::mib(1)).await;
    let mut slow = stalled_member(&world, json!({})).await;
    exchange(&world).await;
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

/// The frames that a slow reader receives, without broadcasts, up to the first one that `is_last`.
async fn read_until(slow: &mut RawSocket, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
    let mut frames: Vec<Value> = Vec::new();
    while !frames.last().is_some_and(&is_last) {
        let mut message = Vec::new();
        // A large state is a message in two frames.
        loop {
            let frame = slow.next().await.expect("it is still connected");
            message.extend(frame.payload);
            if frame.fin {
                break;
            }
        }
        let frame: Value = serde_json::from_slice(&message).expect("JSON");
        if frame[3] != "broadcast" {
            frames.push(frame);
        }
    }
    frames
}

// A member that has missed a diff has to receive the whole state again. One that never requested it receives neither the
// state nor diffs.
#[tokio::test]
async fn a_slow_reader_receives_the_state_again_only_if_it_requested_it_before() {
    let world = World::with(|settings| {
        settings.outbox.max_bytes = ByteSize::mib(1);
        settings.presence.coalesce = Duration::ZERO;
    })
    .await;
    let mut asked = stalled_member(&world, json!({"presence": {"enabled": true}})).await;
    let mut never_asked = stalled_member(&world, json!({})).await;
    exchange(&world).await;

    let mut room = world.conversation();
    room.check(
        r#"
        dan joins realtime:room {"presence":{"enabled":true}}
        dan < ["1",null,"realtime:room","presence_state",{}]
        cid joins realtime:room {"presence":{"key":"cid"}}
        cid < ["1",null,"realtime:room","presence_state",{}]
        "#,
    )
    .await;
    let mut track = async |is: &str, padding: usize| {
        let payload = json!({"is": is, "padding": "x".repeat(padding)});
        room.client("cid").push("2", ROOM, "presence", &json!({"event": "track", "payload": payload})).await;
        assert_eq!(room.client("dan").next_json().await[4]["joins"]["cid"]["metas"][0]["is"], is);
    };
    let dropped = metric(&world, "realtime_outbox_dropped_total").await;
    // Larger than the last broadcast, which did not fit.
    track("unread", 300_000).await;
    // More often when a part of what waits has found room: the state is tried then.
    assert!(metric(&world, "realtime_outbox_dropped_total").await > dropped, "one has missed it");

    let notice = |frame: &Value| frame[3] == "system";
    let (mut to_asked, mut to_never_asked) =
        (read_until(&mut asked, notice).await, read_until(&mut never_asked, notice).await);
    track("a diff or in the state", 0).await;
    track("last", 0).await;
    let last =
        |frame: &Value| frame[3] == "presence_diff" && frame[4]["joins"]["cid"]["metas"][0]["is"] == "last";
    to_asked.extend(read_until(&mut asked, last).await);
    never_asked.send(&RawFrame::text(r#"[null,"end","phoenix","heartbeat",{}]"#)).await;
    to_never_asked.extend(read_until(&mut never_asked, |frame| frame[1] == "end").await);
    let states = |frames: &[Value]| -> Vec<Vec<String>> {
        let states = frames.iter().filter(|frame| frame[3] == "presence_state");
        states.map(|state| state[4].as_object().expect("keys").keys().cloned().collect()).collect()
    };
    assert_eq!(
        states(&to_asked),
        [vec![], vec!["cid".to_owned()]],
        "as it joined, and when it had caught up"
    );
    let presence = |frame: &Value| frame[3].as_str().is_some_and(|event| event.starts_with("presence"));
    assert!(!to_never_asked.iter().any(presence));
    world.stop().await;
}
