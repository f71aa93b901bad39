//! Which cryptography TLS uses, here and towards other servers: `ring`, for all of the process.
//!
//! Several of our crates bring rustls along and could each choose; so it is chosen before any of them asks.

/// Makes the choice. Done first thing by whoever has a `main`; a second time changes nothing.
pub fn install() {
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
}
