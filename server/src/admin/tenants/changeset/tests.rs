//! What a body makes of a tenant.

mod fields;

use serde_json::{Map, Value, json};
use settings::Limits;

use super::*;
use crate::admin::tenants::representation::representation;
use crate::admin::tenants::secrets::tests::{decrypted, keys};
use crate::store::WrittenForm;

fn no_keys() -> EncryptionKeys {
    EncryptionKeys::new(None, None, WrittenForm::Current).expect("no key")
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

/// A new tenant named `acme`, whose secret is given if the body gives none.
fn create(body: Value) -> Result<StoredTenant, Value> {
    let mut body = object(body);
    body.entry("jwt_secret").or_insert(json!("a secret"));
    create_named("acme", &body)
}

fn create_named(external_id: &str, body: &Map<String, Value>) -> Result<StoredTenant, Value> {
    apply(body, None, external_id, &keys(), &Limits::default()).map_err(|invalid| invalid.errors.into())
}

fn update(existing: &StoredTenant, body: Value) -> Result<StoredTenant, Value> {
    let body = object(body);
    let updated = apply(&body, Some(existing), &existing.external_id, &keys(), &Limits::default());
    updated.map_err(|invalid| invalid.errors.into())
}

/// A database as a request gives it.
fn database() -> Value {
    let mut settings = json!({ "region": "r" });
    for name in ["db_host", "db_port", "db_name", "db_user", "db_password"] {
        settings[name] = json!("5432");
    }
    json!({ "type": "postgres", "settings": settings })
}

/// The errors of a body with one.
fn error(field: &str, text: &str) -> Value {
    json!({ field: [text] })
}

#[test]
fn a_new_tenant_is_called_by_its_external_id() {
    let longest = "a".repeat(63);
    for external_id in ["acme", "acme_2-b", "d4448862-666f-4af2-9966-78298e8af6bf", "0", &longest] {
        let body = json!({"external_id": "other", "name": "Other", "jwt_secret": "s"});
        let tenant = create_named(external_id, &object(body)).expect(external_id);
        assert_eq!((&*tenant.external_id, tenant.name.as_deref()), (external_id, Some(external_id)));
    }
    let too_long = "a".repeat(64);
    for (external_id, text) in [
        ("", "can't be blank"),
        (" ", "can't be blank"),
        ("Acme", "has invalid format"),
        ("-acme", "has invalid format"),
        ("_acme", "has invalid format"),
        ("ac me", "has invalid format"),
        ("ac.me", "has invalid format"),
        ("ac/me", "has invalid format"),
        ("..", "has invalid format"),
        ("acme\n", "has invalid format"),
        ("acme\0", "has invalid format"),
        ("äcme", "has invalid format"),
        ("nil", "is reserved"),
        (&too_long, "should be at most 63 byte(s)"),
    ] {
        let created = create_named(external_id, &object(json!({"jwt_secret": "s"})));
        assert_eq!(created, Err(error("external_id", text)), "{external_id:?}");
    }
}

#[test]
fn a_body_without_external_id_names_no_tenant() {
    for (body, text) in [
        (json!({}), "can't be blank"),
        (json!({"external_id": null}), "can't be blank"),
        (json!({"external_id": "  "}), "can't be blank"),
        (json!({"external_id": 5}), "is invalid"),
    ] {
        let body = object(body);
        let created = create_named(external_id::in_body(&body), &body);
        assert_eq!(created, Err(error("external_id", text)), "{body:?}");
    }
    assert_eq!(external_id::in_body(&object(json!({"external_id": "acme"}))), "acme");
}

#[test]
fn an_update_changes_what_it_gives_and_nothing_else() {
    let created = create(json!({"max_events_per_second": 7, "extensions": [database()]})).expect("valid");
    let existing = StoredTenant { inserted_at: "2026-08-21T12:00:00".into(), ..created };
    assert_eq!(update(&existing, json!({})).as_ref(), Ok(&existing));
    assert_eq!(update(&existing, json!({"external_id": "acme", "unknown": 1})).as_ref(), Ok(&existing));
    let named = update(&existing, json!({"name": "Acme, Inc."})).expect("valid");
    assert_eq!(named, StoredTenant { name: Some("Acme, Inc.".into()), ..existing.clone() });
    let unnamed = update(&existing, json!({"extensions": []})).expect("valid");
    assert_eq!(unnamed, StoredTenant { extensions: Vec::new(), ..existing.clone() });
    for (value, text) in [
        (json!("other"), "can't be changed"),
        (json!(null), "can't be blank"),
        (json!(""), "can't be blank"),
        (json!(5), "is invalid"),
    ] {
        let updated = update(&existing, json!({ "external_id": value }));
        assert_eq!(updated, Err(error("external_id", text)), "{value}");
    }
    // Made by another server, under a name that is not accepted any more.
    let foreign = StoredTenant { external_id: "a.b".into(), ..existing };
    assert_eq!(update(&foreign, json!({"external_id": "a.b"})).as_ref(), Ok(&foreign));
}

#[test]
fn one_kind_of_key_is_needed() {
    let missing = error("jwt_secret", "either jwt_secret or jwt_jwks must be provided");
    for body in [json!({}), json!({"jwt_secret": ""}), json!({"jwt_secret": null, "jwt_jwks": null})] {
        assert_eq!(create_named("acme", &object(body.clone())), Err(missing.clone()), "{body}");
    }
    let with_jwks = object(json!({"jwt_jwks": {"keys": []}}));
    let with_jwks = create_named("acme", &with_jwks).expect("a key set alone");
    assert_eq!(with_jwks.jwt_secret, None);
    let with_secret = create(json!({})).expect("a secret alone");
    assert_eq!(update(&with_secret, json!({"jwt_secret": null})), Err(missing));
    let exchanged = update(&with_secret, json!({"jwt_secret": null, "jwt_jwks": {"keys": []}}));
    assert_eq!(exchanged.expect("a key set instead").jwt_secret, None);
}

#[test]
fn all_errors_are_reported_at_once() {
    let body = json!({"suspend": 1, "max_joins_per_second": "x", "extensions": [{"type": "postgres", "settings": 1}]});
    let expected = json!({
        "external_id": ["can't be blank"],
        "suspend": ["is invalid"],
        "max_joins_per_second": ["is invalid"],
        "extensions": [{"settings": ["is invalid"]}],
    });
    assert_eq!(create_named("", &object(body)), Err(expected));
}

#[test]
fn secrets_are_encrypted_once() {
    let existing = create(json!({"jwt_secret": "the secret"})).expect("valid");
    let stored = existing.jwt_secret.as_deref();
    assert_eq!(decrypted(&json!(stored)), "the secret");
    let same = update(&existing, json!({"jwt_secret": stored})).expect("valid");
    assert_eq!(same.jwt_secret.as_deref(), stored);
    let other = update(&existing, json!({"jwt_secret": "another"})).expect("valid");
    assert_eq!(decrypted(&json!(other.jwt_secret)), "another");
}

#[test]
fn what_get_returns_changes_nothing() {
    let existing = create(json!({"max_joins_per_second": 3, "extensions": [database()]})).expect("valid");
    assert_eq!(update(&existing, representation(&existing)).as_ref(), Ok(&existing));
}

#[test]
fn without_a_key_secrets_are_refused() {
    let body = object(json!({"jwt_secret": "s", "extensions": [database()]}));
    let text = "cannot be encrypted: there is no key for it: set `DB_ENC_KEY_GCM`";
    let created = apply(&body, None, "acme", &no_keys(), &Limits::default());
    let expected = json!({"jwt_secret": [text], "extensions": [{"settings": [text]}]});
    assert_eq!(created.map_err(|invalid| invalid.errors.into()), Err(expected));
    let existing = create(body.into()).expect("valid");
    let body = object(json!({"suspend": true}));
    let updated = apply(&body, Some(&existing), "acme", &no_keys(), &Limits::default());
    assert_eq!(updated, Ok(StoredTenant { suspend: Some(true), ..existing }), "nothing new is secret");
}
