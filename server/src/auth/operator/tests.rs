//! Who gets in, and everybody who must not.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;
use crate::auth::Verifier;

const NOW: u64 = 1_800_000_000;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn token_as(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).expect("signed")
}

fn token(secret: &str, claims: &Value) -> String {
    token_as(Algorithm::HS256, secret, claims)
}

fn headers(values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).expect("a header"));
    }
    headers
}

fn with_token(token: &str) -> HeaderMap {
    headers(&[&format!("Bearer {token}")])
}

/// `[admin]` with two secrets, and one for the numbers.
fn admin() -> Admin {
    Admin {
        jwt_secret: Some("operators".into()),
        jwt_secrets: vec!["next".into()],
        metrics_jwt_secret: Some("numbers".into()),
        ..Admin::default()
    }
}

fn auth() -> Auth {
    Auth { jwt_secret: Some("users".into()), ..Auth::default() }
}

fn ask(operators: &Operators, token: &str) -> Result<(), Denied> {
    operators.authenticate(&with_token(token), now()).map(drop)
}

#[test]
fn a_token_without_a_role_is_enough() {
    let operators = Operators::new(&admin(), &auth());
    for claims in [
        json!({}),
        json!({"exp": NOW + 1}),
        json!({"iat": NOW, "iss": "anybody", "aud": "x"}),
        json!({"sub": "ann"}),
    ] {
        for secret in ["operators", "next"] {
            assert_eq!(ask(&operators, &token(secret, &claims)), Ok(()), "{claims}");
        }
    }
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        assert_eq!(ask(&operators, &token_as(algorithm, "operators", &json!({}))), Ok(()));
    }
}

#[test]
fn everybody_else_is_denied() {
    let operators = Operators::new(&admin(), &auth());
    for (claims, why) in [
        (json!({"exp": NOW}), TokenError::Expired { seconds_ago: 0 }.into()),
        (json!({"exp": "soon"}), TokenError::InvalidExpiry.into()),
        (json!({"iat": "now"}), TokenError::Rejected("iat".into()).into()),
        (json!({"role": "service_role", "exp": NOW + 1}), Denied::User),
        (json!({"role": ""}), Denied::User),
        (json!({"role": null}), Denied::User),
    ] {
        assert_eq!(ask(&operators, &token("operators", &claims)), Err(why), "{claims}");
    }
    for secret in ["users", "numbers", "", "another"] {
        assert_eq!(
            ask(&operators, &token(secret, &json!({}))),
            Err(TokenError::Signature.into()),
            "{secret}"
        );
    }
    assert_eq!(ask(&operators, "garbage"), Err(TokenError::Malformed.into()));
    let unsigned = "eyJhbGciOiJub25lIn0.e30.";
    assert_eq!(ask(&operators, unsigned), Err(TokenError::Signer { kid: None }.into()));
    let asymmetric = "eyJhbGciOiJSUzI1NiJ9.e30.AAAA";
    assert_eq!(ask(&operators, asymmetric), Err(TokenError::Signer { kid: None }.into()));
}

#[test]
fn a_user_is_no_operator_even_under_one_secret() {
    let shared = Auth { jwt_secret: Some("operators".into()), ..Auth::default() };
    let operators = Operators::new(&admin(), &shared);
    let users = Verifier::new(&shared, None);
    for claims in [
        json!({"role": "authenticated", "sub": "ann", "exp": NOW + 1}),
        json!({"sub": "ann", "exp": NOW + 1}),
        json!({"permissions": {"rooms": ["*"]}, "exp": NOW + 1}),
    ] {
        assert_eq!(ask(&operators, &token("operators", &claims)), Err(Denied::User), "{claims}");
    }
    let operator = token("operators", &json!({"exp": NOW + 1}));
    assert_eq!(ask(&operators, &operator), Ok(()));
    assert_eq!(users.verify(&operator, now()), Err(TokenError::MissingClaims));
    // The other secret is the operators' alone.
    assert_eq!(ask(&operators, &token("next", &json!({"sub": "ann"}))), Ok(()));
}

#[test]
fn the_header_is_one_and_spelled_exactly() {
    let operators = Operators::new(&admin(), &auth());
    let good = &*format!("Bearer {}", token("operators", &json!({})));
    let ask = |values: &[&str]| operators.authenticate(&headers(values), now()).map(drop);
    assert_eq!(ask(&[good]), Ok(()));
    for values in [
        &[][..],
        &[good, good],
        &[good, ""],
        &[""],
        &["Bearer"],
        &[&good.replace("Bearer", "bearer")],
        &[&good.replace("Bearer ", "Bearer")],
        &[&good.replace("Bearer", "Basic")],
        &[&good.replace("Bearer ", "")],
    ] {
        assert_eq!(ask(values), Err(Denied::NoToken), "{values:?}");
    }
}

#[test]
fn a_blocked_token_is_denied_in_every_disguise() {
    let blocked = token("operators", &json!({"jti": "leaked"}));
    let admin = Admin { token_blocklist: vec!["".into(), blocked.clone().into()], ..admin() };
    let operators = Operators::new(&admin, &auth());
    for disguise in [blocked.clone(), blocked.replace('.', "%2E"), format!("  {blocked} ")] {
        assert_eq!(ask(&operators, &disguise), Err(Denied::Blocked), "{disguise}");
    }
    // Other spellings of the same signature are no signatures: the last letter of its 43 has two spare bits.
    let (rest, last) = blocked.split_at(blocked.len() - 1);
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for letter in letters.chars().filter(|letter| *letter != last.chars().next().expect("a letter")) {
        let respelled = format!("{rest}{letter}");
        assert_eq!(ask(&operators, &respelled), Err(TokenError::Signature.into()), "{respelled}");
    }
    assert_eq!(ask(&operators, &token("operators", &json!({}))), Ok(()));
    assert_eq!(operators.authenticate_for_metrics(&with_token(&token("numbers", &json!({}))), now()), Ok(()));
}

#[test]
fn claim_validators_bind_operators_too() {
    let auth = Auth {
        claim_validators: [("env".into(), json!("prod"))].into(),
        jwt_issuer: Some("the users' provider".into()),
        jwt_audience: Some("users".into()),
        leeway: Duration::from_secs(10),
        ..auth()
    };
    let operators = Operators::new(&admin(), &auth);
    assert_eq!(ask(&operators, &token("operators", &json!({"env": "prod", "exp": NOW - 9}))), Ok(()));
    let rejected = Err(Denied::Token(TokenError::Rejected("env".into())));
    assert_eq!(ask(&operators, &token("operators", &json!({}))), rejected);
    assert_eq!(
        operators.authenticate_for_metrics(&with_token(&token("numbers", &json!({}))), now()),
        rejected
    );
}

#[test]
fn without_a_secret_management_is_closed_and_the_numbers_are_open() {
    let operators = Operators::new(&Admin::default(), &auth());
    assert_eq!(ask(&operators, &token("", &json!({}))), Err(Denied::Closed));
    assert_eq!(ask(&operators, &token("users", &json!({}))), Err(Denied::Closed));
    assert_eq!(operators.authenticate_for_metrics(&HeaderMap::new(), now()), Ok(()));
}

#[test]
fn the_numbers_have_tokens_of_their_own() {
    let admin = Admin { metrics_token_blocklist: vec![token("numbers", &json!({"n": 1})).into()], ..admin() };
    let operators = Operators::new(&admin, &auth());
    let ask = |secret: &str, claims: Value| {
        operators.authenticate_for_metrics(&with_token(&token(secret, &claims)), now())
    };
    assert_eq!(ask("numbers", json!({})), Ok(()));
    assert_eq!(ask("numbers", json!({"n": 1})), Err(Denied::Blocked));
    assert_eq!(ask("numbers", json!({"role": "anon"})), Err(Denied::User));
    assert_eq!(ask("operators", json!({})), Err(TokenError::Signature.into()));
    assert_eq!(operators.authenticate_for_metrics(&HeaderMap::new(), now()), Err(Denied::NoToken));
}

#[test]
fn what_is_shown_of_operators_has_no_secret() {
    let admin = Admin { token_blocklist: vec!["leaked".into()], ..admin() };
    let shown = format!("{:?}", Operators::new(&admin, &auth()));
    for secret in ["operators", "numbers", "leaked", "next"] {
        assert!(!shown.contains(&format!("\"{secret}")), "{shown}");
    }
}
