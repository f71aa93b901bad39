//! Requests whose log lines are long: bytes that are escaped, long paths, methods, ids.

use std::time::Duration;

use super::{Attack, count_round, repeat};

pub const ATTACK: Attack = Attack {
    name: "escapes",
    about: "requests without a token whose log lines are long and escaped, over 8 connections",
    start: |target| {
        repeat(target, 8, |target, number| {
            let request = match number % 4 {
                0 => format!(
                    "GET {} HTTP/1.1\r\nhost: x\r\nx-request-id: {}\r\n\r\n",
                    "/\"\u{80}".repeat(2_000),
                    "\\".repeat(200)
                ),
                1 => format!("{} / HTTP/1.1\r\nhost: x\r\n\r\n", "M".repeat(4_000)),
                2 => "GET /socket/websocket?tenant=\u{1b}[31m%00%0a HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
                _ => "\u{1b}[2J\0\r\n\r\n".to_owned(),
            };
            let requests = request.repeat(8);
            let mut socket = target.dial(number)?;
            loop {
                socket.write(requests.as_bytes())?;
                count_round();
                if !socket.discard_for(Duration::from_millis(5))? {
                    return Ok(());
                }
            }
        })
    },
};
