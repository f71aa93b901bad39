//! Frames of 5 MB whose end does not come: 1.5 GB if the node kept them.

use std::sync::LazyLock;
use std::time::Duration;

use harness::opcode;

use super::{Attack, repeat};
use crate::client::frame_head;

pub const ATTACK: Attack = Attack {
    name: "unfinished-frames",
    about: "300 connections with a frame of 5 MB each, all but its end",
    start: |target| {
        repeat(target, 300, |target, number| {
            let mut socket = target.open_in_turns(number)?;
            // The server reads as much as its memory allows, and refuses the others after a while.
            let _paused = socket.write(&UNFINISHED);
            let _closed = socket.discard_for(Duration::from_secs(15));
            Ok(())
        })
    },
};

static UNFINISHED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = frame_head(0x80 | opcode::BINARY, 5_000_000);
    bytes.resize(4_990_000, 7);
    bytes
});
