//! Verification of tokens.

use std::time::{Instant, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::*;
use crate::auth::{Fingerprint, sign};

const SECRET: &str = "a secret of at least thirty-two bytes";
const NOW: i64 = 1_800_000_000;

fn secret() -> SecretString {
    SecretString::from(SECRET)
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW as u64)
}

/// A verifier with the secret, and what `change` adds.
fn with(change: impl FnOnce(&mut Auth)) -> Verifier {
    let mut auth = Auth { jwt_secret: Some(secret()), ..Auth::default() };
    change(&mut auth);
    Verifier::new(&auth, None)
}

fn verify(token: &str) -> Result<Claims, TokenError> {
    with(|_| {}).verify(token, now())
}

/// A token with this header and these claims, signed by HMAC whatever the header says.
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

#[test]
fn a_token_says_who_its_holder_is() {
    let claims = verify(&signed(json!({"role": "anon", "sub": "ann", "exp": NOW + 1}))).expect("good");
    assert_eq!((&*claims.role, claims.sub.as_deref(), claims.expires_at), ("anon", Some("ann"), NOW + 1));
}

#[test]
fn the_three_hmac_algorithms_are_known() {
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let claims = json!({"role": "anon", "exp": NOW + 1});
        let mut header = Header::new(algorithm);
        header.kid = Some("of no matter".into());
        header.typ = None;
        let token = jsonwebtoken::encode(&header, &claims, &key).expect("signed");
        assert!(verify(&token).is_ok(), "{algorithm:?}");
        // The algorithm is part of what is signed: another one with the same signature is refused.
        let other = json!({"alg": if algorithm == Algorithm::HS512 { "HS256" } else { "HS512" }});
        let forged = token.replacen(
            token.split('.').next().expect("a header"),
            &BASE64_URL_SAFE_NO_PAD.encode(other.to_string()),
            1,
        );
        assert_eq!(verify(&forged), Err(TokenError::Signature));
    }
}

#[test]
fn percent_encoding_and_white_space_are_undone() {
    let token = signed(json!({"role": "anon", "exp": NOW + 1}));
    let plain = verify(&token).expect("good");
    let (start, end) = token.split_at(20);
    for disguised in
        [token.replace('.', "%2E"), format!(" {start}\r\n\t{end}\n"), format!("{start}%20%0a{end}")]
    {
        assert_eq!(verify(&disguised).as_ref(), Ok(&plain), "{disguised}");
        assert_eq!(Fingerprint::of(&disguised), plain.fingerprint);
    }
}

#[test]
fn the_fingerprint_tells_tokens_apart() {
    let (one, two) =
        (signed(json!({"role": "a", "exp": NOW + 1})), signed(json!({"role": "b", "exp": NOW + 1})));
    assert_eq!(verify(&one).expect("good").fingerprint, Fingerprint::of(&one));
    assert_ne!(Fingerprint::of(&one), Fingerprint::of(&two));
}

#[test]
fn what_is_no_token_is_malformed() {
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
fn megabytes_of_garbage_cost_nothing() {
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
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[test]
fn a_forged_or_changed_token_has_a_wrong_signature() {
    let claims = json!({"role": "anon", "exp": NOW + 1});
    let hs256 = json!({"alg": "HS256"});
    let forged = signed_with("another secret", hs256.clone(), claims.clone());
    assert_eq!(verify(&forged), Err(TokenError::Signature));
    assert_eq!(verify(&signed_with("", hs256.clone(), claims.clone())), Err(TokenError::Signature));

    let good = signed(claims);
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    let admin = signed_with("x", hs256, json!({"role": "service_role", "exp": NOW + 1}));
    let (admin, _) = admin.rsplit_once('.').expect("three parts");
    for changed in [
        format!("{admin}.{signature}"),
        format!("{message}."),
        format!("{message}.{}", &signature[1..]),
        format!("{message}.{signature}AAAA"),
        format!("{message}.?"),
    ] {
        assert_eq!(verify(&changed), Err(TokenError::Signature), "{changed}");
    }
}

#[test]
fn no_algorithm_talks_us_into_another_key() {
    let claims = json!({"role": "service_role", "exp": NOW + 1});
    let with = |header: Value| verify(&signed_with(SECRET, header, claims.clone()));
    for alg in ["none", "None", "NONE", "", "hs256", "HS1", "PS256", "ES256K", "RS256", "ES384", "EdDSA"] {
        assert_eq!(with(json!({"alg": alg})), Err(TokenError::Signer { kid: None }), "{alg}");
    }
    for alg in ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "Ed448"] {
        let kid = Some("key-1".to_string());
        assert_eq!(with(json!({"alg": alg, "kid": "key-1"})), Err(TokenError::Signer { kid }), "{alg}");
        assert_eq!(with(json!({"alg": alg, "kid": 1})), Err(TokenError::Signer { kid: None }), "{alg}");
    }
    for header in
        [json!({}), json!({"alg": null}), json!({"alg": ["HS256"]}), json!({"alg": "none", "kid": "k"})]
    {
        assert_eq!(with(header.clone()), Err(TokenError::Signer { kid: None }), "{header}");
    }
    let unsigned = |signature| {
        let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let claims = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        verify(&format!("{header}.{claims}.{signature}"))
    };
    assert_eq!(unsigned(""), Err(TokenError::Signer { kid: None }));
    assert_eq!(unsigned("x"), Err(TokenError::Signer { kid: None }));
}

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
fn a_token_ends_at_its_second() {
    assert_eq!(refused(json!({"role": "a", "exp": NOW})), TokenError::Expired { seconds_ago: 0 });
    assert_eq!(refused(json!({"role": "a", "exp": NOW - 60})), TokenError::Expired { seconds_ago: 60 });
    assert_eq!(
        refused(json!({"role": "a", "exp": NOW as f64 - 0.6})),
        TokenError::Expired { seconds_ago: 1 }
    );
    assert_eq!(refused(json!({"exp": 0})), TokenError::Expired { seconds_ago: NOW }, "before a missing role");
    for past in [json!(i64::MIN), json!(-1e300)] {
        assert_eq!(refused(json!({"role": "a", "exp": past})), TokenError::Expired { seconds_ago: i64::MAX });
    }
}

#[test]
fn leeway_lets_it_live_a_little_longer() {
    let patient = with(|auth| auth.leeway = Duration::from_secs(60));
    let token = |exp: i64| signed(json!({"role": "a", "exp": exp}));
    assert!(patient.verify(&token(NOW - 59), now()).is_ok());
    assert_eq!(patient.verify(&token(NOW - 60), now()), Err(TokenError::Expired { seconds_ago: 60 }));
    let endless = with(|auth| auth.leeway = Duration::MAX);
    assert!(endless.verify(&token(0), now()).is_ok());
}

#[test]
fn times_may_be_fractions_and_absurdly_far() {
    for (exp, expected) in [
        (json!(NOW as f64 + 1.4), NOW + 1),
        (json!(NOW as f64 + 0.5), NOW + 1),
        (json!(i64::MAX), i64::MAX),
        (json!(u64::MAX), i64::MAX),
        (json!(1e300), i64::MAX),
    ] {
        let token = signed(json!({"role": "a", "exp": exp, "iat": 0.5}));
        let claims = with(|auth| auth.leeway = Duration::MAX).verify(&token, now());
        assert_eq!(claims.expect("good").expires_at, expected, "{exp}");
    }
}

#[test]
fn a_token_begins_at_its_nbf_less_the_leeway() {
    let claims = |nbf: Value| json!({"role": "r", "exp": NOW + 3600, "nbf": nbf});
    for good in [json!(0), json!(NOW), json!(NOW - 1), json!(NOW as f64 + 0.4), json!(-5)] {
        assert!(verify(&signed(claims(good.clone()))).is_ok(), "{good}");
    }
    assert_eq!(refused(claims(json!(NOW + 7))), TokenError::TooEarly { seconds: 7 });
    assert_eq!(refused(claims(json!(i64::MAX))), TokenError::TooEarly { seconds: i64::MAX - NOW });
    assert_eq!(refused(claims(json!("now"))), TokenError::Rejected("nbf".into()));
    let patient = with(|auth| auth.leeway = Duration::from_secs(5));
    assert!(patient.verify(&signed(claims(json!(NOW + 5))), now()).is_ok());
    let early = patient.verify(&signed(claims(json!(NOW + 6))), now());
    assert_eq!(early, Err(TokenError::TooEarly { seconds: 1 }));
}

#[test]
fn times_must_be_numbers() {
    for exp in [json!("1900000000"), json!(null), json!([]), json!(true), json!({})] {
        assert_eq!(refused(json!({"role": "a", "exp": exp})), TokenError::InvalidExpiry, "{exp}");
    }
    for iat in [json!("1"), json!(null)] {
        let claims = json!({"role": "a", "exp": NOW + 1, "iat": iat});
        assert_eq!(refused(claims), TokenError::Rejected("iat".into()));
    }
}

#[test]
fn role_and_exp_are_required() {
    for claims in [
        json!({}),
        json!({"role": "a"}),
        json!({"exp": NOW + 1}),
        json!({"role": "", "exp": NOW + 1}),
        json!({"role": 1, "exp": NOW + 1}),
        json!({"role": null, "exp": NOW + 1}),
    ] {
        assert_eq!(refused(claims), TokenError::MissingClaims);
    }
}

#[test]
fn issuer_and_audience_count_only_when_configured() {
    let with = |issuer: Option<&str>, audience: Option<&str>, extra: Value| {
        let verifier = with(|auth| {
            auth.jwt_issuer = issuer.map(Into::into);
            auth.jwt_audience = audience.map(Into::into);
        });
        verifier.verify(&signed(and(json!({"role": "a", "exp": NOW + 1}), extra)), now())
    };
    assert!(with(None, None, json!({"iss": 1, "aud": "authenticated"})).is_ok());
    assert!(with(Some("us"), Some("rt"), json!({"iss": "us", "aud": "rt"})).is_ok());
    assert!(with(None, Some("rt"), json!({"aud": ["other", "rt"]})).is_ok());
    for extra in [json!({}), json!({"iss": "them"}), json!({"iss": null})] {
        assert_eq!(with(Some("us"), None, extra), Err(TokenError::Rejected("iss".into())));
    }
    for extra in
        [json!({}), json!({"aud": "x"}), json!({"aud": []}), json!({"aud": [["rt"]]}), json!({"aud": 1})]
    {
        assert_eq!(with(None, Some("rt"), extra), Err(TokenError::Rejected("aud".into())));
    }
}

#[test]
fn a_validated_claim_must_be_there_with_its_value() {
    let strict = with(|auth| {
        auth.claim_validators =
            [("aal".into(), json!("aal2")), ("app".into(), json!({"team": [1, null]}))].into();
    });
    let verify = |extra| strict.verify(&signed(and(json!({"role": "a", "exp": NOW + 1}), extra)), now());
    assert!(verify(json!({"aal": "aal2", "app": {"team": [1, null]}})).is_ok());
    for extra in [json!({}), json!({"aal": "aal1"}), json!({"aal": null}), json!({"aal": ["aal2"]})] {
        assert_eq!(verify(extra), Err(TokenError::Rejected("aal".into())));
    }
    for app in [json!({"team": [1]}), json!({"team": [1, null], "more": 1}), json!("team")] {
        assert_eq!(verify(json!({"aal": "aal2", "app": app})), Err(TokenError::Rejected("app".into())));
    }
}

#[test]
fn a_validated_number_is_equal_as_a_number() {
    let verify = |expected: Value, found: Value| {
        let verifier = with(|auth| auth.claim_validators = [("level".into(), expected)].into());
        verifier.verify(&signed(json!({"role": "a", "exp": NOW + 1, "level": found})), now()).is_ok()
    };
    assert!(verify(json!(2), json!(2)) && verify(json!(2), json!(2.0)) && verify(json!(0.5), json!(0.5)));
    for found in [json!(3), json!(2.5), json!("2"), json!(true), json!([2])] {
        assert!(!verify(json!(2), found));
    }
    // As floats these two are one.
    assert!(!verify(json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992_u64)));
}

#[test]
fn several_secrets_are_believed_at_once() {
    let both = with(|auth| auth.jwt_secrets = vec!["the next one".into(), "yet another".into()]);
    let token = |secret| signed_with(secret, json!({"alg": "HS256"}), json!({"role": "a", "exp": NOW + 1}));
    let key = |secret| both.verify(&token(secret), now()).expect(secret).key;
    assert_eq!(key(SECRET), key(SECRET));
    assert_ne!(key(SECRET), key("the next one"));
    assert_ne!(key("yet another"), key("the next one"));
    assert_eq!(both.verify(&token("a stranger's"), now()), Err(TokenError::Signature));
}

#[test]
fn taking_a_secret_away_ends_what_it_signed_and_nothing_else() {
    let both = with(|auth| auth.jwt_secrets = vec!["the next one".into()]);
    let claims = json!({"role": "a", "exp": NOW + 1});
    let old = both.verify(&signed(claims.clone()), now()).expect("the old secret");
    let token = signed_with("the next one", json!({"alg": "HS256"}), claims);
    let new = both.verify(&token, now()).expect("the new secret");
    assert_eq!((both.recheck(&old, now()), both.recheck(&new, now())), (Ok(()), Ok(())));

    // The same secret in another place of the settings is the same key.
    let rotated = with(|auth| auth.jwt_secret = Some("the next one".into()));
    assert!(rotated.accepts_key(new.key) && !rotated.accepts_key(old.key));
    assert_eq!(
        (rotated.recheck(&old, now()), rotated.recheck(&new, now())),
        (Err(TokenError::Revoked), Ok(()))
    );
    let later = now() + Duration::from_secs(1);
    assert_eq!(rotated.recheck(&old, later), Err(TokenError::Expired { seconds_ago: 0 }));
}

#[test]
fn without_a_key_nobody_is_believed() {
    let keyless = Verifier::new(&Auth::default(), None);
    assert!(!keyless.has_keys() && with(|_| {}).has_keys());
    let token = signed(json!({"role": "a", "exp": NOW + 1}));
    assert_eq!(keyless.verify(&token, now()), Err(TokenError::Signer { kid: None }));
    // Not even by an empty one.
    let token = signed_with("", json!({"alg": "HS256"}), json!({"role": "a", "exp": NOW + 1}));
    assert_eq!(keyless.verify(&token, now()), Err(TokenError::Signer { kid: None }));
}

#[test]
fn what_only_outlived_its_time_may_come_again() {
    assert!(TokenError::Revoked.may_join_again() && TokenError::Expired { seconds_ago: 1 }.may_join_again());
    assert!(!TokenError::Signature.may_join_again() && !TokenError::MissingClaims.may_join_again());
}

#[test]
fn refusals_use_the_documented_words() {
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
            TokenError::MissingClaims,
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

#[test]
fn what_we_sign_we_believe() {
    let extra = json!({"role": "loses", "exp": 1, "aud": "authenticated"});
    let extra = extra.as_object().expect("an object").clone();
    let decade = Duration::from_secs(10 * 365 * 24 * 3600);
    let token = sign(&secret(), "authenticated", Some("ann"), extra, now(), decade);
    let verifier = with(|auth| auth.jwt_audience = Some("authenticated".into()));
    let claims = verifier.verify(&token, now()).expect("good");
    assert_eq!((&*claims.role, claims.sub.as_deref()), ("authenticated", Some("ann")));
    assert_eq!(claims.expires_at, NOW + 10 * 365 * 24 * 3600);

    let forever = sign(&secret(), "anon", None, Map::new(), now(), Duration::MAX);
    assert_eq!(verify(&forever).expect("good").expires_at, i64::MAX);
}
