//! Members of a room who read nothing, and large broadcasts to them.

use std::thread;
use std::time::Duration;

use serde_json::json;

use super::{Attack, count_round, repeat};
use crate::target::Target;

const ROOM: &str = "realtime:loud";

pub const ATTACK: Attack = Attack {
    name: "non-readers",
    about: "500 members of a room who do not read, and 4 MB/s of large broadcasts to them",
    start: |target| {
        repeat(target, 500, |target, number| {
            let mut socket = target.open(number)?;
            socket.shrink_receive_buffer()?;
            socket.join(ROOM, &json!({}))?;
            thread::sleep(Duration::from_secs(25));
            Ok(())
        })?;
        repeat(target, 1, |target, _| broadcast(target))
    },
};

fn broadcast(target: &Target) -> anyhow::Result<()> {
    let mut socket = target.open(0)?;
    socket.join("realtime:sender", &json!({}))?;
    socket.join(ROOM, &json!({}))?;
    let text = "x".repeat(200_000);
    let message =
        json!(["1", null, ROOM, "broadcast", {"type": "broadcast", "event": "e", "payload": {"text": text}}]);
    while socket.discard_for(Duration::from_millis(50))? {
        socket.send(&message)?;
        count_round();
    }
    Ok(())
}
