//! The bytes that clients send: numbered payloads, WebSocket frames, Phoenix messages.
//!
//! Every broadcast carries its number and the time it was sent at a fixed place in its payload, so a
//! receiver reads them without parsing JSON. Each letter `@A…O` stands for four bits: it needs no escape
//! in JSON and is decoded by a mask. The floor's frames are, to the byte, what a server delivers, so
//! both targets move the same bytes and the receiving side is one and the same code.

/// WebSocket opcodes, as they stand in a frame's first byte.
pub mod opcode {
    /// A further fragment of a message.
    pub const CONTINUATION: u8 = 0;
    /// A text message.
    pub const TEXT: u8 = 1;
    /// A binary message.
    pub const BINARY: u8 = 2;
    /// The closing handshake.
    pub const CLOSE: u8 = 8;
    /// Are you there?
    pub const PING: u8 = 9;
    /// I am.
    pub const PONG: u8 = 10;
}

/// The user's part of an ordinary broadcast, in bytes.
pub const PAYLOAD: usize = 256;

const PREFIX: &[u8] = br#"{"n":""#;
const MIDDLE: &[u8] = br#"","t":""#;
const REST: &[u8] = br#"","x":""#;
const END: &[u8] = br#""}"#;
const NUMBER: std::ops::Range<usize> = PREFIX.len()..PREFIX.len() + 8;
const TIME: std::ops::Range<usize> = NUMBER.end + MIDDLE.len()..NUMBER.end + MIDDLE.len() + 16;

/// Where the filling of a payload starts; it goes on until [`filling_end`].
pub const FILLING_START: usize = TIME.end + REST.len();
/// What a payload is filled with.
pub const FILLING: u8 = b'x';

/// Where the filling of a payload of this size ends.
pub fn filling_end(size: usize) -> usize {
    size - END.len()
}

/// A JSON object of exactly `size` bytes, number 0, time 0.
pub fn payload(size: usize) -> Vec<u8> {
    let mut bytes = [PREFIX, &[b'@'; 8], MIDDLE, &[b'@'; 16], REST].concat();
    bytes.resize(filling_end(size), FILLING);
    bytes.extend_from_slice(END);
    bytes
}

/// Reads a payload's number.
#[inline]
pub fn number(payload: &[u8]) -> u32 {
    decode(&payload[NUMBER]) as u32
}

/// Reads the nanosecond at which a payload was sent.
#[inline]
pub fn time(payload: &[u8]) -> u64 {
    decode(&payload[TIME])
}

#[inline]
fn decode(letters: &[u8]) -> u64 {
    letters.iter().fold(0, |value, letter| value << 4 | u64::from(letter & 15))
}

fn encode(mut value: u64, letters: &mut [u8]) {
    for letter in letters.iter_mut().rev() {
        *letter = b'@' | (value & 15) as u8;
        value >>= 4;
    }
}

/// How a Phoenix V2 client encodes broadcasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Kind 3, received as kind 4.
    Binary,
    /// A JSON array, as supabase-js sends it.
    Text,
}

/// What follows the payload in a broadcast as text.
const TEXT_END: &str = "}]";

impl Encoding {
    /// The opcode of its frames.
    pub fn opcode(self) -> u8 {
        match self {
            Self::Binary => opcode::BINARY,
            Self::Text => opcode::TEXT,
        }
    }

    /// How many bytes follow the payload.
    pub fn end(self) -> usize {
        match self {
            Self::Binary => 0,
            Self::Text => TEXT_END.len(),
        }
    }

    /// What a member sends: join_ref "1", ref "2", event `m`, no metadata.
    fn sent_body(self, topic: &str, payload_size: usize) -> Vec<u8> {
        match self {
            Self::Binary => {
                let head = [3, 1, 1, topic.len() as u8, 1, 0, 1];
                [&head, b"12".as_slice(), topic.as_bytes(), b"m", &payload(payload_size)].concat()
            }
            Self::Text => text_body(r#""1","2""#, topic, payload_size),
        }
    }

    /// What a member receives: topic, event `m`, no metadata.
    pub fn delivered_body(self, topic: &str, payload_size: usize) -> Vec<u8> {
        match self {
            Self::Binary => {
                let head = [4, topic.len() as u8, 1, 0, 1];
                [&head, topic.as_bytes(), b"m", &payload(payload_size)].concat()
            }
            Self::Text => text_body("null,null", topic, payload_size),
        }
    }
}

fn text_body(refs: &str, topic: &str, payload_size: usize) -> Vec<u8> {
    let head = format!(r#"[{refs},"{topic}","broadcast",{{"type":"broadcast","event":"m","payload":"#);
    [head.as_bytes(), &payload(payload_size), TEXT_END.as_bytes()].concat()
}

/// A broadcast ready to be sent many times, each time with its own number and time.
pub struct Broadcast {
    frame: Vec<u8>,
    payload_at: usize,
}

impl Broadcast {
    /// As a Phoenix client sends it, masked.
    pub fn phoenix(encoding: Encoding, topic: &str, payload_size: usize) -> Self {
        let body = encoding.sent_body(topic, payload_size);
        Self::new(client_frame(encoding.opcode(), &body), payload_size + encoding.end())
    }

    /// As the floor's client sends it: exactly the frame that members of a Phoenix room would receive.
    pub fn floor(encoding: Encoding, topic: &str, payload_size: usize) -> Self {
        let body = encoding.delivered_body(topic, payload_size);
        Self::new(server_frame(encoding.opcode(), &body), payload_size + encoding.end())
    }

    fn new(frame: Vec<u8>, from_end: usize) -> Self {
        Self { payload_at: frame.len() - from_end, frame }
    }

    /// Appends the whole frame, stamped.
    pub fn append_to(&self, out: &mut Vec<u8>, number: u32, time: u64) {
        let payload_at = out.len() + self.payload_at;
        out.extend_from_slice(&self.frame);
        encode(number.into(), &mut out[payload_at..][NUMBER]);
        encode(time, &mut out[payload_at..][TIME]);
    }
}

/// A client's frame. Clients must mask; the mask 0 is legal and leaves the bytes readable.
pub fn client_frame(opcode: u8, body: &[u8]) -> Vec<u8> {
    frame(opcode, 0x80, &[0; 4], body)
}

/// A server's frame.
pub fn server_frame(opcode: u8, body: &[u8]) -> Vec<u8> {
    frame(opcode, 0, &[], body)
}

fn frame(opcode: u8, masked: u8, mask: &[u8], body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match body.len() {
        size @ 0..=125 => frame.push(masked | size as u8),
        size @ 126..=0xffff => {
            frame.push(masked | 126);
            frame.extend_from_slice(&(size as u16).to_be_bytes());
        }
        size => {
            frame.push(masked | 127);
            frame.extend_from_slice(&(size as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(mask);
    frame.extend_from_slice(body);
    frame
}

/// Which of the two rooms of a name is joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privacy {
    /// Anyone may join.
    Public,
    /// The policies of the tenant's database decide.
    Private,
}

/// The join of a V2 client, as text.
pub fn join(topic: &str, presence: &serde_json::Value, privacy: Privacy) -> String {
    let config = serde_json::json!({
        "broadcast": {"ack": false, "self": false}, "presence": presence, "private": privacy == Privacy::Private,
    });
    join_with(topic, &config)
}

/// The join of a V2 client that subscribes to changes of tables, as text.
pub fn subscribe(topic: &str, bindings: &[serde_json::Value]) -> String {
    join_with(topic, &serde_json::json!({"presence": {"enabled": false}, "postgres_changes": bindings}))
}

fn join_with(topic: &str, config: &serde_json::Value) -> String {
    format!(r#"["1","1","{topic}","phx_join",{{"config":{config}}}]"#)
}

/// The request that opens a V2 socket, on the path and with the parameters supabase-js uses.
pub fn upgrade(host: &str, token: &str) -> String {
    upgrade_on(host, &format!("/realtime/v1/websocket?apikey={token}&vsn=2.0.0"))
}

/// The request that opens a socket on any path.
pub fn upgrade_on(host: &str, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
}

/// The end of a line, and of the head, of a request.
pub const LINE_END: &str = "\r\n";

// The example key of RFC 6455 with its answer: a server that computes it right once does so always.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What a server answers to our key.
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_json_of_the_given_size_whatever_its_number() {
        let mut out = Vec::new();
        Broadcast::phoenix(Encoding::Binary, "realtime:room", PAYLOAD).append_to(
            &mut out,
            u32::MAX - 5,
            u64::MAX - 7,
        );
        let payload = &out[out.len() - PAYLOAD..];
        assert_eq!((number(payload), time(payload)), (u32::MAX - 5, u64::MAX - 7));
        let value: serde_json::Value = serde_json::from_slice(payload).expect("payloads are JSON");
        let filling = value["x"].as_str().expect("x is a string");
        assert_eq!(filling.len(), filling_end(PAYLOAD) - FILLING_START);
        assert!(filling.bytes().all(|byte| byte == FILLING));
    }

    #[test]
    fn the_floor_relays_the_frame_that_a_server_delivers() {
        let mut out = Vec::new();
        Broadcast::floor(Encoding::Binary, "realtime:room", PAYLOAD).append_to(&mut out, 0, 0);
        let delivered = Encoding::Binary.delivered_body("realtime:room", PAYLOAD);
        assert_eq!(out, server_frame(opcode::BINARY, &delivered));
        assert_eq!(out.len(), 4 + 5 + 13 + 1 + 256);
    }

    #[test]
    fn a_text_broadcast_is_json_with_its_number_in_the_payload() {
        let mut out = Vec::new();
        Broadcast::phoenix(Encoding::Text, "realtime:room", PAYLOAD).append_to(&mut out, 7, 9);
        let message: serde_json::Value = serde_json::from_slice(&out[8..]).expect("JSON");
        assert_eq!((&message[2], &message[4]["event"]), (&"realtime:room".into(), &"m".into()));
        let payload = &out[out.len() - PAYLOAD - Encoding::Text.end()..];
        assert_eq!((number(payload), time(payload)), (7, 9));
    }
}
