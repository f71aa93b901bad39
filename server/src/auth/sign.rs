//! Making tokens: for the command line and for a newcomer's first program.

use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::rules::{seconds, seconds_since_epoch};

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
