//! Connections that are reset in the middle of everything: of a handshake, of a large message, of what they are sent.

use harness::opcode;
use serde_json::json;

use super::{Attack, repeat};
use crate::client::frame_head;

pub const ATTACK: Attack = Attack {
    name: "resets",
    about: "24 at a time reset their connection in a handshake, in a message of 1 MB, in 20 rooms",
    start: |target| {
        repeat(target, 24, |target, number| {
            if number % 3 == 0 {
                let mut socket = target.dial(number)?;
                socket.write(b"GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nhost: lo")?;
                return socket.reset();
            }
            let mut socket = target.open(number)?;
            for room in 0..20 {
                let config = json!({"config": {"broadcast": {"self": true}, "presence": {"enabled": true}}});
                let (reference, topic) = (room.to_string(), format!("realtime:reset {room}"));
                socket.send(&json!([reference, reference, topic, "phx_join", config]))?;
                let track = json!({"type": "presence", "event": "track", "payload": {"n": number}});
                socket.send(&json!([reference, "track", topic, "presence", track]))?;
            }
            if number % 3 == 1 {
                socket.write(&frame_head(0x80 | opcode::TEXT, 1_000_000))?;
                socket.write(&[b'x'; 500_000])?;
            }
            socket.reset()
        })
    },
};
