//! As many channels as a client may have, each with a long topic, `join_ref` and presence key.

use std::time::Duration;

use serde_json::json;

use super::{Attack, count_round, repeat};

const CHANNELS: usize = 100;

pub const ATTACK: Attack = Attack {
    name: "channels",
    about: "400 clients of a second tenant join 100 rooms each, with 1.5 kB of names for each",
    start: |target| {
        repeat(target, 400, |target, number| {
            let mut socket = target.open_second(number)?;
            let (reference, key) = ("r".repeat(250), "k".repeat(1_000));
            for channel in 0..CHANNELS {
                let topic = format!("realtime:{number} {channel} {}", "x".repeat(200));
                let payload = json!({"config": {"presence": {"key": key, "enabled": true}}});
                socket.send(&json!([reference, reference, topic, "phx_join", payload]))?;
            }
            count_round();
            socket.discard_for(Duration::from_secs(30))?;
            Ok(())
        })
    },
};
