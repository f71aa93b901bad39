//! What a verified token of a user states, and how the token is recognised later.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::keys::KeyId;
use super::permissions::Permissions;
use super::token::{Token, clean};
use super::{TokenError, rules};

/// What a verified token states, in the form that its use needs.
pub trait TokenClaims: Sized + Send {
    /// The claims of `token`, whose signature by `key` has been verified.
    ///
    /// # Errors
    /// If a claim that this form requires is missing or not accepted.
    fn of(token: &Token, key: KeyId) -> Result<Self, TokenError>;

    /// Recognises the token.
    fn fingerprint(&self) -> Fingerprint;

    /// When it expires, in seconds since 1970.
    fn expires_at(&self) -> i64;

    /// The key that signed it.
    fn key(&self) -> KeyId;

    /// The bytes of what the issuer of the token has chosen.
    fn text_bytes(&self) -> usize;

    /// It without what only policies of a database read.
    #[must_use]
    fn without_payload(self) -> Self {
        self
    }
}

/// The claims of a verified user token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The Postgres role of its holder: `anon`, `authenticated`, `service_role`, or one of the application's.
    pub role: Box<str>,
    /// The user, if the token names one.
    pub sub: Option<Box<str>>,
    /// When it expires, in seconds since 1970; `i64::MAX` for everything later.
    pub expires_at: i64,
    /// Which rooms it is restricted to. `None` also for a claim `permissions` that is no object, as other identity providers have it.
    pub permissions: Option<Box<Permissions>>,
    /// All claims as a JSON object, for the policies of a database. `None` where no database asks for them.
    pub payload: Option<Box<str>>,
    /// Recognises the same token when a client sends it again.
    pub fingerprint: Fingerprint,
    /// The key that signed it. Once that is removed, the token is no longer accepted.
    pub key: KeyId,
}

impl TokenClaims for Claims {
    /// # Errors
    /// Without a `role` or an `exp`, or with lists of permissions of another form.
    fn of(token: &Token, key: KeyId) -> Result<Self, TokenError> {
        let claims = &token.claims;
        let role = text(claims, "role").ok_or(TokenError::MissingClaims("role"))?;
        let expires_at = expiry(claims).ok_or(TokenError::MissingClaims("role"))?;
        let (sub, fingerprint) = (text(claims, "sub"), Fingerprint::of_read(token));
        let permissions = claims.get("permissions").filter(|permissions| permissions.is_object());
        let permissions = permissions.map(Permissions::read).transpose()?.map(Box::new);
        Ok(Self { role, sub, expires_at, permissions, payload: token.payload(), fingerprint, key })
    }

    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    fn expires_at(&self) -> i64 {
        self.expires_at
    }

    fn key(&self) -> KeyId {
        self.key
    }

    fn text_bytes(&self) -> usize {
        let permissions = self.permissions.as_deref().map_or(0, Permissions::bytes);
        self.role.len() + text_len(&self.sub) + permissions + text_len(&self.payload)
    }

    fn without_payload(self) -> Self {
        Self { payload: None, ..self }
    }
}

/// A claim that is a string, and not empty.
pub(super) fn text(claims: &Map<String, Value>, name: &str) -> Option<Box<str>> {
    claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(Box::from)
}

/// The bytes of a claim that may be missing.
pub(super) fn text_len(text: &Option<Box<str>>) -> usize {
    text.as_deref().map_or(0, str::len)
}

/// When a token with these claims expires, in seconds since 1970.
pub(super) fn expiry(claims: &Map<String, Value>) -> Option<i64> {
    claims.get("exp").and_then(rules::rounded)
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

    /// The fingerprint of a token that was parsed.
    pub(super) fn of_read(token: &Token) -> Self {
        Self::of_cleaned(token.text())
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
