//! One client socket: how it gets into its room, and how it walks what arrives.
//!
//! Cheap on purpose, because the client must not be the bottleneck: one `read` into a buffer shared by
//! all connections, and nothing kept but the beginning of a frame whose end has not arrived. Pings are answered here.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mio::event::Event;
use mio::net::TcpStream;
use rustix::net::sockopt;

use crate::entry::{self, Entry, Reply};
use crate::frames::{Frames, Item, Part};
use crate::message::{self, opcode};
use crate::stream::Stream;

/// Who listens to what members receive.
pub trait Listener {
    /// Bytes have arrived, frames follow: the place to look at the clock, once for all of them.
    fn arrived(&mut self) {}
    /// A whole frame.
    fn frame(&mut self, member: usize, opcode: u8, body: &[u8]);
    /// A piece of a frame over [`crate::frames::BIGGEST_WHOLE_FRAME`].
    fn part(&mut self, _member: usize, _part: Part<'_>) {}
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    Connecting,
    Upgrading,
    Joining,
    Joined,
    Leaving,
    Gone,
}

/// How far a socket is read. Readiness is edge-triggered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadUntil {
    /// A read that does not fill the buffer has emptied the socket.
    WouldBlock,
    /// The other side has closed the stream.
    EndOfStream,
}

impl ReadUntil {
    pub fn of(event: &Event) -> Self {
        if event.is_read_closed() { Self::EndOfStream } else { Self::WouldBlock }
    }
}

/// The effect of reading from a connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// Nothing but frames.
    None,
    /// It is in its room now.
    Joined,
    /// It was leaving and the other side has closed.
    Gone,
}

/// One client socket.
pub struct Connection {
    stream: Stream,
    stage: Stage,
    entry: Option<Entry>,
    /// The beginning of a frame whose end has not arrived.
    rest: Vec<u8>,
    frames: Frames,
    /// What the kernel has not taken yet.
    unsent: Vec<u8>,
}

impl Connection {
    /// Begins to connect. The socket resets on close, so that rounds of thousands of connections do not
    /// use up the ephemeral ports with sockets in TIME_WAIT.
    pub fn open(address: SocketAddr, entry: Entry) -> Result<Self> {
        let mut stream = Stream::open(address, entry.tls.as_ref())?;
        sockopt::set_socket_linger(stream.socket(), Some(Duration::ZERO))?;
        let (rest, unsent) = (Vec::new(), Vec::new());
        Ok(Self {
            stream,
            stage: Stage::Connecting,
            entry: Some(entry),
            rest,
            frames: Frames::default(),
            unsent,
        })
    }

    /// The socket, for (de)registration.
    pub fn socket(&mut self) -> &mut TcpStream {
        self.stream.socket()
    }

    /// Keeps the kernel from taking much for a connection that is not going to read.
    pub fn shrink_receive_buffer(&mut self) -> Result<()> {
        Ok(sockopt::set_socket_recv_buffer_size(self.socket(), 4096)?)
    }

    /// Makes the kernel acknowledge what is read at once. Otherwise it decides from what the connection has seen, which
    /// differs from one program and from one run to the next, whether it acknowledges every second segment instead, while
    /// the other side sends it: that costs the other side's core a quarter of each delivery.
    fn acknowledge_at_once(&mut self) -> Result<()> {
        Ok(sockopt::set_tcp_quickack(self.socket(), true)?)
    }

    /// Sends the first bytes once the socket is connected; later, bytes that had to wait.
    pub fn on_writable(&mut self) -> Result<()> {
        if self.stage == Stage::Connecting {
            if let Some(error) = self.socket().take_error()? {
                return Err(error).context("cannot connect");
            }
            let entry = self.entry.as_ref().expect("an entry lasts until the join");
            let (hello, next) = (entry.hello.clone(), entry.join.is_some());
            self.stage = if next { Stage::Upgrading } else { Stage::Joining };
            return self.send(&hello);
        }
        self.flush()
    }

    /// Writes what had to wait, for space in the socket or for the end of the TLS handshake.
    fn flush(&mut self) -> Result<()> {
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            self.send(&unsent)?;
        }
        match self.stream.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error).context("cannot write"),
            _ => Ok(()),
        }
    }

    /// Writes now, keeps what does not fit for later.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let mut taken = 0;
        while self.unsent.is_empty() && taken < bytes.len() {
            match self.stream.write(&bytes[taken..]) {
                Ok(n) => taken += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot write"),
            }
        }
        self.unsent.extend_from_slice(&bytes[taken..]);
        Ok(())
    }

    /// Whether the kernel has accepted all bytes.
    pub fn has_sent_all(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Starts the close handshake of a WebSocket.
    pub fn leave(&mut self) -> Result<()> {
        self.stage = Stage::Leaving;
        self.send(&message::client_frame(opcode::CLOSE, &1000_u16.to_be_bytes()))
    }

    /// Reads from the socket through the shared buffer, and passes frames to the listener.
    pub fn on_readable(
        &mut self,
        member: usize,
        until: ReadUntil,
        buffer: &mut [u8],
        listener: &mut impl Listener,
    ) -> Result<Change> {
        let mut change = Change::None;
        loop {
            let kept = self.rest.len();
            buffer[..kept].copy_from_slice(&self.rest);
            let read = match self.stream.read(&mut buffer[kept..]) {
                Ok(0) => return self.on_end(),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.unsent.is_empty() {
                        self.flush()?;
                    }
                    return Ok(change);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) if self.stage == Stage::Leaving => return self.on_end(),
                Err(error) => return Err(error).context("cannot read"),
            };
            self.rest.clear();
            listener.arrived();
            let filled = kept + read;
            let before = self.stage;
            let walked = self.walk(member, &buffer[..filled], listener)?;
            self.rest.extend_from_slice(&buffer[walked..filled]);
            if before != self.stage && self.stage == Stage::Joined {
                change = Change::Joined;
            }
            let is_empty = filled < buffer.len() && self.stream.is_emptied_by_short_read();
            if is_empty && until == ReadUntil::WouldBlock {
                return Ok(change);
            }
        }
    }

    fn on_end(&mut self) -> Result<Change> {
        match self.stage {
            Stage::Leaving => {
                self.stage = Stage::Gone;
                Ok(Change::Gone)
            }
            Stage::Gone => Ok(Change::None),
            stage => bail!("the other side closed a connection while {stage:?}"),
        }
    }

    /// Takes all whole frames. Returns their length in bytes.
    fn walk(&mut self, member: usize, bytes: &[u8], listener: &mut impl Listener) -> Result<usize> {
        let mut at = 0;
        if self.stage == Stage::Upgrading {
            let Some(end) = entry::upgraded(bytes)? else { return Ok(0) };
            at = end;
            self.stage = Stage::Joining;
            if let Some(join) = self.entry.as_mut().and_then(|entry| entry.join.take()) {
                self.send(&join)?;
            }
        }
        while let Some((item, taken)) = self.frames.next(&bytes[at..])? {
            at += taken;
            match item {
                Item::Frame { opcode, body } if self.stage == Stage::Joined && opcode <= opcode::BINARY => {
                    listener.frame(member, opcode, &body);
                }
                Item::Frame { opcode, body } => self.on_rare_frame(opcode, &body)?,
                Item::Part(part) => listener.part(member, part),
                Item::Fragment => {}
            }
        }
        Ok(at)
    }

    #[cold]
    fn on_rare_frame(&mut self, opcode: u8, body: &[u8]) -> Result<()> {
        match opcode {
            opcode::PING => self.send(&message::client_frame(opcode::PONG, body)),
            opcode::CLOSE if self.stage == Stage::Leaving => Ok(()),
            opcode::CLOSE => {
                let code = body.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                bail!("the server closed a connection while {:?}: {code}", self.stage)
            }
            opcode::TEXT | opcode::BINARY if self.stage == Stage::Joining => {
                let expected = self.entry.as_ref().expect("an entry lasts until the join").expected;
                match expected.reply(opcode, body) {
                    Reply::Joined => {}
                    Reply::Other => return Ok(()),
                    Reply::Refused => bail!("the join was refused: {}", String::from_utf8_lossy(body)),
                }
                self.stage = Stage::Joined;
                self.entry = None;
                self.acknowledge_at_once()?;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use super::*;

    struct Deaf;

    impl Listener for Deaf {
        fn frame(&mut self, _: usize, _: u8, _: &[u8]) {}
    }

    /// A connection that has joined its room, and the server's end of it.
    fn joined() -> (Connection, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mut connection = Connection::open(address, Entry::floor(0)).expect("loopback connects");
        let (mut server, _) = listener.accept().expect("a connection");
        server.write_all(&message::server_frame(opcode::BINARY, &[])).expect("two bytes are sent");
        connection.stage = Stage::Joining;
        let mut buffer = vec![0; 1024];
        while connection.stage != Stage::Joined {
            connection.on_readable(0, ReadUntil::WouldBlock, &mut buffer, &mut Deaf).expect("the reply");
        }
        (connection, server)
    }

    #[test]
    fn a_ping_is_answered() {
        let (mut connection, mut server) = joined();
        connection.walk(0, &message::server_frame(opcode::PING, b"hi"), &mut Deaf).expect("a ping");
        let mut pong = [0; 8];
        server.read_exact(&mut pong).expect("a pong");
        assert_eq!(pong, [0x8a, 0x82, 0, 0, 0, 0, b'h', b'i']);
    }
}
