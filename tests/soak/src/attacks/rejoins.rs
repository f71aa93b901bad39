//! Clients that join the same rooms again and again, each time for all that is shown there.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Attack, repeat};

const ROOMS: usize = 90;

pub const ATTACK: Attack = Attack {
    name: "rejoins",
    about: "two connections rejoin 90 rooms, in each of which six members show 80 kB",
    start: |target| {
        repeat(target, 6, |target, number| {
            let mut socket = target.open(number)?;
            let track =
                json!({"type": "presence", "event": "track", "payload": {"text": "x".repeat(80_000)}});
            for room in 0..ROOMS {
                socket.send(&join(room))?;
                socket.send(&json!([room.to_string(), "track", topic(room), "presence", track]))?;
            }
            while socket.discard_for(Duration::from_secs(20))? {
                socket.send(&json!([null, "1", "phoenix", "heartbeat", {}]))?;
            }
            Ok(())
        })?;
        repeat(target, 2, |target, number| {
            let mut socket = target.open(100 + number)?;
            loop {
                for room in 0..ROOMS {
                    socket.send(&join(room))?;
                }
                socket.send(&json!([null, "end", "phoenix", "heartbeat", {}]))?;
                socket.next_where(|message| message[1] == "end")?;
                super::count_round();
            }
        })
    },
};

fn topic(room: usize) -> String {
    format!("realtime:busy {room}")
}

fn join(room: usize) -> Value {
    let config = json!({"config": {"presence": {"enabled": true}}});
    json!([room.to_string(), "join", topic(room), "phx_join", config])
}
