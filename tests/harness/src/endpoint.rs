//! The way to a server: where it is, from which address, what is said before anything else, and whether TLS
//! is spoken.
//!
//! A [`World`](crate::World) has the door of its own server. Another one leads to the same server through
//! something else, such as a load balancer, or leads there as somebody else: every address of 127.0.0.0/8 is
//! this machine's.

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::WAIT_MAX;

/// A connection, whatever it is made of.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Debug + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> Duplex for T {}

/// An open line to a server.
pub(crate) type Line = Box<dyn Duplex>;

/// How to reach a server.
#[derive(Debug, Clone)]
pub struct Endpoint {
    address: SocketAddr,
    from: Option<IpAddr>,
    first: Vec<u8>,
    tls: Option<Arc<ClientConfig>>,
}

impl Endpoint {
    /// The door at this address.
    pub fn at(address: SocketAddr) -> Endpoint {
        Endpoint { address, from: None, first: Vec::new(), tls: None }
    }

    /// The same, for somebody who comes from this address.
    #[must_use]
    pub fn from(mut self, client: &str) -> Endpoint {
        self.from = Some(client.parse().expect("an address of this machine"));
        self
    }

    /// The same, for somebody who says this before anything else.
    #[must_use]
    pub fn with_preface(mut self, first: impl Into<Vec<u8>>) -> Endpoint {
        self.first = first.into();
        self
    }

    /// The same, for somebody who speaks TLS like this.
    #[must_use]
    pub fn over_tls(mut self, config: Arc<ClientConfig>) -> Endpoint {
        self.tls = Some(config);
        self
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Goes through it.
    pub(crate) async fn open(&self) -> Result<Line> {
        timeout(WAIT_MAX, self.dial()).await.context("nobody opens")?
    }

    async fn dial(&self) -> Result<Line> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(from) = self.from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        let mut stream = socket.connect(self.address).await.context("nobody listens")?;
        stream.set_nodelay(true)?;
        stream.write_all(&self.first).await?;
        let Some(config) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from("localhost")?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
        Ok(Box::new(stream.context("no TLS")?))
    }
}
