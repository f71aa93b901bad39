//! A WebSocket client that may violate the protocol: frames as RFC 6455 defines them, and as it forbids them.

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::WAIT_MAX;
use crate::endpoint::{Endpoint, Stream};
use crate::http::{Request, Response, read_response};

/// Opcodes of RFC 6455, section 5.2.
pub mod opcode {
    /// Continues a fragmented message.
    pub const CONTINUATION: u8 = 0x0;
    /// Text.
    pub const TEXT: u8 = 0x1;
    /// Binary data.
    pub const BINARY: u8 = 0x2;
    /// The closing handshake.
    pub const CLOSE: u8 = 0x8;
    /// Ping.
    pub const PING: u8 = 0x9;
    /// Pong.
    pub const PONG: u8 = 0xA;
}

/// One frame; the frames of its constructors are well-formed until a field is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame {
    /// Whether this is the last frame of its message.
    pub fin: bool,
    /// RSV1 to RSV3, as the three lowest bits.
    pub reserved: u8,
    /// Four bits, see [`opcode`].
    pub opcode: u8,
    /// Clients must mask, servers must not.
    pub masked: bool,
    /// The payload without its mask.
    pub payload: Vec<u8>,
}

impl RawFrame {
    /// A whole message in one masked frame.
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> RawFrame {
        RawFrame { fin: true, reserved: 0, opcode, masked: true, payload: payload.into() }
    }

    /// A text message.
    pub fn text(text: &str) -> RawFrame {
        RawFrame::new(opcode::TEXT, text)
    }

    /// The same frame, with more of its message to come.
    #[must_use]
    pub fn unfinished(mut self) -> RawFrame {
        self.fin = false;
        self
    }

    /// The close code, if this is a close frame that has one.
    pub fn close_code(&self) -> Option<u16> {
        let code = self.payload.first_chunk::<2>().filter(|_| self.opcode == opcode::CLOSE)?;
        Some(u16::from_be_bytes(*code))
    }

    /// Encodes the frame.
    pub fn encode(&self) -> Vec<u8> {
        const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
        let mut bytes = vec![u8::from(self.fin) << 7 | self.reserved << 4 | self.opcode];
        let mask_bit = u8::from(self.masked) << 7;
        let length = self.payload.len();
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(small @ 0..=125), _) => bytes.push(mask_bit | small),
            (_, Ok(medium)) => {
                bytes.push(mask_bit | 126);
                bytes.extend_from_slice(&medium.to_be_bytes());
            }
            _ => {
                bytes.push(mask_bit | 127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        if self.masked {
            bytes.extend_from_slice(&MASK);
            bytes.extend(self.payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        } else {
            bytes.extend_from_slice(&self.payload);
        }
        bytes
    }
}

/// A TCP connection to the server, before or after the handshake.
#[derive(Debug)]
pub struct RawSocket {
    stream: Stream,
    buffer: Vec<u8>,
}

impl RawSocket {
    /// Opens a TCP connection and sends nothing.
    pub(crate) async fn dial(endpoint: &Endpoint) -> Result<RawSocket> {
        Ok(RawSocket { stream: endpoint.open().await?, buffer: Vec::new() })
    }

    /// Opens a WebSocket. The frames of `early` are sent in one write with the handshake request.
    pub(crate) async fn open(endpoint: &Endpoint, target: &str, early: &[RawFrame]) -> Result<RawSocket> {
        let mut socket = RawSocket::dial(endpoint).await?;
        let mut bytes = Request::upgrade(target).encode(&endpoint.address().to_string());
        bytes.extend(early.iter().flat_map(RawFrame::encode));
        socket.stream.write_all(&bytes).await?;
        let response = timeout(WAIT_MAX, read_response(&mut socket.stream, &mut socket.buffer));
        let response = response.await.context("no response to the handshake")??;
        ensure!(response.status == 101, "refused: {} {}", response.status, response.text());
        Ok(socket)
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// When the connection is closed, or accepts no bytes for [`WAIT_MAX`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        timeout(WAIT_MAX, self.stream.write_all(bytes)).await.context("the server accepts no bytes")??;
        Ok(())
    }

    /// The next HTTP response.
    ///
    /// # Panics
    /// When none comes within [`WAIT_MAX`].
    pub async fn response(&mut self) -> Response {
        let response = timeout(WAIT_MAX, read_response(&mut self.stream, &mut self.buffer));
        response.await.expect("a response comes in time").expect("a response comes")
    }

    /// Writes a frame.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub async fn send(&mut self, frame: &RawFrame) {
        self.write(&frame.encode()).await.expect("a frame is sent");
    }

    /// The next frame, or `None` at the end of the connection.
    ///
    /// # Panics
    /// When neither comes within [`WAIT_MAX`].
    pub async fn next(&mut self) -> Option<RawFrame> {
        timeout(WAIT_MAX, self.read()).await.expect("a frame or the end comes")
    }

    /// Reads up to the server's close frame and returns its code; `None` if there was no close frame.
    ///
    /// # Panics
    /// As [`RawSocket::next`].
    pub async fn drain_to_close(&mut self) -> Option<u16> {
        while let Some(frame) = self.next().await {
            if frame.opcode == opcode::CLOSE {
                return frame.close_code();
            }
        }
        None
    }

    /// Whether the server ends the connection within [`WAIT_MAX`], whatever it sends before.
    pub async fn is_dropped(&mut self) -> bool {
        let end = async { while self.fill().await {} };
        timeout(WAIT_MAX, end).await.is_ok()
    }

    async fn read(&mut self) -> Option<RawFrame> {
        loop {
            if let Some((frame, length)) = decode(&self.buffer) {
                self.buffer.drain(..length);
                return Some(frame);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Reads more bytes; false at the end of the connection, orderly or not.
    async fn fill(&mut self) -> bool {
        self.stream.read_buf(&mut self.buffer).await.is_ok_and(|count| count > 0)
    }
}

/// The first frame of `bytes` and its length on the wire.
fn decode(bytes: &[u8]) -> Option<(RawFrame, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (length, start) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?, 10),
        small => (usize::from(small), 2),
    };
    let payload = bytes.get(start..start + length)?.to_vec();
    let (fin, reserved, opcode) = (first & 0x80 != 0, first >> 4 & 7, first & 15);
    Some((RawFrame { fin, reserved, opcode, masked: second & 0x80 != 0, payload }, start + length))
}
