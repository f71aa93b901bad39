//! One request for a key set, bounded in time, in size, and in redirects.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::StatusCode;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Url};
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;

use crate::auth::key_set::KeySet;
use crate::auth::keys::KeySource;

/// More than twice the size of a set of a hundred large keys.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// More than providers use.
const REDIRECTS_MAX: usize = 5;

/// Why a fetch has failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("there is no trust store: {0}")]
    TrustStore(String),
    #[error("the request failed")]
    Request(#[from] reqwest::Error),
    #[error("the answer was {0}")]
    Status(StatusCode),
    #[error("the answer has more than {BODY_BYTES_MAX} bytes")]
    TooLong,
    #[error("the answer {0}")]
    NotASet(String),
    #[error("none of its keys can be used: {0}")]
    NoKeys(String),
}

impl FetchError {
    /// The error and its sources, for a log line.
    pub(super) fn with_sources(&self) -> String {
        let sources = std::iter::successors(std::error::Error::source(self), |error| error.source());
        std::iter::once(self.to_string())
            .chain(sources.map(ToString::to_string))
            .collect::<Vec<_>>()
            .join(": ")
    }
}

/// Sends the requests of all sources.
#[derive(Debug, Default)]
pub(super) struct Fetcher {
    /// Created at the first request: loading the system's certificates takes a while, and most servers fetch nothing.
    client: OnceLock<Result<Client, String>>,
}

impl Fetcher {
    /// Fetches the key set at `url`.
    pub(super) async fn fetch(&self, url: &str, timeout: Duration) -> Result<KeySet, FetchError> {
        let client = self.client.get_or_init(client).as_ref();
        let client = client.map_err(|why| FetchError::TrustStore(why.clone()))?;
        let request = client.get(url).header(http::header::ACCEPT, "application/json").timeout(timeout);
        // Without the URL, which may contain a password; the log line has its redacted form.
        let mut response = request.send().await.map_err(reqwest::Error::without_url)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(FetchError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        read(&body)
    }
}

/// Parses a set. One without a usable key is an error: it would disconnect all clients, and is most likely a mistake.
fn read(body: &[u8]) -> Result<KeySet, FetchError> {
    let text = std::str::from_utf8(body).map_err(|_| FetchError::NotASet("is no text".into()))?;
    let keys = KeySet::parse(text, KeySource::Published).map_err(FetchError::NotASet)?;
    if keys.is_empty() {
        let why = match keys.problems() {
            [] => "it holds none for signatures".into(),
            problems => problems.join("; "),
        };
        return Err(FetchError::NoKeys(why));
    }
    Ok(keys)
}

/// A client with the trust store of the system. Its TLS is configured explicitly, so that it does not depend on an
/// installed crypto provider.
fn client() -> Result<Client, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)
        .map_err(|error| error.to_string())?
        .with_no_client_auth();
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::custom(follow))
        .user_agent(concat!("realtime-server/", env!("CARGO_PKG_VERSION")))
        .build();
    client.map_err(|error| error.to_string())
}

/// Follows redirects within one scheme: a redirect from https to http would let a man in the middle replace the keys.
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

/// A URL without its user information and query, which may contain a password or a key.
pub(super) fn redacted(url: &str) -> String {
    match Url::parse(url) {
        Ok(url) => format!("{}{}", url.origin().ascii_serialization(), url.path()),
        Err(_) => "no URL".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_redacted() {
        assert_eq!(
            redacted("https://u:secret@a.example:8443/keys?key=secret"),
            "https://a.example:8443/keys"
        );
        assert_eq!(redacted("secret"), "no URL");
    }

    #[test]
    fn a_set_without_a_usable_key_is_an_error() {
        let why = |body: &[u8]| read(body).expect_err("no usable key").with_sources();
        assert_eq!(why(br#"{"keys":[]}"#), "none of its keys can be used: it holds none for signatures");
        let secret = br#"{"keys":[{"kid":"k","kty":"oct","k":"c2VjcmV0"}]}"#;
        assert!(why(secret).ends_with("key 1 (kid \"k\"): a secret that is published is none"));
        assert!(why(b"<html>").starts_with("the answer must be a JSON Web Key Set"));
        assert_eq!(why(&[0xff]), "the answer is no text");
    }

    // Every system that runs the tests has certificates, because its package manager needs them.
    #[test]
    fn a_client_can_be_created() {
        assert!(client().is_ok(), "{:?}", client());
    }
}
