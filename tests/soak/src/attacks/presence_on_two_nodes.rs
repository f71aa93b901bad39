//! Much presence of one tenant on both nodes at once, in rooms that have members on both.

use std::time::Duration;

use serde_json::json;

use super::{Attack, repeat};
use crate::client::Socket;

pub const ATTACK: Attack = Attack {
    name: "presence-on-two-nodes",
    about: "on each node 30 members show 2 MB in a room that the other node has members in",
    start: |target| {
        repeat(target, 30, |target, number| hold(target.open(number)?, number, "one"))?;
        repeat(target, 30, |target, number| hold(target.open_far(100 + number)?, number, "two"))
    },
};

/// Shows 2 MB for as long as the connection lasts.
fn hold(mut socket: Socket, number: usize, node: &str) -> anyhow::Result<()> {
    let topic = format!("realtime:both {number}");
    socket.join(&topic, &json!({"presence": {"key": node, "enabled": true}}))?;
    let track = json!({"type": "presence", "event": "track", "payload": {"text": "x".repeat(2_000_000)}});
    socket.send(&json!(["1", "track", topic, "presence", track]))?;
    super::count_round();
    while socket.discard_for(Duration::from_secs(20))? {
        socket.send(&json!([null, "1", "phoenix", "heartbeat", {}]))?;
    }
    Ok(())
}
