//! Signs tokens for the command line and for `serve --dev`.

use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::rules::{seconds, seconds_since_epoch};

/// A user's token, signed with HS256. `role`, `sub`, `iat` and `exp` replace claims of the same names.
pub fn sign(
    secret: &SecretString,
    role: &str,
    sub: Option<&str>,
    mut claims: Map<String, Value>,
    now: SystemTime,
    expires_in: Duration,
) -> String {
    claims.insert("role".into(), role.into());
    if let Some(sub) = sub {
        claims.insert("sub".into(), sub.into());
    }
    sign_claims(secret, claims, now, expires_in)
}

/// A token for operators, or for `/metrics`, signed with HS256. `iat` and `exp` replace claims of the same names; a `role`
/// would make it a user's token, and is left out.
pub fn sign_operator(
    secret: &SecretString,
    mut claims: Map<String, Value>,
    now: SystemTime,
    expires_in: Duration,
) -> String {
    claims.remove("role");
    sign_claims(secret, claims, now, expires_in)
}

fn sign_claims(
    secret: &SecretString,
    mut claims: Map<String, Value>,
    now: SystemTime,
    lifetime: Duration,
) -> String {
    let now = seconds_since_epoch(now);
    claims.insert("iat".into(), now.into());
    claims.insert("exp".into(), now.saturating_add(seconds(lifetime)).into());
    let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
        .expect("a JSON object can be signed with any HMAC secret")
}
