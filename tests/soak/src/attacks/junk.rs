//! What no client sends: random bytes, compressed frames that were not negotiated, bodies that are not what they say.

use std::time::Duration;

use harness::{Token, opcode};

use super::{Attack, Noise, repeat};
use crate::client::frame;

pub const ATTACK: Attack = Attack {
    name: "junk",
    about: "16 connections send random and compressed frames, random bytes for HTTP, and false bodies",
    start: |target| {
        repeat(target, 16, |target, number| {
            let mut noise = Noise::new(number + std::process::id() as usize);
            let length = 1 + noise.next() as usize % 20_000;
            let bytes = noise.bytes(length);
            let mut socket = target.dial(number)?;
            match number % 4 {
                0 => socket.write(&bytes)?,
                // RSV1 says that a frame is compressed.
                1 => {
                    socket = socket.upgraded(&target.path())?;
                    socket.write(&frame(0x40 | opcode::BINARY, &bytes))?;
                }
                2 => {
                    socket = socket.upgraded(&target.path())?;
                    for part in bytes.chunks(100) {
                        socket.write(&frame(opcode::BINARY, part))?;
                        socket.write(&frame(
                            opcode::TEXT,
                            &part.iter().map(|byte| byte & 0x7f).collect::<Vec<_>>(),
                        ))?;
                    }
                }
                _ => {
                    let head = format!(
                        "POST /api/broadcast HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-encoding: gzip\r\n\
                         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
                        target.issuer().token(Token::Eternal),
                        bytes.len()
                    );
                    socket.write(&[head.as_bytes(), &bytes].concat())?;
                }
            }
            socket.discard_for(Duration::from_millis(100))?;
            Ok(())
        })
    },
};
