//! Slow readers are their own problem, never the room's (docs/protocol/websocket.md#slow-readers).

use std::time::Duration;

use harness::{Frame, RawFrame, RawSocket, Request, World, eventually};
use serde_json::{Value, json};
use settings::ByteSize;

const ROOM: &str = "realtime:room";
/// More than the kernel keeps for one connection on loopback (about ten megabytes), in quarter megabytes.
const MESSAGES: u32 = 120;

/// Puts a member into the room that does not read.
async fn deaf_member(world: &World, config: Value) -> RawSocket {
    let members = async || world.send(Request::get("/health")).await.json()["members"].as_u64();
    let before = members().await;
    let mut deaf = world.raw().await;
    let join = json!(["1", "1", ROOM, "phx_join", {"config": config}]);
    deaf.send(&RawFrame::text(&join.to_string())).await;
    eventually("the deaf member is in", async || members().await > before).await;
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
    let mut deaf = deaf_member(&world, json!({})).await;
    talk(&world).await;
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
async fn a_slow_reader_misses_some_keeps_the_order_and_is_told_once() {
    let world = World::with(|settings| settings.outbox.max_bytes = ByteSize::mib(1)).await;
    let mut slow = deaf_member(&world, json!({})).await;
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

/// What a slow reader hears, its broadcasts aside, up to the first frame that `is_last`.
async fn hears_until(slow: &mut RawSocket, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
    let mut heard: Vec<Value> = Vec::new();
    while !heard.last().is_some_and(&is_last) {
        let frame = slow.next().await.expect("it is still connected");
        let frame: Value = serde_json::from_slice(&frame.payload).expect("JSON");
        if frame[3] != "broadcast" {
            heard.push(frame);
        }
    }
    heard
}

// A member that has missed a diff has to get the whole state again. One that never asked for it gets neither
// that nor diffs.
#[tokio::test]
async fn a_slow_reader_is_shown_everybody_again_only_if_it_asked_before() {
    let world = World::with(|settings| {
        settings.outbox.max_bytes = ByteSize::mib(1);
        settings.presence.coalesce = Duration::ZERO;
    })
    .await;
    let mut asked = deaf_member(&world, json!({"presence": {"enabled": true}})).await;
    let mut never_asked = deaf_member(&world, json!({})).await;
    talk(&world).await;

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
    track("unheard", 300_000).await;
    assert_eq!(metric(&world, "realtime_outbox_dropped_total").await - dropped, 1.0, "one has missed it");

    let notice = |frame: &Value| frame[3] == "system";
    let (mut to_asked, mut to_never_asked) =
        (hears_until(&mut asked, notice).await, hears_until(&mut never_asked, notice).await);
    track("a diff or in the state", 0).await;
    track("last", 0).await;
    let last =
        |frame: &Value| frame[3] == "presence_diff" && frame[4]["joins"]["cid"]["metas"][0]["is"] == "last";
    to_asked.extend(hears_until(&mut asked, last).await);
    never_asked.send(&RawFrame::text(r#"[null,"end","phoenix","heartbeat",{}]"#)).await;
    to_never_asked.extend(hears_until(&mut never_asked, |frame| frame[1] == "end").await);
    let states = |heard: &[Value]| -> Vec<Vec<String>> {
        let states = heard.iter().filter(|frame| frame[3] == "presence_state");
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
