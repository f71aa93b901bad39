//! Sockets of unauthenticated clients: HTTP by hand, from addresses of 127.0.0.0/8 other than that of the quiet tenant.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::net::{self, AddressFamily, SocketType, sockopt};

/// A non-blocking socket.
pub struct RawSocket(TcpStream);

/// What a socket has received since the last look.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    Nothing,
    Response,
    Closed,
}

impl RawSocket {
    /// Connects from this address.
    pub fn connect(from: Ipv4Addr, to: SocketAddr) -> Result<Self> {
        let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        net::bind(&socket, &SocketAddr::from((from, 0))).with_context(|| format!("cannot bind {from}"))?;
        // It resets on close, so that no socket stays behind in TIME_WAIT.
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
        net::connect(&socket, &to).context("cannot connect")?;
        let stream = TcpStream::from(socket);
        stream.set_nonblocking(true)?;
        Ok(Self(stream))
    }

    /// Sends a request, which fits into an empty socket. A server that has closed it is found by reading.
    pub fn send(&mut self, request: &[u8]) {
        let _closed = self.0.write_all(request);
    }

    /// Looks for a response.
    pub fn receive(&mut self) -> Received {
        let mut buffer = [0; 4096];
        match self.0.read(&mut buffer) {
            Ok(0) => Received::Closed,
            Ok(_) => Received::Response,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                Received::Nothing
            }
            Err(_) => Received::Closed,
        }
    }
}
