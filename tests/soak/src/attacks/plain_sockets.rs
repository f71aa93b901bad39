//! Connections of one address that send nothing, or the beginning of a request.

use std::thread;
use std::time::Duration;

use super::{Attack, repeat};

pub const ATTACK: Attack = Attack {
    name: "plain-sockets",
    about: "one address holds 5,000 connections that never become anything",
    start: |target| {
        repeat(target, 4, |target, number| {
            let mut sockets = Vec::new();
            for count in 0..1_250 {
                let mut socket = target.dial(0)?;
                if (count + number) % 2 == 0 {
                    let _refused = socket.write(b"GET /socket/websocket HTTP/1.1\r\nhost: local");
                }
                sockets.push(socket);
            }
            thread::sleep(Duration::from_secs(8));
            Ok(())
        })
    },
};
