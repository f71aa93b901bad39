//! Tokens (JWT): which are believed, and the exact words in which the others are refused.
//!
//! The key is chosen by what *we* hold, never by what the token asks for: a token that names an
//! asymmetric algorithm is refused before any key is touched, so a public key (or our secret) cannot be
//! passed off as the other kind. The comparison of signatures is jsonwebtoken's, in constant time.
//!
//! Claims are checked here and not by jsonwebtoken, because Supabase's rules differ: no leeway unless
//! configured, fractions are rounded, `aud` is not looked at unless configured. No arithmetic on times can
//! overflow; tokens that last for centuries are normal.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

/// Longer texts are no tokens: real ones must fit a request header. Refused before a byte is decoded.
const MAX_LENGTH: usize = 64 * 1024;

/// Decides which tokens are believed. One per tenant.
#[derive(Debug, Clone)]
pub struct Verifier {
    key: DecodingKey,
    issuer: Option<Box<str>>,
    audience: Option<Box<str>>,
    leeway: i64,
}

impl Verifier {
    /// Believes tokens signed with `secret` (HS256, HS384, HS512), up to `leeway` after they expire. The
    /// `iss` and `aud` claims are looked at only if one is given here; then a token must carry it.
    pub fn new(
        secret: &SecretString,
        issuer: Option<&str>,
        audience: Option<&str>,
        leeway: Duration,
    ) -> Self {
        Self {
            key: DecodingKey::from_secret(secret.expose_secret().as_bytes()),
            issuer: issuer.map(Into::into),
            audience: audience.map(Into::into),
            leeway: seconds(leeway),
        }
    }

    /// What `token` says, if it is to be believed at `now`.
    ///
    /// # Errors
    /// The first rule it breaks. In time linear in its length, and never with a panic, whatever it holds.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Claims, TokenError> {
        let cleaned = clean(token).ok_or(TokenError::Malformed)?;
        let (message, signature) = cleaned.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(TokenError::Malformed)?;
        if signature.contains('.') || claims.contains('.') {
            return Err(TokenError::Malformed);
        }
        let header = object(header).ok_or(TokenError::Malformed)?;
        let claims = object(claims).ok_or(TokenError::Malformed)?;

        let algorithm = algorithm(&header)?;
        let genuine = jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, algorithm);
        if !matches!(genuine, Ok(true)) {
            return Err(TokenError::Signature);
        }
        self.check(&claims, seconds_since_epoch(now))?;
        granted(&claims, Fingerprint::of_cleaned(&cleaned))
    }

    /// Whether what a token said is still to be believed at `now`. Signature and other claims do not change.
    ///
    /// # Errors
    /// [`TokenError::Expired`], and no other.
    pub fn recheck(&self, claims: &Claims, now: SystemTime) -> Result<(), TokenError> {
        self.check_expiry(claims.expires_at, seconds_since_epoch(now))
    }

    /// How long what a token said is still to be believed after `now`; zero if it is over.
    pub fn time_left(&self, claims: &Claims, now: SystemTime) -> Duration {
        let end = u64::try_from(claims.expires_at.saturating_add(self.leeway)).unwrap_or(0);
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Duration::from_secs(end).saturating_sub(since_epoch)
    }

    fn check_expiry(&self, exp: i64, now: i64) -> Result<(), TokenError> {
        if exp.saturating_add(self.leeway) > now {
            return Ok(());
        }
        Err(TokenError::Expired { seconds_ago: now.saturating_sub(exp) })
    }

    /// The claims that need not be there, but must be right if they are, or if we are configured to ask.
    fn check(&self, claims: &Map<String, Value>, now: i64) -> Result<(), TokenError> {
        if let Some(exp) = claims.get("exp") {
            let exp = rounded(exp).ok_or(TokenError::InvalidExpiry)?;
            self.check_expiry(exp, now)?;
        }
        if claims.get("iat").is_some_and(|iat| !iat.is_number()) {
            return Err(TokenError::Rejected("iat"));
        }
        for (claim, expected) in [("iss", &self.issuer), ("aud", &self.audience)] {
            if let Some(expected) = expected
                && !claims.get(claim).is_some_and(|found| says(found, expected))
            {
                return Err(TokenError::Rejected(claim));
            }
        }
        Ok(())
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

/// Why a token is not believed. On a handshake the status is 401 for all of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is none. Said by whoever looked for it.
    #[error("API key is missing")]
    Missing,
    /// It is no token.
    #[error("The token provided is not a valid JWT")]
    Malformed,
    /// It was signed with another key, or changed since.
    #[error("Failed to validate JWT signature")]
    Signature,
    /// We hold no key for the algorithm it names.
    #[error("Failed to generate JWT signer{}, check your JWT secret or JWKS configuration", for_key(.kid))]
    Signer {
        /// The key it asks for, shortened and made printable.
        kid: Option<String>,
    },
    /// It is over.
    #[error("Token has expired {seconds_ago} seconds ago")]
    Expired {
        /// Since when.
        seconds_ago: i64,
    },
    /// It does not say who its holder is, or when it ends.
    #[error("Fields `role` and `exp` are required in JWT")]
    MissingClaims,
    /// When it ends is not a number.
    #[error("Token expiration time is invalid")]
    InvalidExpiry,
    /// This claim is not what it must be.
    #[error("Claim `{0}` is missing or not accepted")]
    Rejected(&'static str),
}

impl TokenError {
    /// What a refused handshake says in its body.
    pub fn handshake_text(&self) -> String {
        match self {
            Self::Expired { .. } => "Token has expired".into(),
            other => other.to_string(),
        }
    }

    /// What a refused join says as its `reason`, after the code, and the `system` message when a token sent
    /// later ends a room's membership.
    pub fn refresh_text(&self) -> String {
        self.to_string()
    }

    /// The word that operators search their logs for.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "MissingAPIKey",
            Self::Malformed => "MalformedJWT",
            Self::Signature => "JwtSignatureError",
            Self::Signer { .. } => "JwtSignerError",
            Self::Expired { .. } | Self::MissingClaims | Self::InvalidExpiry | Self::Rejected(_) => {
                "InvalidJWTToken"
            }
        }
    }
}

fn for_key(kid: &Option<String>) -> String {
    kid.as_ref().map(|kid| format!(" for key ID (kid) \"{kid}\"")).unwrap_or_default()
}

/// A new token, signed with HS256. `role`, `sub`, `iat` and `exp` win over claims of the same names.
pub fn sign(
    secret: &SecretString,
    role: &str,
    sub: Option<&str>,
    mut claims: Map<String, Value>,
    now: SystemTime,
    expires_in: Duration,
) -> String {
    let now = seconds_since_epoch(now);
    claims.insert("role".into(), role.into());
    if let Some(sub) = sub {
        claims.insert("sub".into(), sub.into());
    }
    claims.insert("iat".into(), now.into());
    claims.insert("exp".into(), now.saturating_add(seconds(expires_in)).into());
    let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
        .expect("a JSON object can be signed with any HMAC secret")
}

/// Percent-decoded and without white space, as upstream reads tokens; `None` if it cannot be one.
fn clean(token: &str) -> Option<String> {
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

/// The algorithm to verify with, if it is one we hold the key for.
fn algorithm(header: &Map<String, Value>) -> Result<Algorithm, TokenError> {
    match header.get("alg").and_then(Value::as_str) {
        Some("HS256") => Ok(Algorithm::HS256),
        Some("HS384") => Ok(Algorithm::HS384),
        Some("HS512") => Ok(Algorithm::HS512),
        Some("RS256" | "RS384" | "RS512" | "ES256" | "ES384" | "ES512" | "EdDSA" | "Ed25519" | "Ed448") => {
            Err(TokenError::Signer { kid: header.get("kid").and_then(Value::as_str).map(printable) })
        }
        _ => Err(TokenError::Signer { kid: None }),
    }
}

/// What a client wrote, fit for a log line and for an answer.
fn printable(kid: &str) -> String {
    kid.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\')).take(64).collect()
}

/// The claims that must be there.
fn granted(claims: &Map<String, Value>, fingerprint: Fingerprint) -> Result<Claims, TokenError> {
    let text =
        |claim| claims.get(claim).and_then(Value::as_str).filter(|text| !text.is_empty()).map(Box::from);
    let role = text("role").ok_or(TokenError::MissingClaims)?;
    let expires_at = claims.get("exp").and_then(rounded).ok_or(TokenError::MissingClaims)?;
    Ok(Claims { role, sub: text("sub"), expires_at, fingerprint })
}

/// Whether a claim is this text, or a list with this text in it.
fn says(claim: &Value, expected: &str) -> bool {
    match claim {
        Value::String(text) => text == expected,
        Value::Array(texts) => texts.iter().any(|text| text == expected),
        _ => false,
    }
}

/// A time as whole seconds; beyond what fits, the nearest that does.
fn rounded(time: &Value) -> Option<i64> {
    let number = time.as_number()?;
    // A float-to-integer cast saturates, and no JSON number is NaN.
    number.as_i64().or_else(|| Some(number.as_f64()?.round() as i64))
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn seconds_since_epoch(now: SystemTime) -> i64 {
    now.duration_since(UNIX_EPOCH).map(seconds).unwrap_or(0)
}

#[cfg(test)]
mod tests;
