//! Whether a socket has something to read, without a read.
//!
//! The runtime knows from the last event; asking it is one load of a word that the write has just touched.

use std::io;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A stream that knows whether a read may return something.
pub trait Readable {
    /// The memory that an idle connection on such a stream takes, buffers of TLS included.
    const CONNECTION_BYTES: usize;

    /// `false` only if a read would return nothing.
    fn is_readable(&self) -> bool;
}

impl Readable for TcpStream {
    const CONNECTION_BYTES: usize = 4 * 1024;

    fn is_readable(&self) -> bool {
        !matches!(self.try_io(Interest::READABLE, || Ok(())), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl<S: Readable> Readable for Box<TlsStream<S>> {
    const CONNECTION_BYTES: usize = S::CONNECTION_BYTES + 20 * 1024;

    /// True as well while decrypted bytes have not been read, although the socket has nothing more.
    fn is_readable(&self) -> bool {
        let (socket, session) = self.get_ref();
        !session.wants_read() || socket.is_readable()
    }
}
