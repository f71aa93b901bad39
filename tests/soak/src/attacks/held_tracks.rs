//! Tracked objects that are held back: over the rate of a client, the newest one of each room is kept until it may be shown.

use std::time::Duration;

use serde_json::json;

use super::{Attack, count_round, repeat};

const ROOMS: usize = 3;

/// As many as a client may send in the time of its limit, so that what follows is held back.
const UNTRACKS: usize = 300;

pub const ATTACK: Attack = Attack {
    name: "held-tracks",
    about: "40 clients use up their rate of presence, then track 2.6 MB in each of three rooms",
    start: |target| {
        repeat(target, 40, |target, number| {
            let mut socket = target.open(number)?;
            let topic = |room: usize| format!("realtime:held {number} {room}");
            let presence = |reference: &str, room: usize, event: &str, text: usize| {
                let message =
                    json!({"type": "presence", "event": event, "payload": {"text": "x".repeat(text)}});
                json!(["1", reference, topic(room), "presence", message])
            };
            for room in 0..ROOMS {
                let config = json!({"config": {"presence": {"enabled": true}}});
                socket.send(&json!(["1", "join", topic(room), "phx_join", config]))?;
            }
            for count in 0..UNTRACKS {
                socket.send(&presence("untrack", 0, "untrack", 0))?;
                if count % 50 == 49 {
                    socket.discard_for(Duration::from_millis(5))?;
                }
            }
            for room in 0..ROOMS {
                // The server reads as much as its memory allows.
                if socket.send(&presence("track", room, "track", 2_600_000)).is_ok() {
                    count_round();
                }
            }
            socket.discard_for(Duration::from_secs(10))?;
            Ok(())
        })
    },
};
