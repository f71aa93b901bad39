//! Pages of metrics that are asked for and not read.

use std::thread;
use std::time::Duration;

use super::{Attack, repeat};

pub const ATTACK: Attack = Attack {
    name: "unread-metrics",
    about: "4,000 connections of 200 addresses ask for /metrics, without a token, and do not read it",
    start: |target| {
        repeat(target, 4, |target, number| {
            let mut sockets = Vec::new();
            for count in 0..1_000 {
                let mut socket = target.dial(number * 1_000 + count)?;
                socket.shrink_receive_buffer()?;
                let _refused = socket.write(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n");
                sockets.push(socket);
            }
            thread::sleep(Duration::from_secs(8));
            Ok(())
        })
    },
};
