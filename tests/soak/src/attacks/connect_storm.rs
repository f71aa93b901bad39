//! Users who connect, join and leave at once, each with a token that the node has not seen.

use harness::opcode;
use serde_json::json;

use super::{Attack, repeat};
use crate::client::frame;

pub const ATTACK: Attack = Attack {
    name: "connect-storm",
    about: "32 at a time connect as a new user, join a room, and leave or vanish",
    start: |target| {
        repeat(target, 32, |target, number| {
            let mut socket = target.dial(number)?.upgraded(&target.path_of_new_user()?)?;
            socket.join(&format!("realtime:storm {number}"), &json!({"presence": {"enabled": true}}))?;
            if number % 2 == 0 {
                socket.write(&frame(opcode::CLOSE, &1000_u16.to_be_bytes()))?;
            }
            Ok(())
        })
    },
};
