//! How a client gets into its room: what it sends first, and the replies that it expects.

use std::sync::Arc;

use anyhow::{Result, bail};
use rustls::ClientConfig;

use crate::message::{self, opcode};

/// The first messages of a connection, which determine the reply that it waits for.
pub struct Entry {
    /// Sent as soon as the socket is connected.
    pub hello: Vec<u8>,
    /// Sent after the upgrade. The floor has none.
    pub join: Option<Vec<u8>>,
    /// How the server's certificate is verified, if it has one.
    pub tls: Option<Arc<ClientConfig>>,
    /// What it waits for.
    pub expected: Expected,
}

/// The reply that ends an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// That to the join of a room, which comes first.
    Room,
    /// Step 2 of a document. Each message begins with so many bytes of a name.
    Document(usize),
}

/// What a message means for a connection that has not joined yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    Joined,
    /// Others may come before the expected one.
    Other,
    Refused,
}

impl Expected {
    /// What this message means.
    pub fn reply(self, opcode: u8, body: &[u8]) -> Reply {
        match self {
            Self::Room if is_join_reply(opcode, body) => Reply::Joined,
            Self::Room => Reply::Refused,
            Self::Document(name) => match body.get(name..) {
                Some([0, 1, ..]) => Reply::Joined,
                // Denied: by Hocuspocus, and by y-websocket.
                Some([2, 0 | 1, ..]) => Reply::Refused,
                _ => Reply::Other,
            },
        }
    }
}

impl Entry {
    /// Upgrade with a token, then join.
    pub fn phoenix(host: &str, token: &str, join: &str, tls: Option<Arc<ClientConfig>>) -> Self {
        Self {
            hello: message::upgrade(host, token).into_bytes(),
            join: Some(message::client_frame(opcode::TEXT, join.as_bytes())),
            tls,
            expected: Expected::Room,
        }
    }

    /// Upgrade on this path, then the messages that open a document. Each message begins with so many bytes of its name.
    pub fn document(host: &str, path: &str, messages: &[Vec<u8>], name: usize) -> Self {
        Self {
            hello: message::upgrade_on(host, path).into_bytes(),
            join: Some(
                messages.iter().flat_map(|body| message::client_frame(opcode::BINARY, body)).collect(),
            ),
            tls: None,
            expected: Expected::Document(name),
        }
    }

    /// With a further header in the handshake.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        let end = self.hello.len() - message::LINE_END.len();
        let header = format!("{name}: {value}{}", message::LINE_END);
        self.hello.splice(end..end, header.into_bytes());
        self
    }

    /// The room's number; the floor answers with an empty frame.
    pub fn floor(room: u32) -> Self {
        Self { hello: room.to_le_bytes().to_vec(), join: None, tls: None, expected: Expected::Room }
    }
}

/// Whether this is the expected reply to a join: the floor's empty frame, or a Phoenix reply that says ok.
fn is_join_reply(opcode: u8, body: &[u8]) -> bool {
    if opcode == opcode::BINARY {
        return body.is_empty();
    }
    let text = String::from_utf8_lossy(body);
    text.starts_with(r#"["1","1","#) && text.contains("phx_reply") && text.contains(r#""status":"ok""#)
}

/// Where the answer to the upgrade ends, if it has ended and is the right one.
pub fn upgraded(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]);
    if !head.starts_with("HTTP/1.1 101") || !head.contains(message::ACCEPT) {
        bail!("no upgrade: {}", String::from_utf8_lossy(bytes));
    }
    Ok(Some(end + 4))
}
