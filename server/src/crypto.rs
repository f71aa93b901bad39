//! The cryptography provider of TLS, for clients and towards other servers: `ring`.
//!
//! Several dependencies use rustls and could enable different providers. So one is installed before any of them starts.

mod unverified;

pub use unverified::AcceptAny;

/// Installs the provider for this process. `main` calls this first; further calls change nothing.
pub fn install() {
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
}
