//! How clients reach a server: its address, the address they connect from, bytes to send first, and TLS.
//!
//! A [`World`](crate::World) has the endpoint of its own server. Another endpoint may lead to the same server
//! through a load balancer, or from another source address: all of 127.0.0.0/8 belongs to this machine.

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

/// A byte stream, with or without TLS.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Debug + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> Duplex for T {}

/// An open connection to a server.
pub(crate) type Stream = Box<dyn Duplex>;

/// How to reach a server.
#[derive(Debug, Clone)]
pub struct Endpoint {
    address: SocketAddr,
    from: Option<IpAddr>,
    preface: Vec<u8>,
    tls: Option<Arc<ClientConfig>>,
}

impl Endpoint {
    /// An endpoint at this address.
    pub fn at(address: SocketAddr) -> Endpoint {
        Endpoint { address, from: None, preface: Vec::new(), tls: None }
    }

    /// Connects from this source address.
    #[must_use]
    pub fn from(mut self, client: &str) -> Endpoint {
        self.from = Some(client.parse().expect("an address of this machine"));
        self
    }

    /// Sends these bytes before anything else, TLS included.
    #[must_use]
    pub fn with_preface(mut self, preface: impl Into<Vec<u8>>) -> Endpoint {
        self.preface = preface.into();
        self
    }

    /// Uses TLS with this configuration.
    #[must_use]
    pub fn over_tls(mut self, config: Arc<ClientConfig>) -> Endpoint {
        self.tls = Some(config);
        self
    }

    /// The address of the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens a connection.
    pub(crate) async fn open(&self) -> Result<Stream> {
        timeout(WAIT_MAX, self.dial()).await.context("no connection in time")?
    }

    async fn dial(&self) -> Result<Stream> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(from) = self.from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        let mut stream = socket.connect(self.address).await.context("connection refused")?;
        stream.set_nodelay(true)?;
        stream.write_all(&self.preface).await?;
        let Some(config) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from("localhost")?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
        Ok(Box::new(stream.context("the TLS handshake failed")?))
    }
}
