//! The keys a tenant's tokens may be signed with.
//!
//! The key is chosen by what *we* hold, never by what the token asks for: a secret verifies HMAC and nothing
//! else, so a token that names an asymmetric algorithm never comes near it. The comparison of signatures is
//! jsonwebtoken's, in constant time.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::LazyLock;

use jsonwebtoken::{Algorithm, DecodingKey};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::TokenError;
use super::token::Token;

/// Stands for a key in what it has signed, so that taking the key away ends exactly that. Compares within this
/// process only: the hash is keyed with a random number, and tells nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId {
    hash: u64,
    origin: KeySource,
}

/// Where a key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum KeySource {
    /// Written by whoever runs this server. May be a secret.
    Settings,
    /// Fetched from where everybody can read it. A secret that is published is none.
    Published,
}

impl KeyId {
    pub(super) fn of(key: impl Hash, origin: KeySource) -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self { hash: KEY.hash_one(key), origin }
    }

    pub(super) fn is_published(self) -> bool {
        self.origin == KeySource::Published
    }
}

/// Secrets, each of which is believed: two while one of them is being changed.
#[derive(Debug, Clone)]
pub(super) struct Secrets(Box<[(KeyId, DecodingKey)]>);

impl Secrets {
    /// Those of them that differ.
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

    pub(super) fn hold(&self, key: KeyId) -> bool {
        self.0.iter().any(|(known, _)| *known == key)
    }

    /// The one that signed `token`, by the HMAC `algorithm`.
    pub(super) fn signer(&self, token: &Token, algorithm: Algorithm) -> Option<KeyId> {
        let signed = |key| signed(token, key, algorithm);
        self.0.iter().find_map(|(id, key)| signed(key).then_some(*id))
    }
}

/// Whether `token` was signed by the holder of `key`.
pub(super) fn signed(token: &Token, key: &DecodingKey, algorithm: Algorithm) -> bool {
    matches!(jsonwebtoken::crypto::verify(token.signature(), token.message(), key, algorithm), Ok(true))
}

/// What kind of key a token was signed with, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A secret.
    Secret(Algorithm),
    /// A private key, whose public half we may hold. `None`: no library of ours can verify that.
    Public(Option<Algorithm>),
}

impl Kind {
    /// The kind that `token` names, if it is one that tokens may have.
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

/// The key that `token` asks for.
pub(super) fn kid(token: &Token) -> Option<&str> {
    token.header.get("kid").and_then(Value::as_str)
}

/// There is no key for `token`.
pub(super) fn no_signer(token: &Token) -> TokenError {
    TokenError::Signer { kid: kid(token).map(printable) }
}

/// What somebody else wrote, fit for a log line and for an answer.
pub(super) fn printable(kid: &str) -> String {
    kid.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\')).take(64).collect()
}
