//! Opening a TCP connection to Redis, and recording when bytes last moved in it.
//!
//! The Redis client could open it, but would not show its progress. A response may be large and the link slow: what tells
//! a slow connection from a dead one is whether bytes still move.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::future::select_ok;
use redis::{ConnectionAddr, RedisError};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;

use crate::bus::BusError;

/// When bytes last moved in a connection, in either direction. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Progress(Arc<Moved>);

#[derive(Debug)]
struct Moved {
    since: Instant,
    /// Microseconds after `since`.
    last: AtomicU64,
}

impl Progress {
    fn new() -> Self {
        Self(Arc::new(Moved { since: Instant::now(), last: AtomicU64::new(0) }))
    }

    fn note(&self) {
        let elapsed = u64::try_from(self.0.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.0.last.store(elapsed, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.0.since + Duration::from_micros(self.0.last.load(Ordering::Relaxed))
    }

    /// Waits for a response, as long as bytes move.
    ///
    /// # Errors
    /// When none has moved for `limit`, or those of the future.
    pub(super) async fn unless_stalled<T, E: Into<BusError>>(
        &self,
        limit: Duration,
        response: impl Future<Output = Result<T, E>>,
    ) -> Result<T, BusError> {
        let begun = Instant::now();
        let mut response = std::pin::pin!(response);
        loop {
            let deadline = self.last().max(begun) + limit;
            match timeout_at(deadline.into(), &mut response).await {
                Ok(response) => return response.map_err(Into::into),
                Err(_elapsed) if self.last() + limit > Instant::now() => {}
                Err(_elapsed) => return Err(BusError::TimedOut),
            }
        }
    }
}

/// A stream that the Redis client can use.
pub(super) trait RedisStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> RedisStream for S {}

/// Connects to `address`, through TLS if it requires that.
///
/// # Errors
/// When nothing listens there, or the certificate cannot be verified.
pub(super) async fn connect(
    address: &ConnectionAddr,
    authorities: Option<&Arc<RootCertStore>>,
    unacknowledged_max: Duration,
) -> Result<(Box<dyn RedisStream>, Progress), BusError> {
    let progress = Progress::new();
    let stream: Result<Box<dyn RedisStream>, io::Error> = match address {
        ConnectionAddr::TcpTls { host, port, .. } => {
            let stream = tcp(host, *port, unacknowledged_max, &progress).await;
            encrypt(stream.map_err(RedisError::from)?, host, authorities).await
        }
        ConnectionAddr::Tcp(host, port) => {
            tcp(host, *port, unacknowledged_max, &progress).await.map(|stream| Box::new(stream) as _)
        }
        #[cfg(unix)]
        ConnectionAddr::Unix(path) => {
            let stream = tokio::net::UnixStream::connect(path).await;
            stream.map(|stream| Box::new(Watched { stream, progress: progress.clone() }) as _)
        }
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "this kind of address is not supported")),
    };
    Ok((stream.map_err(RedisError::from)?, progress))
}

/// Connects to whichever address of the host answers first.
async fn tcp(
    host: &str,
    port: u16,
    unacknowledged_max: Duration,
    progress: &Progress,
) -> io::Result<Watched<TcpStream>> {
    let mut attempts: Vec<_> =
        lookup_host((host, port)).await?.map(|address| Box::pin(TcpStream::connect(address))).collect();
    if attempts.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    let (stream, _others) = select_ok(attempts.drain(..)).await?;
    stream.set_nodelay(true)?;
    // Linux closes a connection whose bytes are not acknowledged for this long.
    #[cfg(target_os = "linux")]
    rustix::net::sockopt::set_tcp_user_timeout(
        &stream,
        u32::try_from(unacknowledged_max.as_millis()).unwrap_or(u32::MAX),
    )?;
    Ok(Watched { stream, progress: progress.clone() })
}

async fn encrypt(
    stream: Watched<TcpStream>,
    host: &str,
    authorities: Option<&Arc<RootCertStore>>,
) -> io::Result<Box<dyn RedisStream>> {
    let builder = ClientConfig::builder();
    let config = match authorities {
        Some(authorities) => builder.with_root_certificates(Arc::clone(authorities)),
        None => builder.with_platform_verifier().map_err(io::Error::other)?,
    };
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(Arc::new(config.with_no_client_auth()));
    Ok(Box::new(connector.connect(name, stream).await?))
}

/// A stream whose progress is recorded.
struct Watched<S> {
    stream: S,
    progress: Progress,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.progress.note();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.progress.note();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
