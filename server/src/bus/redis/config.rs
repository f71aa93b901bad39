//! Whether the address of Redis and the certificates that vouch for it can be used, and why not.

use std::io;
use std::path::{Path, PathBuf};

use redis::RedisError;
use rustls::RootCertStore;

use crate::pem;

const URL: &str = "bus.redis_url";
const CA_FILE: &str = "bus.tls_ca_file";

/// What is wrong with the settings of the bus. The address, which may hold a password, is in no message.
#[derive(Debug, thiserror::Error)]
pub enum RedisConfigError {
    /// It is no address.
    #[error("`{URL}` is not the address of a Redis")]
    Address(#[source] RedisError),
    /// The address asks for TLS that believes everybody.
    #[error(
        "`{URL}` ends with `#insecure`, by which the certificate of Redis would not be verified: leave it out, and name \
         the certificate that vouches for it in `{CA_FILE}`"
    )]
    Unverified,
    /// The certificates cannot be read.
    #[error("cannot read `{CA_FILE}` ({})", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("`{CA_FILE}` ({}) has no certificate in it (PEM): {found}", file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
        /// What it holds instead.
        found: &'static str,
    },
    /// No client can be made of them.
    #[error("`{URL}` cannot be used")]
    Client(#[source] RedisError),
}

impl RedisConfigError {
    /// The setting to look at first.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Address(_) | Self::Unverified | Self::Client(_) => URL,
            Self::Unreadable { .. } | Self::NoCertificate { .. } => CA_FILE,
        }
    }
}

/// That an address does not switch verification off, as the fragment `insecure` does in clients of Redis.
pub(super) fn verifies(url: &str) -> Result<(), RedisConfigError> {
    let fragment = url.rsplit_once('#').map(|(_, fragment)| fragment);
    if fragment.is_some_and(|fragment| fragment.trim().eq_ignore_ascii_case("insecure")) {
        return Err(RedisConfigError::Unverified);
    }
    Ok(())
}

/// The contents of a file with at least one certificate, each of which can vouch for Redis.
pub(super) fn certificates(file: &Path) -> Result<Vec<u8>, RedisConfigError> {
    let contents =
        pem::read(file).map_err(|source| RedisConfigError::Unreadable { file: file.to_owned(), source })?;
    let mut store = RootCertStore::empty();
    let certificates = pem::certificates(&contents).unwrap_or_default();
    let usable = !certificates.is_empty() && certificates.into_iter().all(|one| store.add(one).is_ok());
    if usable {
        return Ok(contents);
    }
    Err(RedisConfigError::NoCertificate { file: file.to_owned(), found: pem::describe(&contents) })
}
