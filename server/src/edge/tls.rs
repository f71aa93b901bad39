//! TLS for clients: the certificate, exchanged while the server runs, and the handshake.
//!
//! The files are watched. A new pair counts for the next handshake; a bad one counts for nothing, the log
//! says why, and a gauge goes up until the pair is good again.

mod validity;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ProducesTickets;
use rustls::{InconsistentKeys, ServerConfig, ServerConnection};
use settings::Tls;
use tokio::net::TcpStream;
use tokio::time::{Instant, interval_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::validity::Validity;
use crate::pem;
use crate::telemetry::metrics::NodeMetrics;
use crate::watch::{self, Watch};

/// Encrypted bytes that may wait for the socket: about one record. What is in there counts as sent, so a slow
/// reader is known for one this much later than without TLS.
const BUFFERED: usize = 16 * 1024;

/// How often a certificate that expires is warned of.
const REMIND_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// The settings that name the files.
const CERT_FILE: &str = "server.tls.cert_file";
const KEY_FILE: &str = "server.tls.key_file";

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
    #[error("`{key}` ({}) has no {what} in it (PEM): {found}", file.display())]
    NothingIn {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What it holds instead.
        found: &'static str,
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

impl TlsError {
    /// The setting to look at first.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Unreadable { key, .. } | Self::NothingIn { key, .. } => key,
            Self::OneMissing | Self::Unusable { .. } => CERT_FILE,
            Self::Mismatch { .. } => KEY_FILE,
        }
    }
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
    /// The chain: the certificate of the server, then those of its issuers.
    certificates: Vec<CertificateDer<'static>>,
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

    /// The files, each with the setting that names it.
    pub fn files(&self) -> [(&'static str, &Path); 2] {
        [(CERT_FILE, &self.cert_file), (KEY_FILE, &self.key_file)]
    }

    /// What clients do not accept at `now`, or soon will not, a sentence each: certificates that have expired, expire
    /// within two weeks (sooner, if they are valid for less than six), or are not valid yet.
    pub fn complaints(&self, now: SystemTime) -> Vec<String> {
        let pair = self.current.load();
        let complaints = pair.certificates.iter().enumerate().filter_map(|(place, certificate)| {
            let complaint = Validity::of(certificate)?.complaint(now)?;
            let which = if place == 0 { "the certificate" } else { "an issuer's certificate" };
            Some(format!("{which} in `{CERT_FILE}` ({}) {complaint}", self.cert_file.display()))
        });
        complaints.collect()
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
    pub async fn keep_fresh(self: Arc<Self>, metrics: &NodeMetrics, stop: CancellationToken) {
        let complain = |error| warn!("Renewed certificates will not be noticed: {error}");
        let mut watch = Watch::new([self.cert_file.clone(), self.key_file.clone()]).map_err(complain).ok();
        let mut reminder = interval_at(Instant::now() + REMIND_EVERY, REMIND_EVERY);
        // First of all once: they may have changed before they were watched.
        let mut is_due = true;
        loop {
            if std::mem::take(&mut is_due) {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.refresh(metrics) => {}
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = watch::changed(watch.as_mut()) => is_due = true,
                _ = reminder.tick() => self.warn_of_expiry(),
            }
        }
    }

    fn warn_of_expiry(&self) {
        self.complaints(SystemTime::now()).iter().for_each(|complaint| warn!("{complaint}"));
    }

    /// When the first of the certificates ends, in seconds since 1970.
    fn ends_at(&self) -> f64 {
        let pair = self.current.load();
        let ends = pair.certificates.iter().filter_map(|certificate| Validity::of(certificate));
        ends.map(|validity| validity.ends_at()).reduce(f64::min).unwrap_or_default()
    }

    /// Reads the files on a thread that may wait: a network file system may keep it.
    async fn refresh(self: &Arc<Self>, metrics: &NodeMetrics) {
        let here = Arc::clone(self);
        let reading = move || read(&here.cert_file, &here.key_file, Arc::clone(&here.tickets));
        // An error means that the runtime is shutting down.
        let Ok(pair) = tokio::task::spawn_blocking(reading).await else { return };
        match pair {
            Ok(pair) => {
                let renewed = pair.certificates != self.current.load().certificates;
                self.current.store(Arc::new(pair));
                metrics.tls_reload_failed.set(0.0);
                if renewed {
                    info!("A new certificate is in use, from {}", self.cert_file.display());
                    self.warn_of_expiry();
                }
            }
            Err(error) => {
                metrics.tls_reload_failed.set(1.0);
                let error = anyhow::Error::from(error);
                warn!("The certificate in use stays, because of the one in its place: {error:#}");
            }
        }
        metrics.tls_certificate_expiry.set(self.ends_at());
    }
}

fn read(cert: &Path, key: &Path, tickets: Arc<dyn ProducesTickets>) -> Result<Pair, TlsError> {
    let nothing_in = |key, file: &Path, what, contents: &[u8]| TlsError::NothingIn {
        key,
        file: file.to_owned(),
        what,
        found: pem::describe(contents),
    };
    let contents_of_cert = contents(CERT_FILE, cert)?;
    let certificates = pem::certificates(&contents_of_cert)
        .ok_or_else(|| nothing_in(CERT_FILE, cert, "certificate", &contents_of_cert))?;
    let contents_of_key = contents(KEY_FILE, key)?;
    let private = PrivateKeyDer::from_pem_slice(&contents_of_key)
        .map_err(|_none| nothing_in(KEY_FILE, key, "private key without password", &contents_of_key))?;

    let builder = ServerConfig::builder().with_no_client_auth();
    let mut config =
        builder.with_single_cert(certificates.clone(), private).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::Mismatch { cert: cert.to_owned(), key: key.to_owned() }
            }
            source => TlsError::Unusable { cert: cert.to_owned(), source },
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = tickets;
    Ok(Pair { certificates, config: Arc::new(config) })
}

fn contents(key: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    pem::read(file).map_err(|source| TlsError::Unreadable { key, file: file.to_owned(), source })
}
