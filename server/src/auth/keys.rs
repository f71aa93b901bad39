//! The keys a tenant's tokens may be signed with.
//!
//! The configured key decides which algorithms are allowed, never the token: a secret verifies HMAC and nothing else,
//! so it is not used for a token that names an asymmetric algorithm. jsonwebtoken compares signatures, in constant time.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::LazyLock;

use jsonwebtoken::{Algorithm, DecodingKey};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::TokenError;
use super::token::Token;

/// Identifies the key that signed a token, so that removing the key ends exactly the sessions of its tokens. Valid
/// within this process: the hash has a random key, and reveals nothing of the signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId {
    hash: u64,
    source: KeySource,
}

/// Where a key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum KeySource {
    /// The settings. It may be a secret.
    Settings,
    /// A URL that anyone can read, so it must not be a secret.
    Published,
}

impl KeyId {
    pub(super) fn of(key: impl Hash, source: KeySource) -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self { hash: KEY.hash_one(key), source }
    }

    pub(super) fn is_published(self) -> bool {
        self.source == KeySource::Published
    }
}

/// Secrets, all of which are accepted: there are two while one replaces the other.
#[derive(Debug, Clone)]
pub(super) struct Secrets(Box<[(KeyId, DecodingKey)]>);

impl Secrets {
    /// The secrets without duplicates.
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let mut keys: Vec<(KeyId, DecodingKey)> = Vec::new();
        for secret in secrets.into_iter().map(|secret| secret.expose_secret().as_bytes()) {
            let id = KeyId::of(secret, KeySource::Settings);
            if keys.iter().all(|(known, _)| *known != id) {
                keys.push((id, DecodingKey::from_secret(secret)));
            }
        }
        Self(keys.into())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, key: KeyId) -> bool {
        self.0.iter().any(|(known, _)| *known == key)
    }

    /// The secret that signed `token` with the HMAC `algorithm`.
    pub(super) fn signer(&self, token: &Token, algorithm: Algorithm) -> Option<KeyId> {
        self.0.iter().find_map(|(id, key)| is_signed_by(token, key, algorithm).then_some(*id))
    }
}

/// Whether the signature of `token` is valid for `key`.
pub(super) fn is_signed_by(token: &Token, key: &DecodingKey, algorithm: Algorithm) -> bool {
    matches!(jsonwebtoken::crypto::verify(token.signature(), token.message(), key, algorithm), Ok(true))
}

/// The kind of key that a token names in `alg`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// A secret.
    Secret(Algorithm),
    /// A private key. `None` for an algorithm that no library here can verify.
    Public(Option<Algorithm>),
}

impl KeyKind {
    /// The kind that `token` names.
    ///
    /// # Errors
    /// If it names none, or one that tokens must not have.
    pub(super) fn of(token: &Token) -> Result<Self, TokenError> {
        Ok(match token.header.get("alg").and_then(Value::as_str) {
            Some("HS256") => Self::Secret(Algorithm::HS256),
            Some("HS384") => Self::Secret(Algorithm::HS384),
            Some("HS512") => Self::Secret(Algorithm::HS512),
            Some("RS256") => Self::Public(Some(Algorithm::RS256)),
            Some("RS384") => Self::Public(Some(Algorithm::RS384)),
            Some("RS512") => Self::Public(Some(Algorithm::RS512)),
            Some("ES256") => Self::Public(Some(Algorithm::ES256)),
            Some("ES384") => Self::Public(Some(Algorithm::ES384)),
            Some("EdDSA" | "Ed25519") => Self::Public(Some(Algorithm::EdDSA)),
            Some("ES512" | "Ed448") => Self::Public(None),
            _ => return Err(TokenError::Signer { kid: None }),
        })
    }
}

/// The id of the key that `token` names.
pub(super) fn kid(token: &Token) -> Option<&str> {
    token.header.get("kid").and_then(Value::as_str)
}

/// The error that there is no key for `token`.
pub(super) fn unknown_key(token: &Token) -> TokenError {
    TokenError::Signer { kid: kid(token).map(printable) }
}

/// A text from outside, shortened and reduced to what is safe in a log line and in a response.
pub(super) fn printable(kid: &str) -> String {
    kid.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\')).take(64).collect()
}
