//! Posts without a token, or with a forged one, that name the quiet tenant.

use std::time::Duration;

use super::{Attack, count_round, repeat};
use crate::target::QUIET;

pub const ATTACK: Attack = Attack {
    name: "unverified-posts",
    about: "posts without a valid token at the quiet tenant, over 8 connections",
    start: |target| {
        repeat(target, 8, |target, number| {
            let post = |headers: &str| {
                format!(
                    "POST /api/broadcast HTTP/1.1\r\nhost: localhost\r\nx-tenant: {QUIET}\r\n{headers}\
                     content-type: application/json\r\ncontent-length: 15\r\n\r\n{{\"messages\":[]}}"
                )
            };
            let forged = "apikey: eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYSIsImV4cCI6OTk5OTk5OTk5OX0.AAAA\r\n";
            let posts = format!("{}{}", post(""), post(forged)).repeat(50);
            let mut socket = target.dial(number)?;
            loop {
                socket.write(posts.as_bytes())?;
                count_round();
                if !socket.discard_for(Duration::from_millis(10))? {
                    return Ok(());
                }
            }
        })
    },
};
