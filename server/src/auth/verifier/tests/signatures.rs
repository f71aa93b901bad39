//! Which key and algorithm a signature must be by, with forged and changed tokens.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;

#[test]
fn the_three_hmac_algorithms_are_accepted() {
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let claims = json!({"role": "anon", "exp": NOW + 1});
        let mut header = Header::new(algorithm);
        header.kid = Some("ignored".into());
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
fn no_algorithm_selects_a_key_of_another_kind() {
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
fn several_secrets_are_accepted_at_once() {
    let both = with(|auth| auth.jwt_secrets = vec!["the next one".into(), "yet another".into()]);
    let token = |secret| signed_with(secret, json!({"alg": "HS256"}), json!({"role": "a", "exp": NOW + 1}));
    let key = |secret| both.verify::<Claims>(&token(secret), now()).expect(secret).key;
    assert_eq!(key(SECRET), key(SECRET));
    assert_ne!(key(SECRET), key("the next one"));
    assert_ne!(key("yet another"), key("the next one"));
    assert_eq!(both.verify::<Claims>(&token("an unknown secret"), now()), Err(TokenError::Signature));
}

#[test]
fn removing_a_secret_revokes_its_tokens_and_no_others() {
    let both = with(|auth| auth.jwt_secrets = vec!["the next one".into()]);
    let claims = json!({"role": "a", "exp": NOW + 1});
    let old = both.verify::<Claims>(&signed(claims.clone()), now()).expect("the old secret");
    let token = signed_with("the next one", json!({"alg": "HS256"}), claims);
    let new = both.verify::<Claims>(&token, now()).expect("the new secret");
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
fn without_a_key_no_token_is_accepted() {
    let keyless = Verifier::new(&Auth::default(), None);
    assert!(!keyless.has_keys() && with(|_| {}).has_keys());
    let token = signed(json!({"role": "a", "exp": NOW + 1}));
    assert_eq!(keyless.verify::<Claims>(&token, now()), Err(TokenError::Signer { kid: None }));
    // A token signed with an empty secret is refused too.
    let token = signed_with("", json!({"alg": "HS256"}), json!({"role": "a", "exp": NOW + 1}));
    assert_eq!(keyless.verify::<Claims>(&token, now()), Err(TokenError::Signer { kid: None }));
}
