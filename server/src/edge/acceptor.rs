//! What a connection passes on its way in, before HTTP: the load balancer's word about whom it brings, then
//! the TLS handshake. Both together have the time of a handshake.

use std::net::IpAddr;
use std::sync::Arc;

use settings::NetworkError;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use super::proxy_protocol::{self, Balancers, HeaderError};
use super::tls::{Certificates, Secure, TlsError};
use crate::node::Node;

/// The setting that names the networks of load balancers.
const BALANCERS: &str = "server.proxy_protocol_from";

/// The entrance, as the settings have it.
pub struct Acceptor {
    certificates: Option<Arc<Certificates>>,
    balancers: Balancers,
}

/// What is wrong with the settings of the entrance.
#[derive(Debug, thiserror::Error)]
pub enum AcceptorError {
    /// The certificate or its key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The networks of load balancers.
    #[error("`{BALANCERS}` {0}")]
    Balancers(#[from] NetworkError),
}

impl AcceptorError {
    /// The setting to look at first.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Tls(error) => error.key(),
            Self::Balancers(_) => BALANCERS,
        }
    }
}

/// A connection that is in.
pub(super) enum Stream {
    Plain(TcpStream),
    Secure(Secure),
}

impl Acceptor {
    /// The entrance these settings describe.
    ///
    /// # Errors
    /// When certificates or networks cannot be used; the error names the setting.
    pub fn of(settings: &settings::Server) -> Result<Self, AcceptorError> {
        let balancers = Balancers::parse(&settings.proxy_protocol_from)?;
        Ok(Self { certificates: Certificates::load(&settings.tls)?.map(Arc::new), balancers })
    }

    /// The certificates, when TLS is spoken.
    pub fn certificates(&self) -> Option<Arc<Certificates>> {
        self.certificates.clone()
    }

    /// Leads a connection in. `None` when it is not served; then the log and the numbers know why. The address is
    /// that of the client, as far as it is known.
    pub(super) async fn pass(
        &self,
        node: &Node,
        mut stream: TcpStream,
        peer: IpAddr,
    ) -> Option<(Stream, IpAddr)> {
        let deadline = Instant::now() + node.settings().server.handshake_timeout;
        let address = if self.balancers.contain(peer) {
            read_proxy_header(node, &mut stream, peer, deadline).await?
        } else {
            peer
        };
        let Some(certificates) = &self.certificates else { return Some((Stream::Plain(stream), address)) };
        if matches!(timeout_at(deadline, is_plain_http(&stream)).await, Ok(true)) {
            node.metrics.node.tls_handshakes_failed.increment(1);
            debug!(client_address = %address, "Refused an HTTP request without TLS");
            return answer_plain_http(stream).await;
        }
        let failure = match timeout_at(deadline, certificates.accept(stream)).await {
            Ok(Ok(stream)) => return Some((Stream::Secure(stream), address)),
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => "it took too long".to_owned(),
        };
        node.metrics.node.tls_handshakes_failed.increment(1);
        debug!(client_address = %address, "A TLS handshake failed: {failure}");
        None
    }
}

/// What is said to a client that speaks HTTP without TLS.
const TLS_ONLY: &str = "this port speaks TLS: use https:// or wss://\n";

/// Whether the client begins with a letter, as HTTP does, and not with a TLS record.
async fn is_plain_http(stream: &TcpStream) -> bool {
    let mut first = [0];
    matches!(stream.peek(&mut first).await, Ok(1) if first[0].is_ascii_alphabetic())
}

/// 400 with a hint, as other servers have it.
async fn answer_plain_http<T>(mut stream: TcpStream) -> Option<T> {
    let head = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close";
    let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{TLS_ONLY}", TLS_ONLY.len());
    // What the client sent is taken first, or the system would cut the connection before the answer is read.
    let mut request = [0; 4 * 1024];
    let _taken = stream.try_read(&mut request);
    let _best_effort = stream.write_all(answer.as_bytes()).await;
    let _closed = stream.shutdown().await;
    None
}

/// The client that the load balancer at `peer` brings, or the balancer itself.
async fn read_proxy_header(
    node: &Node,
    stream: &mut TcpStream,
    peer: IpAddr,
    deadline: Instant,
) -> Option<IpAddr> {
    let refusal = match timeout_at(deadline, proxy_protocol::read(stream)).await {
        Ok(Ok(client)) => return Some(client.unwrap_or(peer)),
        Ok(Err(HeaderError::Nothing)) => {
            debug!(client_address = %peer, "A load balancer looked whether somebody is here");
            return None;
        }
        Ok(Err(error)) => format!("{:#}", anyhow::Error::from(error)),
        Err(_elapsed) => "no PROXY protocol header came in time".to_owned(),
    };
    node.metrics.node.proxy_protocol_refused.increment(1);
    warn!(client_address = %peer, "Refused a connection from `server.proxy_protocol_from`: {refusal}");
    None
}
