//! Keys by id (docs/protocol/tokens.md#verification): which key verifies which token, and that no token
//! can choose another.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use harness::{Algorithm, KeyPair, Request, TokenIssuer, World, key_set};
use serde_json::{Value, json};

const PUBLIC: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// The claims of a user's token.
fn user() -> Value {
    json!({"role": "authenticated", "sub": "ann", "exp": 4_000_000_000_u64})
}

/// A server with these keys and its secret.
async fn world_with(keys: Value) -> World {
    World::with(|settings| settings.auth.jwt_jwks = Some(keys.to_string().into())).await
}

/// The error of a handshake with this token; `None` if it succeeds.
async fn refusal(world: &World, token: &str) -> Option<String> {
    let response = world.send(Request::upgrade("/socket/websocket").header("x-api-key", token)).await;
    match response.status {
        101 => None,
        401 => Some(response.json()["error"].as_str().expect("an error is text").to_owned()),
        other => panic!("{other}: {}", response.text()),
    }
}

fn no_signer(kid: Option<&str>) -> Option<String> {
    let of = kid.map(|kid| format!(" for key ID (kid) \"{kid}\"")).unwrap_or_default();
    Some(format!("Failed to generate JWT signer{of}, check your JWT secret or JWKS configuration"))
}

fn wrong_signature() -> Option<String> {
    Some("Failed to validate JWT signature".to_owned())
}

#[tokio::test]
async fn every_algorithm_is_verified_with_the_key_that_the_token_names() {
    let secrets = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
    let pairs: Vec<_> =
        [&PUBLIC[..], &secrets].concat().iter().map(|alg| KeyPair::new(&format!("{alg:?}"), *alg)).collect();
    let world = world_with(key_set(&pairs)).await;
    for pair in &pairs {
        let good = pair.sign(&user());
        assert_eq!(refusal(&world, &good).await, None, "{}", pair.jwk()["alg"]);
        let (message, signature) = good.rsplit_once('.').expect("three parts");
        let mut changed = BASE64_URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        changed[7] ^= 1;
        let changed = format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(changed));
        assert_eq!(refusal(&world, &changed).await, wrong_signature(), "{}", pair.jwk()["alg"]);
    }
    world.stop().await;
}

#[tokio::test]
async fn a_room_is_joined_and_refreshed_with_a_public_key() {
    let (old, new) = (KeyPair::new("old", Algorithm::ES256), KeyPair::new("new", Algorithm::EdDSA));
    let world = world_with(key_set([&old, &new])).await;
    let (old, new, unknown) =
        (old.sign(&user()), new.sign(&user()), KeyPair::new("gone", Algorithm::ES256).sign(&user()));
    world
        .check(&format!(
            r#"
            ann connects
            ann > ["1","1","realtime:room","phx_join",{{"config":{{}},"access_token":"{old}"}}]
            ann < ["1","1","realtime:room","phx_reply",{{"status":"ok","response":{{"postgres_changes":[]}}}}]
            ann > ["1","2","realtime:room","access_token",{{"access_token":"{new}"}}]
            ann is quiet
            ann > ["2","3","realtime:other","phx_join",{{"config":{{}},"access_token":"{unknown}"}}]
            ann < ["2","3","realtime:other","phx_reply",{{"status":"error","response":{{"reason":"JwtSignerError: Failed to generate JWT signer for key ID (kid) \"gone\", check your JWT secret or JWKS configuration"}}}}]
            ann > ["1","4","realtime:room","access_token",{{"access_token":"{unknown}"}}]
            ann < ["1",null,"realtime:room","system",_]
            ann < ["1","1","realtime:room","phx_close",{{}}]
            "#
        ))
        .await;
    world.stop().await;
}

#[tokio::test]
async fn a_server_starts_with_a_public_key_alone() {
    let pair = KeyPair::new("only", Algorithm::ES384);
    let world = World::with(|settings| {
        settings.auth.jwt_secret = None;
        settings.auth.jwt_jwks = Some(key_set([&pair]).to_string().into());
    })
    .await;
    assert_eq!(refusal(&world, &pair.sign(&user())).await, None);
    assert_eq!(refusal(&world, &world.sign(&user())).await, no_signer(None), "there is no secret");
    assert_eq!(
        refusal(&world, &TokenIssuer::new("").sign(&user())).await,
        no_signer(None),
        "not even an empty one"
    );
    world.stop().await;
}

#[tokio::test]
async fn an_unknown_kid_selects_the_secret_for_hmac_and_no_key_for_other_algorithms() {
    let world = world_with(key_set([&KeyPair::new("known", Algorithm::RS256)])).await;
    let header = json!({"alg": "HS256", "kid": "unknown"});
    let secret = world.token_issuer().sign_with_header(&header, &user());
    assert_eq!(refusal(&world, &secret).await, None);
    for algorithm in PUBLIC {
        let pair = KeyPair::new("unknown", algorithm);
        assert_eq!(refusal(&world, &pair.sign(&user())).await, no_signer(Some("unknown")), "{algorithm:?}");
        let nameless = pair.sign_with_header(&json!({"alg": format!("{algorithm:?}")}), &user());
        assert_eq!(refusal(&world, &nameless).await, no_signer(None), "{algorithm:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_kid_of_a_secret_selects_only_that_secret() {
    let named = KeyPair::new("named", Algorithm::HS256);
    let world = world_with(key_set([&named])).await;
    assert_eq!(refusal(&world, &named.sign(&user())).await, None);
    let with = |kid: &str| json!({"alg": "HS256", "kid": kid});
    let token_issuer = world.token_issuer();
    assert_eq!(
        refusal(&world, &token_issuer.sign_with_header(&with("named"), &user())).await,
        wrong_signature()
    );
    assert_eq!(refusal(&world, &named.sign_with_header(&with("other"), &user())).await, wrong_signature());
    assert_eq!(
        refusal(&world, &named.sign_with_header(&json!({"alg": "HS256"}), &user())).await,
        wrong_signature()
    );
    world.stop().await;
}

// A token chooses a key by its id. If it could choose the type of the key as well, a client could sign with a public key
// as an HMAC secret.
#[tokio::test]
async fn no_token_changes_the_type_of_a_key() {
    let (rsa, ec, ed) = (
        KeyPair::new("rsa", Algorithm::RS256),
        KeyPair::new("ec", Algorithm::ES256),
        KeyPair::new("ed", Algorithm::EdDSA),
    );
    let secret = KeyPair::new("secret", Algorithm::HS256);
    let world = world_with(key_set([&rsa, &ec, &ed, &secret])).await;

    // Each public part of a key, as an HMAC secret.
    for (kid, pair) in [("rsa", &rsa), ("ec", &ec), ("ed", &ed)] {
        let jwk = pair.jwk();
        let members = ["n", "e", "x", "y"].iter().filter_map(|member| jwk[member].as_str());
        for text in members.chain([&*jwk.to_string()]) {
            let header = json!({"alg": "HS256", "kid": kid});
            let forged = TokenIssuer::new(text).sign_with_header(&header, &user());
            assert_eq!(refusal(&world, &forged).await, wrong_signature(), "{kid}");
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
            let forged = TokenIssuer::of_bytes(&bytes).sign_with_header(&header, &user());
            assert_eq!(refusal(&world, &forged).await, wrong_signature(), "{kid}");
        }
    }
    // A key of one type, with the algorithm of another.
    for (kid, pair) in [("rsa", &rsa), ("ec", &ec), ("ed", &ed), ("secret", &secret)] {
        let own = pair.jwk()["alg"].as_str().expect("it names its algorithm");
        for alg in ["RS256", "RS512", "ES256", "ES384", "EdDSA", "Ed25519"] {
            let forged = pair.sign_with_header(&json!({"alg": alg, "kid": kid}), &user());
            let genuine = alg == own || (own == "EdDSA" && alg == "Ed25519");
            let expected = if genuine { None } else { no_signer(Some(kid)) };
            assert_eq!(refusal(&world, &forged).await, expected, "{kid} as {alg}");
        }
    }
    for alg in ["ES512", "Ed448"] {
        let forged = ec.sign_with_header(&json!({"alg": alg, "kid": "ec"}), &user());
        assert_eq!(refusal(&world, &forged).await, no_signer(Some("ec")), "{alg}");
    }
    for alg in ["PS256", "none", "", "rs256"] {
        let forged = rsa.sign_with_header(&json!({"alg": alg, "kid": "rsa"}), &user());
        assert_eq!(refusal(&world, &forged).await, no_signer(None), "{alg}");
    }
    world.stop().await;
}

#[tokio::test]
async fn an_unusable_key_does_not_affect_the_others() {
    let good = KeyPair::new("good", Algorithm::ES256);
    let mut keys = key_set([&good]);
    let broken = json!({"kid": "broken", "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"});
    keys["keys"].as_array_mut().expect("a list").insert(0, broken);
    let world = world_with(keys).await;
    assert_eq!(refusal(&world, &good.sign(&user())).await, None);
    assert_eq!(refusal(&world, &good.clone().named("broken").sign(&user())).await, no_signer(Some("broken")));
    assert_eq!(refusal(&world, &world.sign(&user())).await, None);
    world.stop().await;
}
