//! One client socket: how it gets into its room, and how it walks what arrives.
//!
//! Cheap on purpose, because the client must not be the bottleneck: one `read` into a buffer shared by
//! all connections, a walk over frame headers, and nothing kept but the beginning of a frame whose end
//! has not arrived. A frame too big to keep is handed on in parts. Pings are answered here.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mio::event::Event;
use mio::net::TcpStream;
use rustix::net::sockopt;

use crate::message::{self, opcode};

/// Frames above this size are handed on in parts. A shared read buffer must hold one of this size and more.
pub const BIGGEST_WHOLE_FRAME: usize = 64 * 1024;

/// Who listens to what members receive.
pub trait Listener {
    /// Bytes have arrived, frames follow: the place to look at the clock, once for all of them.
    fn arrived(&mut self) {}
    /// A whole frame.
    fn frame(&mut self, member: usize, opcode: u8, body: &[u8]);
    /// A piece of a frame over [`BIGGEST_WHOLE_FRAME`].
    fn part(&mut self, _member: usize, _part: Part<'_>) {}
}

/// A piece of a big frame.
pub struct Part<'a> {
    /// How long the whole body is.
    pub size: usize,
    /// Where in the body this piece begins.
    pub offset: usize,
    /// The piece.
    pub bytes: &'a [u8],
}

/// The first messages of a connection, which determine the reply that it waits for.
pub struct Entry {
    hello: Vec<u8>,
    join: Option<Vec<u8>>,
}

impl Entry {
    /// Upgrade with a token, then join.
    pub fn phoenix(host: &str, token: &str, join: &str) -> Self {
        Self {
            hello: message::upgrade(host, token).into_bytes(),
            join: Some(message::client_frame(opcode::TEXT, join.as_bytes())),
        }
    }

    /// The room's number; the floor answers with an empty frame.
    pub fn floor(room: u32) -> Self {
        Self { hello: room.to_le_bytes().to_vec(), join: None }
    }
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
    stream: TcpStream,
    stage: Stage,
    entry: Option<Entry>,
    /// The beginning of a frame whose end has not arrived.
    rest: Vec<u8>,
    /// A big frame on its way: its size and how much of it has come.
    big: Option<(usize, usize)>,
    /// The opcode and the first fragments of a message whose last fragment has not arrived.
    fragments: Option<(u8, Vec<u8>)>,
    /// What the kernel has not taken yet.
    unsent: Vec<u8>,
}

impl Connection {
    /// Begins to connect. The socket resets on close, so that rounds of thousands of connections do not
    /// use up the ephemeral ports with sockets in TIME_WAIT.
    pub fn open(address: SocketAddr, entry: Entry) -> Result<Self> {
        let stream = TcpStream::connect(address).context("cannot connect")?;
        stream.set_nodelay(true)?;
        sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        let (rest, unsent) = (Vec::new(), Vec::new());
        Ok(Self {
            stream,
            stage: Stage::Connecting,
            entry: Some(entry),
            rest,
            big: None,
            fragments: None,
            unsent,
        })
    }

    /// The socket, for (de)registration.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Keeps the kernel from taking much for a connection that is not going to read.
    pub fn shrink_receive_buffer(&self) -> Result<()> {
        Ok(sockopt::set_socket_recv_buffer_size(&self.stream, 4096)?)
    }

    /// Sends the first bytes once the socket is connected; later, bytes that had to wait.
    pub fn on_writable(&mut self) -> Result<()> {
        if self.stage == Stage::Connecting {
            if let Some(error) = self.stream.take_error()? {
                return Err(error).context("cannot connect");
            }
            let entry = self.entry.as_ref().expect("an entry lasts until the join");
            let (hello, next) = (entry.hello.clone(), entry.join.is_some());
            self.stage = if next { Stage::Upgrading } else { Stage::Joining };
            return self.send(&hello);
        }
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            self.send(&unsent)?;
        }
        Ok(())
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
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(change),
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
            if filled < buffer.len() && until == ReadUntil::WouldBlock {
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

    /// Reads all whole frames. Returns their length in bytes.
    fn walk(&mut self, member: usize, bytes: &[u8], listener: &mut impl Listener) -> Result<usize> {
        let mut at = 0;
        if self.stage == Stage::Upgrading {
            let Some(end) = upgraded(bytes)? else { return Ok(0) };
            at = end;
            self.stage = Stage::Joining;
            if let Some(join) = self.entry.as_mut().and_then(|entry| entry.join.take()) {
                self.send(&join)?;
            }
        }
        if self.big.is_some() {
            at += self.walk_big(member, &bytes[at..], listener);
        }
        while let Some(header) = Header::read(&bytes[at..])? {
            let start = at + header.size;
            if header.body > BIGGEST_WHOLE_FRAME {
                if !header.is_final || header.opcode == opcode::CONTINUATION {
                    bail!("a fragment of {} bytes", header.body);
                }
                self.big = Some((header.body, 0));
                at = start + self.walk_big(member, &bytes[start..], listener);
                continue;
            }
            let Some(body) = bytes.get(start..start + header.body) else { break };
            at = start + header.body;
            if self.stage == Stage::Joined && header.opcode <= opcode::BINARY {
                if header.is_final && header.opcode != opcode::CONTINUATION {
                    listener.frame(member, header.opcode, body);
                } else {
                    self.on_fragment(member, &header, body, listener)?;
                }
            } else {
                self.on_rare_frame(header.opcode, body)?;
            }
        }
        Ok(at)
    }

    #[cold]
    fn on_fragment(
        &mut self,
        member: usize,
        header: &Header,
        body: &[u8],
        listener: &mut impl Listener,
    ) -> Result<()> {
        if header.opcode != opcode::CONTINUATION {
            self.fragments = Some((header.opcode, body.to_vec()));
            return Ok(());
        }
        let Some((opcode, mut message)) = self.fragments.take() else { bail!("a continuation of nothing") };
        message.extend_from_slice(body);
        if header.is_final {
            listener.frame(member, opcode, &message);
        } else {
            self.fragments = Some((opcode, message));
        }
        Ok(())
    }

    fn walk_big(&mut self, member: usize, bytes: &[u8], listener: &mut impl Listener) -> usize {
        let Some((size, offset)) = self.big else { return 0 };
        let taken = bytes.len().min(size - offset);
        listener.part(member, Part { size, offset, bytes: &bytes[..taken] });
        self.big = (offset + taken < size).then_some((size, offset + taken));
        taken
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
                if !is_join_reply(opcode, body) {
                    bail!("the join was refused: {}", String::from_utf8_lossy(body));
                }
                self.stage = Stage::Joined;
                self.entry = None;
                Ok(())
            }
            _ => Ok(()),
        }
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
fn upgraded(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]);
    if !head.starts_with("HTTP/1.1 101") || !head.contains(message::ACCEPT) {
        bail!("no upgrade: {}", String::from_utf8_lossy(bytes));
    }
    Ok(Some(end + 4))
}

struct Header {
    opcode: u8,
    is_final: bool,
    size: usize,
    body: usize,
}

impl Header {
    #[inline]
    fn read(bytes: &[u8]) -> Result<Option<Self>> {
        let [first, second, ..] = *bytes else { return Ok(None) };
        if first & 0x70 != 0 || second & 0x80 != 0 {
            bail!("a frame that is compressed or masked: {first:02x} {second:02x}");
        }
        let (size, body) = match (second, bytes) {
            (126, [_, _, a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
            (127, [_, _, long @ ..]) if long.len() >= 8 => {
                (10, long[..8].iter().fold(0, |size, byte| size << 8 | usize::from(*byte)))
            }
            (126 | 127, _) => return Ok(None),
            (short, _) => (2, usize::from(short)),
        };
        Ok(Some(Self { opcode: first & 15, is_final: first & 0x80 != 0, size, body }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use super::*;

    #[derive(Default)]
    struct Received(Vec<(u8, usize)>, usize);

    impl Listener for Received {
        fn frame(&mut self, _: usize, opcode: u8, body: &[u8]) {
            self.0.push((opcode, body.len()));
        }
        fn part(&mut self, _: usize, part: Part<'_>) {
            assert_eq!(part.offset, self.1);
            self.1 += part.bytes.len();
        }
    }

    /// A connection that has joined its room, and the server's end of it.
    fn joined() -> (Connection, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mut connection = Connection::open(address, Entry::floor(0)).expect("loopback connects");
        let (mut server, _) = listener.accept().expect("a connection");
        server.write_all(&message::server_frame(opcode::BINARY, &[])).expect("two bytes are sent");
        connection.stage = Stage::Joining;
        let mut buffer = vec![0; 2 * BIGGEST_WHOLE_FRAME];
        while connection.stage != Stage::Joined {
            connection
                .on_readable(0, ReadUntil::WouldBlock, &mut buffer, &mut Received::default())
                .expect("the reply");
        }
        (connection, server)
    }

    #[test]
    fn frames_are_walked_however_the_stream_is_cut() {
        let big = BIGGEST_WHOLE_FRAME + 5;
        let stream: Vec<u8> = [3, 125, 126, 300, big, 0, 200]
            .iter()
            .flat_map(|size| message::server_frame(opcode::TEXT, &vec![b'.'; *size]))
            .collect();
        for cut in [1, 2, 3, 7, 100, 1000, stream.len()] {
            let (mut connection, _server) = joined();
            let mut received = Received::default();
            let mut kept = Vec::new();
            for piece in stream.chunks(cut) {
                kept.extend_from_slice(piece);
                let walked = connection.walk(0, &kept, &mut received).expect("good frames");
                kept.drain(..walked);
            }
            assert_eq!(received.0, [3, 125, 126, 300, 0, 200].map(|size| (opcode::TEXT, size)));
            assert_eq!((received.1, kept.len(), connection.big), (big, 0, None));
        }
    }

    #[test]
    fn fragments_are_put_together_whatever_comes_between_them() {
        let fragment = |first: u8, body: &[u8]| [&[first, body.len() as u8], body].concat();
        let stream = [
            fragment(0x01, b"ab"),
            fragment(0x89, b""),
            fragment(0x00, b"c"),
            fragment(0x80, b"de"),
            fragment(0x81, b"f"),
        ]
        .concat();
        let (mut connection, _server) = joined();
        let mut received = Received::default();
        assert_eq!(connection.walk(0, &stream, &mut received).expect("good frames"), stream.len());
        assert_eq!(received.0, [(opcode::TEXT, 5), (opcode::TEXT, 1)]);
        assert!(connection.walk(0, &fragment(0x80, b"x"), &mut received).is_err());
    }

    #[test]
    fn a_ping_is_answered() {
        let (mut connection, mut server) = joined();
        connection
            .walk(0, &message::server_frame(opcode::PING, b"hi"), &mut Received::default())
            .expect("a ping");
        let mut pong = [0; 8];
        server.read_exact(&mut pong).expect("a pong");
        assert_eq!(pong, [0x8a, 0x82, 0, 0, 0, 0, b'h', b'i']);
    }
}
