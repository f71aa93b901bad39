//! As many WebSockets as one tenant gets, each with a part of a frame that is small enough not to be charged as a whole.

use std::thread;
use std::time::Duration;

use harness::opcode;

use super::{Attack, count_round, repeat};
use crate::client::frame_head;

/// Just below the 16 KiB of a message that are not charged as long as they do not stay (`hub::UNCHARGED_BYTES`).
const FRAME: usize = 16_300;

pub const ATTACK: Attack = Attack {
    name: "all-websockets",
    about: "a second tenant opens 16,000 WebSockets of 200 addresses, each with all but the end of a frame of 16 kB",
    start: |target| {
        repeat(target, 4, |target, number| {
            let mut unfinished = frame_head(0x80 | opcode::TEXT, FRAME);
            unfinished.resize(FRAME, b'x');
            let mut sockets = Vec::new();
            for count in 0..4_000 {
                // Those that are accepted before one is refused are kept.
                let Ok(mut socket) = target.open_second(number * 4_000 + count) else { break };
                socket.write(&unfinished)?;
                sockets.push(socket);
                count_round();
            }
            thread::sleep(Duration::from_secs(30));
            Ok(())
        })
    },
};
