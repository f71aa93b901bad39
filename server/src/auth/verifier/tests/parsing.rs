//! What is a token at all, and how the same one is recognised.

use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;
use crate::auth::Fingerprint;

#[test]
fn the_claims_name_the_role_and_the_user() {
    let claims = verify(&signed(json!({"role": "anon", "sub": "ann", "exp": NOW + 1}))).expect("good");
    assert_eq!((&*claims.role, claims.sub.as_deref(), claims.expires_at), ("anon", Some("ann"), NOW + 1));
}

#[test]
fn percent_encoding_and_white_space_are_undone() {
    let token = signed(json!({"role": "anon", "exp": NOW + 1}));
    let plain = verify(&token).expect("good");
    let (start, end) = token.split_at(20);
    for encoded in
        [token.replace('.', "%2E"), format!(" {start}\r\n\t{end}\n"), format!("{start}%20%0a{end}")]
    {
        assert_eq!(verify(&encoded).as_ref(), Ok(&plain), "{encoded}");
        assert_eq!(Fingerprint::of(&encoded), plain.fingerprint);
    }
}

#[test]
fn the_fingerprint_distinguishes_tokens() {
    let (one, two) =
        (signed(json!({"role": "a", "exp": NOW + 1})), signed(json!({"role": "b", "exp": NOW + 1})));
    assert_eq!(verify(&one).expect("good").fingerprint, Fingerprint::of(&one));
    assert_ne!(Fingerprint::of(&one), Fingerprint::of(&two));
}

#[test]
fn a_text_that_is_no_token_is_malformed() {
    let good = signed(json!({"role": "anon", "exp": NOW + 1}));
    let array = BASE64_URL_SAFE_NO_PAD.encode("[1]");
    for text in [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c",
        "🦀.🦀.🦀",
        "%ff.%ff.%ff",
        "%",
        "Bearer x",
        "sb_publishable_x",
        &format!("{good}.x"),
        &format!("{array}.{array}.x"),
        &good.replacen('.', "=.", 1),
        good.rsplit_once('.').expect("three parts").0,
    ] {
        assert_eq!(verify(text), Err(TokenError::Malformed), "{text}");
    }
    assert_eq!(verify(&signed_with(SECRET, json!("HS256"), json!({}))), Err(TokenError::Malformed));
    assert_eq!(refused(json!([{"role": "anon", "exp": NOW + 1}])), TokenError::Malformed);
    assert_eq!(refused(json!("role")), TokenError::Malformed);
}

#[test]
fn megabytes_of_garbage_are_refused_quickly() {
    let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let deep = BASE64_URL_SAFE_NO_PAD.encode("[".repeat(40_000));
    let started = Instant::now();
    for garbage in [
        ".".repeat(5_000_000),
        "%".repeat(5_000_000),
        " ".repeat(60_000),
        format!("{header}.{}.x", "A".repeat(5_000_000)),
        format!("{header}.{deep}.x"),
        format!("{deep}.{header}.x"),
    ] {
        assert_eq!(verify(&garbage), Err(TokenError::Malformed));
    }
    // Each byte is looked at once or twice. As often as there are bytes, it would take hours.
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}
