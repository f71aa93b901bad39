//! HTTP connections that were used once and are kept alive.

use std::thread;
use std::time::Duration;

use super::{Attack, count_round, repeat};

pub const ATTACK: Attack = Attack {
    name: "idle-connections",
    about: "6,000 connections of 200 addresses with an answered request each, kept alive",
    start: |target| {
        repeat(target, 4, |target, number| {
            let mut sockets = Vec::new();
            for count in 0..1_500 {
                let mut socket = target.dial(number * 1_500 + count)?;
                let asked = socket.write(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n");
                if asked.is_ok() && socket.response_head().is_ok() {
                    count_round();
                }
                sockets.push(socket);
            }
            thread::sleep(Duration::from_secs(8));
            Ok(())
        })
    },
};
