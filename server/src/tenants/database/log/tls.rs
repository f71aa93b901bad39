//! Opening a connection to the database server, encrypted if that is asked for.

use std::io;
use std::path::Path;
use std::sync::Arc;

use pgwire_replication::protocol::framing::write_ssl_request;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::paced_socket::PacedSocket;
use super::{LogError, LogOptions, LogTls};
use crate::crypto::AcceptAny;
use crate::pem;

/// A connection, encrypted or not.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Transport for S {}

/// Connects to the host.
pub(super) async fn connect(options: &LogOptions) -> Result<Box<dyn Transport>, LogError> {
    if options.host.starts_with('/') {
        let socket = Path::new(&options.host).join(format!(".s.PGSQL.{}", options.port));
        return Ok(Box::new(UnixStream::connect(socket).await.map_err(LogError::Connect)?));
    }
    let stream = TcpStream::connect((&*options.host, options.port)).await.map_err(LogError::Connect)?;
    stream.set_nodelay(true).map_err(LogError::Connect)?;
    if options.tls == LogTls::Off {
        return Ok(Box::new(PacedSocket::new(stream)));
    }
    negotiate(stream, options).await
}

/// Asks the server for TLS.
async fn negotiate(mut stream: TcpStream, options: &LogOptions) -> Result<Box<dyn Transport>, LogError> {
    write_ssl_request(&mut stream).await?;
    // Exactly one byte: what else were in the buffer could be from someone who adds to the unencrypted stream.
    match stream.read_u8().await.map_err(LogError::Connect)? {
        b'S' => {}
        b'N' if options.tls == LogTls::Prefer => return Ok(Box::new(PacedSocket::new(stream))),
        b'N' => return Err(LogError::TlsRefused),
        other => return Err(LogError::Protocol(format!("the response {other} to a request for TLS"))),
    }
    let config = config(&options.tls).map_err(LogError::Tls)?;
    let name = ServerName::try_from(options.host.clone());
    let name = name.map_err(|error| LogError::Tls(io::Error::other(error)))?;
    let encrypted = TlsConnector::from(Arc::new(config)).connect(name, PacedSocket::new(stream));
    Ok(Box::new(encrypted.await.map_err(LogError::Tls)?))
}

fn config(tls: &LogTls) -> io::Result<ClientConfig> {
    let builder = ClientConfig::builder();
    let builder = match tls {
        LogTls::Off | LogTls::Prefer | LogTls::Require => {
            let provider = CryptoProvider::get_default().expect("`main` installs a provider");
            let any = Arc::new(AcceptAny(Arc::clone(provider)));
            builder.dangerous().with_custom_certificate_verifier(any)
        }
        LogTls::Verify { ca_file: None } => builder.with_platform_verifier().map_err(io::Error::other)?,
        LogTls::Verify { ca_file: Some(file) } => builder.with_root_certificates(authorities(file)?),
    };
    Ok(builder.with_no_client_auth())
}

/// The certificates in a file with at least one, all of which can be trusted as roots.
fn authorities(file: &Path) -> io::Result<RootCertStore> {
    let contents = pem::read(file)?;
    let mut roots = RootCertStore::empty();
    let certificates = pem::certificates(&contents).unwrap_or_default();
    if !certificates.is_empty() && certificates.into_iter().all(|one| roots.add(one).is_ok()) {
        return Ok(roots);
    }
    let found = pem::describe(&contents);
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} has no certificate: {found}", file.display())))
}
