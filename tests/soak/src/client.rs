//! A blocking client that writes what it is told, for attackers and for the quiet tenant.
//!
//! It has no buffers but those it is asked for, and no opinion about what it sends: an attacker must be cheaper than what
//! it attacks. Masks are zero, so that a payload can be sent as it is.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use harness::opcode;
use rustix::net::{AddressFamily, SocketType, sockopt};
use serde_json::Value;

/// How long one read or write may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The send buffer of a client. The kernel would give it 4 MB, and with many clients on the machine of the nodes it would
/// shrink the buffers of all connections, those to Redis included.
const SEND_BUFFER: usize = 128 * 1024;

/// A TCP connection, as a WebSocket or before.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Socket {
    /// Connects from this address of the machine.
    pub fn connect(to: SocketAddr, from: Ipv4Addr) -> Result<Socket> {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        // Otherwise the ports of an address that connects often are used up.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER)?;
        rustix::net::bind(&socket, &SocketAddr::from((from, 0)))?;
        rustix::net::connect(&socket, &to)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Socket { stream, buffer: Vec::new() })
    }

    /// The WebSocket at this path.
    pub fn upgraded(mut self, path: &str) -> Result<Socket> {
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.write(head.as_bytes())?;
        let head = self.response_head()?;
        ensure!(head.starts_with("HTTP/1.1 101"), "refused: {head}");
        Ok(self)
    }

    /// Writes bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Writes a text frame.
    pub fn send(&mut self, message: &Value) -> Result<()> {
        self.write(&frame(opcode::TEXT, message.to_string().as_bytes()))
    }

    /// Joins a room, and waits for the reply.
    pub fn join(&mut self, topic: &str, config: &Value) -> Result<()> {
        self.send(&serde_json::json!(["1", "join", topic, "phx_join", {"config": config}]))?;
        let reply = self.next_where(|message| message[1] == "join")?;
        ensure!(reply[4]["status"] == "ok", "refused: {reply}");
        Ok(())
    }

    /// The next text message that is so; the others are forgotten.
    pub fn next_where(&mut self, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
        let until = Instant::now() + TIMEOUT;
        loop {
            let message = self.next_text()?;
            if is_so(&message) {
                return Ok(message);
            }
            ensure!(Instant::now() < until, "not among what came in {TIMEOUT:?}");
        }
    }

    /// The next text message. Answers pings.
    pub fn next_text(&mut self) -> Result<Value> {
        loop {
            let (kind, payload) = self.next_frame()?;
            match kind {
                opcode::TEXT => return Ok(serde_json::from_slice(&payload)?),
                opcode::PING => self.write(&frame(opcode::PONG, &payload))?,
                opcode::CLOSE => bail!("closed: {:?}", String::from_utf8_lossy(&payload)),
                _ => {}
            }
        }
    }

    /// Reads and forgets whatever comes for this long. Returns false if the connection has ended.
    pub fn discard_for(&mut self, time: Duration) -> Result<bool> {
        let (until, mut bytes) = (Instant::now() + time, vec![0; 64 * 1024]);
        let mut open = true;
        while open {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.stream.set_read_timeout(Some(left))?;
            open = match self.stream.read(&mut bytes) {
                Ok(read) => read > 0,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => true,
                Err(_) => false,
            };
        }
        self.stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(open)
    }

    /// Takes little from the server: what this client does not read stays there.
    pub fn shrink_receive_buffer(&self) -> Result<()> {
        Ok(sockopt::set_socket_recv_buffer_size(&self.stream, 4096)?)
    }

    /// Ends the connection with a reset.
    pub fn reset(self) -> Result<()> {
        Ok(sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))?)
    }

    /// The head of a response.
    pub fn response_head(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(String::from_utf8_lossy(&self.buffer.drain(..end + 4).collect::<Vec<_>>()).into());
            }
            self.fill()?;
        }
    }

    fn next_frame(&mut self) -> Result<(u8, Vec<u8>)> {
        loop {
            if let Some((start, end)) = frame_bounds(&self.buffer) {
                let (kind, payload) = (self.buffer[0] & 15, self.buffer[start..end].to_vec());
                self.buffer.drain(..end);
                return Ok((kind, payload));
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        let mut bytes = [0; 16 * 1024];
        let read = self.stream.read(&mut bytes).context("nothing comes")?;
        ensure!(read > 0, "the connection ended");
        self.buffer.extend_from_slice(&bytes[..read]);
        Ok(())
    }
}

/// A frame of a client.
pub fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&frame_head(0x80 | kind, payload.len()), payload].concat()
}

/// The head of a frame of this length, whose first byte is `first`.
pub fn frame_head(first: u8, length: usize) -> Vec<u8> {
    let mut head = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(small @ 0..=125), _) => head.push(0x80 | small),
        (_, Ok(medium)) => {
            head.push(0x80 | 126);
            head.extend(medium.to_be_bytes());
        }
        _ => {
            head.push(0x80 | 127);
            head.extend((length as u64).to_be_bytes());
        }
    }
    head.extend([0; 4]);
    head
}

/// Where the payload of the first frame of the server begins and ends, if it has come.
fn frame_bounds(bytes: &[u8]) -> Option<(usize, usize)> {
    let (length, start) = match bytes.get(1)? & 0x7f {
        126 => (usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?, 10),
        small => (usize::from(small), 2),
    };
    (bytes.len() >= start + length).then_some((start, start + length))
}
