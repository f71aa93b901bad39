//! Validation of the address of Redis and of the CA certificates.

use std::io;
use std::path::{Path, PathBuf};

use redis::RedisError;
use rustls::RootCertStore;

use crate::pem;

const URL: &str = "bus.redis_url";
const CA_FILE: &str = "bus.tls_ca_file";

/// An error in the settings of the bus. The address, which may hold a password, is in no message.
#[derive(Debug, thiserror::Error)]
pub enum RedisConfigError {
    /// The address cannot be parsed.
    #[error("`{URL}` is not the address of a Redis")]
    Address(#[source] RedisError),
    /// The address switches certificate verification off.
    #[error(
        "`{URL}` ends with `#insecure`, by which the certificate of Redis would not be verified: leave it out, and name \
         its CA certificates in `{CA_FILE}`"
    )]
    Unverified,
    /// The certificates cannot be read.
    #[error("cannot read `{CA_FILE}` ({})", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file has no certificate.
    #[error("`{CA_FILE}` ({}) has no certificate in it (PEM): {found}", file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
        /// What it has instead.
        found: &'static str,
    },
}

impl RedisConfigError {
    /// The setting to check first.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Address(_) | Self::Unverified => URL,
            Self::Unreadable { .. } | Self::NoCertificate { .. } => CA_FILE,
        }
    }
}

/// Checks that an address does not switch verification off, as the fragment `insecure` does in Redis clients.
pub(super) fn check_verification(url: &str) -> Result<(), RedisConfigError> {
    let fragment = url.rsplit_once('#').map(|(_, fragment)| fragment);
    if fragment.is_some_and(|fragment| fragment.trim().eq_ignore_ascii_case("insecure")) {
        return Err(RedisConfigError::Unverified);
    }
    Ok(())
}

/// The certificates in a file with at least one, all of which can be trusted as roots.
pub(super) fn certificates(file: &Path) -> Result<RootCertStore, RedisConfigError> {
    let contents =
        pem::read(file).map_err(|source| RedisConfigError::Unreadable { file: file.to_owned(), source })?;
    let mut store = RootCertStore::empty();
    let certificates = pem::certificates(&contents).unwrap_or_default();
    let usable = !certificates.is_empty() && certificates.into_iter().all(|one| store.add(one).is_ok());
    if usable {
        return Ok(store);
    }
    Err(RedisConfigError::NoCertificate { file: file.to_owned(), found: pem::describe(&contents) })
}
