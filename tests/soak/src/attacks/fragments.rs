//! Messages in very many fragments, of one byte or of much, whose last fragment does not come.

use harness::opcode;

use super::{Attack, count_round, repeat};
use crate::client::{frame, frame_head};

pub const ATTACK: Attack = Attack {
    name: "fragments",
    about: "60 connections send fragments of a byte or 100 kB, pings between them, and never the last one",
    start: |target| {
        repeat(target, 60, |target, number| {
            let mut socket = target.open(number)?;
            let length = if number % 2 == 0 { 1 } else { 100_000 };
            let fragment = |kind: u8| [&frame_head(kind, length)[..], &vec![b'x'; length]].concat();
            socket.write(&fragment(opcode::TEXT))?;
            let ping = frame(opcode::PING, b"?");
            let burst = if length == 1 {
                fragment(opcode::CONTINUATION).repeat(500)
            } else {
                fragment(opcode::CONTINUATION)
            };
            loop {
                socket.write(&burst)?;
                socket.write(&ping)?;
                count_round();
            }
        })
    },
};
