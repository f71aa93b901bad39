//! What a verified token of a user states, and how the token is recognised later.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::LazyLock;

use serde_json::Value;

use super::keys::KeyId;
use super::token::{Token, clean};
use super::{TokenError, rules};

/// The claims of a verified user token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The Postgres role of its holder: `anon`, `authenticated`, `service_role`, or one of the application's.
    pub role: Box<str>,
    /// The user, if the token names one.
    pub sub: Option<Box<str>>,
    /// When it expires, in seconds since 1970; `i64::MAX` for everything later.
    pub expires_at: i64,
    /// All claims as a JSON object, for the policies of a database. `None` where no database asks for them.
    pub payload: Option<Box<str>>,
    /// Recognises the same token when a client sends it again.
    pub fingerprint: Fingerprint,
    /// The key that signed it. Once that is removed, the token is no longer accepted.
    pub key: KeyId,
}

impl Claims {
    /// The claims of `token`, whose signature by `key` has been verified.
    ///
    /// # Errors
    /// Without a `role` or an `exp`.
    pub(super) fn of(token: &Token, key: KeyId) -> Result<Self, TokenError> {
        let claim = |name| token.claims.get(name);
        let text = |name| claim(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(Box::from);
        let role = text("role").ok_or(TokenError::MissingClaims)?;
        let expires_at = claim("exp").and_then(rules::rounded).ok_or(TokenError::MissingClaims)?;
        let fingerprint = Fingerprint::of_cleaned(token.text());
        Ok(Self { role, sub: text("sub"), expires_at, payload: token.payload(), fingerprint, key })
    }
}

/// Identifies a token without keeping it, within this process: the hash has a random key, so that no client can
/// construct two tokens with the same fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of a token as a client sends it.
    pub fn of(token: &str) -> Self {
        match clean(token) {
            Some(cleaned) => Self::of_cleaned(&cleaned),
            None => Self::of_cleaned(token),
        }
    }

    /// The fingerprint as a number.
    pub(super) fn bits(self) -> u64 {
        self.0
    }

    fn of_cleaned(token: &str) -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(KEY.hash_one(token))
    }
}
