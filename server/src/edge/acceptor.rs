//! What happens to a connection before HTTP: the PROXY protocol header of a load balancer is read, then TLS is
//! negotiated. Both together must complete within `server.handshake_timeout`.

use std::net::IpAddr;
use std::sync::Arc;

use settings::NetworkError;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use super::networks::Networks;
use super::proxy_protocol::{self, HeaderError};
use super::tls::{Certificates, ServerTlsStream, TlsError};
use crate::node::Node;
use crate::telemetry::line_limits::LineKind;

/// The setting that names the networks of load balancers.
const PROXY_PROTOCOL_FROM: &str = "server.proxy_protocol_from";

/// The response to HTTP without TLS on a port with TLS.
const TLS_ONLY: &str = "this port speaks TLS: use https:// or wss://\n";

/// Prepares accepted connections for HTTP, as the settings have it.
pub struct Acceptor {
    certificates: Option<Arc<Certificates>>,
    proxies: Networks,
}

/// Why an acceptor cannot be built from the settings.
#[derive(Debug, thiserror::Error)]
pub enum AcceptorError {
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A network of load balancers cannot be parsed.
    #[error("`{PROXY_PROTOCOL_FROM}` {0}")]
    ProxyNetwork(#[from] NetworkError),
}

impl AcceptorError {
    /// The setting that is at fault, or the first of several.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Tls(error) => error.key(),
            Self::ProxyNetwork(_) => PROXY_PROTOCOL_FROM,
        }
    }
}

/// What hyper and the tasks of a connection take: two buffers of 8 KiB, a third one while a head is incomplete, and the
/// request that is handled.
const HTTP_BYTES: usize = 28 * 1024;

/// What TLS takes in addition, as for a WebSocket.
const TLS_BYTES: usize = 20 * 1024;

/// A connection on which HTTP can be served.
pub(super) enum ClientStream {
    Plain(TcpStream),
    Tls(ServerTlsStream),
}

impl Acceptor {
    /// The acceptor that these settings describe.
    ///
    /// # Errors
    /// When certificates or networks cannot be used; the error names the setting.
    pub fn of(settings: &settings::Server) -> Result<Self, AcceptorError> {
        let proxies = Networks::parse(&settings.proxy_protocol_from)?;
        Ok(Self { certificates: Certificates::load(&settings.tls)?.map(Arc::new), proxies })
    }

    /// One that passes connections on as they are.
    pub fn plain() -> Self {
        Self { certificates: None, proxies: Networks::default() }
    }

    /// The certificates, if the port uses TLS.
    pub fn certificates(&self) -> Option<Arc<Certificates>> {
        self.certificates.clone()
    }

    /// The memory that a connection takes which is not a WebSocket.
    pub(super) fn connection_bytes(&self) -> usize {
        HTTP_BYTES + if self.certificates.is_some() { TLS_BYTES } else { 0 }
    }

    /// Whether connections from `peer` begin with a PROXY protocol header, which names the client.
    pub(super) fn is_load_balancer(&self, peer: IpAddr) -> bool {
        self.proxies.contain(peer)
    }

    /// Whether connections from `peer` begin with something else than HTTP: a PROXY protocol header, or TLS.
    pub(super) fn begins_before_http(&self, peer: IpAddr) -> bool {
        self.is_load_balancer(peer) || self.certificates.is_some()
    }

    /// Negotiates TLS, if the port uses it. `None` if that fails, which is logged and counted here.
    pub(super) async fn negotiate(
        &self,
        node: &Node,
        stream: TcpStream,
        client_address: IpAddr,
        deadline: Instant,
    ) -> Option<ClientStream> {
        let Some(certificates) = &self.certificates else {
            return Some(ClientStream::Plain(stream));
        };
        let stream = negotiate_tls(node, certificates, stream, (client_address, deadline)).await?;
        Some(ClientStream::Tls(stream))
    }
}

/// The stream after the TLS handshake; `None` if that fails. A client that sends HTTP without TLS gets a response that
/// says so.
async fn negotiate_tls(
    node: &Node,
    certificates: &Certificates,
    stream: TcpStream,
    (client_address, deadline): (IpAddr, Instant),
) -> Option<ServerTlsStream> {
    let failed = &node.metrics.node.tls_handshakes_failed;
    if matches!(timeout_at(deadline, is_plain_http(&stream)).await, Ok(true)) {
        failed.increment(1);
        debug!(%client_address, "Refused an HTTP request without TLS");
        respond_without_tls(stream).await;
        return None;
    }
    let failure = match timeout_at(deadline, certificates.accept(stream)).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => "it took too long".to_owned(),
    };
    failed.increment(1);
    debug!(%client_address, "A TLS handshake failed: {failure}");
    None
}

/// Whether the first byte is a letter, as in HTTP, and not the type of a TLS record.
async fn is_plain_http(stream: &TcpStream) -> bool {
    let mut first = [0];
    matches!(stream.peek(&mut first).await, Ok(1) if first[0].is_ascii_alphabetic())
}

/// Responds with 400 and a hint, as other servers do.
async fn respond_without_tls(mut stream: TcpStream) {
    let head = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close";
    let response = format!("{head}\r\ncontent-length: {}\r\n\r\n{TLS_ONLY}", TLS_ONLY.len());
    // The request is read first: closing a socket with unread bytes resets the connection, and the response is lost.
    let mut request = [0; 4 * 1024];
    let _best_effort = stream.try_read(&mut request);
    let _best_effort = stream.write_all(response.as_bytes()).await;
    let _best_effort = stream.shutdown().await;
}

/// The address of the client, from the header that the load balancer at `peer` must send; the balancer's own address if
/// the header names none. `None` if there is no such header, which is logged and counted here.
pub(super) async fn read_proxy_header(
    node: &Node,
    stream: &mut TcpStream,
    peer: IpAddr,
    deadline: Instant,
) -> Option<IpAddr> {
    let reason = match timeout_at(deadline, proxy_protocol::read(stream)).await {
        Ok(Ok(client)) => return Some(client.unwrap_or(peer)),
        Ok(Err(HeaderError::Nothing)) => {
            debug!(client_address = %peer, "A load balancer has checked the port");
            return None;
        }
        Ok(Err(error)) => format!("{:#}", anyhow::Error::from(error)),
        Err(_elapsed) => "no PROXY protocol header arrived in time".to_owned(),
    };
    node.metrics.node.proxy_protocol_refused.increment(1);
    if node.metrics.line_limits.admit(LineKind::RefusedProxyHeader) {
        warn!(client_address = %peer, "Refused a connection from `{PROXY_PROTOCOL_FROM}`: {reason}");
    }
    None
}
