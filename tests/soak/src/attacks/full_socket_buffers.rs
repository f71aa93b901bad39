//! Clients that send and do not read, until the kernel's buffers of both directions are full.

use serde_json::json;

use harness::opcode;

use super::{Attack, count_round, repeat};
use crate::client::frame;

pub const ATTACK: Attack = Attack {
    name: "full-socket-buffers",
    about: "400 clients send heartbeats, and do not read the replies",
    start: |target| {
        repeat(target, 400, |target, number| {
            let mut socket = target.open(number)?;
            socket.shrink_receive_buffer()?;
            let heartbeat = json!([null, "1", "phoenix", "heartbeat", {}]).to_string();
            let heartbeats = frame(opcode::TEXT, heartbeat.as_bytes()).repeat(500);
            loop {
                // Fails when nothing is accepted for ten seconds.
                socket.write(&heartbeats)?;
                count_round();
            }
        })
    },
};
