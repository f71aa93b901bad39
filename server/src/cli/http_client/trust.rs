//! Which servers a connection with TLS is made to.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::pinned::Pinned;
use crate::crypto::AcceptAny;

/// Which servers a connection with TLS is made to.
#[derive(Debug)]
pub(in crate::cli) enum Trust {
    /// All. For health checks only, which send and receive nothing secret: a certificate is issued for a public name, and they
    /// go to a local address.
    Any,
    /// Those whose certificate is for the name in the URL, from an authority that this machine trusts.
    System,
    /// The one with the certificate in this file, whatever name it is for: the server of this machine, by its own settings.
    Certificate(PathBuf),
}

impl Trust {
    /// The configuration of the client.
    ///
    /// # Errors
    /// When the trust store or the file cannot be read.
    pub(super) fn config(&self) -> anyhow::Result<Arc<ClientConfig>> {
        let provider = CryptoProvider::get_default().context("no TLS provider is installed")?;
        let builder = ClientConfig::builder();
        let builder = match self {
            Self::Any => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AcceptAny(Arc::clone(provider)))),
            Self::System => builder.with_platform_verifier().context("this machine has no trust store")?,
            Self::Certificate(file) => {
                let pinned = Pinned::read(file, Arc::clone(provider))
                    .with_context(|| format!("cannot verify the server by {}", file.display()))?;
                builder.dangerous().with_custom_certificate_verifier(Arc::new(pinned))
            }
        };
        Ok(Arc::new(builder.with_no_client_auth()))
    }
}
