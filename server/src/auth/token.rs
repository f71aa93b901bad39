//! A token (JWT) as it is written: three parts, of which two can be read before anything is believed.
//!
//! Reading takes time linear in the length, and whatever the text holds it does not panic.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::keys::KeyId;
use super::{TokenError, rules};

/// Longer texts are no tokens: real ones must fit a request header. Refused before a byte is decoded.
const MAX_LENGTH: usize = 64 * 1024;

/// A token that has been read, and not been believed yet.
#[derive(Debug)]
pub(super) struct Token {
    text: String,
    /// Where in `text` the signature begins; a full stop stands before it.
    signature: usize,
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
}

impl Token {
    /// Reads a token as a client sends it.
    pub(super) fn read(token: &str) -> Result<Self, TokenError> {
        Self::parse(clean(token).ok_or(TokenError::Malformed)?).ok_or(TokenError::Malformed)
    }

    fn parse(text: String) -> Option<Self> {
        let (message, signature) = text.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        // Full stops are no base64, so more than three parts fail here as well.
        let (header, claims) = (object(header)?, object(claims)?);
        Some(Self { signature: text.len() - signature.len(), header, claims, text })
    }

    /// The whole token, cleaned.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What is signed.
    pub(super) fn message(&self) -> &[u8] {
        &self.text.as_bytes()[..self.signature - 1]
    }

    /// The signature, still encoded.
    pub(super) fn signature(&self) -> &str {
        &self.text[self.signature..]
    }

    /// The claims that a user's token must have. `key` is the one that signed it.
    pub(super) fn granted(&self, key: KeyId) -> Result<Claims, TokenError> {
        let claim = |name| self.claims.get(name);
        let text = |name| claim(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(Box::from);
        let role = text("role").ok_or(TokenError::MissingClaims)?;
        let expires_at = claim("exp").and_then(rules::rounded).ok_or(TokenError::MissingClaims)?;
        let fingerprint = Fingerprint::of_cleaned(&self.text);
        Ok(Claims { role, sub: text("sub"), expires_at, fingerprint, key })
    }
}

/// What a believed token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The Postgres role of its holder: `anon`, `authenticated`, `service_role`, or one of the application's.
    pub role: Box<str>,
    /// Who its holder is, if it says so.
    pub sub: Option<Box<str>>,
    /// When it ends, in seconds since 1970; `i64::MAX` for everything later.
    pub expires_at: i64,
    /// To tell whether a client sends the same token again.
    pub fingerprint: Fingerprint,
    /// The key that signed it. Once that is taken away, it is no longer believed.
    pub key: KeyId,
}

/// Stands for a token that we do not keep. Compares within this process only: the hash is keyed with a
/// random number, so that nobody can prepare two tokens that look the same.
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

    fn of_cleaned(token: &str) -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(KEY.hash_one(token))
    }
}

/// Percent-decoded and without white space, as upstream reads tokens; `None` if it cannot be one.
pub(super) fn clean(token: &str) -> Option<String> {
    if token.len() > MAX_LENGTH {
        return None;
    }
    let decoded = percent_encoding::percent_decode_str(token).decode_utf8().ok()?;
    Some(decoded.chars().filter(|c| !c.is_whitespace()).collect())
}

/// One part of a token: base64url of a JSON object.
fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
