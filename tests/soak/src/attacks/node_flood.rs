//! Broadcasts to the other node, more than Redis and the nodes carry at this priority.

use std::time::Duration;

use serde_json::json;

use super::{Attack, count_round, repeat};

pub const ATTACK: Attack = Attack {
    name: "node-flood",
    about: "four clients send up to 15 MB/s each to members on the other node",
    start: |target| {
        repeat(target, 4, |target, number| {
            let mut socket = target.open_far(number)?;
            socket.join(&topic(number), &json!({}))?;
            while socket.discard_for(Duration::from_secs(20))? {
                socket.send(&json!([null, "1", "phoenix", "heartbeat", {}]))?;
            }
            Ok(())
        })?;
        repeat(target, 4, |target, number| {
            let mut socket = target.open(number)?;
            socket.join(&topic(number), &json!({}))?;
            let payload = json!({"type": "broadcast", "event": "e", "payload": {"text": "x".repeat(30_000)}});
            let message = json!(["1", null, topic(number), "broadcast", payload]);
            while socket.discard_for(Duration::from_millis(20))? {
                for _ in 0..10 {
                    socket.send(&message)?;
                }
                count_round();
            }
            Ok(())
        })
    },
};

fn topic(number: usize) -> String {
    format!("realtime:flood {number}")
}
