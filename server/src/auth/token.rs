//! A token (JWT) as it is encoded: three parts, of which two can be read before the third is verified.
//!
//! Parsing takes time linear in the length, and no text makes it panic.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::TokenError;

/// The longest token accepted, since tokens must fit a request header. Longer ones are refused before they are decoded.
const MAX_LENGTH: usize = 64 * 1024;

/// A token that has been parsed, and not been verified.
#[derive(Debug)]
pub struct Token {
    text: String,
    /// Where in `text` the signature begins, after a full stop.
    signature: usize,
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
}

impl Token {
    /// Parses a token as a client sends it.
    pub(super) fn read(token: &str) -> Result<Self, TokenError> {
        Self::parse(clean(token).ok_or(TokenError::Malformed)?).ok_or(TokenError::Malformed)
    }

    fn parse(text: String) -> Option<Self> {
        let (message, signature) = text.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        // A full stop is not in the alphabet of base64, so more than three parts fail here as well.
        let (header, claims) = (object(header)?, object(claims)?);
        Some(Self { signature: text.len() - signature.len(), header, claims, text })
    }

    /// The whole token, cleaned.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The claims as they were signed: numbers of any size stay what they are.
    pub(super) fn payload(&self) -> Option<Box<str>> {
        let claims = self.text.split('.').nth(1)?;
        let json = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
        String::from_utf8(json).ok().map(Box::from)
    }

    /// The signed part: header and claims, encoded.
    pub(super) fn message(&self) -> &[u8] {
        &self.text.as_bytes()[..self.signature - 1]
    }

    /// The signature, still encoded.
    pub(super) fn signature(&self) -> &str {
        &self.text[self.signature..]
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
