//! TLS for clients: the certificate, which can be renewed while the server runs, and the handshake.
//!
//! The files are watched. A new certificate is used from the next handshake on. One that cannot be used changes nothing:
//! the reason is logged, and the gauge `realtime_tls_reload_failed` is 1 until the files are good again.

mod validity;

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ProducesTickets;
use rustls::{InconsistentKeys, ServerConfig, ServerConnection};
use settings::Tls;
use settings::file_access::Persistence;
use tokio::net::TcpStream;
use tokio::time::{Instant, interval_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::validity::Validity;
use crate::pem;
use crate::telemetry::metrics::NodeMetrics;
use crate::watch::{self, Retry, Watch};

/// The limit of encrypted bytes that wait for the socket: about one record. These bytes count as sent, so that a slow
/// reader is noticed this much later than without TLS.
const BUFFER_BYTES_MAX: usize = 16 * 1024;

/// How often a certificate that is about to expire is logged.
const EXPIRY_LOG_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// How often the files are read while they are not watched yet, because their file system does not respond.
const UNWATCHED_INTERVAL: Duration = Duration::from_secs(5);

/// The settings that name the files.
const CERT_FILE: &str = "server.tls.cert_file";
const KEY_FILE: &str = "server.tls.key_file";

/// A connection over TLS. Boxed, because the state of TLS is large and would be copied with each move.
pub(super) type ServerTlsStream = Box<TlsStream<TcpStream>>;

/// Why the files of `[server.tls]` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// TLS needs both files.
    #[error("`server.tls.cert_file` and `server.tls.key_file` belong together, and only one of them is set")]
    OneMissing,
    /// A file does not exist, or its permissions forbid reading it.
    #[error("cannot read `{key}` ({})", file.display())]
    Unreadable {
        /// The setting that names the file.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("`{key}` ({}) has no {what} in it (PEM): {found}", file.display())]
    NothingIn {
        /// The setting that names the file.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What it holds instead.
        found: &'static str,
    },
    /// The certificate is not for this key.
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
    /// The certificate or its key is of a kind that is not supported.
    #[error("the certificate in `server.tls.cert_file` ({}) cannot be used", cert.display())]
    Unusable {
        /// File of the certificate.
        cert: PathBuf,
        /// The error of the TLS library.
        source: rustls::Error,
    },
}

impl TlsError {
    /// The setting that is at fault, or the first of several.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Unreadable { key, .. } | Self::NothingIn { key, .. } => key,
            Self::OneMissing | Self::Unusable { .. } => CERT_FILE,
            Self::Mismatch { .. } => KEY_FILE,
        }
    }

    fn persistence(&self) -> Persistence {
        match self {
            Self::Unreadable { source, .. } => Persistence::of(source),
            _ => Persistence::UntilEdited,
        }
    }
}

/// The certificate in use, and the files it comes from.
pub struct Certificates {
    cert_file: PathBuf,
    key_file: PathBuf,
    /// Kept when the certificate is renewed, so that clients can still resume their sessions.
    tickets: Arc<dyn ProducesTickets>,
    current: ArcSwap<CertifiedConfig>,
}

/// A certificate chain, and the TLS configuration that uses it.
struct CertifiedConfig {
    /// The certificate of the server, then those of its issuers.
    chain: Vec<CertificateDer<'static>>,
    config: Arc<ServerConfig>,
}

impl Certificates {
    /// The certificates that the settings name; `None` if they name none.
    ///
    /// # Errors
    /// When they cannot be used. The error names the file and its setting.
    pub fn load(tls: &Tls) -> Result<Option<Self>, TlsError> {
        let (cert_file, key_file) = match (&tls.cert_file, &tls.key_file) {
            (None, None) => return Ok(None),
            (Some(cert_file), Some(key_file)) => (cert_file.clone(), key_file.clone()),
            _ => return Err(TlsError::OneMissing),
        };
        let unusable = |source| TlsError::Unusable { cert: cert_file.clone(), source };
        let tickets = rustls::crypto::ring::Ticketer::new().map_err(unusable)?;
        let current = read(&cert_file, &key_file, Arc::clone(&tickets))?;
        Ok(Some(Self { cert_file, key_file, tickets, current: ArcSwap::from_pointee(current) }))
    }

    /// The files, each with its setting.
    pub fn files(&self) -> [(&'static str, &Path); 2] {
        [(CERT_FILE, &self.cert_file), (KEY_FILE, &self.key_file)]
    }

    /// A sentence about each certificate that clients do not accept at `now`, or soon will not: those that have expired,
    /// expire within two weeks (or the last third of a shorter validity), or are not valid yet.
    pub fn expiry_warnings(&self, now: SystemTime) -> Vec<String> {
        let current = self.current.load();
        let warnings = current.chain.iter().enumerate().filter_map(|(index, certificate)| {
            let problem = Validity::of(certificate)?.problem(now)?;
            let which = if index == 0 { "the certificate" } else { "an issuer's certificate" };
            Some(format!("{which} in `{CERT_FILE}` ({}) {problem}", self.cert_file.display()))
        });
        warnings.collect()
    }

    /// Performs the handshake with a client.
    ///
    /// # Errors
    /// When it fails.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<ServerTlsStream> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.current.load().config));
        let bounded = |connection: &mut ServerConnection| connection.set_buffer_limit(Some(BUFFER_BYTES_MAX));
        Ok(Box::new(acceptor.accept_with(stream, bounded).await?))
    }

    /// Reads the files again whenever they change, until `stop`.
    pub async fn keep_fresh(self: Arc<Self>, metrics: &NodeMetrics, stop: CancellationToken) {
        let files = [self.cert_file.clone(), self.key_file.clone()];
        // On a thread for blocking work, because a network file system may not respond.
        let watching = tokio::task::spawn_blocking(move || Watch::new(move || files.to_vec()));
        let (mut watching, mut watch) = (pin!(watching), None);
        let mut is_watching = false;
        let mut expiry_log = interval_at(Instant::now() + EXPIRY_LOG_INTERVAL, EXPIRY_LOG_INTERVAL);
        // Also once they are watched: they may have changed before.
        let (mut is_due, mut retry) = (true, Retry::default());
        loop {
            if std::mem::take(&mut is_due) {
                tokio::select! {
                    () = stop.cancelled() => return,
                    persistence = self.refresh(metrics) => retry.after(persistence),
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                began = watching.as_mut(), if !is_watching => {
                    // An error means that the runtime is shutting down.
                    let Ok(began) = began else { return };
                    let began = began.inspect_err(|why| warn!("The files of certificates are not watched: {why}"));
                    (watch, is_watching, is_due) = (began.ok(), true, true);
                }
                () = tokio::time::sleep(UNWATCHED_INTERVAL), if !is_watching => is_due = true,
                () = watch::changed(watch.as_mut()), if is_watching => is_due = true,
                () = retry.due() => is_due = true,
                _ = expiry_log.tick() => self.log_expiry(),
            }
        }
    }

    fn log_expiry(&self) {
        self.expiry_warnings(SystemTime::now()).iter().for_each(|warning| warn!("{warning}"));
    }

    /// When the first of the certificates expires, in seconds since 1970.
    fn expires_at(&self) -> f64 {
        let current = self.current.load();
        let validities = current.chain.iter().filter_map(|certificate| Validity::of(certificate));
        validities.map(|validity| validity.expires_at()).reduce(f64::min).unwrap_or_default()
    }

    /// Reads the files on a thread for blocking work. Returns whether it helps to try again.
    async fn refresh(self: &Arc<Self>, metrics: &NodeMetrics) -> Persistence {
        let this = Arc::clone(self);
        let reading = move || read(&this.cert_file, &this.key_file, Arc::clone(&this.tickets));
        // An error means that the runtime is shutting down.
        let Ok(result) = tokio::task::spawn_blocking(reading).await else { return Persistence::UntilEdited };
        let persistence = match result {
            Ok(fresh) => {
                let is_renewed = fresh.chain != self.current.load().chain;
                self.current.store(Arc::new(fresh));
                metrics.tls_reload_failed.set(0.0);
                if is_renewed {
                    info!("A new certificate is in use, from {}", self.cert_file.display());
                    self.log_expiry();
                }
                Persistence::UntilEdited
            }
            Err(error) => {
                metrics.tls_reload_failed.set(1.0);
                let persistence = error.persistence();
                let error = anyhow::Error::from(error);
                warn!("The old certificate stays in use, because the new one cannot be used: {error:#}");
                persistence
            }
        };
        metrics.tls_certificate_expiry.set(self.expires_at());
        persistence
    }
}

fn read(cert: &Path, key: &Path, tickets: Arc<dyn ProducesTickets>) -> Result<CertifiedConfig, TlsError> {
    let nothing_in = |key, file: &Path, what, contents: &[u8]| TlsError::NothingIn {
        key,
        file: file.to_owned(),
        what,
        found: pem::describe(contents),
    };
    let contents_of_cert = contents(CERT_FILE, cert)?;
    let chain = pem::certificates(&contents_of_cert)
        .ok_or_else(|| nothing_in(CERT_FILE, cert, "certificate", &contents_of_cert))?;
    let contents_of_key = contents(KEY_FILE, key)?;
    let private = PrivateKeyDer::from_pem_slice(&contents_of_key)
        .map_err(|_none| nothing_in(KEY_FILE, key, "private key without password", &contents_of_key))?;

    let builder = ServerConfig::builder().with_no_client_auth();
    let mut config = builder.with_single_cert(chain.clone(), private).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::Mismatch { cert: cert.to_owned(), key: key.to_owned() }
        }
        source => TlsError::Unusable { cert: cert.to_owned(), source },
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = tickets;
    Ok(CertifiedConfig { chain, config: Arc::new(config) })
}

fn contents(key: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    pem::read(file).map_err(|source| TlsError::Unreadable { key, file: file.to_owned(), source })
}
