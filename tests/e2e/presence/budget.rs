//! What one client tracks in all its rooms counts together, exactly (`presence.max_bytes_per_client`).

use harness::{Client, Frame, World};
use serde_json::{Value, json};
use settings::ByteSize;

/// Rooms of the client, each with a tracked object of [`BYTES`].
const ROOMS: usize = 40;
const BYTES: usize = 100;

/// An object whose text has so many bytes.
fn object(bytes: usize) -> Value {
    json!({ "a": "x".repeat(bytes - r#"{"a":""}"#.len()) })
}

fn topic(room: usize) -> String {
    format!("realtime:room-{room}")
}

struct Tracking {
    client: Client,
    sent: usize,
}

impl Tracking {
    /// Sends a message and returns the status of its reply. Presence that arrives before it is passed over.
    async fn status(&mut self, topic: &str, event: &str, payload: Value) -> String {
        self.sent += 1;
        let reference = format!("r{}", self.sent);
        self.client.push(&reference, topic, event, &payload).await;
        loop {
            match self.client.next().await {
                Frame::Json(frame) if frame[3] == "phx_reply" && frame[1] == *reference => {
                    return frame[4]["status"].as_str().expect("a status").to_owned();
                }
                Frame::Json(_) => {}
                other => panic!("{other}"),
            }
        }
    }

    /// Joins with a key of one byte, which counts from then on.
    async fn join(&mut self, room: usize) {
        let config = json!({"config": {"presence": {"key": "k", "enabled": true}}});
        assert_eq!(self.status(&topic(room), "phx_join", config).await, "ok");
    }

    async fn track(&mut self, room: usize, bytes: usize) -> String {
        let payload = json!({"type": "presence", "event": "track", "payload": object(bytes)});
        self.status(&topic(room), "presence", payload).await
    }

    async fn untrack(&mut self, room: usize) {
        let payload = json!({"type": "presence", "event": "untrack"});
        assert_eq!(self.status(&topic(room), "presence", payload).await, "ok");
    }

    /// Asserts that the spare room can track exactly `bytes` more, and leaves it without presence.
    async fn assert_left(&mut self, bytes: usize) {
        assert_eq!(self.track(ROOMS, bytes + 1).await, "error", "more than {bytes} bytes are left");
        assert_eq!(self.track(ROOMS, bytes).await, "ok", "less than {bytes} bytes are left");
        self.untrack(ROOMS).await;
    }
}

#[tokio::test]
async fn what_is_tracked_no_more_can_be_used_again_to_the_byte() {
    let spare = 50;
    let world = World::with(|settings| {
        settings.presence.max_bytes_per_client = ByteSize::b((ROOMS * (1 + BYTES) + 1 + spare) as u64);
        settings.limits.max_channels_per_client = crate::size(ROOMS + 1);
        settings.limits.max_joins_per_second = crate::count(10_000);
    })
    .await;
    let mut ann = Tracking { client: world.connect().await, sent: 0 };
    for room in 0..=ROOMS {
        ann.join(room).await;
    }
    for room in 0..ROOMS {
        assert_eq!(ann.track(room, BYTES).await, "ok");
    }
    ann.assert_left(spare).await;

    // A smaller and a larger object in place of the last one.
    assert_eq!(ann.track(0, BYTES - 30).await, "ok");
    ann.assert_left(spare + 30).await;
    assert_eq!(ann.track(0, BYTES + spare).await, "ok");
    assert_eq!(ann.track(ROOMS, 10).await, "error");
    assert_eq!(ann.track(0, BYTES).await, "ok");

    ann.untrack(1).await;
    ann.assert_left(spare + BYTES).await;
    // A leave, and another join of the topic.
    assert_eq!(ann.status(&topic(2), "phx_leave", json!({})).await, "ok");
    ann.assert_left(spare + 2 * BYTES + 1).await;
    ann.join(3).await;
    ann.assert_left(spare + 3 * BYTES + 1).await;

    ann.join(2).await;
    for room in 1..=3 {
        assert_eq!(ann.track(room, BYTES).await, "ok");
    }
    ann.assert_left(spare).await;
    world.stop().await;
}

// A call beyond the limit per client is held, and its object counts like a tracked one.
#[tokio::test]
async fn what_is_held_back_counts_too() {
    let world = World::with(|settings| {
        settings.presence.max_bytes_per_client = ByteSize::b(1_027);
        settings.limits.max_client_presence_events_per_window = crate::count(1);
    })
    .await;
    let mut ann = Tracking { client: world.connect().await, sent: 0 };
    for room in 0..3 {
        ann.join(room).await;
    }
    assert_eq!(ann.track(0, 400).await, "ok");
    assert_eq!(ann.track(0, 500).await, "ok", "held until the window reopens");
    assert_eq!(ann.track(1, 125).await, "error");
    assert_eq!(ann.track(1, 124).await, "ok");
    ann.untrack(0).await;
    // The held untrack replaces the held object; the tracked one stays until then.
    assert_eq!(ann.track(2, 501).await, "error");
    assert_eq!(ann.track(2, 500).await, "ok");
    world.stop().await;
}

#[tokio::test]
async fn a_key_that_is_too_long_is_refused_at_the_join() {
    let world = World::with(|settings| settings.presence.max_key_bytes = ByteSize::b(64)).await;
    let (longest, longer) = ("k".repeat(64), "k".repeat(65));
    let response =
        r#"{"status":"error","response":{"reason":"PresenceKeySizeExceeded: The presence key is too long"}}"#;
    world
        .check(&format!(
            r#"
            ann connects
            ann > ["1","1","realtime:room","phx_join",{{"config":{{"presence":{{"key":"{longer}","enabled":true}}}}}}]
            ann < ["1","1","realtime:room","phx_reply",{response}]
            ann > ["1","2","realtime:room","broadcast",{{}}]
            ann < [null,"2","realtime:room","phx_reply",{{"status":"error","response":{{"reason":"unmatched topic"}}}}]
            ann joins realtime:room {{"presence":{{"key":"{longest}","enabled":true}}}}
            ann < ["1",null,"realtime:room","presence_state",{{}}]
            "#
        ))
        .await;
    world.apply(|settings| settings.presence.max_key_bytes = ByteSize::b(65));
    world
        .check(&format!(r#"bob joins realtime:room {{"presence":{{"key":"{longer}","enabled":true}}}}"#))
        .await;
    world.stop().await;
}
