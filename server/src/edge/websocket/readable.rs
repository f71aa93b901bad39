//! Whether a socket has something to read, without a read.
//!
//! The runtime knows from the last event; asking it is one load of a word that the write has just touched.

use std::io;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A stream that knows whether a read may return something.
pub trait Readable {
    /// `false` only if a read would return nothing.
    fn is_readable(&self) -> bool;
}

impl Readable for TcpStream {
    fn is_readable(&self) -> bool {
        !matches!(self.try_io(Interest::READABLE, || Ok(())), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl<S: Readable> Readable for Box<TlsStream<S>> {
    /// True as well while decrypted bytes have not been read, although the socket has nothing more.
    fn is_readable(&self) -> bool {
        let (socket, session) = self.get_ref();
        !session.wants_read() || socket.is_readable()
    }
}
