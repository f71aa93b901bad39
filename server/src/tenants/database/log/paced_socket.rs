//! A socket that is read less often while much arrives in small pieces.
//!
//! PostgreSQL sends each row of a transaction by itself. Who reads whenever something has arrived makes two system calls for every
//! row or two, and PostgreSQL, which wakes it as often, is slowed down too. So after many reads in a short time the runtime does not
//! watch the socket any more, but reads what has come once in a millisecond or two, until that is little. What comes after a
//! pause is read at once, as before.
//!
//! Only TCP: the buffer of a Unix socket is full after 280 small rows, whatever their bytes are.

use std::io::{self, Read as _, Write as _};
use std::net::{self, Shutdown};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// So many reads in this time are many. Transactions of one row, three reads each, are fewer on the machines that we know.
const MANY_READS: u32 = 32;
const SHORT_TIME: Duration = Duration::from_millis(2);

/// The time between two reads: the shortest that the runtime's timer has. PostgreSQL sends 100 to 200 KB meanwhile.
const PAUSE: Duration = Duration::from_millis(1);

/// After less than this in a pause the socket is watched again.
const LITTLE: usize = 2 * 1024;

/// What is read at once between two pauses.
const READ_BYTES: usize = 64 * 1024;

/// The socket.
#[derive(Debug)]
pub(super) struct PacedSocket {
    state: State,
    /// Reads since then, while it is watched.
    reads: u32,
    since: Instant,
}

#[derive(Debug)]
enum State {
    /// The runtime waits for what arrives.
    Watched(TcpStream),
    Paced(Pauses),
    /// The runtime could not watch it.
    Lost,
}

/// A socket that is read between pauses.
#[derive(Debug)]
struct Pauses {
    stream: net::TcpStream,
    pause: Pin<Box<Sleep>>,
    /// Read since the last pause; `None` during one.
    bytes: Option<usize>,
    /// Nothing is left.
    is_drained: bool,
    buffer: Box<[u8]>,
}

impl PacedSocket {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { state: State::Watched(stream), reads: 0, since: Instant::now() }
    }

    /// Notes a read. Whether there were many in a short time.
    fn is_read_often(&mut self) -> bool {
        self.reads += 1;
        if self.reads < MANY_READS {
            return false;
        }
        let now = Instant::now();
        let is_often = now.duration_since(self.since) < SHORT_TIME;
        (self.reads, self.since) = (0, now);
        is_often
    }
}

impl State {
    fn pace(&mut self) -> io::Result<()> {
        if let Self::Watched(stream) = std::mem::replace(self, Self::Lost) {
            *self = Self::Paced(Pauses::new(stream.into_std()?));
        }
        Ok(())
    }

    fn watch(&mut self) -> io::Result<()> {
        if let Self::Paced(Pauses { stream, .. }) = std::mem::replace(self, Self::Lost) {
            *self = Self::Watched(TcpStream::from_std(stream)?);
        }
        Ok(())
    }
}

impl Pauses {
    /// Begins with a pause.
    fn new(stream: net::TcpStream) -> Self {
        let buffer = vec![0; READ_BYTES].into_boxed_slice();
        Self { stream, pause: Box::pin(sleep(PAUSE)), bytes: None, is_drained: false, buffer }
    }

    /// Reads, after a pause if nothing was left. `false` if little has come since the last one.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        loop {
            match self.bytes {
                Some(bytes) if self.is_drained && bytes < LITTLE => return Poll::Ready(Ok(false)),
                Some(_) if self.is_drained => {
                    self.pause.as_mut().reset(Instant::now() + PAUSE);
                    (self.bytes, self.is_drained) = (None, false);
                }
                Some(_) => {}
                None => {
                    ready!(self.pause.as_mut().poll(cx));
                    self.bytes = Some(0);
                }
            }
            let space = buffer.remaining().min(self.buffer.len());
            match self.stream.read(&mut self.buffer[..space]) {
                Ok(read) => {
                    buffer.put_slice(&self.buffer[..read]);
                    self.bytes = self.bytes.map(|bytes| bytes + read);
                    self.is_drained = read < space;
                    return Poll::Ready(Ok(true));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_drained = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the runtime cannot watch the socket")
}

impl AsyncRead for PacedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match &mut self.state {
                State::Watched(stream) => {
                    ready!(Pin::new(stream).poll_read(cx, buffer))?;
                    if self.is_read_often() {
                        self.state.pace()?;
                    }
                    return Poll::Ready(Ok(()));
                }
                State::Paced(pauses) => {
                    if ready!(pauses.poll_read(cx, buffer))? {
                        return Poll::Ready(Ok(()));
                    }
                    self.state.watch()?;
                }
                State::Lost => return Poll::Ready(Err(lost())),
            }
        }
    }
}

impl AsyncWrite for PacedSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match &mut self.state {
                State::Watched(stream) => return Pin::new(stream).poll_write(cx, bytes),
                State::Paced(pauses) => match pauses.stream.write(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.state.watch()?,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    written => return Poll::Ready(written),
                },
                State::Lost => return Poll::Ready(Err(lost())),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Watched(stream) => Pin::new(stream).poll_shutdown(cx),
            State::Paced(pauses) => Poll::Ready(pauses.stream.shutdown(Shutdown::Write)),
            State::Lost => Poll::Ready(Err(lost())),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn many_small_pieces_are_read_together_until_there_are_few() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let stream =
            TcpStream::connect(listener.local_addr().expect("it is bound")).await.expect("it listens");
        let (mut peer, _) = listener.accept().await.expect("a connection");
        peer.set_nodelay(true).expect("a socket");
        let (mut socket, mut buffer, piece) = (PacedSocket::new(stream), [0; 8 * 1024], [7; 100]);
        // On a busy machine so many reads may take longer than a short time at first.
        while matches!(socket.state, State::Watched(_)) {
            peer.write_all(&piece).await.expect("written");
            assert_eq!(socket.read(&mut buffer).await.expect("read"), piece.len());
        }
        for _ in 0..30 {
            peer.write_all(&piece).await.expect("written");
        }
        let (mut bytes, mut reads) = (0, 0);
        while bytes < 30 * piece.len() {
            bytes += socket.read(&mut buffer).await.expect("read");
            reads += 1;
        }
        assert!(reads < 10, "{reads}");
        socket.write_all(b"report").await.expect("written");
        assert_eq!(peer.read(&mut buffer).await.expect("read"), 6);
        for _ in 0..3 {
            peer.write_all(&piece).await.expect("written");
            assert_eq!(socket.read(&mut buffer).await.expect("read"), piece.len());
        }
        assert!(matches!(socket.state, State::Watched(_)));
        drop(peer);
        assert_eq!(socket.read(&mut buffer).await.expect("the end"), 0);
    }
}
