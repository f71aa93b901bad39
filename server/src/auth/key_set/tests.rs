//! Valid and invalid key sets. `tests/e2e/jwks.rs` verifies tokens with real keys.

use serde_json::json;

use super::*;

/// The x of RFC 8037's example, a point on Ed25519.
const ED25519: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn parse(keys: Value) -> KeySet {
    KeySet::parse(&json!({ "keys": keys }).to_string(), KeySource::Settings).expect("a set")
}

/// The one problem of a set with this key in it.
fn problem(key: Value) -> String {
    let set = parse(Value::Array(vec![key]));
    assert!(set.is_empty(), "it can be used: {set:?}");
    let [problem] = set.problems() else { panic!("{:?}", set.problems()) };
    problem.clone()
}

fn base64(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn verifies<'a>(set: &'a KeySet, kid: &str) -> Vec<&'a [Algorithm]> {
    set.keys.get(kid).into_iter().flatten().map(|key| key.verifies).collect()
}

#[test]
fn each_type_verifies_its_own_algorithms() {
    let modulus = base64(&[0xff; 256]);
    let set = parse(json!([
        {"kid": "s", "kty": "oct", "k": "c2VjcmV0"},
        {"kid": "r", "kty": "RSA", "n": modulus, "e": "AQAB", "use": "sig"},
        {"kid": "o", "kty": "OKP", "crv": "Ed25519", "x": ED25519, "key_ops": ["verify"]},
    ]));
    assert!(set.problems().is_empty(), "{:?}", set.problems());
    assert_eq!(verifies(&set, "s"), [[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512]]);
    assert_eq!(verifies(&set, "r"), [[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512]]);
    assert_eq!(verifies(&set, "o"), [[Algorithm::EdDSA]]);
}

#[test]
fn a_key_that_names_its_algorithm_verifies_no_other() {
    let modulus = base64(&[0xff; 256]);
    let rsa = |alg: &str| json!({"kid": "k", "kty": "RSA", "n": modulus, "e": "AQAB", "alg": alg});
    assert_eq!(verifies(&parse(json!([rsa("RS384")])), "k"), [[Algorithm::RS384]]);
    for alg in ["PS256", "HS256", "ES256", "RSA-OAEP", "none", "x\ny"] {
        assert!(problem(rsa(alg)).contains("cannot be verified with it"), "{alg}");
    }
    for alg in ["EdDSA", "Ed25519"] {
        let key = json!({"kid": "k", "kty": "OKP", "crv": "Ed25519", "x": ED25519, "alg": alg});
        assert_eq!(verifies(&parse(json!([key])), "k"), [[Algorithm::EdDSA]]);
    }
}

#[test]
fn one_kid_may_have_keys_of_several_types() {
    let secret = json!({"kid": "k", "kty": "oct", "k": "c2VjcmV0"});
    let ed = json!({"kid": "k", "kty": "OKP", "crv": "Ed25519", "x": ED25519});
    let set = parse(json!([secret, ed, secret]));
    assert_eq!(verifies(&set, "k").len(), 2);
    let reported = "key 3 (kid \"k\"): there is another key of this name and type before it";
    assert_eq!(set.problems(), [reported]);
}

#[test]
fn keys_for_encryption_are_ignored_and_not_reported() {
    let set = parse(json!([
        {"kid": "e", "kty": "RSA", "use": "enc", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB"},
        {"kid": "w", "kty": "oct", "key_ops": ["wrapKey", "unwrapKey"], "k": "c2VjcmV0"},
    ]));
    assert!(set.is_empty() && set.problems().is_empty(), "{:?}", set.problems());
}

#[test]
fn unusable_keys_are_reported_and_the_rest_is_used() {
    let x = base64(&[1; 32]);
    for (key, why) in [
        (json!("key"), "is no object"),
        (json!({"kty": "oct", "k": "c2VjcmV0"}), "`kid` is missing"),
        (json!({"kid": 7, "kty": "oct", "k": "c2VjcmV0"}), "`kid` is missing"),
        (json!({"kid": "k"}), "`kty` is missing"),
        (json!({"kid": "k", "kty": "oct"}), "`k` is missing"),
        (json!({"kid": "k", "kty": "oct", "k": ""}), "`k` is missing"),
        (json!({"kid": "k", "kty": "oct", "k": "a/+b"}), "`k` is not base64url"),
        (json!({"kid": "k", "kty": "tea"}), "the type \"tea\" is not known here"),
        (json!({"kid": "k", "kty": "RSA", "n": "AQAB"}), "`e` is missing"),
        (json!({"kid": "k", "kty": "RSA", "n": base64(&[0xff; 128]), "e": "AQAB"}), "not 1024"),
        (json!({"kid": "k", "kty": "RSA", "n": base64(&[0xff; 1024]), "e": "AQAB"}), "not 8192"),
        (json!({"kid": "k", "kty": "RSA", "n": base64(&[0; 256]), "e": "AQAB"}), "not 0"),
        (
            json!({"kid": "k", "kty": "RSA", "n": base64(&[0xff; 256]), "e": "AQ"}),
            "`e` must be an odd number",
        ),
        (
            json!({"kid": "k", "kty": "RSA", "n": base64(&[0xff; 256]), "e": "Ag"}),
            "`e` must be an odd number",
        ),
        (json!({"kid": "k", "kty": "RSA", "n": base64(&[0xff; 256]), "e": "AQAAAAAB"}), "`e` must be"),
        (json!({"kid": "k", "kty": "EC", "crv": "P-521"}), "the curve \"P-521\" is not known here"),
        (json!({"kid": "k", "kty": "EC", "crv": "P-256", "x": x}), "`y` is missing"),
        (json!({"kid": "k", "kty": "EC", "crv": "P-384", "x": x, "y": x}), "`x` must have 48 bytes"),
        (json!({"kid": "k", "kty": "EC", "crv": "P-256", "x": x, "y": x}), "is no point on its curve"),
        (json!({"kid": "k", "kty": "OKP", "crv": "Ed448", "x": x}), "the curve \"Ed448\" is not known here"),
        // jsonwebtoken would panic on this key.
        (json!({"kid": "k", "kty": "OKP", "crv": "Ed25519", "x": "AQ"}), "`x` must have 32 bytes"),
        (
            json!({"kid": "k", "kty": "OKP", "crv": "Ed25519", "x": base64(&[2; 32])}),
            "is no point on its curve",
        ),
    ] {
        let reported = problem(key);
        assert!(reported.contains(why), "{why}: {reported}");
    }
    let set = parse(json!([{"kid": "bad", "kty": "tea"}, {"kid": "good", "kty": "oct", "k": "c2VjcmV0"}]));
    assert_eq!((verifies(&set, "good").len(), set.problems().len()), (1, 1));
}

#[test]
fn a_problem_quotes_nothing_of_a_key_but_its_kid() {
    let key = json!({"kid": "n\u{1b}[2J\"ame", "kty": "oct", "k": "my secret in the clear"});
    assert_eq!(problem(key), "key 1 (kid \"n[2Jame\"): `k` is not base64url");
}

#[test]
fn a_published_secret_is_refused() {
    let text = json!({"keys": [{"kid": "k", "kty": "oct", "k": "c2VjcmV0"}]}).to_string();
    let set = KeySet::parse(&text, KeySource::Published).expect("a set");
    assert!(set.is_empty());
    assert_eq!(set.problems(), ["key 1 (kid \"k\"): a secret that is published is none"]);
}

#[test]
fn text_that_is_no_set_is_refused_without_repeating_it() {
    for text in
        ["", "secret", "[]", "{}", "null", r#"{"keys": {}}"#, r#"{"keys": "secret"}"#, r#"{"keys": ["#]
    {
        let why = check_jwks(text).expect_err(text);
        assert!(why.starts_with("must be a JSON Web Key Set") && !why.contains("secret"), "{why}");
    }
    assert_eq!(check_jwks(r#"{"keys": [], "more": 1}"#), Ok(Vec::new()));
    assert_eq!(check_jwks(r#"{"keys": [{}]}"#).map(|problems| problems.len()), Ok(1));
}
