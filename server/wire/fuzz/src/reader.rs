//! A plain reader of what the server writes, sharing no code with `wire`.
//!
//! Written from RFC 6455 and the tables of the protocol, as a client would be, and strict: what a client might reject is
//! an assertion here.

use std::collections::BTreeMap;

use hub::Frame;
use serde_json::value::RawValue;

/// A text frame, each part as raw JSON. V1 has no join_ref.
pub struct Message {
    pub join_ref: Option<String>,
    pub reference: String,
    pub topic: String,
    pub event: String,
    pub payload: String,
}

/// A kind 4 frame.
pub struct UserBroadcast<'a> {
    pub topic: &'a str,
    pub event: &'a str,
    pub metadata: &'a str,
    pub is_json: bool,
    pub payload: &'a [u8],
}

/// The payload of a text frame.
pub fn text(frame: &Frame) -> &str {
    let (opcode, payload) = open(frame.bytes());
    assert_eq!(opcode, 1, "a text frame");
    std::str::from_utf8(payload).expect("a text frame is UTF-8")
}

/// The payload of a binary frame.
pub fn binary(frame: &Frame) -> &[u8] {
    let (opcode, payload) = open(frame.bytes());
    assert_eq!(opcode, 2, "a binary frame");
    payload
}

fn open(frame: &[u8]) -> (u8, &[u8]) {
    assert_eq!(frame[0] & 0xF0, 0x80, "whole, and no extension bits");
    let (length, payload) = match frame[1] {
        126 => (u64::from(u16::from_be_bytes(frame[2..4].try_into().unwrap())), &frame[4..]),
        127 => (u64::from_be_bytes(frame[2..10].try_into().unwrap()), &frame[10..]),
        length => (u64::from(length), &frame[2..]),
    };
    assert!(frame[1] < 128, "servers do not mask");
    assert!(frame[1] != 126 || length > 125, "the shortest header");
    assert!(frame[1] != 127 || length > 0xFFFF, "the shortest header");
    assert_eq!(length, payload.len() as u64, "the length is true");
    (frame[0] & 0x0F, payload)
}

/// Reads a V1 text frame.
pub fn v1(frame: &Frame) -> Message {
    let mut keys: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text(frame)).expect("an object");
    assert_eq!(keys.len(), 4, "exactly four keys");
    let mut take = |key| keys.remove(key).unwrap_or_else(|| panic!("no {key}")).get().to_owned();
    let reference = take("ref");
    let (topic, event, payload) = (take("topic"), take("event"), take("payload"));
    Message { join_ref: None, reference, topic, event, payload }
}

/// Reads a V2 text frame.
pub fn v2(frame: &Frame) -> Message {
    let elements: [Box<RawValue>; 5] = serde_json::from_str(text(frame)).expect("an array of five");
    let [join_ref, reference, topic, event, payload] = elements.map(|element| element.get().to_owned());
    Message { join_ref: Some(join_ref), reference, topic, event, payload }
}

/// Reads a kind 4 frame.
pub fn user_broadcast(frame: &Frame) -> UserBroadcast<'_> {
    let bytes = binary(frame);
    assert_eq!(bytes[0], 4, "realtime-js throws on any other kind");
    let [topic, event, metadata] = [1, 2, 3].map(|index| usize::from(bytes[index]));
    let encoding = bytes[4];
    assert!(encoding < 2, "0 is binary, 1 is JSON");
    let (topic, rest) = bytes[5..].split_at(topic);
    let (event, rest) = rest.split_at(event);
    let (metadata, payload) = rest.split_at(metadata);
    let [topic, event, metadata] =
        [topic, event, metadata].map(|field| std::str::from_utf8(field).expect("a field is UTF-8"));
    UserBroadcast { topic, event, metadata, is_json: encoding == 1, payload }
}
