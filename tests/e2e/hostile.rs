//! Hostile input: refused as documented or dropped, bounded, and without effect on other clients.
//!
//! Every test ends with two bystanders that were in a room all the time and still receive each other's broadcasts, and with
//! a server that has not panicked (the harness checks that).

mod floods;
mod handshakes;
mod sizes;

use std::sync::Arc;
use std::time::Duration;

use harness::{Client, Conversation, Dialect, RawFrame, Request, Token, World, check, eventually, opcode};
use serde_json::json;
use tokio::time::timeout;

use crate::{count, size};

/// Two clients in a room of their own.
async fn bystanders(world: &World) -> Conversation<'_> {
    let mut pair = world.conversation();
    pair.check("yin, yang join realtime:quiet").await;
    pair
}

/// Asserts that the two receive each other's broadcasts and have received nothing else.
async fn assert_unaffected(mut pair: Conversation<'_>) {
    pair.check(
        r#"
        yin > ["1","2","realtime:quiet","broadcast",{"event":"still here"}]
        yang < [null,null,"realtime:quiet","broadcast",{"event":"still here"}]
        yin, yang are quiet
        "#,
    )
    .await;
}

/// Reproducible random bytes (xorshift).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.next() % most).map(|_| self.next() as u8).collect()
    }
}

#[tokio::test]
async fn noise_is_dropped() {
    let world = World::start().await;
    let pair = bystanders(&world).await;
    let mut noise = Noise(0x5eed);
    for dialect in [Dialect::V1, Dialect::V2] {
        let mut ann = world.connect_as(dialect, Token::Valid).await;
        ann.join("realtime:room", json!({})).await;
        for kind in 0..600u64 {
            let mut bytes = noise.bytes(64);
            match kind % 3 {
                0 => ann.send_text(String::from_utf8_lossy(&bytes)).await,
                1 => ann.send_binary(bytes).await,
                // Has the start of a valid message.
                _ => {
                    bytes.insert(0, 3);
                    ann.send_binary(bytes).await;
                }
            }
        }
        ann.settle().await;
    }
    assert_unaffected(pair).await;
    world.stop().await;
}

#[tokio::test]
async fn truncated_and_altered_messages_are_dropped() {
    let world = World::start().await;
    let pair = bystanders(&world).await;
    let mut ann = world.connect().await;
    ann.join("realtime:room", json!({})).await;
    let good = r#"["1","2","realtime:room","presence",{"type":"presence","event":"track","payload":{"é":[1,-2.5e3,"\u00e9"]}}]"#;
    let binary = b"\x03\x01\x01\x0d\x02\x02\x01\x31\x32realtime:roomhi{}{\"x\":1}";
    for end in (0..good.len()).filter(|end| good.is_char_boundary(*end)) {
        ann.send_text(&good[..end]).await;
    }
    for end in 0..binary.len() {
        ann.send_binary(binary[..end].to_vec()).await;
    }
    for at in 0..binary.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut turned = binary.to_vec();
            turned[at] = value;
            ann.send_binary(turned).await;
        }
    }
    ann.settle().await;
    assert_unaffected(pair).await;
    world.stop().await;
}

#[tokio::test]
async fn invalid_utf8_closes_with_1007() {
    let world = World::start().await;
    let pair = bystanders(&world).await;
    let mut ann = world.raw().await;
    ann.send(&RawFrame::new(opcode::TEXT, b"[null,\"\xff\",\"phoenix\",\"heartbeat\",{}]")).await;
    assert_eq!(ann.drain_to_close().await, Some(1007));
    assert_unaffected(pair).await;
    world.stop().await;
}

#[tokio::test]
async fn unusual_names_are_only_names() {
    check(
        r#"
        ann, bob join realtime:\u0000
        ann > ["1","2","realtime:\\u0000","broadcast",{"event":"\u0000\u001b[31m"}]
        bob < [null,null,"realtime:\\u0000","broadcast",{"event":"\u0000\u001b[31m"}]
        ann > ["2","2","realtime:../../etc/passwd","phx_join",{"config":{"presence":{"key":"__proto__","enabled":true}}}]
        ann < ["2","2","realtime:../../etc/passwd","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]
        ann < ["2",null,"realtime:../../etc/passwd","presence_state",{}]
        ann > ["2","3","realtime:../../etc/passwd","presence",{"event":"track","payload":{"__proto__":{"x":1}}}]
        ann <~ ["2","3","realtime:../../etc/passwd","phx_reply",{"status":"ok","response":{}}]
        ann <~ [null,null,"realtime:../../etc/passwd","presence_diff",{"joins":{"__proto__":{"metas":[{"phx_ref":_,"__proto__":{"x":1}}]}},"leaves":{}}]
        "#,
    )
    .await;
}
