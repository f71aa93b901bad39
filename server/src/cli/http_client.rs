//! One connection of the command line to one server, and requests on it. `probe` makes a WebSocket of one.
//!
//! A container image has no curl, and reqwest cannot begin a connection with a PROXY header, which a server may expect from this
//! machine too. So this is hyper, as in the server, on a socket of our own. Nothing here has a time limit: callers have one for
//! the whole exchange. Redirects are not followed, since a request may carry a token.

mod pinned;
mod trust;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

pub(super) use self::trust::Trust;
use crate::edge::networks::Networks;

/// A connection to a server.
#[derive(Debug)]
pub(super) struct ServerConnection {
    sender: SendRequest<Full<Bytes>>,
    /// Of the requests.
    host: HeaderValue,
}

impl ServerConnection {
    /// Connects to the server of `url`. One that expects a PROXY header from our address, because it is one of the `proxies`, is
    /// sent one without a client address.
    ///
    /// # Errors
    /// When the URL is none of http, the server cannot be reached, or `trust` does not accept its certificate.
    pub(super) async fn open(url: &Uri, proxies: &Networks, trust: &Trust) -> anyhow::Result<Self> {
        let stream = connect(url, proxies).await?;
        let sender = match is_tls(url)? {
            true => handshake(negotiate(url, stream, trust).await?).await?,
            false => handshake(stream).await?,
        };
        Ok(Self { sender, host: HeaderValue::try_from(host(url)?)? })
    }

    /// Sends a request for the path of `url` with the rest of `request`, and waits for the head of the response.
    ///
    /// # Errors
    /// When the connection ends before that, or the response is not HTTP.
    pub(super) async fn send(
        &mut self,
        url: &Uri,
        mut request: Request<Full<Bytes>>,
    ) -> anyhow::Result<Response<Incoming>> {
        let path = url.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        *request.uri_mut() = path.into();
        request.headers_mut().insert(header::HOST, self.host.clone());
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        self.sender.send_request(request).await.map_err(readable)
    }
}

/// Connects to the server of `url`, and sends a PROXY header without a client address if it expects one from our address.
///
/// # Errors
/// When the URL is none of http, or the server cannot be reached.
pub(super) async fn connect(url: &Uri, proxies: &Networks) -> anyhow::Result<TcpStream> {
    let name = name(url)?;
    let port = url.port_u16().unwrap_or(if is_tls(url)? { 443 } else { 80 });
    let addresses = lookup_host((name, port)).await.with_context(|| format!("cannot find {name}"))?;
    let addresses: Vec<_> = addresses.collect();
    let mut stream = TcpStream::connect(&*addresses).await.context("cannot connect")?;
    if proxies.contain(stream.local_addr()?.ip()) {
        stream.write_all(b"PROXY UNKNOWN\r\n").await?;
    }
    Ok(stream)
}

/// Negotiates TLS with the server of `url`.
///
/// # Errors
/// When that fails, or `trust` does not accept its certificate.
pub(super) async fn negotiate(
    url: &Uri,
    stream: TcpStream,
    trust: &Trust,
) -> anyhow::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
    let server = ServerName::try_from(name(url)?.to_owned()).context("the URL has no host")?;
    TlsConnector::from(trust.config()?).connect(server, stream).await.context("no connection with TLS")
}

/// Whether the server of `url` speaks TLS.
///
/// # Errors
/// When the URL is none of http.
pub(super) fn is_tls(url: &Uri) -> anyhow::Result<bool> {
    match url.scheme_str() {
        Some("http") => Ok(false),
        Some("https") => Ok(true),
        _ => bail!("only http:// and https:// URLs are supported"),
    }
}

/// The host and port of `url`. Not its authority, which may contain a password.
///
/// # Errors
/// When it has no host.
pub(super) fn host(url: &Uri) -> anyhow::Result<String> {
    let host = url.host().context("the URL has no host")?;
    Ok(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// The host without the brackets of an IPv6 address.
fn name(url: &Uri) -> anyhow::Result<&str> {
    Ok(url.host().context("the URL has no host")?.trim_matches(['[', ']']))
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the connection; its error is that of the request.
    tokio::spawn(async {
        let _closed = connection.await;
    });
    Ok(sender)
}

/// The errors that a person may see, in words that say what has happened.
fn readable(error: hyper::Error) -> anyhow::Error {
    if error.is_parse() {
        anyhow!("the response is not HTTP")
    } else if error.is_incomplete_message() {
        anyhow!("the connection was closed without a response")
    } else {
        error.into()
    }
}

#[cfg(test)]
mod tests;
