//! Signs tokens: for the command line, for `serve --dev`, and for clients of documents whose backend asks for one.

use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use settings::Auth;

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

/// A token for rooms and documents, which has no `role`, with the claims that `auth` requires and signed with its secret; `None` if it
/// has none. `sub`, `iat` and `exp` replace claims of the same names.
pub fn sign_for_rooms(
    auth: &Auth,
    sub: &str,
    mut claims: Map<String, Value>,
    now: SystemTime,
    expires_in: Duration,
) -> Option<String> {
    let secret = signing_secret(auth)?;
    claims.insert("sub".into(), sub.into());
    Some(sign_claims(secret, with_users_claims(claims, auth), now, expires_in))
}

/// The secret that signs new tokens of users; the others only verify.
pub fn signing_secret(auth: &Auth) -> Option<&SecretString> {
    auth.jwt_secret.iter().chain(&auth.jwt_secrets).next()
}

/// Adds what `auth` requires of users, unless the claims have it.
pub fn with_users_claims(mut claims: Map<String, Value>, auth: &Auth) -> Map<String, Value> {
    for (claim, configured) in [("iss", &auth.jwt_issuer), ("aud", &auth.jwt_audience)] {
        if let Some(value) = configured {
            claims.entry(claim).or_insert_with(|| value.as_str().into());
        }
    }
    with_validated_claims(claims, auth)
}

/// Adds what `auth` requires of operators as well.
pub fn with_validated_claims(mut claims: Map<String, Value>, auth: &Auth) -> Map<String, Value> {
    for (claim, value) in &auth.claim_validators {
        claims.entry(claim).or_insert_with(|| value.clone());
    }
    claims
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
