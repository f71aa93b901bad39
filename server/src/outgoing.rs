//! The client of HTTP requests that the server sends itself: key sets are fetched with it, metrics and traces are sent with it.
//!
//! One place decides whom it trusts (the trust store of the system, or certificates that a setting names), so that no feature verifies
//! certificates in another way.

use std::error::Error;
use std::sync::{Arc, OnceLock};

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response};
use rustls::client::WantsClientCert;
use rustls::{ClientConfig, ConfigBuilder, WantsVerifier};
use rustls_platform_verifier::BuilderVerifierExt;

/// More than providers use.
const REDIRECTS_MAX: usize = 5;

/// What the requests of a client are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// They change nothing, so they may be sent again: where a redirect leads, or on another connection.
    Reading,
    /// They are sent once. A redirect is a response like others. Each has a connection of its own, because a client sends a request
    /// again when the connection that it kept turns out to be closed.
    Once,
}

/// There is no client, because the certificates of the system cannot be loaded.
#[derive(Debug, Clone, thiserror::Error)]
#[error("there is no trust store: {0}")]
pub struct NoTrustStore(String);

/// A client that is created at the first request: loading the system's certificates takes a while, and most servers send none.
#[derive(Debug)]
pub struct OutgoingClient {
    kind: RequestKind,
    client: OnceLock<Result<Client, NoTrustStore>>,
}

impl OutgoingClient {
    /// A client for requests of this kind.
    pub fn new(kind: RequestKind) -> Self {
        Self { kind, client: OnceLock::new() }
    }

    /// The same, which trusts these authorities and no others.
    ///
    /// # Errors
    /// When one of them is not valid.
    #[cfg(feature = "otel")]
    pub fn trusting(
        kind: RequestKind,
        authorities: Vec<rustls::pki_types::CertificateDer<'_>>,
    ) -> Result<Self, NoTrustStore> {
        let mut store = rustls::RootCertStore::empty();
        for authority in authorities {
            store.add(authority).map_err(|error| NoTrustStore(error.to_string()))?;
        }
        let client = client(kind, |tls| Ok(tls.with_root_certificates(store)));
        Ok(Self { kind, client: OnceLock::from(client) })
    }

    /// The client.
    ///
    /// # Errors
    /// Without a trust store.
    pub fn get(&self) -> Result<&Client, NoTrustStore> {
        let client = || client(self.kind, BuilderVerifierExt::with_platform_verifier);
        self.client.get_or_init(client).as_ref().map_err(Clone::clone)
    }
}

/// Why the body of a response was not read.
#[derive(Debug, thiserror::Error)]
pub enum ResponseBodyError {
    /// It is longer than it may be.
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
    /// It has not come to its end.
    #[error("the request failed")]
    Incomplete(#[source] reqwest::Error),
}

/// The body of a response, of at most `bytes_max`.
///
/// # Errors
/// When it is longer, or does not come to its end. The error has no URL, which may contain a password.
pub async fn bounded_body(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, ResponseBodyError> {
    let mut body = Vec::new();
    let incomplete = |error: reqwest::Error| ResponseBodyError::Incomplete(error.without_url());
    while let Some(part) = response.chunk().await.map_err(incomplete)? {
        if body.len() + part.len() > bytes_max {
            return Err(ResponseBodyError::TooLong(bytes_max));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// An error and its sources, for a log line.
pub fn with_sources(error: &dyn Error) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// TLS for which is decided whom it trusts.
type TrustingBuilder = ConfigBuilder<ClientConfig, WantsClientCert>;

/// Its TLS is configured explicitly, so that it does not depend on an installed crypto provider.
fn client(
    kind: RequestKind,
    trust: impl FnOnce(ConfigBuilder<ClientConfig, WantsVerifier>) -> Result<TrustingBuilder, rustls::Error>,
) -> Result<Client, NoTrustStore> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(trust)
        .map_err(|error| NoTrustStore(error.to_string()))?
        .with_no_client_auth();
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("realtime-server/", env!("CARGO_PKG_VERSION")));
    let builder = match kind {
        RequestKind::Reading => builder.redirect(Policy::custom(follow)),
        RequestKind::Once => builder.redirect(Policy::none()).pool_max_idle_per_host(0),
    };
    builder.build().map_err(|error| NoTrustStore(error.to_string()))
}

/// Follows redirects within one scheme: a redirect from https to http would let a man in the middle replace the response.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let before = attempt.previous();
    if before.len() > REDIRECTS_MAX {
        attempt.error("too many redirects")
    } else if before.last().is_some_and(|before| before.scheme() != attempt.url().scheme()) {
        attempt.error("redirected to another scheme")
    } else {
        attempt.follow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Every system that runs the tests has certificates, because its package manager needs them.
    #[test]
    fn a_client_of_each_kind_can_be_created() {
        for kind in [RequestKind::Reading, RequestKind::Once] {
            let client = OutgoingClient::new(kind);
            assert!(client.get().is_ok(), "{:?}", client.get());
        }
    }
}
