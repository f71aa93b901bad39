//! The texts of errors, and what clients may do after them.

use serde_json::json;

use super::*;

#[test]
fn a_key_id_is_shortened_and_made_printable() {
    let kid = format!("{}\"\u{1b}[31m\n{}", "k".repeat(60), "x".repeat(1000));
    let token = signed_with(SECRET, json!({"alg": "RS256", "kid": kid}), json!({}));
    let shown = format!("{}[31m", "k".repeat(60));
    assert_eq!(
        verify(&token).expect_err("no such key").handshake_text(),
        format!(
            "Failed to generate JWT signer for key ID (kid) \"{shown}\", \
             check your JWT secret or JWKS configuration"
        )
    );
}

#[test]
fn a_client_may_join_again_after_expiry_or_revocation() {
    assert!(TokenError::Revoked.may_join_again() && TokenError::Expired { seconds_ago: 1 }.may_join_again());
    assert!(!TokenError::Signature.may_join_again() && !TokenError::MissingClaims("role").may_join_again());
}

#[test]
fn refusals_have_the_documented_texts() {
    let signer = |kid: Option<&str>| TokenError::Signer { kid: kid.map(Into::into) };
    for (error, handshake, join) in [
        (TokenError::Missing, "API key is missing", "MissingAPIKey: API key is missing"),
        (
            TokenError::Malformed,
            "The token provided is not a valid JWT",
            "MalformedJWT: The token provided is not a valid JWT",
        ),
        (
            TokenError::Signature,
            "Failed to validate JWT signature",
            "JwtSignatureError: Failed to validate JWT signature",
        ),
        (
            signer(None),
            "Failed to generate JWT signer, check your JWT secret or JWKS configuration",
            "JwtSignerError: Failed to generate JWT signer, check your JWT secret or JWKS configuration",
        ),
        (
            signer(Some("k")),
            "Failed to generate JWT signer for key ID (kid) \"k\", check your JWT secret or JWKS configuration",
            "JwtSignerError: Failed to generate JWT signer for key ID (kid) \"k\", check your JWT secret or JWKS \
             configuration",
        ),
        (
            TokenError::Expired { seconds_ago: 7 },
            "Token has expired",
            "InvalidJWTToken: Token has expired 7 seconds ago",
        ),
        (
            TokenError::Revoked,
            "The key that signed this token is no longer accepted",
            "JwtKeyRevoked: The key that signed this token is no longer accepted",
        ),
        (
            TokenError::MissingClaims("role"),
            "Fields `role` and `exp` are required in JWT",
            "InvalidJWTToken: Fields `role` and `exp` are required in JWT",
        ),
        (
            TokenError::InvalidExpiry,
            "Token expiration time is invalid",
            "InvalidJWTToken: Token expiration time is invalid",
        ),
    ] {
        assert_eq!(error.handshake_text(), handshake);
        assert_eq!(format!("{}: {}", error.code(), error.refresh_text()), join);
    }
}
