//! TLS for clients: the certificate, exchanged while the server runs, and the handshake.
//!
//! The files are watched. A new pair counts for the next handshake; a bad one counts for nothing, the log
//! says why, and a gauge goes up until the pair is good again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ProducesTickets;
use rustls::{InconsistentKeys, ServerConfig, ServerConnection};
use settings::Tls;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::telemetry::metrics::NodeMetrics;
use crate::watch::Watch;

/// Encrypted bytes that may wait for the socket: about one record. What is in there counts as sent, so a slow
/// reader is known for one this much later than without TLS.
const BUFFERED: usize = 16 * 1024;

/// A connection over TLS. In a box, because all that TLS remembers would be moved with it from hand to hand.
pub(super) type Secure = Box<TlsStream<TcpStream>>;

/// What is wrong with the files, in the words of the settings.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// TLS needs both files.
    #[error("`server.tls.cert_file` and `server.tls.key_file` belong together, and only one of them is set")]
    OneMissing,
    /// A file is not there, or not for us.
    #[error("cannot read `{key}` ({})", file.display())]
    Unreadable {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("`{key}` ({}) has no {what} in it (PEM)", file.display())]
    NothingIn {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// Two good files that have nothing to do with each other.
    #[error(
        "the key in `server.tls.key_file` ({}) is not that of the certificate in `server.tls.cert_file` ({})",
        key.display(), cert.display()
    )]
    Mismatch {
        /// File of the certificate.
        cert: PathBuf,
        /// File of the key.
        key: PathBuf,
    },
    /// The certificate or its key is of a kind we cannot use.
    #[error("the certificate in `server.tls.cert_file` ({}) cannot be used", cert.display())]
    Unusable {
        /// File of the certificate.
        cert: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
}

/// The certificate in use, and the files it comes from.
pub struct Certificates {
    cert_file: PathBuf,
    key_file: PathBuf,
    /// Kept from one certificate to the next, so that clients which come back need no whole handshake.
    tickets: Arc<dyn ProducesTickets>,
    current: ArcSwap<Pair>,
}

struct Pair {
    certificate: CertificateDer<'static>,
    config: Arc<ServerConfig>,
}

impl Certificates {
    /// Those the settings name; `None` when they name none.
    ///
    /// # Errors
    /// When they cannot be used; the error says which file, and by which key it is named.
    pub fn load(tls: &Tls) -> Result<Option<Self>, TlsError> {
        let (cert_file, key_file) = match (&tls.cert_file, &tls.key_file) {
            (None, None) => return Ok(None),
            (Some(cert_file), Some(key_file)) => (cert_file.clone(), key_file.clone()),
            _ => return Err(TlsError::OneMissing),
        };
        let unusable = |source| TlsError::Unusable { cert: cert_file.clone(), source };
        let tickets = rustls::crypto::ring::Ticketer::new().map_err(unusable)?;
        let pair = read(&cert_file, &key_file, Arc::clone(&tickets))?;
        Ok(Some(Self { cert_file, key_file, tickets, current: ArcSwap::from_pointee(pair) }))
    }

    /// The handshake with a client.
    ///
    /// # Errors
    /// When it fails, which is the client's affair.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<Secure> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.current.load().config));
        let bounded = |connection: &mut ServerConnection| connection.set_buffer_limit(Some(BUFFERED));
        Ok(Box::new(acceptor.accept_with(stream, bounded).await?))
    }

    /// Reads the files again whenever they change, until `stop`.
    pub async fn keep_fresh(&self, metrics: &NodeMetrics, stop: CancellationToken) {
        let mut watch = match Watch::new([self.cert_file.clone(), self.key_file.clone()]) {
            Ok(watch) => watch,
            Err(error) => return warn!("Renewed certificates will not be noticed: {error}"),
        };
        loop {
            // First of all once: they may have changed before they were watched.
            self.refresh(metrics);
            tokio::select! {
                () = stop.cancelled() => return,
                () = watch.changed() => {}
            }
        }
    }

    fn refresh(&self, metrics: &NodeMetrics) {
        match read(&self.cert_file, &self.key_file, Arc::clone(&self.tickets)) {
            Ok(pair) => {
                let renewed = pair.certificate != self.current.load().certificate;
                self.current.store(Arc::new(pair));
                metrics.tls_reload_failed.set(0.0);
                if renewed {
                    info!("A new certificate is in use, from {}", self.cert_file.display());
                }
            }
            Err(error) => {
                metrics.tls_reload_failed.set(1.0);
                let error = anyhow::Error::from(error);
                warn!("The certificate in use stays, because of the one in its place: {error:#}");
            }
        }
    }
}

fn read(cert: &Path, key: &Path, tickets: Arc<dyn ProducesTickets>) -> Result<Pair, TlsError> {
    let (cert_key, key_key) = ("server.tls.cert_file", "server.tls.key_file");
    let nothing_in = |key, file: &Path, what| TlsError::NothingIn { key, file: file.to_owned(), what };
    let no_certificate = || nothing_in(cert_key, cert, "certificate");

    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&contents(cert_key, cert)?).collect();
    let certificates = certificates.map_err(|_broken| no_certificate())?;
    let certificate = certificates.first().ok_or_else(no_certificate)?.clone();
    let private = PrivateKeyDer::from_pem_slice(&contents(key_key, key)?)
        .map_err(|_none| nothing_in(key_key, key, "private key without password"))?;

    let builder = ServerConfig::builder().with_no_client_auth();
    let mut config = builder.with_single_cert(certificates, private).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::Mismatch { cert: cert.to_owned(), key: key.to_owned() }
        }
        source => TlsError::Unusable { cert: cert.to_owned(), source },
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = tickets;
    Ok(Pair { certificate, config: Arc::new(config) })
}

fn contents(key: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|source| TlsError::Unreadable { key, file: file.to_owned(), source })
}
