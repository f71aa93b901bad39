//! What the claims of a token with a valid signature must be.

use serde_json::{Map, Value, json};

use super::*;
use crate::auth::sign;

#[test]
fn a_token_expires_at_its_second() {
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
fn the_leeway_extends_the_expiry() {
    let lenient = with(|auth| auth.leeway = Duration::from_secs(60));
    let token = |exp: i64| signed(json!({"role": "a", "exp": exp}));
    assert!(lenient.verify::<Claims>(&token(NOW - 59), now()).is_ok());
    assert_eq!(
        lenient.verify::<Claims>(&token(NOW - 60), now()),
        Err(TokenError::Expired { seconds_ago: 60 })
    );
    let endless = with(|auth| auth.leeway = Duration::MAX);
    assert!(endless.verify::<Claims>(&token(0), now()).is_ok());
}

#[test]
fn times_may_be_fractions_and_saturate() {
    for (exp, expected) in [
        (json!(NOW as f64 + 1.4), NOW + 1),
        (json!(NOW as f64 + 0.5), NOW + 1),
        (json!(i64::MAX), i64::MAX),
        (json!(u64::MAX), i64::MAX),
        (json!(1e300), i64::MAX),
    ] {
        let token = signed(json!({"role": "a", "exp": exp, "iat": 0.5}));
        let claims = with(|auth| auth.leeway = Duration::MAX).verify::<Claims>(&token, now());
        assert_eq!(claims.expect("good").expires_at, expected, "{exp}");
    }
}

#[test]
fn a_token_is_valid_from_its_nbf_less_the_leeway() {
    let claims = |nbf: Value| json!({"role": "r", "exp": NOW + 3600, "nbf": nbf});
    for good in [json!(0), json!(NOW), json!(NOW - 1), json!(NOW as f64 + 0.4), json!(-5)] {
        assert!(verify(&signed(claims(good.clone()))).is_ok(), "{good}");
    }
    assert_eq!(refused(claims(json!(NOW + 7))), TokenError::TooEarly { seconds: 7 });
    assert_eq!(refused(claims(json!(i64::MAX))), TokenError::TooEarly { seconds: i64::MAX - NOW });
    assert_eq!(refused(claims(json!("now"))), TokenError::Rejected("nbf".into()));
    let lenient = with(|auth| auth.leeway = Duration::from_secs(5));
    assert!(lenient.verify::<Claims>(&signed(claims(json!(NOW + 5))), now()).is_ok());
    let early = lenient.verify::<Claims>(&signed(claims(json!(NOW + 6))), now());
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
        assert_eq!(refused(claims), TokenError::MissingClaims("role"));
    }
}

#[test]
fn issuer_and_audience_are_checked_only_when_configured() {
    let with = |issuer: Option<&str>, audience: Option<&str>, extra: Value| {
        let verifier = with(|auth| {
            auth.jwt_issuer = issuer.map(Into::into);
            auth.jwt_audience = audience.map(Into::into);
        });
        verifier.verify::<Claims>(&signed(and(json!({"role": "a", "exp": NOW + 1}), extra)), now())
    };
    assert!(with(None, None, json!({"iss": 1, "aud": "authenticated"})).is_ok());
    assert!(with(Some("us"), Some("rt"), json!({"iss": "us", "aud": "rt"})).is_ok());
    assert!(with(None, Some("rt"), json!({"aud": ["other", "rt"]})).is_ok());
    for extra in [json!({}), json!({"iss": "another"}), json!({"iss": null})] {
        assert_eq!(with(Some("us"), None, extra), Err(TokenError::Rejected("iss".into())));
    }
    for extra in
        [json!({}), json!({"aud": "x"}), json!({"aud": []}), json!({"aud": [["rt"]]}), json!({"aud": 1})]
    {
        assert_eq!(with(None, Some("rt"), extra), Err(TokenError::Rejected("aud".into())));
    }
}

#[test]
fn a_validated_claim_must_have_its_value() {
    let strict = with(|auth| {
        auth.claim_validators =
            [("aal".into(), json!("aal2")), ("app".into(), json!({"team": [1, null]}))].into();
    });
    let verify =
        |extra| strict.verify::<Claims>(&signed(and(json!({"role": "a", "exp": NOW + 1}), extra)), now());
    assert!(verify(json!({"aal": "aal2", "app": {"team": [1, null]}})).is_ok());
    for extra in [json!({}), json!({"aal": "aal1"}), json!({"aal": null}), json!({"aal": ["aal2"]})] {
        assert_eq!(verify(extra), Err(TokenError::Rejected("aal".into())));
    }
    for app in [json!({"team": [1]}), json!({"team": [1, null], "more": 1}), json!("team")] {
        assert_eq!(verify(json!({"aal": "aal2", "app": app})), Err(TokenError::Rejected("app".into())));
    }
}

#[test]
fn a_validated_number_is_compared_as_a_number() {
    let verify = |expected: Value, found: Value| {
        let verifier = with(|auth| auth.claim_validators = [("level".into(), expected)].into());
        verifier
            .verify::<Claims>(&signed(json!({"role": "a", "exp": NOW + 1, "level": found})), now())
            .is_ok()
    };
    assert!(verify(json!(2), json!(2)) && verify(json!(2), json!(2.0)) && verify(json!(0.5), json!(0.5)));
    for found in [json!(3), json!(2.5), json!("2"), json!(true), json!([2])] {
        assert!(!verify(json!(2), found));
    }
    // These two have the same float.
    assert!(!verify(json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992_u64)));
}

#[test]
fn a_token_signed_here_is_accepted() {
    let extra = json!({"role": "replaced", "exp": 1, "aud": "authenticated"});
    let extra = extra.as_object().expect("an object").clone();
    let decade = Duration::from_secs(10 * 365 * 24 * 3600);
    let token = sign(&secret(), "authenticated", Some("ann"), extra, now(), decade);
    let verifier = with(|auth| auth.jwt_audience = Some("authenticated".into()));
    let claims = verifier.verify::<Claims>(&token, now()).expect("good");
    assert_eq!((&*claims.role, claims.sub.as_deref()), ("authenticated", Some("ann")));
    assert_eq!(claims.expires_at, NOW + 10 * 365 * 24 * 3600);

    let forever = sign(&secret(), "anon", None, Map::new(), now(), Duration::MAX);
    assert_eq!(verify(&forever).expect("good").expires_at, i64::MAX);
}
