//! Making tokens: for the command line and for a newcomer's first program.

use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::rules::{seconds, seconds_since_epoch};

/// A user's token, signed with HS256. `role`, `sub`, `iat` and `exp` win over claims of the same names.
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
    seal(secret, claims, now, expires_in)
}

/// A token for whoever runs the server, or reads its numbers, signed with HS256. `iat` and `exp` win over claims
/// of the same names; a `role` would make it a user's, and is left out.
pub fn sign_operator(
    secret: &SecretString,
    mut claims: Map<String, Value>,
    now: SystemTime,
    expires_in: Duration,
) -> String {
    claims.remove("role");
    seal(secret, claims, now, expires_in)
}

fn seal(secret: &SecretString, mut claims: Map<String, Value>, now: SystemTime, life: Duration) -> String {
    let now = seconds_since_epoch(now);
    claims.insert("iat".into(), now.into());
    claims.insert("exp".into(), now.saturating_add(seconds(life)).into());
    let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
        .expect("a JSON object can be signed with any HMAC secret")
}
