//! Tokens for rooms of the Realtime SDK and for documents, and what their holders may do with a document.

use serde_json::{Value, json};

use super::*;
use crate::auth::{DocumentAccess, DocumentRules, RoomAccess, RoomClaims};

const LENIENT: DocumentRules = DocumentRules { anon_may_write: true, require_permissions: false };

fn verify(claims: Value) -> Result<RoomClaims, TokenError> {
    with(|_| {}).verify(&signed(and(json!({"exp": NOW + 60}), claims)), now())
}

/// The claims of ann's token, which has these too.
fn of_ann(claims: Value) -> RoomClaims {
    verify(and(json!({"sub": "ann"}), claims)).expect("good")
}

fn access(claims: &RoomClaims, document: &str, rules: DocumentRules) -> Option<DocumentAccess> {
    let (room, doc) = document.split_once('/').expect("room and document");
    claims.document_access(room, doc, &rules)
}

#[test]
fn sub_and_exp_are_required_and_a_role_is_not() {
    let claims = verify(json!({"sub": "ann"})).expect("good");
    assert_eq!((&*claims.sub, claims.role.as_deref(), claims.expires_at), ("ann", None, NOW + 60));
    assert_eq!(of_ann(json!({"role": "authenticated"})).role.as_deref(), Some("authenticated"));
    for claims in [json!({}), json!({"sub": ""}), json!({"sub": 5}), json!({"role": "authenticated"})] {
        let error = verify(claims.clone()).expect_err("no subject");
        assert_eq!(error.to_string(), "Fields `sub` and `exp` are required in JWT", "{claims}");
    }
    let endless = with(|_| {}).verify::<RoomClaims>(&signed(json!({"sub": "ann"})), now());
    assert_eq!(endless, Err(TokenError::MissingClaims("sub")));
}

#[test]
fn keys_and_rules_are_those_of_other_tokens() {
    let strict = with(|auth| auth.jwt_issuer = Some("us".into()));
    let token = signed(json!({"sub": "ann", "exp": NOW + 60}));
    assert_eq!(strict.verify::<RoomClaims>(&token, now()), Err(TokenError::Rejected("iss".into())));
    let forged = signed_with("another", json!({"alg": "HS256"}), json!({"sub": "ann", "exp": NOW + 60}));
    assert_eq!(with(|_| {}).verify::<RoomClaims>(&forged, now()), Err(TokenError::Signature));
    assert_eq!(verify(json!({"sub": "ann", "exp": NOW})), Err(TokenError::Expired { seconds_ago: 0 }));

    let claims = of_ann(json!({}));
    let (verifier, later) = (with(|_| {}), now() + Duration::from_secs(60));
    assert_eq!(verifier.recheck(&claims, now()), Ok(()));
    assert_eq!(verifier.time_left(&claims, now()), Duration::from_secs(60));
    assert_eq!(verifier.recheck(&claims, later), Err(TokenError::Expired { seconds_ago: 0 }));
    let rotated = with(|auth| auth.jwt_secret = Some("another".into()));
    assert_eq!(rotated.recheck(&claims, now()), Err(TokenError::Revoked));
}

#[test]
fn permissions_of_another_form_are_refused_with_the_reason() {
    let error = verify(json!({"sub": "ann", "permissions": {"rooms": ["a".repeat(257)]}}));
    let error = error.expect_err("too long");
    assert_eq!(
        error.handshake_text(),
        "Claim `permissions` has a pattern in `rooms` that is longer than 256 bytes"
    );
    assert!(error.is_signed() && !error.may_join_again());
}

#[test]
fn a_token_without_permissions_gives_all_rooms_unless_the_tenant_requires_them() {
    let strict = DocumentRules { require_permissions: true, ..LENIENT };
    for claims in [json!({}), json!({"permissions": {}}), json!({"permissions": {"documents": ["a/*"]}})] {
        let claims = of_ann(claims);
        assert_eq!(access(&claims, "a/b", LENIENT), Some(DocumentAccess::Write));
        assert_eq!(access(&claims, "a/b", strict), None);
    }
    let listed = of_ann(json!({"permissions": {"rooms": ["a"]}}));
    assert_eq!(listed.room_access("a", &strict), Some(RoomAccess::Write));
    assert_eq!(listed.room_access("b", &LENIENT), None);
}

#[test]
fn the_smallest_of_room_document_scope_and_role_counts() {
    let (read, write) = (Some(DocumentAccess::Read), Some(DocumentAccess::Write));
    let rights = |room: &str, document: &str| {
        json!({
            "rooms": [{"pattern": "a", "access": room}],
            "documents": [{"pattern": "a/b*", "access": document}],
        })
    };
    for (claims, expected) in [
        (json!({"permissions": rights("write", "write")}), write),
        (json!({"permissions": rights("read", "write")}), read),
        (json!({"permissions": rights("write", "read")}), read),
        (json!({"permissions": rights("presence", "write")}), None),
        (json!({"permissions": rights("write", "presence")}), None),
        (json!({"permissions": {"rooms": []}}), None),
        (json!({"permissions": {"documents": ["a/other"]}}), None),
        (json!({"permissions": {"documents": ["b/*"], "rooms": ["*"]}}), None),
        (json!({"scope": "readonly"}), read),
        (json!({"scope": "openid readonly"}), read),
        (json!({"scope": ["readonly"]}), read),
        (json!({"scope": "read-write"}), write),
        (json!({"scope": "readonly", "permissions": rights("presence", "write")}), None),
        (json!({"role": "anon"}), read),
        (json!({"role": "authenticated"}), write),
    ] {
        let found = access(&of_ann(claims.clone()), "a/b/c", DocumentRules::default());
        assert_eq!(found, expected, "{claims}");
    }
    assert_eq!(access(&of_ann(json!({"role": "anon"})), "a/b", LENIENT), write);
}
