//! Long presence keys: those that are refused, and the longest that are not, in as many rooms as a client may have.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::{Attack, repeat};
use crate::client::Socket;

pub const ATTACK: Attack = Attack {
    name: "presence-keys",
    about: "50 clients with keys of 250 kB, and of the longest allowed size in 100 rooms",
    start: |target| {
        repeat(target, 50, |target, number| {
            let mut socket = target.open_in_turns(number)?;
            // A server without memory reads no more, or closes the connection.
            let _refused = join_all(&mut socket);
            thread::sleep(Duration::from_secs(3));
            Ok(())
        })
    },
};

fn join_all(socket: &mut Socket) -> Result<()> {
    for (bytes, rooms) in [(250_000, 4), (1_024, 96)] {
        let config = json!({"presence": {"key": "k".repeat(bytes), "enabled": true}});
        for room in 0..rooms {
            let (reference, topic) = (format!("{bytes} {room}"), format!("realtime:keys {room}"));
            socket.send(&json!([reference, reference, topic, "phx_join", {"config": config}]))?;
            let track = json!({"type": "presence", "event": "track", "payload": {}});
            socket.send(&json!([reference, "track", topic, "presence", track]))?;
        }
    }
    Ok(())
}
