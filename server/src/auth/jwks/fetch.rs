//! One request for a key set, bounded in time, in size, and in redirects.

use std::time::Duration;

use http::StatusCode;
use reqwest::Url;

use crate::auth::key_set::KeySet;
use crate::auth::keys::KeySource;
use crate::outgoing::{NoTrustStore, OutgoingClient, RequestKind, ResponseBodyError, bounded_body};

/// More than twice the size of a set of a hundred large keys.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// Why a fetch has failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    TrustStore(#[from] NoTrustStore),
    #[error("the request failed")]
    Request(#[from] reqwest::Error),
    #[error("the answer was {0}")]
    Status(StatusCode),
    #[error(transparent)]
    Body(#[from] ResponseBodyError),
    #[error("the answer {0}")]
    NotASet(String),
    #[error("none of its keys can be used: {0}")]
    NoKeys(String),
}

/// Sends the requests of all sources.
#[derive(Debug)]
pub(super) struct Fetcher(OutgoingClient);

impl Default for Fetcher {
    fn default() -> Self {
        Self(OutgoingClient::new(RequestKind::Reading))
    }
}

impl Fetcher {
    /// Fetches the key set at `url`.
    pub(super) async fn fetch(&self, url: &str, timeout: Duration) -> Result<KeySet, FetchError> {
        let request =
            self.0.get()?.get(url).header(http::header::ACCEPT, "application/json").timeout(timeout);
        // Without the URL, which may contain a password; the log line has its redacted form.
        let response = request.send().await.map_err(reqwest::Error::without_url)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        read(&bounded_body(response, BODY_BYTES_MAX).await?)
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
    use crate::outgoing::with_sources;

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
        let why = |body: &[u8]| with_sources(&read(body).expect_err("no usable key"));
        assert_eq!(why(br#"{"keys":[]}"#), "none of its keys can be used: it holds none for signatures");
        let secret = br#"{"keys":[{"kid":"k","kty":"oct","k":"c2VjcmV0"}]}"#;
        assert!(why(secret).ends_with("key 1 (kid \"k\"): a secret that is published is none"));
        assert!(why(b"<html>").starts_with("the answer must be a JSON Web Key Set"));
        assert_eq!(why(&[0xff]), "the answer is no text");
    }
}
