//! Verification of tokens, by question.

mod claims;
mod errors;
mod parsing;
mod rooms;
mod signatures;

use std::time::UNIX_EPOCH;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::*;
use crate::auth::Claims;

const SECRET: &str = "a secret of at least thirty-two bytes";
const NOW: i64 = 1_800_000_000;

fn secret() -> SecretString {
    SecretString::from(SECRET)
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW as u64)
}

/// A verifier with the secret and the settings that `change` adds.
fn with(change: impl FnOnce(&mut Auth)) -> Verifier {
    let mut auth = Auth { jwt_secret: Some(secret()), ..Auth::default() };
    change(&mut auth);
    Verifier::new(&auth, None)
}

fn verify(token: &str) -> Result<Claims, TokenError> {
    with(|_| {}).verify(token, now())
}

/// A token with this header and these claims, signed by HMAC whichever algorithm the header names.
fn signed_with(secret: &str, header: Value, claims: Value) -> String {
    let encode = |part: Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
    let message = format!("{}.{}", encode(header), encode(claims.clone()));
    let algorithm = Algorithm::HS256;
    let key = EncodingKey::from_secret(secret.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).expect("signed");
    format!("{message}.{signature}")
}

fn signed(claims: Value) -> String {
    signed_with(SECRET, json!({"alg": "HS256", "typ": "JWT"}), claims)
}

/// The members of both objects.
fn and(mut claims: Value, extra: Value) -> Value {
    claims.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
    claims
}

fn refused(claims: Value) -> TokenError {
    verify(&signed(claims.clone())).expect_err(&claims.to_string())
}
