//! Which tokens authenticate an operator or a metrics scraper, and which are denied.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;
use crate::auth::{Claims, RoomClaims, Verifier};

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

/// `[admin]` with two secrets, and one for the metrics.
fn admin() -> Admin {
    Admin {
        jwt_secret: Some("operators".into()),
        jwt_secrets: vec!["next".into()],
        metrics_jwt_secret: Some("scrapers".into()),
        ..Admin::default()
    }
}

fn auth() -> Auth {
    Auth { jwt_secret: Some("users".into()), ..Auth::default() }
}

fn authenticate(operators: &Operators, token: &str) -> Result<(), Denied> {
    operators.authenticate(&with_token(token), now()).map(drop)
}

#[test]
fn a_valid_token_without_a_role_is_accepted() {
    let operators = Operators::new(&admin(), &auth(), &Seed::default());
    for claims in [
        json!({}),
        json!({"exp": NOW + 1}),
        json!({"iat": NOW, "iss": "any issuer", "aud": "x"}),
        json!({"sub": "ann"}),
    ] {
        for secret in ["operators", "next"] {
            assert_eq!(authenticate(&operators, &token(secret, &claims)), Ok(()), "{claims}");
        }
    }
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        assert_eq!(authenticate(&operators, &token_as(algorithm, "operators", &json!({}))), Ok(()));
    }
}

#[test]
fn other_tokens_are_denied() {
    let operators = Operators::new(&admin(), &auth(), &Seed::default());
    for (claims, why) in [
        (json!({"exp": NOW}), TokenError::Expired { seconds_ago: 0 }.into()),
        (json!({"exp": "soon"}), TokenError::InvalidExpiry.into()),
        (json!({"iat": "now"}), TokenError::Rejected("iat".into()).into()),
        (json!({"role": "service_role", "exp": NOW + 1}), Denied::User),
        (json!({"role": ""}), Denied::User),
        (json!({"role": null}), Denied::User),
    ] {
        assert_eq!(authenticate(&operators, &token("operators", &claims)), Err(why), "{claims}");
    }
    for secret in ["users", "scrapers", "", "another"] {
        assert_eq!(
            authenticate(&operators, &token(secret, &json!({}))),
            Err(TokenError::Signature.into()),
            "{secret}"
        );
    }
    assert_eq!(authenticate(&operators, "garbage"), Err(TokenError::Malformed.into()));
    let unsigned = "eyJhbGciOiJub25lIn0.e30.";
    assert_eq!(authenticate(&operators, unsigned), Err(TokenError::Signer { kid: None }.into()));
    let asymmetric = "eyJhbGciOiJSUzI1NiJ9.e30.AAAA";
    assert_eq!(authenticate(&operators, asymmetric), Err(TokenError::Signer { kid: None }.into()));
}

#[test]
fn a_user_of_the_seeded_tenant_is_no_operator() {
    let seed = Seed { jwt_secret: Some("operators".into()), ..Seed::default() };
    let operators = Operators::new(&admin(), &Auth::default(), &seed);
    let user = json!({"sub": "ann", "permissions": ["*"]});
    assert_eq!(authenticate(&operators, &token("operators", &user)), Err(Denied::User));
    assert_eq!(authenticate(&operators, &token("operators", &json!({"sub": ""}))), Ok(()));
}

#[test]
fn a_users_token_is_denied_even_when_both_share_a_secret() {
    let shared = Auth { jwt_secret: Some("operators".into()), ..Auth::default() };
    let operators = Operators::new(&admin(), &shared, &Seed::default());
    let users = Verifier::new(&shared, None);
    for claims in [
        json!({"role": "authenticated", "sub": "ann", "exp": NOW + 1}),
        json!({"sub": "ann", "exp": NOW + 1}),
        json!({"permissions": {"rooms": ["*"]}, "exp": NOW + 1}),
    ] {
        assert_eq!(authenticate(&operators, &token("operators", &claims)), Err(Denied::User), "{claims}");
    }
    for claims in [
        json!({"exp": NOW + 1}),
        json!({"iss": "", "iat": NOW, "exp": NOW + 1, "aud": "", "sub": ""}),
        json!({"sub": "ann", "operator": true, "exp": NOW + 1}),
    ] {
        assert_eq!(authenticate(&operators, &token("operators", &claims)), Ok(()), "{claims}");
    }
    for claims in [
        json!({"sub": "ann", "operator": "true", "exp": NOW + 1}),
        json!({"sub": "ann", "operator": true, "role": "authenticated", "exp": NOW + 1}),
    ] {
        assert_eq!(authenticate(&operators, &token("operators", &claims)), Err(Denied::User), "{claims}");
    }
    let operator = token("operators", &json!({"exp": NOW + 1}));
    assert_eq!(users.verify::<Claims>(&operator, now()), Err(TokenError::MissingClaims("role")));
    for claims in [json!({"exp": NOW + 1}), json!({"sub": "ann", "operator": true, "exp": NOW + 1})] {
        users.verify::<RoomClaims>(&token("operators", &claims), now()).expect_err("an operator's");
    }
    // Only operators have the other secret.
    assert_eq!(authenticate(&operators, &token("next", &json!({"sub": "ann"}))), Ok(()));
}

#[test]
fn one_header_with_the_exact_scheme_is_required() {
    let operators = Operators::new(&admin(), &auth(), &Seed::default());
    let good = &*format!("Bearer {}", token("operators", &json!({})));
    let authenticate = |values: &[&str]| operators.authenticate(&headers(values), now()).map(drop);
    assert_eq!(authenticate(&[good]), Ok(()));
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
        assert_eq!(authenticate(values), Err(Denied::NoToken), "{values:?}");
    }
}

#[test]
fn a_blocked_token_is_denied_in_every_encoding() {
    let blocked = token("operators", &json!({"jti": "leaked"}));
    let admin = Admin { token_blocklist: vec!["".into(), blocked.clone().into()], ..admin() };
    let operators = Operators::new(&admin, &auth(), &Seed::default());
    for encoded in [blocked.clone(), blocked.replace('.', "%2E"), format!("  {blocked} ")] {
        assert_eq!(authenticate(&operators, &encoded), Err(Denied::Blocked), "{encoded}");
    }
    // Other encodings of the same signature are invalid: the last of its 43 characters has two unused bits.
    let (rest, last) = blocked.split_at(blocked.len() - 1);
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for letter in letters.chars().filter(|letter| *letter != last.chars().next().expect("a letter")) {
        let changed = format!("{rest}{letter}");
        assert_eq!(authenticate(&operators, &changed), Err(TokenError::Signature.into()), "{changed}");
    }
    assert_eq!(authenticate(&operators, &token("operators", &json!({}))), Ok(()));
    assert_eq!(
        operators.authenticate_for_metrics(&with_token(&token("scrapers", &json!({}))), now()),
        Ok(())
    );
}

#[test]
fn claim_validators_apply_to_operators() {
    let auth = Auth {
        claim_validators: [("env".into(), json!("prod"))].into(),
        jwt_issuer: Some("the users' provider".into()),
        jwt_audience: Some("users".into()),
        leeway: Duration::from_secs(10),
        ..auth()
    };
    let operators = Operators::new(&admin(), &auth, &Seed::default());
    assert_eq!(
        authenticate(&operators, &token("operators", &json!({"env": "prod", "exp": NOW - 9}))),
        Ok(())
    );
    let rejected = Err(Denied::Token(TokenError::Rejected("env".into())));
    assert_eq!(authenticate(&operators, &token("operators", &json!({}))), rejected);
    assert_eq!(
        operators.authenticate_for_metrics(&with_token(&token("scrapers", &json!({}))), now()),
        rejected
    );
}

#[test]
fn without_a_secret_operator_routes_are_closed_and_metrics_are_public() {
    let operators = Operators::new(&Admin::default(), &auth(), &Seed::default());
    assert_eq!(authenticate(&operators, &token("", &json!({}))), Err(Denied::Closed));
    assert_eq!(authenticate(&operators, &token("users", &json!({}))), Err(Denied::Closed));
    assert_eq!(operators.authenticate_for_metrics(&HeaderMap::new(), now()), Ok(()));
}

#[test]
fn metrics_have_separate_tokens() {
    let admin =
        Admin { metrics_token_blocklist: vec![token("scrapers", &json!({"n": 1})).into()], ..admin() };
    let operators = Operators::new(&admin, &auth(), &Seed::default());
    let authenticate = |secret: &str, claims: Value| {
        operators.authenticate_for_metrics(&with_token(&token(secret, &claims)), now())
    };
    assert_eq!(authenticate("scrapers", json!({})), Ok(()));
    assert_eq!(authenticate("scrapers", json!({"n": 1})), Err(Denied::Blocked));
    assert_eq!(authenticate("scrapers", json!({"role": "anon"})), Err(Denied::User));
    assert_eq!(authenticate("operators", json!({})), Err(TokenError::Signature.into()));
    assert_eq!(operators.authenticate_for_metrics(&HeaderMap::new(), now()), Err(Denied::NoToken));
}

#[test]
fn the_debug_output_has_no_secret() {
    let admin = Admin { token_blocklist: vec!["leaked".into()], ..admin() };
    let output = format!("{:?}", Operators::new(&admin, &auth(), &Seed::default()));
    for secret in ["operators", "scrapers", "leaked", "next"] {
        assert!(!output.contains(&format!("\"{secret}")), "{output}");
    }
}
